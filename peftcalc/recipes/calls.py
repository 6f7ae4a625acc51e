"""Calls of peftcalc that repeat what a page shows, each with every control of the page, and printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peftcalc.advice.advise import Advice
from peftcalc.memory.cards import Gpu
from peftcalc.memory.fit import Fit
from peftcalc.memory.options import MemoryOptions
from peftcalc.methods import Method
from peftcalc.models.shapes import ModelShapes
from peftcalc.recipes.model_source import for_peftcalc, literal

_FIT_PRINTED = """\
print(f"allocated {units.gib(row.estimate.total)}, {row.estimate.total:,} bytes")
print(f"needs {units.between(row.needed.expected_bytes, row.needed.high_bytes)}: {row.verdict}")
print(f"nvidia-smi shows about {units.gib(row.needed.shown_bytes)}")
"""


def call(function: str, *positional: str, **named: Any) -> str:
    """A call on several lines.

    >>> print(call("pc.square", total_parameters=25, rank=1))
    pc.square(
        total_parameters=25,
        rank=1,
    )
    """
    lines = [*positional, *(f"{name}={literal(value)}" for name, value in named.items())]
    return f"{function}(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def fit_code(shapes: ModelShapes, shown: Fit, batch: int, sequence: int, options: Mapping[str, Any]) -> str:
    """The row of the Memory page's table for one method, with the terms of its estimate.

    Args:
        shapes: the model.
        shown: the row.
        batch, sequence, options: with which `fit` made it; options at their default are left out.
    """
    default = MemoryOptions(dtype=shown.gpu.dtype)
    named = {name: value for name, value in options.items() if value != getattr(default, name)}
    made = call(
        "pc.fit",
        "MODEL",
        literal(shown.gpu.name),
        f"[pc.{shown.method!r}]",
        batch=batch,
        sequence=sequence,
        **named,
    )
    return (
        f"import peftcalc as pc\nfrom peftcalc import units\n\nMODEL = {for_peftcalc(shapes)}\n\n(row,) = {made}\n"
        "for term in row.estimate.terms:\n    print(term.part, term.formula, term.bytes)\n"
        + _FIT_PRINTED
        + 'print(f"largest batch {row.largest_batch}, longest sequence {row.largest_sequence}")\n'
    )


def serving_code(
    shapes: ModelShapes, method: Method, card: Gpu, context: int, users: int, adapters: int, bits: int
) -> str:
    """The Memory page's answer on serving, adapters beside the base."""
    sizes = {"context": context, "users": users, "adapters": adapters, "bits": bits}
    made = call("pc.estimate_serving", "MODEL", f"pc.{method!r}", literal(card.name), **sizes)
    return (
        f"import peftcalc as pc\nfrom peftcalc import units\n\nMODEL = {for_peftcalc(shapes)}\n\nserving = {made}\n"
        "for term in serving.terms:\n    print(term.part, term.formula, term.bytes)\n"
        'print(f"{units.gib(serving.total)}: {serving.verdict}; at most {serving.most_users:,} users")\n'
    )


def advice_code(shapes: ModelShapes, advice: Advice, priority: str, tasks: int, batch: int, sequence: int) -> str:
    """The Choose page's advice: its method, what it needs, and the reasons."""
    made = call(
        "pc.advise",
        "MODEL",
        literal(advice.fit.gpu.name),
        priority=priority,
        tasks=tasks,
        batch=batch,
        sequence=sequence,
    )
    return (
        f"import peftcalc as pc\nfrom peftcalc import units\n\nMODEL = {for_peftcalc(shapes)}\n\nadvice = {made}\n"
        "row = advice.fit\nprint(advice.method)\n"
        + _FIT_PRINTED
        + "for reason in advice.reasons:\n    print(reason.question, reason.answer)\n"
    )
