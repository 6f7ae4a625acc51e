"""Which method, rank, alpha and targets for a model, a card and what matters to somebody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

from peftcalc.advice.cards import choose, setup_on
from peftcalc.advice.reasons import (
    Reason,
    adapter_reason,
    kernel_reasons,
    memory_reasons,
    ranking_reason,
    refusal_reasons,
    serving_reasons,
)
from peftcalc.advice.setting_reasons import dropout_for, setting_reasons
from peftcalc.advice.wishes import WISHES, Plan, Wish, methods_of
from peftcalc.checks import one_of, whole_number
from peftcalc.lazy import Drawn
from peftcalc.memory.cards import Gpu, gpu
from peftcalc.memory.fit import Fit, fit, refusals
from peftcalc.memory.options import MAX_BATCH, MAX_SEQUENCE
from peftcalc.methods import Method
from peftcalc.models.load import load_model

if TYPE_CHECKING:
    from peftcalc.models.shapes import ModelShapes

PRIORITIES = tuple(WISHES)
KEPT = 64
"""Advice that is kept: a class asks for a few models, and goes back and forth between what matters most."""


@dataclass(frozen=True)
class Advice(Drawn):
    """A method for a model on a card, with its reasons in order."""

    method: Method
    wish: Wish
    """What was asked for, with its ranking."""
    plan: Plan
    """Which line of the ranking was taken."""
    fit: Fit
    """How the method fits on the card."""
    reasons: tuple[Reason, ...]
    fits: tuple[Fit, ...]
    """The methods that peft takes on this model, on the card, with checkpointing if the advice has it."""

    @property
    def checkpointing(self) -> bool:
        """Whether activations are computed again."""
        return self.plan.checkpointing


def advise(
    shapes: ModelShapes | Any,
    card: str | Gpu,
    priority: str = "balance",
    tasks: int = 1,
    batch: int = 1,
    sequence: int = 2048,
) -> Advice:
    """A method, rank, alpha and targets for what matters to the visitor.

    Args:
        shapes: what `load_model` returns or accepts.
        card: a name from `gpus()`, or a `Gpu`.
        priority: "balance", "quality", "speed" or "memory".
        tasks: how many fine-tuned variants of the model will be kept and served.
        batch, sequence: of the training step.

    Raises:
        ValueError: an unknown card or priority, a number out of its range.

    >>> advise("meta-llama/Llama-3.1-8B", "T4").method.quantized
    True
    """
    one_of("priority", priority, WISHES)
    whole_number("tasks", tasks, 1, 1_000_000)
    batch = whole_number("batch", batch, 1, MAX_BATCH)
    sequence = whole_number("sequence", sequence, 1, MAX_SEQUENCE)
    return _advised(load_model(shapes), gpu(card), priority, tasks, batch, sequence)


@lru_cache(maxsize=KEPT)
def _advised(model: ModelShapes, chosen_card: Gpu, priority: str, tasks: int, batch: int, sequence: int) -> Advice:
    wish = WISHES[priority]
    methods = methods_of(wish, model, dropout_for(model.total))
    refused = refusals(model, methods.values())
    methods = {name: method for name, method in methods.items() if name not in refused}
    plans = tuple(plan for plan in wish.plans(tasks) if plan.method in methods) or (Plan("full"), Plan("full", True))
    choice = choose(plans, cache(partial(_needed_bytes, model, methods, batch, sequence)), chosen_card)
    options = {**setup_on(chosen_card, model), "checkpointing": choice.plan.checkpointing}
    fits = tuple(fit(model, chosen_card, tuple(methods.values()), batch, sequence, **options))
    chosen = next(row for row in fits if row.method.name == choice.plan.method)
    reasons = (
        ranking_reason(wish, plans, choice, chosen),
        *memory_reasons(fits, chosen, choice.plan.checkpointing),
        *kernel_reasons(chosen),
        adapter_reason(wish, chosen, tasks),
        *refusal_reasons(refused),
        *setting_reasons(wish, chosen.method, model.total),
        *serving_reasons(model, chosen.method, tasks),
    )
    return Advice(chosen.method, wish, choice.plan, chosen, reasons, fits)


def _needed_bytes(
    model: ModelShapes, methods: dict[str, Method], batch: int, sequence: int, plan: Plan, card: Gpu
) -> int:
    options = {**setup_on(card, model), "checkpointing": plan.checkpointing}
    return fit(model, card, [methods[plan.method]], batch, sequence, **options)[0].needed.high_bytes
