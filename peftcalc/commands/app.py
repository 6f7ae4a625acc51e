"""`peftcalc app`: start the browser app."""

from __future__ import annotations

import argparse
import subprocess
import sys

from peftcalc.app_folder import app_folder
from peftcalc.lazy import needs


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("app", help="start the app in the browser")
    parser.add_argument("--port", type=int, default=8501)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    folder = app_folder()
    needs("streamlit", "the app")
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(arguments.port)]
    raise SystemExit(subprocess.call(command, cwd=folder))
