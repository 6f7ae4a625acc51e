"""The data of the story's pictures: small matrices from a seed, a target with a face, what the server computed."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from peftcalc.ui.components.bits import bits_data
from peftcalc.ui.components.product import product_data
from peftcalc.ui.story.presets import STORY_MODEL, stored

SIDE = 16
STORY_CARD = "RTX 4090"
SMALL_CARD = "RTX 4060 Ti 16GB"
FACE = """
................
.....######.....
...##########...
..############..
.##############.
.###..####..###.
.###..####..###.
.##############.
.##############.
.##############.
.##.########.##.
.###.######.###.
..###......###..
...##########...
.....######.....
................
"""
RUN = {"rate": 4, "steps": 60, "seed": 1, "samples": 0, "noise": 0, "enough": 0, "calm": 0}
"""Of the scene of alpha: the whole target is asked for, without noise."""
FEW = {"rate": 4, "steps": 150, "seed": 1, "samples": 12, "noise": 3, "enough": 20, "calm": 1.5}
"""Of the scene of dropout: twelve noisy samples, or twenty that are less so."""
RUN_RANK = 4


@cache
def target() -> np.ndarray:
    """A 16 × 16 update of +1 and −1 that is a face; of rank 7."""
    return np.array([[1.0 if sign == "#" else -1.0 for sign in row] for row in FACE.split()])


@cache
def strips() -> tuple[np.ndarray, np.ndarray]:
    """B and A of the target's singular value decomposition: their first r strips are its best imitation of rank r."""
    U, values, V = np.linalg.svd(target())
    return U * np.sqrt(values), np.sqrt(values)[:, None] * V


def whole_data() -> dict[str, Any]:
    random = np.random.default_rng(0)
    W = random.normal(size=(SIDE, SIDE))
    return {"W": W.round(3).tolist(), "to": (W + random.normal(size=W.shape)).round(3).tolist()}


def strips_data() -> dict[str, Any]:
    """One strip each over a frozen matrix; the numbers of B and A are tenths."""
    random = np.random.default_rng(3)
    W, B, A = (random.normal(size=size).round(1) for size in ((SIDE, SIDE), (SIDE, 1), (1, SIDE)))
    return product_data(W, B, A) | {"kind": "strips"}


def rank_data() -> dict[str, Any]:
    B, A = strips()
    counter = stored()["counter"]
    return product_data(0 * target(), B, A) | {"kind": "rank", "target": target().tolist(), "counter": counter}


def alpha_data() -> dict[str, Any]:
    B, A = (part[:, :RUN_RANK] if wide else part[:RUN_RANK] for wide, part in zip((True, False), strips(), strict=True))
    data = product_data(0 * target(), B, A, rank=RUN_RANK)
    return data | {"kind": "alpha", "target": target().tolist(), "run": RUN}


def dropout_data() -> dict[str, Any]:
    zero = 0 * target()
    data = product_data(zero, zero[:, :RUN_RANK], zero[:RUN_RANK], rank=RUN_RANK)
    return data | {"kind": "dropout", "target": target().tolist(), "run": FEW}


def memory_data(model: str = STORY_MODEL, card: str = STORY_CARD) -> dict[str, Any]:
    return _choices(model, card) | {"method": "qlora"}


def pick_data(model: str = STORY_MODEL, card: str = STORY_CARD) -> dict[str, Any]:
    kept = stored()["answers"]
    calls = sorted({one["call"] for one in kept})
    answers = [
        [one["method"], calls.index(one["call"]), one["needs"], one["verdict"], one["checkpointing"]] for one in kept
    ]
    return _choices(model, card) | {"wishes": stored()["wishes"], "calls": calls, "answers": answers}


def on_sixteen() -> dict[str, Any]:
    """The state that puts the story's model on the card of 16 GB."""
    kept = stored()
    return {
        "model": [one["id"] for one in kept["models"]].index(STORY_MODEL),
        "card": [one["name"] for one in kept["cards"]].index(SMALL_CARD),
    }


def bits_data_of_the_story() -> dict[str, Any]:
    """A weight in 32 bits, in two kinds of 16, and in whole numbers of 8 and 4."""
    return bits_data(0.37, absmax=1, formats=("float32", "bfloat16", "float16", "int8", "int4"))


def swap_data() -> dict[str, Any]:
    base = stored()["base"]
    return {"base": {"trained": base["parameters"], "bytes": base["bytes"]}, "adapters": stored()["adapters"]}


def _choices(model: str, card: str) -> dict[str, Any]:
    """The models and cards to choose from, and which is chosen at first; the story's own where it has no other."""
    kept = stored()
    models, cards = [one["id"] for one in kept["models"]], [one["name"] for one in kept["cards"]]
    return {
        "models": [{name: one[name] for name in ("name", "needs", "at_most")} for one in kept["models"]],
        "cards": kept["cards"],
        "model": models.index(model if model in models else STORY_MODEL),
        "card": cards.index(card if card in cards else STORY_CARD),
    }
