"""`peftcalc square`: the one-matrix teaching model."""

from __future__ import annotations

import argparse

from peftcalc import units
from peftcalc.commands import add_json, number, print_json, print_table
from peftcalc.counting.one_matrix import square


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("square", help="a model as one square matrix with a low-rank adapter")
    parser.add_argument("--parameters", type=number, required=True, help="size of the model: 4e9, 7B, 25")
    parser.add_argument("--rank", type=number, default=8, help="rank of the adapter (default 8)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    result = square(arguments.parameters, arguments.rank)
    if arguments.json:
        print_json(result.as_dict())
        return
    rows = [
        ["parameters", f"{result.total_parameters:,}"],
        ["matrix", f"{result.dimension:,} × {result.dimension:,}"],
        ["rank", f"{result.rank:,}"],
        ["trainable", f"{result.trainable:,}"],
        ["percent", units.percent(result.percent)],
        ["break-even rank", f"{result.break_even:,g}"],
    ]
    print_table(rows, ["one square matrix", "value"])
