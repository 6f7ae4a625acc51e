"""The same answers in a terminal: `python -m peftcalc COMMAND`, as tables or with `--json`.

Exit code 0 on success, 1 where the answer is no (it does not fit, an adapter is broken), 2 with one clear line on bad
input, a file or a disk that refuses, or a package that is not installed, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from peftcalc.lazy import explained
from peftcalc.outside_files import said

COMMANDS = (
    "square",
    "count",
    "models",
    "memory",
    "speed",
    "fit",
    "serving",
    "measure",
    "advise",
    "quantize",
    "train",
    "sweep",
    "running.compare",
    "running.cluster",
    "adapter",
    "history",
    "app",
)


class _OneLineParser(argparse.ArgumentParser):
    """Bad arguments are answered by one line, not by a usage listing."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {said(message)}\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command; importing them brings in nothing heavy."""
    parser = _OneLineParser(
        prog="peftcalc", description="What parameter-efficient fine-tuning costs, and how it learns."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"peftcalc.commands.{name}").add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is returned."""
    command = "peftcalc"
    try:
        _write_any_character()
        arguments = build_parser().parse_args(argv)
        command = f"peftcalc {arguments.command}"
        with explained("this command"):
            code = arguments.run(arguments) or 0
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where it is answered, and not when Python ends
        return code
    except ValueError as error:
        print(f"{command}: {said(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `peftcalc models | head`
        _forget_output()
        return 0
    except OSError as error:  # a full disk, a name that is too long, a folder that must not be read
        where = f": {error.filename}" if error.filename else ""
        print(f"{command}: {said(f'{error.strerror or error}{where}')}", file=sys.stderr)
        _forget_output()
        return 2


def _write_any_character() -> None:
    """A terminal or a file that lacks a character gets a question mark in its place, and no error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _forget_output() -> None:
    """What still waits for a closed pipe or a full disk goes nowhere, without a complaint at the end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
