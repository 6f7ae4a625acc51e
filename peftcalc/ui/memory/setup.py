"""The controls of the page on memory, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from peftcalc.memory.cards import Gpu, all_gpus, gpu
from peftcalc.memory.fit import refusals
from peftcalc.methods import METHODS, Method, make_method
from peftcalc.models.shapes import ModelShapes
from peftcalc.speed.options import KERNELS
from peftcalc.ui import model_choice, state
from peftcalc.ui.drawer import Drawer
from peftcalc.ui.memory import options as choices

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
SEQUENCES = (128, 256, 512, 768, 1024, 2048, 4096, 8192, 16384, 32768)
TOKENS = (10**5, 10**6, 3 * 10**6, 10**7, 3 * 10**7, 10**8, 3 * 10**8, 10**9)


@dataclass(frozen=True)
class Setup:
    """What the page was asked."""

    shapes: ModelShapes
    card: Gpu
    rank: int
    batch: int
    sequence: int
    options: dict[str, Any]
    """Named options of `estimate_memory`, without batch and sequence."""
    kernels: str
    """Who wrote the kernels; among `options` too."""
    tokens: int
    """Of the visitor's data."""
    price: float
    """Of one hour; 0 where none is given."""
    methods: tuple[Method, ...]
    """Those of the five that peft does not refuse on the model."""
    refused: dict[str, str]
    """The others by name, each with the sentence."""


@dataclass(frozen=True)
class Basis:
    """What is chosen above the picture and seldom moved: a move of the sliders does not draw it again."""

    shapes: ModelShapes
    options: dict[str, Any]
    kernels: str
    tokens: int
    price: float


def choose_basis() -> Basis:
    """Draw the line above the picture: the model, the data's size, and every choice that is not in sight.

    Raises:
        ValueError: the sentence for a model that cannot be used.
    """
    with st.container(key="basis-memory"):
        first, second, third, fourth = st.columns([1.3, 1, 1, 1], gap="small", vertical_alignment="bottom")
        with third:
            hours = Drawer("Hours and money", "hours", icon=":material/schedule:", width="stretch")
            tokens = hours.slider("Tokens of your data, padding included", TOKENS, "tokens", 10**7, lambda n: f"{n:,}")
            price = hours.number("Price of an hour, in any currency (0: none)", "price", 0.0, 0.0, 10_000.0)
            sentences = "\n\n".join(f"**{name}**: {sentence}" for name, sentence in KERNELS.items())
            kernels = hours.menu("Kernels", list(KERNELS), "kernels", "eager", help=sentences)
        with fourth:
            every = Drawer("Every other choice", "options", icon=":material/tune:", width="stretch")
            options = choices.other_controls(every)
        shapes = model_choice.choose_model(places=(first, second))
    return Basis(shapes, options, kernels, tokens, price)


def choose(basis: Basis) -> Setup:
    """Draw the controls beside the picture."""
    card = gpu(state.menu("Card", [card.name for card in all_gpus()], "gpu", "RTX 4090"))
    rank = state.slider("Rank", RANKS, "rank", 16)
    batch = state.slider("Sequences in a batch", BATCHES, "batch", 1)
    sequence = state.slider("Tokens in a sequence", SEQUENCES, "sequence", 2048, lambda n: f"{n:,}")
    options = {"checkpointing": choices.checkpointing_control(), **basis.options, "kernels": basis.kernels}
    all_five = [make_method(name, rank=rank, alpha=2 * rank) for name in METHODS]
    refused = refusals(basis.shapes, all_five)
    methods = tuple(method for method in all_five if method.name not in refused)
    return Setup(
        shapes=basis.shapes,
        card=card,
        rank=rank,
        batch=batch,
        sequence=sequence,
        options=options,
        kernels=basis.kernels,
        tokens=basis.tokens,
        price=basis.price,
        methods=methods,
        refused=refused,
    )
