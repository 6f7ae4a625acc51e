"""Every notebook runs from a clean state, on the public names only, and its figures are the pages' own."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import peftcalc as pc

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SLOW = {"03_finetune", "04_dora"}

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def test_the_four_lessons_are_there():
    assert [path.stem for path in NOTEBOOKS] == ["01_count", "02_quantize", "03_finetune", "04_dora"]


@notebooks
def test_only_public_names_are_used(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pc":
                assert node.attr in pc.__all__
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("peftcalc")


@notebooks
def test_outputs_are_committed_small_and_without_errors(path):
    assert path.stat().st_size < 200_000
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs
    assert all(output.output_type != "error" for output in outputs)


@notebooks
def test_there_is_a_prediction_before_each_reveal(path):
    cells = nbformat.read(path, as_version=4).cells
    predictions = [index for index, cell in enumerate(cells) if "**Predict.**" in cell.source]
    assert len(predictions) >= 3
    assert all(cells[index + 1].cell_type == "code" for index in predictions)


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=[pytest.mark.slow] if p.stem in SLOW else [], id=p.stem) for p in NOTEBOOKS]
)
def test_it_runs_from_a_clean_state(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
