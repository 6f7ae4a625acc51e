"""Python code for a model that has read English about Python."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from peftcalc.lab.character_model import encode
from peftcalc.lab.character_text import generate
from peftcalc.lab.tasks.characters import CharacterProblem
from peftcalc.lab.tasks.corpora import corpus, in_order, windows
from peftcalc.lab.tasks.problem import Batch, Evaluation, parameters_of

LENGTH = 128
HELD_OUT_ROWS = 64
PROMPTS = ("The file is ", "def read(sel", "    return s", "import os\nim")
"""Beginnings that the samples go on from, all of one length."""


@cache
def source_codes() -> tuple[Tensor, Tensor]:
    """The bundled source as codes: the first nine tenths to learn from, the rest held out."""
    codes = encode(corpus("source"))
    first = len(codes) * 9 // 10
    return codes[:first], codes[first:]


class Text(CharacterProblem):
    """Windows of 128 characters of the standard library's code."""

    def __init__(self, seed: int) -> None:
        self.training, self.held_out = source_codes()
        rows = in_order(self.held_out, LENGTH)
        super().__init__("text", LENGTH, rows[:: max(1, len(rows) // HELD_OUT_ROWS)][:HELD_OUT_ROWS])

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        return windows(self.training, size, LENGTH, generator)

    def evaluate(self) -> Evaluation:
        """Held-out loss, and what the model writes after four beginnings."""
        samples = generate(self.module, list(PROMPTS), 120)
        return Evaluation(self.held_out_loss(), {}, tuple(samples))

    def sizes(self) -> dict[str, int]:
        return {
            "base parameters": parameters_of(self.module),
            "training characters": len(self.training),
            "held-out characters": len(self.held_out),
        }
