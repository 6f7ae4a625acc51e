"""`peftcalc serving`: what serving a fine-tuned model takes of a card, and how many users and adapters fit."""

from __future__ import annotations

import argparse

from peftcalc import units
from peftcalc.commands import (
    NO,
    add_card,
    add_json,
    add_method,
    add_model,
    card_from,
    method_from,
    number,
    print_json,
    print_table,
)
from peftcalc.memory.serving.estimate import BITS, estimate_serving
from peftcalc.memory.serving.records import ServingEstimate
from peftcalc.models.load import load_model

_BITS = ", ".join(map(str, BITS))


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "serving", aliases=["serve"], help="memory of serving: one base, adapters, the users' caches; who fits"
    )
    add_model(parser)
    add_card(parser)
    add_method(parser)
    parser.add_argument("--context", type=number, default=4096, help="tokens of each user (default 4096)")
    parser.add_argument("--users", type=number, default=1, help="sequences at once (default 1)")
    parser.add_argument("--adapters", type=number, default=1, help="tasks, each with an adapter (default 1)")
    parser.add_argument("--bits", type=number, default=16, help=f"of the base: {_BITS} (default 16)")
    parser.add_argument("--experts", default="float", help="float or 4bit: stacked experts, below 16 bits")
    parser.add_argument("--merged", action="store_true", help="a copy of the base for each task, its adapter merged")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int | None:
    card, method, model = card_from(arguments), method_from(arguments), load_model(arguments.model)
    sizes = {name: getattr(arguments, name) for name in ("context", "users", "adapters", "bits", "merged", "experts")}
    serving = estimate_serving(model, method, card, **sizes)
    if arguments.json:
        print_json({"model": model.id, "method": method.name, **sizes, "kind": "estimated"} | serving.to_dict())
    else:
        print(
            f"{model.id}: {method!r}, {arguments.users:,} × {arguments.context:,} tokens, {arguments.adapters:,} "
            f"adapters{' merged' if arguments.merged else ''}, {arguments.bits} bits, on {card.name}: estimated\n"
        )
        _print(serving)
    return None if serving.fits else NO


def _print(serving: ServingEstimate) -> None:
    rows = [[f"{term.part}: {term.name}", units.gib(term.bytes), f"{term.bytes:,}"] for term in serving.terms]
    print_table([*rows, ["all", units.gib(serving.total), f"{serving.total:,}"]], ["", "", "bytes"])
    print(
        f"\n{serving.card} has {units.gib(serving.usable_bytes)} usable; about "
        f"{units.gib(serving.needed.expected_bytes)} are needed: {serving.verdict}."
    )
    print(f"At most {serving.most_users:,} users, or {serving.most_adapters:,} adapters, or {serving.most_context:,}")
    print(f"tokens each. One more adapter costs {units.gib(serving.one_more_adapter)}, one more user")
    print(f"{units.gib(serving.cache_per_user)} of cache ({units.gib(serving.cache_per_token)} a token).")
    for note in serving.notes:
        print(f"\nNote: {note}.")
