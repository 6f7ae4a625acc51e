"""The compiled loops under AddressSanitizer: no tensor makes them read or write past a buffer."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOOPS = {"quant/four_bits": ["-ffp-contract=off", "-fopenmp"], "adapters/layers/few_tokens": []}


def sanitizer() -> str | None:
    """The sanitizer's library, which must be loaded before anything else, or None."""
    if shutil.which("gcc") is None or not sys.platform.startswith("linux"):
        return None
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    path = Path(found.stdout.strip())
    return str(path.resolve()) if path.is_absolute() and path.exists() else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The loops as the sanitizer's compiler makes them, where `compiled.load` looks."""
    place = tmp_path_factory.mktemp("sanitized")
    for name, options in LOOPS.items():
        source = ROOT / "peftcalc" / f"{name}.c"
        target = place / f"{Path(name).parent}/_{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
        target.parent.mkdir(parents=True)
        command = [
            "gcc",
            "-O1",
            "-g",
            "-fsanitize=address",
            "-shared",
            "-fPIC",
            *options,
            str(source),
            "-o",
            str(target),
        ]
        subprocess.run(command, check=True)
    return place


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    library = sanitizer()
    assert library is not None
    environment = os.environ | {
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    script = ROOT / "tests" / "support" / "wrong_tensors.py"
    command = [sys.executable, str(script), str(folder), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


pytestmark = pytest.mark.skipif(sanitizer() is None, reason="gcc and its libasan are needed, under Linux")


def test_wrong_tensors_are_refused_before_a_loop_reads_them(folder):
    finished = run(folder)
    assert finished.returncode == 0, finished.stderr[-3000:]
    counts = ast.literal_eval(finished.stdout)
    assert counts["refused"] > 100
    assert counts["left to torch"] > 10


def test_the_sanitizer_would_have_noticed(folder):
    finished = run(folder, "trusted")
    assert finished.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in finished.stderr
