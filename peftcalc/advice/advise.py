"""Which method, rank, alpha and targets for a model, a card and what matters to somebody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from peftcalc.advice.reasons import (
    Reason,
    adapter_reason,
    dropout_for,
    memory_reasons,
    ranking_reason,
    refusal_reasons,
    serving_reasons,
    setting_reasons,
)
from peftcalc.advice.wishes import WISHES, Plan, Wish, methods_of
from peftcalc.checks import one_of, whole_number
from peftcalc.lazy import Drawn
from peftcalc.memory.cards import Gpu, all_gpus, gpu
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.fit import Fit, fit, refusals
from peftcalc.memory.needed import needed_by
from peftcalc.methods import Method
from peftcalc.models.load import load_model

if TYPE_CHECKING:
    from peftcalc.models.shapes import ModelShapes

PRIORITIES = tuple(WISHES)


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
    wish = WISHES[one_of("priority", priority, WISHES)]
    whole_number("tasks", tasks, 1, 1_000_000)
    model, chosen_card = load_model(shapes), gpu(card)
    methods = methods_of(wish, model, dropout_for(model.total))
    refused = refusals(model, methods.values())
    methods = {name: method for name, method in methods.items() if name not in refused}
    plans = tuple(plan for plan in wish.plans(tasks) if plan.method in methods) or (Plan("full"), Plan("full", True))
    options = precision_on(chosen_card)
    needs = partial(_needed_bytes, model, methods, batch, sequence, {**options, "card": chosen_card})
    plan = _first_that_fits(plans, needs, chosen_card)
    options["checkpointing"] = plan.checkpointing
    fits = tuple(fit(model, chosen_card, tuple(methods.values()), batch, sequence, **options))
    chosen = next(row for row in fits if row.method.name == plan.method)
    reasons = (
        ranking_reason(wish, plans, plan, chosen),
        *memory_reasons(fits, chosen, plan.checkpointing),
        adapter_reason(wish, chosen, tasks),
        *refusal_reasons(refused),
        *setting_reasons(wish, chosen.method, model.total),
        *serving_reasons(model, chosen.method, tasks),
    )
    return Advice(chosen.method, wish, plan, chosen, reasons, fits)


def precision_on(card: str | Gpu) -> dict[str, Any]:
    """Options of `MemoryOptions` for an advice: the card's half precision, and float32 weights where all are trained.

    Without bfloat16 full fine-tuning needs those (its gradients in float16 are scaled). Every card up to the largest
    without bfloat16 is asked for them alike, so that no larger card is advised less than a smaller, newer one.

    >>> precision_on("T4"), precision_on("H200")
    ({'dtype': 'float16', 'float32_masters': True}, {'dtype': 'bfloat16', 'float32_masters': False})
    """
    chosen = gpu(card)
    largest = max(card.usable_bytes for card in all_gpus() if not card.bfloat16)
    return {"dtype": chosen.dtype, "float32_masters": chosen.usable_bytes <= largest}


def _first_that_fits(plans: tuple[Plan, ...], needs: Callable[[Plan], int], card: Gpu) -> Plan:
    """The first plan that fits for certain; where none has room, the one that needs least."""
    sizes = {plan: needs(plan) for plan in plans}
    return next((plan for plan in plans if sizes[plan] <= card.usable_bytes), min(plans, key=sizes.__getitem__))


def _needed_bytes(
    model: ModelShapes, methods: dict[str, Method], batch: int, sequence: int, options: Mapping[str, Any], plan: Plan
) -> int:
    options = {**options, "checkpointing": plan.checkpointing}
    estimate = estimate_memory(model, methods[plan.method], batch, sequence, **options)
    return needed_by(estimate, gpu(options["card"])).high_bytes
