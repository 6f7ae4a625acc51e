"""The same answers in a terminal: `python -m peftcalc COMMAND`, as tables or with `--json`.

Exit code 0 on success, 1 where the answer is no (it does not fit, an adapter is broken), 2 with one clear line on bad
input or a package that is not installed, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from peftcalc.lazy import explained

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
        self.exit(2, f"{self.prog}: {message}\n")


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
    arguments = build_parser().parse_args(argv)
    try:
        with explained("this command"):
            return arguments.run(arguments) or 0
    except ValueError as error:
        print(f"peftcalc {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `peftcalc models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
