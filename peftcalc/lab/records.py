"""What a training run tells: plain frozen records, without torch, so that pages and figures can hold them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from peftcalc.units import for_json


@dataclass(frozen=True)
class MatrixChange:
    """How one adapted matrix has moved since step 0 (DoRA paper, section 3.2, eq. 3–4; norms per output row)."""

    matrix: str
    magnitude_change: float
    """ΔM: mean over rows of |m_n^t − m_n^0|."""
    direction_change: float
    """ΔD: mean over rows of 1 − cos(w_n^t, w_n^0)."""
    relative_lengths: tuple[float, ...] = ()
    """At the last step, per row (neuron): (m_n^t − m_n^0) / m_n^0."""
    turns: tuple[float, ...] = ()
    """At the last step, per row: 1 − cos(w_n^t, w_n^0)."""


@dataclass(frozen=True)
class StepRecord:
    """One point of a training run. Step 0 is the base model, before anything was trained."""

    step: int
    steps: int
    """How many steps were asked for."""
    loss: float
    """Training loss of this step's batch, in the task's unit (nats a character, cross-entropy, relative loss)."""
    validation: float | None = None
    """Held-out loss in the same unit, at evaluation steps; None between them."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Other figures at evaluation steps: accuracy, share judged Japanese, share copied, …"""
    seconds: float = 0.0
    """Training time so far, evaluation and sampling left out."""
    tokens_per_second: float = 0.0
    peak_bytes: int = 0
    """Highest bytes of tensors alive during a step, so far."""
    changes: tuple[MatrixChange, ...] = ()
    """At checkpoints: one entry per adapted matrix."""
    samples: tuple[Any, ...] = ()
    """At evaluation steps: what the task shows (texts; for digits dicts of image, truth, guess)."""
    trainable: int = 0
    adapter_bytes: int = 0
    learning_rate: float = 0.0
    """Of this step, as the schedule has it."""
    stopped: str | None = None
    """Why the run ended before its last step ("diverged: loss is nan at step 17"), or None."""


def plain(record: StepRecord) -> dict[str, Any]:
    """The record as JSON can hold it: dictionaries and lists; what is not a finite number becomes None.

    >>> plain(StepRecord(step=1, steps=2, loss=float("inf")))["loss"] is None
    True
    """
    return for_json(dataclasses.asdict(record))
