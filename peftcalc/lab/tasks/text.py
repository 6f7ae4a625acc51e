"""Python code for a model that has read English about Python."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from peftcalc.lab.character_model import CharacterModel, encode, language_loss, load_character_model
from peftcalc.lab.character_text import generate, held_out_loss
from peftcalc.lab.tasks.corpora import DATA, corpus, in_order, windows
from peftcalc.lab.tasks.problem import Batch, Evaluation, Problem, parameters_of

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


class Text(Problem):
    """Windows of 128 characters of the standard library's code."""

    module: CharacterModel

    def __init__(self, seed: int) -> None:
        self.module = load_character_model(DATA / "text.safetensors")
        self.training, self.held_out = source_codes()
        rows = in_order(self.held_out, LENGTH)
        self.rows = rows[:: max(1, len(rows) // HELD_OUT_ROWS)][:HELD_OUT_ROWS]

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        return windows(self.training, size, LENGTH, generator)

    def loss(self, batch: Batch) -> Tensor:
        assert isinstance(batch, Tensor)
        return language_loss(self.module, batch)

    def tokens(self, batch: Batch) -> int:
        return len(batch) * LENGTH

    def evaluate(self) -> Evaluation:
        """Held-out loss, and what the model writes after four beginnings."""
        samples = generate(self.module, list(PROMPTS), 120)
        return Evaluation(held_out_loss(self.module, self.rows.to(self.device)), {}, tuple(samples))

    def sizes(self) -> dict[str, int]:
        return {
            "base parameters": parameters_of(self.module),
            "training characters": len(self.training),
            "held-out characters": len(self.held_out),
        }
