"""The rules of the house hold, and the test that says so can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import architecture
import pytest

ROOT = Path(__file__).parents[1]

HEAVY = ("torch", "streamlit", "transformers", "matplotlib", "peft", "bitsandbytes")


def test_every_import_follows_the_rules():
    assert architecture.violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("peftcalc/count.py", "import streamlit as st", "count imports streamlit"),
        ("peftcalc/lab/jobs.py", "from peftcalc.ui.page import badge", "lab imports ui"),
        ("peftcalc/quant/nf4.py", "from ..lab import attach", "quant imports lab"),
        ("peftcalc/methods.py", "def f():\n    from peftcalc import lab", "methods imports lab"),
        ("peftcalc/plots/curves.py", "from matplotlib import pyplot", "matplotlib.pyplot is not used"),
        ("pages/train.py", "import matplotlib.pyplot as plt", "matplotlib.pyplot is not used"),
        ("peftcalc/lab/files.py", "import pickle", "pickle is not used"),
        ("peftcalc/lab/files.py", "torch.load('x')", "torch.load reads pickle"),
        ("pages/home.py", "st.markdown(x, unsafe_allow_html=True)", "unsafe_allow_html is switched on"),
        ("peftcalc/models/load.py", "AutoConfig.from_pretrained(x, trust_remote_code=flag)", "trust_remote_code"),
        ("peftcalc/shed/tool.py", "import peftcalc.units", "the room shed is unknown"),
    ],
)
def test_a_broken_rule_is_found(tmp_path: Path, file: str, source: str, complaint: str):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert any(complaint in line for line in architecture.violations(tmp_path))


def test_the_checker_accepts_what_is_allowed(tmp_path: Path):
    path = tmp_path / "peftcalc/lab/attach.py"
    path.parent.mkdir(parents=True)
    path.write_text("import torch\nfrom peftcalc.quant import quantize\nload(x, trust_remote_code=False)")
    assert architecture.violations(tmp_path) == []


@pytest.mark.parametrize(
    "module", ["peftcalc", "peftcalc.cli", "peftcalc.count", "peftcalc.units", "peftcalc.lab.records"]
)
def test_importing_brings_in_nothing_heavy(module: str):
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_the_heavy_list_would_be_noticed():
    code = f"import sys, matplotlib; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["matplotlib"]


def test_every_public_name_is_there_once():
    import peftcalc

    assert sorted(peftcalc.__all__) == list(peftcalc.__all__)
    assert set(peftcalc.__all__) <= set(dir(peftcalc))


def test_count_is_the_function_whatever_was_imported_first():
    code = "import peftcalc.count, peftcalc as pc; from peftcalc.count import count; assert pc.count is count"
    subprocess.run([sys.executable, "-c", code], check=True)
