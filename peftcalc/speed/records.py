"""What the estimate of time answers: plain frozen records."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from peftcalc.lazy import Drawn


@dataclass(frozen=True)
class SpeedTerm:
    """A summand of a step's seconds.

    >>> SpeedTerm("attention", "(F + 2.5) · 4·T·S·width / P", 0.5, "FlashAttention-2").seconds
    0.5
    """

    name: str
    formula: str
    """In the symbols of `peftcalc.speed.work`."""
    seconds: float
    source: str


@dataclass(frozen=True)
class SpeedEstimate(Drawn):
    """How fast a card trains; `terms` add up to `seconds_per_step`.

    Tokens are all that go through the model, padding included: where a third of a batch is padding, two thirds of
    `tokens_per_second` are real.
    """

    tokens_per_second: float
    """Of all GPUs together."""
    low_tokens_per_second: float
    high_tokens_per_second: float
    """The range in which a measurement is expected; how wide it is, and why, stands in `notes`."""
    seconds_per_step: float
    """One update of the weights: all passes of an accumulation, and the optimizer."""
    tokens_per_step: int
    """batch · sequence · accumulation · GPUs"""
    sequence: int
    card: str
    bound: str
    """What most of the step waits for: "compute", "memory" (the card's bandwidth) or "host" (kernels being started)."""
    terms: tuple[SpeedTerm, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Field names and values; terms as dictionaries."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        return record | {"terms": [dict(term.__dict__) for term in self.terms], "notes": list(self.notes)}
