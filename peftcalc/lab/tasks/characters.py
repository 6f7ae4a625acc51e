"""What the tasks on characters share: a bundled model of the lab, its loss, and held-out rows."""

from __future__ import annotations

from torch import Tensor

from peftcalc.lab.character_model import CharacterModel, language_loss, load_character_model
from peftcalc.lab.character_text import held_out_loss
from peftcalc.lab.tasks.corpora import DATA
from peftcalc.lab.tasks.problem import Batch, Problem


class CharacterProblem(Problem):
    """Text to continue.

    Args:
        weights: the bundled model, `<weights>.safetensors`.
        length: characters that a row teaches.
        rows: held-out codes, (rows, length + 1).
    """

    module: CharacterModel

    def __init__(self, weights: str, length: int, rows: Tensor) -> None:
        self.module = load_character_model(DATA / f"{weights}.safetensors")
        self.length, self.rows = length, rows

    def loss(self, batch: Batch) -> Tensor:
        assert isinstance(batch, Tensor)
        return language_loss(self.module, batch)

    def held_out_loss(self) -> float:
        """In nats a character."""
        return held_out_loss(self.module, self.rows.to(self.device))

    def tokens(self, batch: Batch) -> int:
        return len(batch) * self.length
