"""`peftcalc app`: start the browser app."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from peftcalc.lazy import needs


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("app", help="start the app in the browser")
    parser.add_argument("--port", type=int, default=8501)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    entry = Path(__file__).parents[2] / "app.py"
    if not entry.exists():
        raise ValueError("the app's pages are in the project's folder: run this command from a clone of the repository")
    needs("streamlit", "the app")
    command = [sys.executable, "-m", "streamlit", "run", entry.name, "--server.port", str(arguments.port)]
    raise SystemExit(subprocess.call(command, cwd=entry.parent))
