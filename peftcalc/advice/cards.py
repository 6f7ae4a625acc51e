"""What an advice assumes of a card, and which plan it takes there and on every larger card.

Cards before compute capability 8.0 have no bfloat16, and no fused attention kernel there lets a head of keys and values
serve several query heads: left alone, transformers hands shared heads over, and torch's MATH kernel keeps sequence ×
sequence. An advice has keys and values repeated there, so that the memory-efficient kernel runs, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peftcalc.advice.wishes import Plan
from peftcalc.memory.cards import Gpu, all_gpus, gpu
from peftcalc.memory.estimate.anatomy import anatomy
from peftcalc.memory.kernels import compute_capability
from peftcalc.models.shapes import ModelShapes

REPEAT_HEADS = "sdpa_attention.use_gqa_in_sdpa = lambda *_: False"
"""Has transformers repeat keys and values: its `integrations.sdpa_attention` asks that function before it calls torch's
attention, and repeats them itself where the answer is no (read in 5.23; tried on a T4 in transformers#45776)."""


def setup_on(card: str | Gpu, model: ModelShapes) -> dict[str, Any]:
    """Options of `MemoryOptions` for an advice: the card's half precision, what full fine-tuning needs, the kernel.

    >>> from peftcalc.models.catalogue import catalogue_shapes
    >>> model = catalogue_shapes("meta-llama/Llama-3.1-8B")
    >>> setup_on("V100 16GB", model)["kernel"], setup_on("H200", model)["kernel"]
    ('efficient', 'auto')
    """
    chosen = gpu(card)
    return {**precision_on(chosen), "kernel": "efficient" if repeats_heads(chosen, model) else "auto"}


def precision_on(card: str | Gpu) -> dict[str, Any]:
    """The card's half precision, and float32 weights where all are trained.

    Without bfloat16 full fine-tuning needs those (its gradients in float16 are scaled). Every card up to the largest
    without bfloat16 is asked for them alike, so that no larger card is advised less than a smaller, newer one. An
    adapter is trained in float32 on every card, so its gradients can be scaled as they are.

    >>> precision_on("T4"), precision_on("H200")
    ({'dtype': 'float16', 'float32_masters': True}, {'dtype': 'bfloat16', 'float32_masters': False})
    """
    chosen = gpu(card)
    largest = max(card.usable_bytes for card in all_gpus() if not card.bfloat16)
    return {"dtype": chosen.dtype, "float32_masters": chosen.usable_bytes <= largest}


def repeats_heads(card: Gpu, model: ModelShapes) -> bool:
    """Whether the advice has keys and values repeated: heads are shared, and no fused kernel of the card takes that.

    >>> from peftcalc.models.catalogue import catalogue_shapes
    >>> [repeats_heads(gpu("T4"), catalogue_shapes(name)) for name in ("meta-llama/Llama-3.1-8B", "gpt2")]
    [True, False]
    """
    return compute_capability(card) < (8, 0) and anatomy(model).shares_heads


@dataclass(frozen=True)
class Choice:
    """Which plan of a ranking is taken on a card, and why not those before it."""

    plan: Plan
    everywhere: bool
    """False where no plan fits on this card and on every larger one."""
    too_large: tuple[Plan, ...] = ()
    """Plans before it for which this card has no room."""
    only_here: tuple[tuple[Plan, Gpu], ...] = ()
    """Plans before it that fit on this card, each with a larger one on which it does not."""


def choose(plans: tuple[Plan, ...], needs: Callable[[Plan, Gpu], int], card: Gpu) -> Choice:
    """The first plan that fits on the card and on every larger one; so a larger card is never advised less.

    A larger card may need more: older ones have other kernels, newer ones larger workspaces. Where no plan fits on all
    of them it is the last that fits on this one, and where none does, the one that needs least.

    Args:
        plans: the ranking.
        needs: the expected bytes of a plan on a card.
        card: on which it is to run.
    """
    larger = _larger_cards(card)
    too_large: list[Plan] = []
    only_here: list[tuple[Plan, Gpu]] = []
    for plan in plans:
        if needs(plan, card) > card.usable_bytes:
            too_large.append(plan)
            continue
        against = next((other for other in larger if needs(plan, other) > other.usable_bytes), None)
        if against is None:
            return Choice(plan, True, tuple(too_large), tuple(only_here))
        only_here.append((plan, against))
    if only_here:
        plan, _ = only_here.pop()
    else:
        plan = min(plans, key=lambda plan: needs(plan, card))
    before = plans[: plans.index(plan)]
    return Choice(plan, False, tuple(p for p in too_large if p in before), tuple(only_here))


def _larger_cards(card: Gpu) -> list[Gpu]:
    """Of each architecture the smallest card with at least as much memory: what fits there fits on the others of it."""
    smallest: dict[str, Gpu] = {}
    for other in all_gpus():
        if other.usable_bytes >= card.usable_bytes and other.name != card.name:
            known = smallest.get(other.architecture)
            if known is None or other.usable_bytes < known.usable_bytes:
                smallest[other.architecture] = other
    return list(smallest.values())
