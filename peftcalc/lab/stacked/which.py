"""Which runs can be stacked in one graph, and with which others. No torch here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from peftcalc.lab.records import StepRecord
from peftcalc.lab.run_settings import RunSettings
from peftcalc.methods import LoRA

Seen = Callable[[int, StepRecord], None]
"""Called with the place of a run and a record of it, as it comes."""
STACKABLE_TASKS = ("digits", "labels", "rank", "magnitude", "direction")
"""Their models are made of linear layers and small enough that a step is mostly overhead; the character models are
neither."""
MOST_MODELS = 40
"""In one graph: more of them no longer fit into a processor's cache together, and gain nothing."""


def stackable(settings: RunSettings) -> bool:
    """True for a run that the stacked graph repeats: its task is small, it runs on a processor in float32, and its
    method trains only A, B and magnitudes of linear layers, or everything.

    >>> from peftcalc.lab.run_settings import run_settings
    >>> stackable(run_settings("digits", "qdora")), stackable(run_settings("digits", LoRA(dropout=0.1)))
    (True, False)
    """
    method = settings.method
    if settings.task not in STACKABLE_TASKS or settings.device == "cuda" or settings.dtype != "float32":
        return False
    if not isinstance(method, LoRA):
        return True
    return not (
        method.dropout
        or method.bias != "none"
        or method.lora_bias
        or method.modules_to_save
        or method.target_parameters
    )


def stacks(runs: Sequence[RunSettings], most: int = MOST_MODELS) -> list[list[int]]:
    """The indices of `runs` in groups to train together, each of at most `most`; a run that cannot be stacked is alone.

    Runs of one group share the task with its options, the steps, the batch and the evaluations. Within it they are
    sorted by rank, since lower ranks are padded to the highest of their stack.

    >>> from peftcalc.lab.run_settings import run_settings
    >>> asked = [run_settings("digits", LoRA(rank=r, dropout=p)) for r, p in ((4, 0), (2, 0.5), (1, 0))]
    >>> stacks(asked)
    [[2, 0], [1]]
    """
    groups: dict[Any, list[int]] = defaultdict(list)
    for index, one in enumerate(runs):
        shared = (one.task, tuple(one.options.items()), one.steps, one.batch, one.evaluations)
        groups[shared if stackable(one) else index].append(index)
    found = []
    for group in groups.values():
        ordered = sorted(group, key=lambda index: getattr(runs[index].method, "rank", 0))
        count = -(-len(ordered) // most)
        size = -(-len(ordered) // count)
        found += [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return found
