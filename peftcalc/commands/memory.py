"""`peftcalc memory`: what a training step allocates at its peak, estimated or simulated, and whether it fits."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from peftcalc import units
from peftcalc.commands import NO, add_json, add_method, add_model, method_from, number, print_json, print_table
from peftcalc.memory.cards import Gpu, gpu
from peftcalc.memory.estimate.closed_form import MemoryEstimate, estimate_memory
from peftcalc.memory.needed import Needed, needed_by
from peftcalc.memory.options import CHOICES, SWITCHES, MemoryOptions
from peftcalc.memory.records import PARTS, MemoryTrace
from peftcalc.models.load import load_model

_DEFAULTS = {field.name: field.default for field in fields(MemoryOptions)}


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("memory", help="memory of a training step, by part, and whether it fits a card")
    add_model(parser)
    add_method(parser)
    add_step(parser)
    parser.add_argument("--gpu", help='a card to fit on, such as "V100 16GB"')
    parser.add_argument("--simulate", action="store_true", help="trace the real step on fake tensors (seconds)")
    parser.add_argument("--seconds", type=float, default=None, help="limit of the simulation")
    add_json(parser)
    parser.set_defaults(run=run)


def add_step(parser: argparse.ArgumentParser) -> None:
    """The options that describe a training step, apart from its model and method."""
    parser.add_argument("--batch", type=number, default=1, help="sequences in one forward pass (default 1)")
    parser.add_argument("--sequence", type=number, default=2048, help="tokens of each (default 2048)")
    parser.add_argument("--accumulation", type=number, default=1, help="forward passes before an update (default 1)")
    parser.add_argument(
        "--chunk-size", type=number, default=1024, help="positions in a chunk of a chunked or fused loss (default 1024)"
    )
    parser.add_argument("--images", type=number, default=0, help="pictures in each sequence (default 0: text alone)")
    parser.add_argument("--gpus", type=number, default=1, help="GPUs over which --sharding divides (default 1)")
    for name, values in CHOICES.items():
        default = None if name == "dtype" else _DEFAULTS[name]
        said = default or f"{_DEFAULTS[name]}, or float16 on a card without it"
        parser.add_argument(*_flags(name), default=default, help=f"{', '.join(values)} (default {said})")
    for name, text in SWITCHES.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            action=argparse.BooleanOptionalAction,
            default=_DEFAULTS[name],
            help=f"{text} (default: {'on' if _DEFAULTS[name] else 'off'})".replace("%", "%%"),
        )


def _flags(name: str) -> tuple[str, ...]:
    """With hyphens, and as the option is called in Python."""
    return tuple(dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}")))


def step_from(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the options of `add_step` say, without batch and sequence: the named options of `estimate_memory`."""
    numbers = ("accumulation", "gpus", "chunk_size", "images")
    return {name: getattr(arguments, name) for name in (*CHOICES, *SWITCHES, *numbers)}


def run(arguments: argparse.Namespace) -> int | None:
    card = gpu(arguments.gpu) if arguments.gpu is not None else None
    method, model = method_from(arguments), load_model(arguments.model)
    options: dict[str, Any] = step_from(arguments) | ({"card": card} if card else {})
    result: MemoryEstimate | MemoryTrace
    if arguments.simulate:
        from peftcalc.memory.simulate.simulate import simulate_memory

        limit: dict[str, Any] = {} if arguments.seconds is None else {"limit_seconds": arguments.seconds}
        try:
            result = simulate_memory(model, method, arguments.batch, arguments.sequence, **limit, **options)
        except TimeoutError as error:
            raise ValueError(str(error)) from None
    else:
        result = estimate_memory(model, method, arguments.batch, arguments.sequence, **options)
    if arguments.json:
        about = {"model": model.id, "method": method.name, "batch": arguments.batch, "sequence": arguments.sequence}
        print_json(about | record_of(result, card))
    else:
        _print(result, f"{model.id}: {method!r}, batch {arguments.batch:,}, sequence {arguments.sequence:,}", card)
    return None if card is None or _fits(result, card) else NO


def _print(result: MemoryEstimate | MemoryTrace, title: str, card: Gpu | None) -> None:
    kind = "simulated" if isinstance(result, MemoryTrace) else "estimated"
    print(f"{title}: {kind}\n")
    _print_parts(result)
    _print_card(needed_by(result, card), card)
    for note in result.notes:
        print(f"\nNote: {note}.")


def record_of(result: MemoryEstimate | MemoryTrace, card: Gpu | None) -> dict[str, Any]:
    """What `--json` prints; bytes as integers."""
    record: dict[str, Any] = {"peak": result.peak, "phase": result.phase, "notes": list(result.notes)}
    if isinstance(result, MemoryTrace):
        points = [
            {"phase": point.phase, "operator": point.operator, "allocated_bytes": point.allocated_bytes}
            for point in result.timeline
        ]
        record |= {"kind": "simulated", "operator": result.operator, "breakdown": result.breakdown.to_dict()}
        record |= {"reserved": result.reserved, "layers": result.layers, "timeline": points}
    else:
        terms = [term.__dict__ for term in result.terms]
        record |= {"kind": "estimated", "total": result.total, **result.to_dict(), "breakdown": result.to_dict()}
        record |= {"terms": terms, "moments": dict(result.moments)}
    sizes = needed_by(result, card)
    record["needed"] = dict(sizes.__dict__)
    if card is not None:
        record |= {"gpu": card.name, "usable_bytes": card.usable_bytes, "fits": _fits(result, card)}
        record["verdict"] = sizes.verdict(card.usable_bytes)
    return record


def _fits(result: MemoryEstimate | MemoryTrace, card: Gpu) -> bool:
    return needed_by(result, card).expected_bytes <= card.usable_bytes


def _print_parts(result: MemoryEstimate | MemoryTrace) -> None:
    parts = result.breakdown.to_dict() if isinstance(result, MemoryTrace) else result.to_dict()
    rows = [[PARTS[name], units.gib(size), f"{size:,}"] for name, size in parts.items()]
    rows.append([f"peak, in the {result.phase} pass" if result.phase != "optimizer" else "peak, in the update"])
    rows[-1] += [units.gib(result.peak), f"{result.peak:,}"]
    print_table(rows, ["allocated", "", "bytes"])


def _print_card(sizes: Needed, card: Gpu | None) -> None:
    """Two lines: does it fit, and what will nvidia-smi show."""
    print(f"\nDoes it fit? It needs {units.gib(sizes.expected_bytes)} at least, {units.gib(sizes.high_bytes)} at most.")
    if card is not None:
        missing = units.gib(sizes.expected_bytes - card.usable_bytes)
        ends = {
            "fits": "fits",
            "tight": "fits, but only just: it depends on how the allocator's blocks fall",
            "does not fit": f"does not fit, {missing} are missing",
        }
        verdict = ends[sizes.verdict(card.usable_bytes)]
        print(f"{card.name} has {units.gib(card.usable_bytes)} usable: {verdict}.")
    shown = f"{units.gib(sizes.low_shown_bytes)} to {units.gib(sizes.high_shown_bytes)}"
    print(f"What will nvidia-smi show? About {units.gib(sizes.shown_bytes)} where there is room ({shown}).")
