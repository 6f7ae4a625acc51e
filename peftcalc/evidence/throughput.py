"""Published rates of training, each with its source and set-up, and what the estimate of time says for the same."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from peftcalc.evidence.models import row_model
from peftcalc.memory.cards import gpu
from peftcalc.methods import Method, make_method
from peftcalc.speed.estimate import speed_setup, timed
from peftcalc.speed.machine import SET, Constants
from peftcalc.speed.records import SpeedEstimate

TABLE = Path(__file__).parent / "data" / "throughput.csv"

_SWITCHES = ("checkpointing", "autocast", "adapters_float32", "kbit_upcast", "padding")
_CHOICES = ("dtype", "optimizer", "attention", "loss", "kernels", "dequantization", "experts")
_EMBEDDINGS = ("embed_tokens", "lm_head")


@dataclass(frozen=True)
class Throughput:
    """One published rate with its set-up."""

    id: str
    source: str
    url: str
    card: str
    """As the table of cards calls it; empty where the source does not say."""
    model: str | dict[str, Any]
    """A catalogue id, or a configuration where no catalogue has the model."""
    printed_model: str
    method: Method
    batch: int
    sequence: int
    """0 where the source does not say how many tokens a sequence has."""
    options: dict[str, Any]
    """Keyword arguments of `estimate_speed`."""
    quant: str
    """"nf4", "nf4-dq" (doubly quantized), "gptq", or empty."""
    tokens_per_second: float
    """Measured; 0 where the source does not give tokens."""
    setup: str
    """How much of the set-up is known, in words."""
    used_for: str
    """The constants that were read from this row, or empty."""
    note: str

    @property
    def timed(self) -> bool:
        """True where card and tokens are known, so that an estimate can be set beside it."""
        return bool(self.card and self.sequence and self.tokens_per_second)

    @property
    def tokens(self) -> int:
        """Tokens of one forward pass."""
        return self.batch * self.sequence

    def estimate(self, constants: Constants = SET) -> SpeedEstimate:
        """Our answer for this set-up."""
        model = row_model(self.model)
        setup = speed_setup(
            model, self.method, self.card, self.batch, self.sequence, constants=constants, **self.options
        )
        return timed(setup, gpu(self.card))

    def error(self, constants: Constants = SET) -> float:
        """Relative error of the estimated rate: 0.1 where it is 10 % too high."""
        return self.estimate(constants).tokens_per_second / self.tokens_per_second - 1


@cache
def throughput() -> tuple[Throughput, ...]:
    """Every row of the table, in its order.

    >>> throughput()[0].card, throughput()[0].tokens_per_second
    ('L40S', 7173.8)
    """
    return tuple(_row(row) for row in csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()))


def _row(row: dict[str, str]) -> Throughput:
    """One row of the file; switches are "yes", "no", or empty where the source does not say."""
    options: dict[str, Any] = {name: row[name] for name in _CHOICES}
    options |= {name: row[name] == "yes" for name in _SWITCHES}
    return Throughput(
        id=row["id"],
        source=row["source"],
        url=row["url"],
        card=row["card"],
        model=json.loads(row["model"]) if row["model"].startswith("{") else row["model"],
        printed_model=row["printed_model"],
        method=_method(row),
        batch=int(row["batch"]),
        sequence=int(row["sequence"] or 0),
        options=options | {"accumulation": int(row["accumulation"])},
        quant=row["quant"],
        tokens_per_second=float(row["tokens_per_second"] or 0),
        setup=row["setup"],
        used_for=row["used_for"],
        note=row["note"],
    )


def _method(row: dict[str, str]) -> Method:
    """The method; "lora-emb" is LoRA with trained embeddings and head."""
    name, with_embeddings = row["method"].removesuffix("-emb"), row["method"].endswith("-emb")
    targets = row["targets"] if row["targets"] in ("", "all-linear") else tuple(row["targets"].split(","))
    return make_method(
        name,
        rank=int(row["rank"] or 8),
        dropout=float(row["dropout"] or 0),
        targets=targets or "all-linear",
        modules_to_save=_EMBEDDINGS if with_embeddings else (),
        double_quant=row["double_quant"] == "yes",
    )
