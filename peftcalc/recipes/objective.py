"""What a training script learns from, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """One way to train.

    Args:
        learns: what the example teaches, for the script's first lines.
        rows: the example data, one dictionary a line.
        prepare: lines that make `examples` and `collate` from `rows`.
        names: what these lines import from transformers.
        imports: their other imports.
        trainer: the class that is used, defined in `prepare` when it is not transformers' own.
        loaded: a line that follows the model's loading.
    """

    learns: str
    rows: tuple[str, ...]
    prepare: str
    names: tuple[str, ...] = ("AutoTokenizer",)
    imports: tuple[str, ...] = ()
    trainer: str = "Trainer"
    loaded: str = ""
