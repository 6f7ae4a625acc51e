"""What the findings about starts and about layers teach with; every answer is computed from stored runs."""

from __future__ import annotations

import statistics
from functools import cache

from peftcalc.lab.comparison import Interval
from peftcalc.lab.findings.numbers import at_best_rate, by_seed, chosen, direction, paired
from peftcalc.lab.findings.stored import stored_finding
from peftcalc.ui.lessons.lesson import Lesson, Prediction, TryThis

TARGETS = {"attention": "the attention", "mlp": "the MLP", "all": "every linear layer"}
"""What carries an adapter, by the word of the stored rows."""


@cache
def against_lora(variant: str, value: str) -> Interval:
    """Loss of a start or relative minus plain LoRA's, each at the rate that ends lowest, paired over the seeds.

    Args:
        variant: of the stored rows.
        value: "early" or "validation", the end.
    """
    rows = stored_finding("starts").rows
    own, plain = (by_seed(at_best_rate(chosen(rows, variant=name)), value) for name in (variant, plain_name()))
    return paired(own, plain)


@cache
def plain_name() -> str:
    """How the stored rows call LoRA as it comes."""
    return str(stored_finding("starts").rows[0]["variant"])


@cache
def variants() -> tuple[str, ...]:
    """Plain LoRA, then its relatives in the order of the stored rows."""
    return tuple(dict.fromkeys(str(row["variant"]) for row in stored_finding("starts").rows))


@cache
def loftq_at_the_end() -> Interval:
    """Loss at the end of QLoRA from LoftQ's start minus QLoRA's, each at its best rate, paired over the seeds."""
    rows = stored_finding("starts").rows
    turned, plain = (
        by_seed(at_best_rate(chosen(rows, variant=name)), "validation") for name in ("QLoRA, LoftQ", "QLoRA")
    )
    return paired(turned, plain)


@cache
def all_against_mlp() -> Interval:
    """Loss with every linear layer adapted minus that with the MLP alone, paired over the seeds."""
    rows = stored_finding("layers").rows
    every, mlp = (by_seed(chosen(rows, targets=targets), "validation") for targets in ("all", "mlp"))
    return paired(every, mlp)


@cache
def lowest_targets() -> str:
    """The layers whose adapters end lower than those of every other choice beyond chance; "" where none do."""
    rows = stored_finding("layers").rows
    found = {targets: by_seed(chosen(rows, targets=targets), "validation") for targets in TARGETS}
    for targets, losses in found.items():
        if all(direction(paired(other, losses)) > 0 for name, other in found.items() if name != targets):
            return targets
    return ""


def parameters_of(targets: str) -> float:
    """Trained numbers of an adapter on these layers."""
    return statistics.fmean(row["parameters"] for row in chosen(stored_finding("layers").rows, targets=targets))


_AHEAD = (
    "Ahead early, and lower at the end",
    "Ahead early, level or worse at the end",
    "Level or behind even early",
)

STARTS = Lesson(
    prediction=Prediction(
        "PiSSA starts A and B at the base's strongest directions. Each at its best rate, where is it beside LoRA?",
        _AHEAD,
        lambda: _AHEAD[_behind("pissa")],
        "Each has the rate at which it ends lowest. A difference counts where its interval leaves zero out.",
    ),
    try_this=(
        TryThis(
            "Once you have guessed, look for what is left of the line at the early look.",
            {},
            "Is it still ahead at the end?",
            "No: LoRA+, whose B has four times the rate of A, is ahead at step 90, and at the end no longer beyond "
            "chance. A faster start is not a lower end.",
            lambda: _ahead("early") == {"LoRA+ × 4"} and not _ahead("validation"),
        ),
    ),
)


def _ahead(value: str) -> set[str]:
    """The relatives whose loss is below plain LoRA's beyond chance."""
    others = (name for name in variants()[1:] if not name.startswith("QLoRA"))
    return {name for name in others if direction(against_lora(name, value)) < 0}


def _behind(word: str) -> int:
    variant = next(name for name in variants() if word in name.lower())
    if direction(against_lora(variant, "early")) >= 0:
        return 2
    return 0 if direction(against_lora(variant, "validation")) < 0 else 1


_LAYERS = {"attention": "The attention", "mlp": "The MLP", "all": "Every linear layer", "": "No difference that shows"}

LAYERS = Lesson(
    prediction=Prediction(
        "As many trained numbers for each: all in the attention, all in the MLP, or spread over every linear layer. "
        "Which ends lowest?",
        tuple(_LAYERS.values()),
        lambda: _LAYERS[lowest_targets()],
        "At equal numbers an adapter on fewer layers has a higher rank on each. What is compared is the place alone.",
    ),
)
