"""`peftcalc speed`: tokens a second of training on a card, what bounds it, and hours and money of a run."""

from __future__ import annotations

import argparse
from typing import Any

from peftcalc.commands import (
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
from peftcalc.commands.memory import add_step, step_from
from peftcalc.models.load import load_model
from peftcalc.speed.estimate import estimate_speed
from peftcalc.speed.options import OWN
from peftcalc.speed.records import SpeedEstimate
from peftcalc.speed.run import RunCost, run_cost

_BOUNDS = {
    "compute": "the card's arithmetic",
    "memory": "the card's memory bandwidth",
    "host": "the host, which starts kernels more slowly than the card ends them",
}


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("speed", help="tokens a second of training on a card; hours and money of a run")
    add_model(parser)
    add_card(parser)
    add_method(parser)
    add_step(parser)
    known = {action.dest for action in parser._actions}
    for name, (values, default) in OWN.items():
        if name not in known:  # a choice that memory has too is declared by `add_step`
            parser.add_argument(f"--{name}", default=default, help=f"{', '.join(values)} (default {default})")
    parser.add_argument("--tokens", type=number, help="tokens of the data, padding included")
    parser.add_argument("--examples", type=number, help="or sequences of the data")
    parser.add_argument("--epochs", type=float, default=1.0, help="how often the data is read (default 1)")
    parser.add_argument("--price", type=float, help="of one hour of everything that runs, in any currency")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    card, method, model = card_from(arguments), method_from(arguments), load_model(arguments.model)
    options = step_from(arguments) | {name: getattr(arguments, name) for name in OWN}
    speed = estimate_speed(model, method, card, arguments.batch, arguments.sequence, **options)
    cost = _cost(arguments, speed)
    if arguments.json:
        about = {"model": model.id, "method": method.name, "batch": arguments.batch, "kind": "estimated"}
        print_json(about | speed.to_dict() | ({"run": cost.to_dict()} if cost else {}))
        return
    step = f"batch {arguments.batch:,}, sequence {arguments.sequence:,}"
    print(f"{model.id}: {method!r}, {step} on {card.name}: estimated\n")
    _print(speed)
    if cost:
        _print_cost(cost)
    for note in speed.notes:
        print(f"\nNote: {note}.")


def _cost(arguments: argparse.Namespace, speed: SpeedEstimate) -> RunCost | None:
    if arguments.tokens is None and arguments.examples is None:
        if arguments.price is not None or arguments.epochs != 1:
            raise ValueError("--price and --epochs need the size of the data: --tokens or --examples")
        return None
    return run_cost(speed, arguments.tokens, arguments.examples, arguments.epochs, arguments.price)


def _print(speed: SpeedEstimate) -> None:
    total = speed.seconds_per_step
    rows = [[term.name, _seconds(term.seconds), f"{term.seconds / total:.0%}"] for term in speed.terms]
    print_table([*rows, ["one step", _seconds(total), "100%"]], ["", "seconds", "share"])
    low, high = speed.low_tokens_per_second, speed.high_tokens_per_second
    print(f"\n{speed.tokens_per_second:,.0f} tokens a second (between {low:,.0f} and {high:,.0f}), padding included.")
    print(f"The step waits for {_BOUNDS[speed.bound]}.")


def _print_cost(cost: RunCost) -> None:
    span = f"{_hours(cost.low_hours)} to {_hours(cost.high_hours)}"
    print(f"{cost.tokens:,} tokens in {cost.steps:,} steps: {_hours(cost.hours)} hours ({span}).")
    if cost.money is not None:
        print(f"At {cost.price:,g} an hour: {cost.money:,.2f} ({cost.low_money:,.2f} to {cost.high_money:,.2f}).")


def _seconds(value: float) -> str:
    return f"{value:.4f}" if value < 10 else f"{value:,.1f}"


def _hours(value: Any) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"
