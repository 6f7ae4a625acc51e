"""`peftcalc models`: the bundled catalogue."""

from __future__ import annotations

import argparse

from peftcalc.commands import add_json, print_json, print_table
from peftcalc.models.catalogue import catalogue_rows


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("models", help="the bundled models")
    parser.add_argument("search", nargs="?", default="", help="only models whose id or family contains this")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    wanted = arguments.search.lower()
    models = [row for row in catalogue_rows() if wanted in f"{row['id']} {row['family']}".lower()]
    if not models:
        raise ValueError(f"no bundled model contains {arguments.search!r}; `peftcalc models` lists all")
    if arguments.json:
        print_json(models)
        return
    rows = [
        [row["id"], f"{row['parameters']:,}", f"{row['layers']:,}", f"{row['hidden_size']:,}", row["architecture"]]
        for row in models
    ]
    print_table(rows, ["model", "parameters", "layers", "hidden size", "architecture"])
