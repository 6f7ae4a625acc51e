"""What the Parameters page teaches with."""

from __future__ import annotations

import peftcalc as pc
from peftcalc.ui.lessons.lesson import Lesson, Prediction, Preset, TryThis

LLAMA_8B = "meta-llama/Llama-3.1-8B"
LLAMA_7B = "meta-llama/Llama-2-7b-hf"
PHI = "microsoft/Phi-3-mini-4k-instruct"
GPT_3 = "openai/gpt-3-175b"

HAND = Lesson(
    prediction=Prediction(
        "At rank 1, B and A hold 10 numbers beside the 25 of W: 40 %. Of a 10 × 10 matrix they hold …",
        ("40 % again", "20 %", "10 %"),
        lambda: {40: "40 % again", 20: "20 %", 10: "10 %"}[round(pc.square(100, 1).percent)],
        "Twice the side is twice as many numbers in B and A, and four times as many in W: the share halves.",
        {"side": 10},
    )
)

CURVES = Lesson(
    notebook="01_count",
    presets=(
        Preset("The article's 4B table", {"size": 4_000_000_000, "r": 8}),
        Preset("The 5 × 5 matrix", {"size": 25, "r": 1}),
        Preset("200B at rank 1", {"size": 200_000_000_000, "r": 1}),
        Preset("70B at rank 64", {"size": 70_000_000_000, "r": 64}),
    ),
    prediction=Prediction(
        "Taken as one matrix, 7 billion parameters at rank 8 train 0.0191 %. Llama-2-7b is really many: LoRA of rank 8 "
        "on its 224 linear layers trains …",
        ("the same share", "about four times that share", "about fifteen times that share"),
        lambda: {1: "the same share", 4: "about four times that share", 15: "about fifteen times that share"}[
            round(pc.count(LLAMA_7B, pc.LoRA(rank=8)).percent / pc.square(7 * 10**9, 8).percent)
        ],
        "It is 0.30 %: many small matrices have together far more rows and columns than one large one, and an adapter "
        "costs rank times those.",
        {"size": 7_000_000_000, "r": 8},
    ),
    try_this=(
        TryThis(
            "Take the 25-number matrix and turn the rank up to 3.",
            {"size": 25, "r": 3},
            "Is that still fewer numbers than training the matrix itself?",
            "No: two factors of 5 × 3 hold 30 numbers, the matrix 25. Below half the side, LoRA saves.",
            lambda: pc.square(25, 3).trainable == 30 and pc.square(25, 2).trainable == 20,
        ),
        TryThis(
            "Take a hundred times more parameters: from 1M to a model near 100M.",
            {"size": 124_000_000, "r": 4},
            "What does the share do?",
            "It falls to about a tenth: the factors grow with the side, the model with its square: 2·√N·r of N.",
            lambda: round(pc.square(10**6, 4).percent / pc.square(10**8, 4).percent) == 10,
        ),
        TryThis(
            "Double the rank of the 4B model from 32 to 64.",
            {"size": 4_000_000_000, "r": 64},
            "What does the number of trained parameters do?",
            "It doubles exactly: the count is linear in the rank.",
            lambda: pc.square(4 * 10**9, 64).trainable == 2 * pc.square(4 * 10**9, 32).trainable,
        ),
    ),
)

MODEL = Lesson(
    notebook="06_your_model",
    presets=(
        Preset("Llama-3.1-8B, every linear layer", {"model": LLAMA_8B, "method": "lora", "rank": 16, "targets": []}),
        Preset(
            "The LoRA paper's choice: query and value",
            {"model": LLAMA_7B, "method": "lora", "rank": 8, "targets": ["q_proj", "v_proj"]},
        ),
        Preset("Phi-3-mini, DoRA", {"model": PHI, "method": "dora", "rank": 8, "targets": []}),
        Preset(
            "The QLoRA paper's setting",
            {"model": LLAMA_7B, "method": "qlora", "rank": 64, "targets": [], "alpha": 16},
        ),
    ),
    try_this=(
        TryThis(
            "Switch Llama-3.1-8B from LoRA to DoRA at rank 8.",
            {"model": LLAMA_8B, "method": "dora", "rank": 8, "targets": []},
            "How much does a magnitude for every output row cost: a tenth, or about as much as the adapter itself?",
            "Less than a tenth: one number per row against rank numbers per row and per column.",
            lambda: _ratio(pc.DoRA(rank=8), pc.LoRA(rank=8)) < 1.1,
        ),
        TryThis(
            "Now turn DoRA down to rank 1.",
            {"model": LLAMA_8B, "method": "dora", "rank": 1, "targets": []},
            "Are the magnitudes still a small extra?",
            "No: at rank 1 they add more than a third, because they do not shrink with the rank.",
            lambda: _ratio(pc.DoRA(rank=1), pc.LoRA(rank=1)) > 1.33,
        ),
        TryThis(
            "Compare targets query and value only (grouped-query attention makes the value projection narrow here).",
            {"model": LLAMA_8B, "method": "lora", "rank": 16, "targets": ["q_proj", "v_proj"]},
            "Which of the two gets the larger adapter?",
            "The query: 4,096 outputs against 1,024. A calculator that thinks both are square counts 23 % too many.",
            lambda: _grouped_query_claim(),
        ),
        TryThis(
            "Choose QLoRA instead of LoRA.",
            {"model": LLAMA_8B, "method": "qlora", "rank": 16, "targets": []},
            "Does quantizing the base change how many parameters are trained?",
            "Not by one: the base is stored in 4 bits, the adapter is the same.",
            lambda: _ratio(pc.QLoRA(rank=16), pc.LoRA(rank=16)) == 1,
        ),
    ),
)


def _ratio(one: pc.LoRA, other: pc.LoRA) -> float:
    return pc.count(LLAMA_8B, one).trainable / pc.count(LLAMA_8B, other).trainable


def _grouped_query_claim() -> bool:
    counted = pc.count(LLAMA_8B, pc.LoRA(rank=16, targets=["q_proj", "v_proj"]))
    parts = {part.suffix: part for part in counted.parts}
    query, value = parts["q_proj"], parts["v_proj"]
    if_square = 2 * query.trainable
    return (query.out_features, value.out_features) == (4096, 1024) and round(
        100 * if_square / counted.trainable
    ) == 123
