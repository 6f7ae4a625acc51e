"""Hours and money of a whole run: tokens over tokens a second, times a price that the visitor gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peftcalc.checks import positive, whole_number
from peftcalc.lazy import Drawn
from peftcalc.speed.records import SpeedEstimate

MOST = 10**18
"""Tokens or examples that anybody trains on."""


@dataclass(frozen=True)
class RunCost(Drawn):
    """How long a run takes, from the fast end of the range to the slow one, and what it costs."""

    tokens: int
    """All that pass through the model, padding included."""
    steps: int
    """Updates of the weights; the last one may be partly filled and counts as a whole."""
    hours: float
    low_hours: float
    high_hours: float
    price: float | None
    """Of one hour of everything that runs; None where no price was given."""
    money: float | None
    """hours · price, in the price's currency."""
    low_money: float | None
    high_money: float | None

    def to_dict(self) -> dict[str, Any]:
        """Field names and values."""
        return dict(self.__dict__)


def run_cost(
    speed: SpeedEstimate,
    tokens: int | None = None,
    examples: int | None = None,
    epochs: float = 1,
    price: float | None = None,
) -> RunCost:
    """`hours = steps · seconds of a step / 3600` and `money = hours · price`.

    Loading, evaluation and saving are not counted.

    Args:
        speed: what `estimate_speed` returned.
        tokens: tokens of the data, padding included; or
        examples: sequences of the data, each of the estimate's length.
        epochs: how often the data is read.
        price: of one hour of everything that runs (all GPUs), in any currency.

    Raises:
        ValueError: neither tokens nor examples, or both; a value out of its range.

    >>> from peftcalc.speed.records import SpeedEstimate
    >>> speed = SpeedEstimate(1000.0, 500.0, 2000.0, 1.0, 1000, 100, "T4", "compute", ())
    >>> run_cost(speed, examples=36_000, price=2).money
    2.0
    """
    if (tokens is None) == (examples is None):
        raise ValueError(f"give either tokens or examples, got tokens={tokens!r} and examples={examples!r}")
    if examples is not None:
        data = whole_number("examples", examples, 1, MOST) * speed.sequence
    else:
        data = whole_number("tokens", tokens, 1, MOST)
    if price is not None:
        positive("price", price)
    if positive("epochs", epochs) > MOST:
        raise ValueError(f"epochs must be at most {MOST:,}, got {epochs:,}")
    total = round(data * epochs)
    steps = max(-(-total // speed.tokens_per_step), 1)
    hours = steps * speed.seconds_per_step / 3600
    low = hours * speed.tokens_per_second / speed.high_tokens_per_second
    high = hours * speed.tokens_per_second / speed.low_tokens_per_second
    money = [None if price is None else price * each for each in (hours, low, high)]
    return RunCost(total, steps, hours, low, high, price, *money)
