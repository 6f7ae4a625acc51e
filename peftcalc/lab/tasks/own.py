"""A visitor's own text, for the small character model: a list of names line by line, prose in windows."""

from __future__ import annotations

import torch

from peftcalc.lab.character_model import encode
from peftcalc.lab.character_text import generate, generate_names
from peftcalc.lab.tasks.characters import CharacterProblem
from peftcalc.lab.tasks.corpora import in_order, pack, split, windows
from peftcalc.lab.tasks.own_text import clean_text
from peftcalc.lab.tasks.problem import Batch, Evaluation, parameters_of

NAMES, PROSE = 64, 128
"""Characters of a row."""
HELD_OUT_ROWS = 32
SHOWN = 12
DRAWN = 60
"""Names that are drawn, for the share that is copied."""


class OwnText(CharacterProblem):
    """85 % of the lines, or of the text, to learn from; the rest held out.

    Raises:
        ValueError: a text that is too long or too short (`own_text.clean_text`).
    """

    def __init__(self, seed: int, text: str) -> None:
        clean = clean_text(text)
        self.names: tuple[str, ...] = ()
        if clean.is_list:
            self.names, held_out = split(clean.lines)
            codes = encode("\n" + "\n".join(held_out) + "\n")
        else:
            whole = encode(clean.text)
            first = len(whole) * 85 // 100
            self.codes, codes = whole[:first], whole[first:]
        length = NAMES if clean.is_list else min(PROSE, len(codes) - 1)
        if len(codes) <= length:
            codes = torch.cat([codes, codes.new_zeros(length + 1 - len(codes))])
        super().__init__("names" if clean.is_list else "text", length, in_order(codes, length, HELD_OUT_ROWS))

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        if self.names:
            return pack(self.names, size, self.length, generator)
        return windows(self.codes, size, self.length, generator)

    def evaluate(self) -> Evaluation:
        """Held-out loss and samples; of names also the share that is copied."""
        if not self.names:
            return Evaluation(self.held_out_loss(), {}, tuple(generate(self.module, ["\n", "\n"], 120)))
        drawn = [name for name in generate_names(self.module, DRAWN) if name]
        known = {name.lower() for name in self.names}
        copied = sum(name.lower() in known for name in drawn) / max(1, len(drawn))
        return Evaluation(self.held_out_loss(), {"copied": copied}, tuple(drawn[:SHOWN]))

    def sizes(self) -> dict[str, int]:
        return {"base parameters": parameters_of(self.module)}
