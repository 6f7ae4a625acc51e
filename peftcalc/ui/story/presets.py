"""The numbers that travel with the story, so that it needs no server once it is loaded: computed, stored, tested.

`scripts/store_story.py` writes `presets.json`; `tests/app/test_story.py` computes a part of it again.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from peftcalc import units
from peftcalc.advice.advise import PRIORITIES, advise
from peftcalc.counting.count import count
from peftcalc.memory.cards import gpu
from peftcalc.memory.fit import fit
from peftcalc.methods import LoRA
from peftcalc.models.catalogue import catalogue_shapes

FILE = Path(__file__).with_name("presets.json")
MODELS = {
    "meta-llama/Llama-3.2-1B": "Llama-3.2-1B",
    "microsoft/Phi-3-mini-4k-instruct": "Phi-3-mini",
    "meta-llama/Llama-3.1-8B": "Llama-3.1-8B",
    "Qwen/Qwen2.5-14B": "Qwen2.5-14B",
    "Qwen/Qwen2.5-32B": "Qwen2.5-32B",
    "meta-llama/Llama-3.1-70B": "Llama-3.1-70B",
}
"""Of the last two scenes; any other is a question to the server, on the page that the scene's door leads to."""
STORY_MODEL = "meta-llama/Llama-3.1-8B"
CARDS = ("RTX 3060 12GB", "RTX 4060 Ti 16GB", "RTX 4090", "RTX A6000", "A100 80GB", "H200")
LIKE = "RTX 4090"
"""What a step needs is counted for this card: as for all of them but the H200, where cuDNN may take 50 MiB more."""
COUNTRIES = ("Japan", "Poland", "Turkey", "Vietnam", "Finland")
RANKS = range(1, 17)


def model_preset(model: str) -> dict[str, Any]:
    """A model's parameters, and what one step needs by method: GiB of a card, batch 1, 2,048 tokens, checkpointing.

    The order of methods is that of `peftcalc.memory.fit.FIVE_METHODS`, rank 16.
    """
    shapes = catalogue_shapes(model)
    fits = fit(shapes, LIKE, checkpointing=True)
    return {
        "id": model,
        "name": MODELS[model],
        "parameters": shapes.total,
        "needs": [_gib(row.needed.expected_bytes) for row in fits],
        "at_most": [_gib(row.needed.high_bytes) for row in fits],
    }


def answer_preset(model: str, card: str, priority: str) -> dict[str, Any]:
    """What `advise` says, in short: the method, its call, what it needs, and whether the card has it."""
    advice = advise(catalogue_shapes(model), card, priority)
    method = cast("LoRA", advice.method)  # or Full, which has none of its fields
    rank = "" if method.name == "full" else f"rank={method.rank}, alpha={method.alpha:g}, dropout={method.dropout:g}"
    return {
        "method": method.name,
        "call": f"{type(method).__name__}({rank})",
        "checkpointing": advice.checkpointing,
        "needs": _gib(advice.fit.needed.expected_bytes),
        "verdict": advice.fit.verdict,
    }


def counter_preset() -> dict[str, Any]:
    """How many parameters LoRA trains of the story's model at each rank, and how many there are."""
    shapes = catalogue_shapes(STORY_MODEL)
    counted = [count(shapes, LoRA(rank=rank)) for rank in RANKS]
    return {"name": MODELS[STORY_MODEL], "base": shapes.total, "trained": [one.trainable for one in counted]}


def card_preset(card: str) -> dict[str, Any]:
    return {"name": card, "GiB": _gib(gpu(card).usable_bytes)}


def _gib(count: float) -> float:
    """GiB with more digits than are shown, so that nothing is rounded twice."""
    return round(count / units.GIB, 4)


def computed() -> dict[str, Any]:
    """All but the adapters, which are trained: half a minute."""
    answers = [answer_preset(model, card, wish) for model in MODELS for card in CARDS for wish in PRIORITIES]
    return {
        "counter": counter_preset(),
        "models": [model_preset(model) for model in MODELS],
        "cards": [card_preset(card) for card in CARDS],
        "wishes": list(PRIORITIES),
        "answers": answers,
    }


@lru_cache(maxsize=1)
def stored() -> dict[str, Any]:
    """What the script has stored: `computed()`, "adapters", "base_bytes" and "made"."""
    return json.loads(FILE.read_text())
