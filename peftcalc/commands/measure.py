"""`peftcalc measure`: one training step on this machine's own card, beside what was predicted, as a row to send in."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc import units
from peftcalc.commands import NO, add_json, add_method, add_model, method_from, print_json, print_table
from peftcalc.commands.memory import add_step, step_from
from peftcalc.models.load import load_model

if TYPE_CHECKING:
    from peftcalc.evidence.measuring.readings import MeasuredStep


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("measure", help="one training step on your own GPU, measured beside the prediction")
    add_model(parser)
    add_method(parser)
    add_step(parser)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a dry run (default cuda)")
    parser.add_argument("--dry-run", action="store_true", help="two layers, nothing is counted: does the set-up run?")
    parser.add_argument("--busy", action="store_true", help="measure although other processes use the card")
    parser.add_argument("--csv", metavar="FILE", help="write the row of evidence to this file")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int | None:
    from peftcalc.evidence.measuring.readings import as_csv, measure_memory

    step = measure_memory(
        load_model(arguments.model),
        method_from(arguments),
        arguments.batch,
        arguments.sequence,
        arguments.device,
        arguments.dry_run,
        arguments.busy,
        **step_from(arguments),
    )
    if arguments.json:
        print_json(record_of(step))
    else:
        _print(step, arguments.dry_run)
        if not arguments.csv and step.allocated_bytes:
            print(f"\nThe row of evidence, which can be sent in with an issue:\n\n{as_csv(step)}", end="")
    if arguments.csv:  # when it is told: a file that cannot be written takes nothing with it
        Path(arguments.csv).write_text(as_csv(step), encoding="utf-8")
    return NO if step.ran_out else None


def record_of(step: MeasuredStep) -> dict[str, Any]:
    """What `--json` prints; bytes as integers."""
    from peftcalc.evidence.measuring.readings import row_of

    return {
        "kind": "measured",
        "device": step.device.label,
        "allocated_bytes": step.allocated_bytes,
        "reserved_bytes": step.reserved_bytes,
        "process_bytes": step.process_bytes,
        "estimated_bytes": step.estimate.total,
        "error_percent": step.error_percent,
        "seconds_per_step": step.seconds,
        "estimated_seconds_per_step": step.predicted_seconds or None,
        "ran_out": step.ran_out,
        "kernel": step.estimate.kernel,
        "notes": [*step.device.notes, *step.estimate.notes],
        "row": row_of(step),
    }


def _print(step: MeasuredStep, dry_run: bool) -> None:
    options = step.options
    title = f"{step.shapes.id}: {step.method!r}, batch {options.batch:,}, sequence {options.sequence:,}"
    print(f"{title} on {step.device.label}: {'dry run' if dry_run else 'measured'}\n")
    if step.ran_out:
        print(f"The step ran out of memory; {units.gib(step.estimate.total)} allocated bytes were estimated.")
        print(f"torch says: {step.ran_out}")
    elif dry_run:
        print(f"Three steps of two layers ran; {units.gib(step.estimate.total)} are estimated for the whole model.")
    else:
        _print_sizes(step)
    for note in (*step.device.notes, *step.estimate.notes):
        print(f"\nNote: {note}.")


def _print_sizes(step: MeasuredStep) -> None:
    rows = [
        ["allocated at the peak", units.gib(step.allocated_bytes), units.gib(step.estimate.total)],
        ["reserved by torch", units.gib(step.reserved_bytes), ""],
    ]
    if step.process_bytes:
        rows.append(["of the process, in nvidia-smi", units.gib(step.process_bytes), ""])
    expected = f"{step.predicted_seconds:.3f}" if step.predicted_seconds else ""
    rows.append(["seconds a step", f"{step.seconds:.3f}", expected])
    print_table(rows, ["", "measured", "estimated"])
    print(f"\nThe estimate of the allocated bytes is off by {step.error_percent:+.1f} %.")
