"""Every notebook runs from a clean state, on the public names only, draws, and asks before it answers."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import peftcalc as pc

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
QUICK = {"01_count", "02_quantize"}
MOST_BYTES = 250_000
LESS = {
    "03_finetune": {"seeds=(0, 1))": "seeds=(0, 1), steps=20)"},
    "07_findings": {"seeds=10": "seeds=2", "seeds=3": "seeds=1"},
}
"""What runs with less in the tests, by lesson: the saved outputs are of the whole."""

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def test_the_lessons_are_there():
    names = ["count", "quantize", "finetune", "dora", "memory_and_choice", "your_model", "findings"]
    assert [path.stem for path in NOTEBOOKS] == [f"{place:02}_{name}" for place, name in enumerate(names, 1)]


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
def test_outputs_are_committed_small_without_errors_and_with_figures(path):
    assert path.stat().st_size < MOST_BYTES
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs
    assert all(output.output_type != "error" for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert "site-packages" not in path.read_text()


@notebooks
def test_there_is_a_prediction_before_each_reveal(path):
    cells = nbformat.read(path, as_version=4).cells
    predictions = [index for index, cell in enumerate(cells) if "**Predict.**" in cell.source]
    assert len(predictions) >= 3
    assert all(cells[index + 1].cell_type == "code" for index in predictions)


@notebooks
def test_what_answers_a_prediction_is_folded(path):
    """The outputs after it, and the words that follow them, unless another part begins."""
    cells = nbformat.read(path, as_version=4).cells
    answering = False
    for cell in cells:
        if cell.cell_type == "code":
            assert cell.metadata.get("collapsed", False) == answering
            assert cell.metadata.get("jupyter", {}).get("outputs_hidden", False) == answering
            continue
        if answering:
            assert cell.source.startswith(("#", "**Predict.**", "<details>"))
        told = cell.source.count("<details>\n<summary>")
        assert cell.source.count("</details>") == told
        answering = "**Predict.**" in cell.source


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=[] if p.stem in QUICK else [pytest.mark.slow], id=p.stem) for p in NOTEBOOKS]
)
def test_it_runs_from_a_clean_state(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            for whole, less in LESS.get(path.stem, {}).items():
                cell.source = cell.source.replace(whole, less)
    NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
