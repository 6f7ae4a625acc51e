"""45 minutes: what does fine-tuning cost? Numbers trained, bytes held, and the rank that is enough."""

from __future__ import annotations

from peftcalc.counting.count import count
from peftcalc.geometry.rank_bound import known_floor
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.methods import Full, LoRA, Method, QLoRA
from peftcalc.ui.lessons.class_lesson import ONE_RUN, ClassLesson, LessonPart
from peftcalc.ui.lessons.lesson import Prediction

MODEL = "meta-llama/Llama-3.1-8B"
GIB = 2**30
MEMORY = {"model": MODEL, "batch": 1, "sequence": 2048, "checkpointing": True, "rank": 16}
RANKS, SEEDS = (1, 2, 4, 8), range(8)


def _peak(method: Method) -> float:
    """GiB of a step with one sequence of 2,048 tokens and checkpointing."""
    return estimate_memory(MODEL, method, checkpointing=True).total / GIB


def _nearest(value: float, options: dict[float, str]) -> str:
    return options[min(options, key=lambda option: abs(option - value))]


ALL_OF_IT = Prediction(
    "Llama-3.1-8B's weights are a file of 15 GiB. How much memory does a step of full fine-tuning take?",
    ("about 15 GiB", "about 30 GiB", "about 75 GiB"),
    lambda: _nearest(_peak(Full()), {15: "about 15 GiB", 30: "about 30 GiB", 75: "about 75 GiB"}),
    "Weights, gradients and the optimizer's two moments: four times the file, and what the step itself holds.",
)
TWO_STRIPS = Prediction(
    "LoRA of rank 8 on every linear layer of the same model: which share of its numbers is trained?",
    ("about 10 %", "about 2.5 %", "about 0.25 %"),
    lambda: _nearest(count(MODEL, LoRA(rank=8)).percent, {10: "about 10 %", 2.5: "about 2.5 %", 0.25: "about 0.25 %"}),
    "A matrix of d × k numbers is moved by r · (d + k): for 4,096 × 4,096 at rank 8 by 65,536 of 16.8 million.",
)
WHAT_IS_LEFT = Prediction(
    "The frozen weights still lie there in 16 bits. With LoRA the step needs 19 GiB; with the base in 4 bits …",
    ("about 5 GiB", "about 13 GiB", "still 19 GiB"),
    lambda: _nearest(_peak(QLoRA(rank=16)), {5: "about 5 GiB", 13: "about 13 GiB", 19: "still 19 GiB"}),
    "Only the linear layers are stored in 4 bits. Embeddings and head stay, in float32, and the step's own tensors "
    "too.",
)
WHICH_RANK = Prediction(
    "A matrix must change by an update of rank 4 with four equally strong directions. LoRA of rank 2 leaves …",
    ("nothing of the error", "a quarter", "a half", "three quarters"),
    lambda: _nearest(
        float(known_floor(4)[2]), {0: "nothing of the error", 0.25: "a quarter", 0.5: "a half", 0.75: "three quarters"}
    ),
    "Two of four equal directions are within reach (Eckart and Young, 1936); no learning rate reaches the others.",
)

COST = ClassLesson(
    "cost",
    "What does fine-tuning cost?",
    "Learners can say why a model that fits cannot be fine-tuned, what LoRA trains instead, and how its rank is "
    "chosen.",
    "A projector, a laptop or telephone each, no knowledge but what a matrix product is.",
    (
        LessonPart(
            "All of it",
            8,
            "Look at the first scene: press and hold the matrix. Then predict.",
            "Ask who has a graphics card, and how large its memory is. Show scene 1: every cell moves, and beside "
            "every "
            "weight lie a gradient and two moments. Then ask the prediction, reveal it, and send everybody to Memory: "
            "the bar of Full, part by part.",
            "Most say 15 or 30 GiB. It is about 75: no card below 80 GiB will do.",
            "If most know it: ask for the share of the activations with checkpointing off, and move that switch.",
            ALL_OF_IT,
            "memory",
            MEMORY,
        ),
        LessonPart(
            "Two strips",
            9,
            "Move the rank, and watch the number of trained parameters of a real model.",
            "Draw W and beside it the strips B and A. Count aloud for 5 × 5 and rank 1: 10 instead of 25. Then ask: "
            "does "
            "the share grow or fall with the size of the matrix? Prediction, reveal, then Parameters with the real "
            "model.",
            "About 0.26 %: 21 million of 8 billion. Doubling the rank doubles it.",
            "Who says 2.5 % has often counted one matrix only: the share falls as the matrix grows.",
            TWO_STRIPS,
            "parameters",
            {"section": "a real model", "model": MODEL, "method": "lora", "rank": 8, "targets": []},
        ),
        LessonPart(
            "Four bits below",
            8,
            "Compare the five bars, then choose the card at your home.",
            "LoRA trains 0.5 % at rank 16 and the bar is still 19 GiB: ask what is in it. The frozen base. Prediction, "
            "reveal, then Memory: the bars of LoRA and QLoRA beside each other.",
            "About 13 GiB and not 5: what is not a linear layer stays as it was.",
            "If somebody expects a quarter of everything: point at the parts of the bar, one by one.",
            WHAT_IS_LEFT,
            "memory",
            {**MEMORY, "gpu": "RTX 4090"},
        ),
        LessonPart(
            "Which rank is enough?",
            14,
            "Press Train with the rank and the seed that you were given. Then look at the board.",
            "The experiment of the class: one matrix, an update of rank 4, ranks 1, 2, 4 and 8, eight seeds. "
            "Prediction "
            "first; then deal out the grid. While runs come in, open the board: loss against trained parameters.",
            "Three quarters of the error are left at rank 1, a half at 2, nothing at 4, and at 8 nothing more is won: "
            "the front ends at rank 4.",
            "A run that ends above the others at its rank has a different learning rate or fewer steps: ask for its "
            "link.",
            WHICH_RANK,
            "train",
            {"task": "rank", "methods": ["lora"], "alpha": 16, "spectrum": "equal", **ONE_RUN},
            [{"rank": rank, "seed": seed} for seed in SEEDS for rank in RANKS],
        ),
        LessonPart(
            "What would you take?",
            6,
            "Choose a model and your card; read the first reason to your neighbour.",
            "Close with the page Choose. Each pair says one sentence: model, card, method, and the reason.",
            "On 24 GB most end at QLoRA or LoRA for 8B; on 8 GB with a smaller model.",
            "A pair for whom nothing fits has learned the most: what would they give up first?",
            None,
            "choose",
            {"model": MODEL, "gpu": "RTX 4090"},
        ),
    ),
)
