"""The rules of the house hold, and the test that says so can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import architecture
import pytest

ROOT = Path(__file__).parents[1]

HEAVY = ("torch", "streamlit", "transformers", "matplotlib", "pandas", "numpy", "peft", "bitsandbytes")
HEAVY += ("huggingface_hub",)


def test_the_house_keeps_its_rules():
    assert architecture.violations(ROOT) == []


def written(root: Path, **files: str) -> Path:
    """A house with these sources, `__` in a name standing for a folder."""
    for name, source in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("peftcalc/counting/count.py", "import streamlit as st", "counting imports streamlit"),
        ("peftcalc/jobs/job_queue.py", "from peftcalc.ui.page import badge", "jobs imports ui"),
        ("peftcalc/quant/nf4.py", "from ..lab import finetune", "quant imports lab"),
        ("peftcalc/geometry/direction.py", "from peftcalc.quant.quantized import Quantized", "geometry imports quant"),
        ("peftcalc/methods/five.py", "def f():\n    from peftcalc import lab", "methods imports lab"),
        ("peftcalc/jobs/worker.py", "KINDS = {'a': 'peftcalc.commands.train:run'}", "jobs imports commands"),
        (
            "peftcalc/adapters/attach.py",
            "if TYPE_CHECKING:\n    from peftcalc.lab.training import Run",
            "adapters imports lab",
        ),
        ("peftcalc/plots/curves.py", "from matplotlib import pyplot", "matplotlib.pyplot is not used"),
        ("pages/train.py", "import matplotlib.pyplot as plt", "matplotlib.pyplot is not used"),
        ("peftcalc/adapters/files/adapter_folder.py", "import pickle", "pickle is not used"),
        ("peftcalc/adapters/files/adapter_folder.py", "torch.load('x')", "torch.load reads pickle"),
        ("pages/home.py", "st.markdown(x, unsafe_allow_html=True)", "unsafe_allow_html is switched on"),
        ("peftcalc/models/load.py", "AutoConfig.from_pretrained(x, trust_remote_code=flag)", "trust_remote_code"),
        ("peftcalc/shed/tool.py", "import peftcalc.units", "the room shed is unknown"),
        ("peftcalc/lab/training.py", "import peftcalc as pc", "lab imports the package's face"),
        ("peftcalc/quant/tables.py", "x = 1\n" * 281, "has 281 lines; at most 280"),
    ],
)
def test_a_broken_rule_is_found(tmp_path: Path, file: str, source: str, complaint: str):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert any(complaint in line for line in architecture.violations(tmp_path))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("import peftcalc.lab.two", "import peftcalc.lab.one"),
        ("from peftcalc.lab import two", "def f():\n    from peftcalc.lab.one import g"),
        ("from peftcalc.lab.two import f", "PLACE = 'peftcalc.lab.one:g'"),
        ("if TYPE_CHECKING:\n    import torch\nelse:\n    import peftcalc.lab.two", "from .one import g"),
    ],
)
def test_a_circle_is_found_wherever_its_imports_stand(tmp_path: Path, one: str, two: str):
    house = written(tmp_path, peftcalc__lab____init__="", peftcalc__lab__one=one, peftcalc__lab__two=two)
    assert architecture.violations(house) == ["circle: peftcalc.lab.one → peftcalc.lab.two → peftcalc.lab.one"]


def test_a_circle_through_three_rooms_is_found(tmp_path: Path):
    files = {
        "peftcalc__lab__a": "import peftcalc.lab.b",
        "peftcalc__lab__b": "import peftcalc.lab.c",
        "peftcalc__lab__c": "x = 'peftcalc.lab.a'",
    }
    circle = architecture.circles(architecture.import_graph(written(tmp_path, **files)))
    assert circle == [["peftcalc.lab.a", "peftcalc.lab.b", "peftcalc.lab.c", "peftcalc.lab.a"]]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("from peftcalc.lab.two import f", "if TYPE_CHECKING:\n    from peftcalc.lab.one import g"),
        ("from peftcalc.lab.two import f", "FILE = 'peftcalc.json'"),
        ("from peftcalc.lab.two import f", 'TEXT = "see `peftcalc.lab.one` for more"'),
    ],
)
def test_what_only_looks_like_a_circle_is_none(tmp_path: Path, one: str, two: str):
    assert architecture.violations(written(tmp_path, peftcalc__lab__one=one, peftcalc__lab__two=two)) == []


def test_the_one_door_upstairs_is_no_circle_and_another_is(tmp_path: Path):
    upward = "{'Method.to_code': 'peftcalc.methods.five:f'}"
    files = {"peftcalc__methods__five": "from peftcalc.lazy import upstairs"}
    assert architecture.violations(written(tmp_path, peftcalc__lazy=f"UPSTAIRS = {upward}", **files)) == []
    found = architecture.violations(written(tmp_path, peftcalc__lazy=f"ELSEWHERE = {upward}", **files))
    assert found == ["circle: peftcalc.lazy → peftcalc.methods.five → peftcalc.lazy"]


def test_a_folder_that_is_full_is_found(tmp_path: Path):
    house = written(tmp_path, **{f"peftcalc__quant__m{i}": "" for i in range(16)}, peftcalc__quant____init__="")
    assert architecture.violations(house) == []
    written(house, peftcalc__quant__one_more="")
    assert architecture.violations(house) == ["peftcalc/quant holds 17 modules; at most 16, more are two ideas"]


def test_the_checker_accepts_what_is_allowed(tmp_path: Path):
    source = "import torch\nfrom peftcalc.quant import quantize\nload(x, trust_remote_code=False)"
    assert architecture.violations(written(tmp_path, peftcalc__lab__attach=source)) == []


def loaded_by(code: str) -> list[str]:
    """Which of the heavy packages a fresh interpreter has loaded after `code`."""
    code = f"import sys\n{code}\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("module", ["peftcalc", "peftcalc.cli", "peftcalc.counting.count", "peftcalc.lab.records"])
def test_importing_brings_in_nothing_heavy(module: str):
    assert loaded_by(f"import {module}") == []


def test_declaring_every_command_brings_in_nothing_heavy():
    assert loaded_by("from peftcalc.cli import build_parser\nbuild_parser()") == []


def test_public_names_bring_in_what_they_compute_with_and_no_tables_figures_or_downloads():
    names = "finetune, attach, quantize, quantization_error, decompose, rank_of, compare, load_adapter, simulate_memory"
    assert loaded_by(f"from peftcalc import {names}") == ["torch", "numpy"]


def test_the_heavy_list_would_be_noticed():
    assert "matplotlib" in loaded_by("import matplotlib")


def test_every_public_name_is_there_once():
    import peftcalc

    assert sorted(peftcalc.__all__) == list(peftcalc.__all__)
    assert set(peftcalc.__all__) <= set(dir(peftcalc))


def test_public_names_are_what_they_say_whatever_was_imported_first():
    code = (
        "import peftcalc as pc\n"
        "import peftcalc.counting.count, peftcalc.memory.fit, peftcalc.models.catalogue, peftcalc.adapters.attach\n"
        "assert all(callable(getattr(pc, name)) for name in pc.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_drawing_of_the_house_is_current():
    check = [sys.executable, str(ROOT / "scripts/draw_house.py"), "--check"]
    assert subprocess.run(check).returncode == 0, "run python scripts/draw_house.py"
