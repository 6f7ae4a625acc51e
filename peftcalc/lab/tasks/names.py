"""City names of one country for a model that knows those of the rest of the world."""

from __future__ import annotations

from functools import lru_cache

import torch

from peftcalc.lab.character_model import encode
from peftcalc.lab.character_text import generate_names
from peftcalc.lab.tasks.characters import CharacterProblem
from peftcalc.lab.tasks.corpora import country_names, in_order, pack, split, world_names
from peftcalc.lab.tasks.judge import Judge
from peftcalc.lab.tasks.problem import Batch, Evaluation, parameters_of

LENGTH = 64
"""Characters of a row: about seven names."""
DRAWN = 200
"""Names drawn from the model at each evaluation, for the shares."""
SHOWN = 16
"""How many of them a person is shown."""


@lru_cache(maxsize=8)
def judge_of(country: str) -> tuple[Judge, float, float]:
    """A judge of names, its recall on the country's held-out names, and its false positives on names of the world.

    The judge reads the country's training names and three tenths of the world's; it is tested on names it has not read.
    """
    training, held_out = split(country_names(country))
    world, other_world = split(world_names(), held_out=0.7)
    judge = Judge(training, world)
    return judge, judge.share(held_out), judge.share(other_world[:1000])


class Names(CharacterProblem):
    """85 % of a country's names to learn from, 15 % held out."""

    def __init__(self, seed: int, country: str) -> None:
        self.country = country
        self.training, self.held_out = split(country_names(country))
        super().__init__("names", LENGTH, in_order(encode("\n" + "\n".join(self.held_out) + "\n"), LENGTH))

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        return pack(self.training, size, LENGTH, generator)

    def evaluate(self) -> Evaluation:
        """Held-out loss; share of drawn names judged to be of the country; share copied from the training names."""
        drawn = [name for name in generate_names(self.module, DRAWN) if name]
        known = {name.lower() for name in self.training}
        metrics = {
            "judged": judge_of(self.country)[0].share(drawn),
            "copied": sum(name.lower() in known for name in drawn) / max(1, len(drawn)),
        }
        return Evaluation(self.held_out_loss(), metrics, tuple(drawn[:SHOWN]))

    def sizes(self) -> dict[str, int]:
        return {
            "base parameters": parameters_of(self.module),
            "training names": len(self.training),
            "held-out names": len(self.held_out),
        }
