"""`peftcalc count`: what a method trains of a model."""

from __future__ import annotations

import argparse
from typing import Any

from peftcalc import units
from peftcalc.commands import add_json, add_method, add_model, method_from, number, print_json, print_table
from peftcalc.counting.count import count
from peftcalc.models.configs.classes import TASK_TYPES


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("count", help="parameters that a method trains of a model, exactly")
    add_model(parser)
    add_method(parser)
    parser.add_argument(
        "--task-type", choices=TASK_TYPES, help="peft's task type; the class that it loads is counted, with its head"
    )
    parser.add_argument(
        "--num-labels", type=number, help="outputs of a classifier's head (default: as the config says)"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    result = count(arguments.model, method_from(arguments), arguments.task_type, arguments.num_labels)
    if arguments.json:
        print_json(result.as_dict())
        return
    print(f"{result.model} ({result.architecture}): {result.method!r}\n")
    rows = [
        ["trainable", f"{result.trainable:,}"],
        ["base model", f"{result.base:,}"],
        ["total", f"{result.total:,}"],
        ["percent of total", units.percent(result.percent)],
        ["adapter on disk, fp32", units.gb(result.adapter_bytes_fp32)],
        ["adapter on disk, fp16", units.gb(result.adapter_bytes_fp16)],
    ]
    print_table(rows, ["exact", "value"])
    print()
    body = [
        [_name(row), row["kind"], row["how"], f"{row['rank']:,}", f"{row['modules']:,}", f"{row['trainable']:,}"]
        for row in result.kind_rows()
    ]
    print_table(body, ["module", "kind", "how", "rank", "modules", "trainable"])
    for note in result.notes:
        print(f"\nNote: {note}.")


def _name(row: dict[str, Any]) -> str:
    """The module's name, after the part of the model where there are several."""
    return f"{row['part']}: {row['name']}" if row["part"] else row["name"]
