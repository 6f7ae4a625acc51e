"""Which method, rank, alpha and targets for a model, a card and what matters to somebody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peftcalc.advice.reasons import (
    Reason,
    adapter_reason,
    dropout_for,
    memory_reasons,
    refusal_reasons,
    serving_reasons,
    setting_reasons,
)
from peftcalc.checks import one_of, whole_number
from peftcalc.memory.cards import Gpu
from peftcalc.memory.fit import Fit, fit, refusals
from peftcalc.methods import DoRA, Full, LoRA, Method, QDoRA, QLoRA
from peftcalc.models.load import load_model

if TYPE_CHECKING:
    from peftcalc.models.shapes import ModelShapes

PRIORITIES = ("balance", "quality", "speed", "memory")


@dataclass(frozen=True)
class Advice:
    """A method for a model on a card, with its reasons in order."""

    method: Method
    fit: Fit
    """How the method fits on the card."""
    checkpointing: bool
    reasons: tuple[Reason, ...]
    fits: tuple[Fit, ...]
    """The five methods on the card, as they were compared, without those that peft refuses on the model."""


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
    one_of("priority", priority, PRIORITIES)
    whole_number("tasks", tasks, 1, 1_000_000)
    model = load_model(shapes)
    choices, refused = _methods(model, 64 if priority == "quality" else 16)
    plain, checkpointed = (tuple(fit(model, card, choices, batch, sequence, checkpointing=on)) for on in (False, True))
    checkpointing = priority == "memory" or not any(f.fits for f in plain if f.method.name in _wanted(priority, tasks))
    fits = checkpointed if checkpointing else plain
    chosen = _choose(fits, _wanted(priority, tasks))
    reasons = (
        *memory_reasons(fits, chosen, checkpointing),
        adapter_reason(chosen),
        *refusal_reasons(refused),
        *setting_reasons(chosen.method, model.total),
        *serving_reasons(model, tasks),
    )
    return Advice(chosen.method, chosen, checkpointing, reasons, fits)


def _methods(model: ModelShapes, rank: int) -> tuple[tuple[Method, ...], dict[str, str]]:
    """The methods that this model takes, without dropout where peft refuses it, and why peft refuses the others."""
    choices, refused = (), {}
    for dropout in (dropout_for(model.total), 0.0):
        options: dict[str, Any] = {"rank": rank, "alpha": 2 * rank, "dropout": dropout}
        choices = (Full(), LoRA(**options), DoRA(**options), QLoRA(**options), QDoRA(**options))
        refused = refusals(model, choices)
        if LoRA.name not in refused:
            break
    return tuple(method for method in choices if method.name not in refused), refused


def _wanted(priority: str, tasks: int) -> tuple[str, ...]:
    """The methods in the order in which they would be taken if they fit."""
    orders = {
        "balance": ("lora", "qlora"),
        "quality": ("full", "dora", "qdora", "qlora"),
        "speed": ("lora", "qlora"),
        "memory": ("qlora", "qdora"),
    }
    order = orders[priority]
    return tuple(name for name in order if name != "full") if tasks > 1 else order


def _choose(fits: tuple[Fit, ...], wanted: tuple[str, ...]) -> Fit:
    by_name = {f.method.name: f for f in fits}
    fitting = [by_name[name] for name in wanted if name in by_name and by_name[name].fits]
    adapters = [f for f in fits if f.method.has_adapter]
    return fitting[0] if fitting else min(adapters or fits, key=lambda f: f.needed.expected_bytes)
