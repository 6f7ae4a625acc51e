"""`python -m peftcalc compare`: methods beside each other over several seeds, here or by an engine's workers."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from peftcalc.commands import add_json, number, print_json, print_table
from peftcalc.commands.running.elsewhere import add_scheduler, engine_of
from peftcalc.commands.running.interruption import interruptions
from peftcalc.commands.running.keeping import add_history
from peftcalc.methods import METHODS, make_method
from peftcalc.units import count, gib, seconds


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = commands.add_parser("compare", help="methods beside each other, and their differences within each seed")
    parser.add_argument("--task", default="digits", help="as for train")
    parser.add_argument(
        "--methods", default=",".join(METHODS), help="with commas; the others are paired with the first"
    )
    parser.add_argument("--rank", type=number, default=8)
    parser.add_argument("--seeds", type=number, default=3, help="how many, counted from 0 (default 3)")
    parser.add_argument("--steps", type=number, default=None, help="default: the task's")
    parser.add_argument("--learning-rate", type=float, default=None, help="default: the task's, for each method")
    add_scheduler(parser)
    add_history(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare, and print means and differences."""
    from peftcalc.jobs.compared import compare

    names = [name.strip() for name in arguments.methods.split(",") if name.strip()]
    methods = [make_method(name, rank=arguments.rank) for name in names]
    with interruptions() as interruption, engine_of(arguments) as engine:

        def seen(*_: Any) -> None:
            if interruption.signal is not None:
                raise KeyboardInterrupt

        found = compare(
            arguments.task,
            methods,
            arguments.seeds,
            seen,
            engine,
            keep=not arguments.no_history,
            steps=arguments.steps,
            learning_rate=arguments.learning_rate,
        )
    paired = [found.paired(method, found.methods[0]) for method in found.methods[1:]]
    if arguments.json:
        rows = found.summary().to_dict("records")
        print_json(
            {
                "task": found.task,
                "unit": found.unit,
                "methods": rows,
                "paired": [dataclasses.asdict(one) for one in paired],
            }
        )
        return 0
    rows = []
    for method in found.methods:
        run = found.of(method)[0]
        rows.append(
            [
                repr(method),
                str(found.validation(method)),
                count(run.trainable),
                gib(run.peak_bytes),
                seconds(run.seconds),
            ]
        )
    print_table(rows, ["settings", found.unit, "trained", "peak", "a run"])
    if paired:
        print("\n" + "\n".join(map(str, paired)))
    return 0
