"""A process in which packages cannot be imported, as where an extra was not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

EXTRAS = ("torch", "transformers", "numpy", "pandas", "matplotlib", "peft", "bitsandbytes", "sklearn", "safetensors")
EXTRAS += ("huggingface_hub", "streamlit", "altair", "gguf", "accelerate")

_BLOCK = """
import contextlib, io, json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())

def terminal(*words):
    from peftcalc.cli import main
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(words)
        except SystemExit as stop:
            code = stop.code
    return code, out.getvalue(), err.getvalue()

def said(work):
    try:
        work()
    except (ValueError, ImportError) as error:
        return type(error).__name__, isinstance(error, ValueError) and isinstance(error, ImportError), str(error)

import peftcalc as pc
answer = None
"""


def without(packages: tuple[str, ...], code: str) -> Any:
    """What `code` leaves in `answer`, through JSON, in a fresh process that cannot import `packages`.

    It finds `pc`, `terminal(*words)` for a command's exit code, output and errors, and `said(work)` for the name of the
    error that `work` raises, whether it is a ValueError and an ImportError, and its sentence.
    """
    source = f"{_BLOCK.format(packages=set(packages))}\n{code}\nprint(json.dumps(answer))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
