"""What may matter most to somebody, as data: one line a wish says what is taken first, and why.

The first plan of a wish that fits on the card, and on every larger one, is the advice (`peftcalc.advice.cards`). Every
ranking has the plans with a 16-bit base before those with a 4-bit one: so a card with more memory never gets fewer
bits, nor a plan that its wish ranks lower.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from peftcalc.methods import ALL_LINEAR, METHODS, Method, make_method
from peftcalc.models.shapes import LINEAR_KINDS, ModelShapes

_IN_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """A method, and whether activations are computed again (gradient checkpointing).

    >>> str(Plan("dora", True))
    'DoRA with checkpointing'
    """

    method: str
    checkpointing: bool = False

    def __str__(self) -> str:
        return METHODS[self.method].label + (" with checkpointing" if self.checkpointing else "")


@dataclass(frozen=True)
class Wish:
    """What matters most: the plans in the order in which they are taken, the adapters' settings, and the evidence."""

    name: str
    ranking: tuple[Plan, ...]
    rank: int
    everywhere: bool
    """Adapters on every linear layer, unless the model stacks its experts; otherwise on the attention's alone."""
    evidence: str
    source: str

    def plans(self, tasks: int) -> tuple[Plan, ...]:
        """The ranking for so many tasks: a whole model for each of several is not advised."""
        return tuple(plan for plan in self.ranking if tasks == 1 or METHODS[plan.method].has_adapter)


def _plans(text: str) -> tuple[Plan, ...]:
    """`lora` without checkpointing, `lora+` with it."""
    return tuple(Plan(name.rstrip("+"), name.endswith("+")) for name in text.split())


_PEFT_RUNS = "PEFT's MetaMathQA runs of Llama-3.2-3B on an L40S, huggingface/peft@5d602fd"

# fmt: off
WISHES = {wish.name: wish for wish in (
    Wish("balance", _plans("lora lora+ qlora qlora+"), 16, True,
         "LoRA 47.8 % at 20.8 GiB and 585 s of steps, full fine-tuning 47.2 % at 36.2 GiB and 1,813 s.", _PEFT_RUNS),
    Wish("quality", _plans("full full+ dora dora+ lora lora+ qdora qdora+ qlora qlora+"), 64, True,
         "DoRA beats LoRA in its own paper's tables, and not in PEFT's runs (46.9 % against 47.8 %); full fine-tuning "
         "learns more where much is new.", f"arXiv:2402.09353, table 1; arXiv:2405.09673; {_PEFT_RUNS}"),
    Wish("speed", _plans("lora lora+ qlora qlora+"), 8, False,
         "Steps of 5,000: LoRA on query and value 585 s, on the MLP 665 s, DoRA 707 s, full fine-tuning 1,813 s.",
         _PEFT_RUNS),
    Wish("memory", _plans("qlora+"), 16, True,
         "A base of 65 billion parameters in 4 bits was trained on one card of 48 GB.", "arXiv:2305.14314, abstract"),
)}
# fmt: on
"""The four wishes by name."""


def methods_of(wish: Wish, shapes: ModelShapes, dropout: float) -> dict[str, Method]:
    """The five methods by name, as this wish sets their adapters up.

    Where the experts are stacked, the attention alone is adapted: peft takes neither DoRA nor dropout on a stack.
    """
    everywhere = wish.everywhere and not shapes.expert_names
    targets = ALL_LINEAR if everywhere else attention_targets(shapes)
    options: dict[str, Any] = {"rank": wish.rank, "alpha": 2 * wish.rank, "dropout": dropout, "targets": targets}
    return {name: make_method(name, **options) for name in METHODS}


def attention_targets(shapes: ModelShapes) -> str | tuple[str, ...]:
    """The names that mean projections of the attention and nothing else; "all-linear" where a model has none.

    >>> from peftcalc.models.catalogue import catalogue_shapes
    >>> attention_targets(catalogue_shapes("meta-llama/Llama-3.1-8B"))
    ('q_proj', 'k_proj', 'v_proj', 'o_proj')
    >>> attention_targets(catalogue_shapes("gpt2"))
    ('c_attn',)
    """
    inside: dict[str, bool] = {}
    for group in shapes.groups:
        if group.kind in LINEAR_KINDS and group.template != shapes.output_embedding:
            inside[group.suffix] = inside.get(group.suffix, True) and bool(_IN_ATTENTION.search(group.template))
    return tuple(name for name, only in inside.items() if only and not name.isdigit()) or ALL_LINEAR
