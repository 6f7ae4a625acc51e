"""`peftcalc models`: the bundled catalogue."""

from __future__ import annotations

import argparse

from peftcalc.commands import add_json, print_json, print_table


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("models", help="the bundled models")
    parser.add_argument("search", nargs="?", default="", help="only models whose id or family contains this")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from peftcalc.models.catalogue import catalogue

    table = catalogue()
    wanted = arguments.search.lower()
    chosen = [wanted in f"{name} {row['family']}".lower() for name, row in table.iterrows()]
    table = table[chosen]
    if table.empty:
        raise ValueError(f"no bundled model contains {arguments.search!r}; `peftcalc models` lists all")
    if arguments.json:
        print_json(table.reset_index().to_dict("records"))
        return
    rows = [
        [str(name), f"{row['parameters']:,}", f"{row['layers']:,}", f"{row['hidden_size']:,}", row["architecture"]]
        for name, row in table.iterrows()
    ]
    print_table(rows, ["model", "parameters", "layers", "hidden size", "architecture"])
