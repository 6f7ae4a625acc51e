"""`peftcalc fit`: which methods fit on a card, and up to which batch and sequence."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from peftcalc import units
from peftcalc.checks import names, one_of
from peftcalc.commands import (
    NO,
    add_adapter,
    add_card,
    add_json,
    add_model,
    card_from,
    method_from,
    print_json,
    print_table,
)
from peftcalc.commands.memory import add_step, step_from
from peftcalc.memory.fit import Fit, fit, refusals
from peftcalc.methods import METHODS, LoRA, Method
from peftcalc.models.load import load_model


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("fit", help="which methods fit on a card; exit code 1 where none does")
    add_model(parser)
    add_card(parser)
    parser.add_argument(
        "--methods", "--method", dest="methods", default=None, help=f"some of {','.join(METHODS)} (default: all)"
    )
    add_adapter(parser, rank=16)
    add_step(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int | None:
    card, model = card_from(arguments), load_model(arguments.model)
    methods = [method_from(arguments, name) for name in _names(arguments.methods)]
    refused = {} if arguments.methods is not None else refusals(model, methods)
    possible = [method for method in methods if method.name not in refused]
    options = step_from(arguments)
    fits = fit(model, card, possible, arguments.batch, arguments.sequence, **options)
    if arguments.json:
        about = {"model": model.id, "gpu": card.name, "usable_bytes": card.usable_bytes}
        about |= {"batch": arguments.batch, "sequence": arguments.sequence}
        print_json(about | {"fits": [fit_record(one) for one in fits], "refused": refused})
    else:
        step = f"batch {arguments.batch:,}, sequence {arguments.sequence:,}"
        print(f"{model.id} on {card.name}, {units.gib(card.usable_bytes)} usable, {step}: estimated\n")
        print_fits(fits)
        _print_notes(fits, refused)
    return None if any(one.fits for one in fits) else NO


def _names(text: str | None) -> Sequence[str]:
    if text is None:
        return tuple(METHODS)
    given = names("methods", [name.strip().lower() for name in text.split(",")], "method")
    return [one_of("method", name, METHODS) for name in given]


def fit_record(one: Fit) -> dict[str, Any]:
    """One method on a card by its attribute names; bytes as integers."""
    estimate = one.estimate
    return {
        **method_record(one.method),
        "gpu": one.gpu.name,
        "verdict": one.verdict,
        "fits": one.fits,
        "free_bytes": one.free_bytes,
        "largest_batch": one.largest_batch,
        "largest_sequence": one.largest_sequence,
        "needed": dict(one.needed.__dict__),
        "estimate": {
            "total": estimate.total,
            "phase": estimate.phase,
            **estimate.to_dict(),
            "notes": list(estimate.notes),
        },
    }


def method_record(method: Method) -> dict[str, Any]:
    """The method's name and its own settings."""
    return {"method": method.name, "method_options": method.as_dict() if isinstance(method, LoRA) else {}}


def print_fits(fits: Sequence[Fit]) -> None:
    """A line for each method: what it needs, whether that is there, and how far the card would take it."""
    rows = [
        [
            one.method.label,
            units.gib(one.estimate.total),
            units.between(one.needed.expected_bytes, one.needed.high_bytes),
            one.verdict,
            units.gib(one.needed.shown_bytes),
            f"{one.largest_batch:,}",
            f"{one.largest_sequence:,}",
        ]
        for one in fits
    ]
    header = ["method", "allocated", "needs", "verdict", "nvidia-smi shows"]
    header += ["largest batch", "longest sequence"]
    print_table(rows, header)


def _print_notes(fits: Sequence[Fit], refused: Mapping[str, str]) -> None:
    for sentence in dict.fromkeys(refused.values()):
        labels = " and ".join(METHODS[name].label for name in refused if refused[name] == sentence)
        print(f"\nWithout {labels}: {sentence}.")
    for note in dict.fromkeys(note for one in fits for note in one.estimate.notes):
        print(f"\nNote: {note}.")
