"""`peftcalc advise`: a method, rank, alpha and targets for a model, a card and what matters, with its reasons."""

from __future__ import annotations

import argparse
from typing import Any

from peftcalc import units
from peftcalc.advice.advise import PRIORITIES, Advice, advise
from peftcalc.commands import NO, add_card, add_json, add_model, card_from, number, print_json
from peftcalc.commands.fit import fit_record, method_record, print_fits
from peftcalc.models.load import load_model


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("advise", help="a method for a model and a card; exit code 1 where none fits")
    add_model(parser)
    add_card(parser)
    parser.add_argument("--priority", default="balance", help=f"{', '.join(PRIORITIES)} (default balance)")
    parser.add_argument("--tasks", type=number, default=1, help="fine-tuned variants that will be served (default 1)")
    parser.add_argument("--batch", type=number, default=1, help="sequences in one forward pass (default 1)")
    parser.add_argument("--sequence", type=number, default=2048, help="tokens of each (default 2048)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int | None:
    card, model = card_from(arguments), load_model(arguments.model)
    advice = advise(model, card, arguments.priority, arguments.tasks, arguments.batch, arguments.sequence)
    if arguments.json:
        about = {"model": model.id, "gpu": card.name, "usable_bytes": card.usable_bytes}
        asked = {name: getattr(arguments, name) for name in ("priority", "tasks", "batch", "sequence")}
        print_json(about | asked | record_of(advice))
    else:
        _print(advice, model.id)
    return None if advice.fit.fits else NO


def record_of(advice: Advice) -> dict[str, Any]:
    """What `--json` prints: the attributes of the advice; bytes as integers."""
    return {
        **method_record(advice.method),
        "checkpointing": advice.checkpointing,
        "fit": fit_record(advice.fit),
        "reasons": [reason.__dict__ for reason in advice.reasons],
        "fits": [fit_record(one) for one in advice.fits],
    }


def _print(advice: Advice, model: str) -> None:
    needs, card = advice.fit.needed.expected_bytes, advice.fit.gpu
    steps = " with gradient checkpointing" if advice.checkpointing else ""
    print(f"{model} on {card.name}: {advice.method!r}{steps}")
    print(f"{advice.fit.verdict}: needs {units.gib(needs)} of {units.gib(card.usable_bytes)}, estimated\n")
    print_fits(advice.fits)
    for reason in advice.reasons:
        print(f"\n{reason.question} {reason.answer}")
        print(f"  {reason.evidence} ({reason.kind}: {reason.source})")
