"""45 minutes: what does fine-tuning change? Directions, lengths, bits, and what seeds hide."""

from __future__ import annotations

import math

from peftcalc.lab.stored_runs import stored_run
from peftcalc.ui.lessons import quantization, train
from peftcalc.ui.lessons.class_lesson import ONE_RUN, ClassLesson, LessonPart
from peftcalc.ui.lessons.dora import moved_to
from peftcalc.ui.lessons.lesson import Prediction

REACHED = 0.01
"""Share of the error below which a method has got there."""


def _who(task: str) -> str:
    """Which of LoRA and DoRA got there in the stored race of a task."""
    tracks = stored_run(task).board.tracks
    there = tuple(name for name in ("lora", "dora") if tracks[f"{name}-0"].now < REACHED)
    return {("lora", "dora"): "Both", ("lora",): "Only LoRA", ("dora",): "Only DoRA"}.get(there, "Neither")


A_PUSH = Prediction(
    "An arrow is turned by 60° by a push at right angles to it. How long is it then?",
    ("as long as before", "half as long", "twice as long"),
    lambda: {1: "as long as before", 2: "twice as long"}[round(1 / math.cos(math.radians(60)))],
    "1 / cos 60° = 2. Whoever can only add also changes lengths: that is LoRA's push.",
)
ONLY_LENGTHS = Prediction(
    "64 rows are to become longer or shorter, and none turns. Who gets there with rank 4?",
    ("Only LoRA", "Only DoRA", "Both", "Neither"),
    lambda: _who("magnitude"),
    "64 rows times 64 different factors is an update of full rank. DoRA has one trained length a row.",
)
assert train.LESSON.prediction is not None
ONLY_DIRECTIONS = train.LESSON.prediction
assert quantization.WEIGHTS.prediction is not None
AN_OUTLIER = quantization.WEIGHTS.prediction

CHANGE = ClassLesson(
    "change",
    "What does it change?",
    "Learners tell direction from length, know what each method can move, what four bits lose, and when a difference "
    "between two runs is none.",
    "The lesson on cost, or what B · A is. A projector, a laptop or telephone each.",
    (
        LessonPart(
            "Turn and stretch",
            8,
            "Drag the tip: first only longer, then only turned, then with one push.",
            "A row of a weight is an arrow. Let somebody at the projector reach the summit with one push only. "
            "Prediction, reveal, then everybody's own arrow.",
            "Twice as long. Most forget that a push at right angles is a hypotenuse.",
            "If most know it: ask for 80°. It is nearly six times as long.",
            A_PUSH,
            "dora",
            {"section": "one arrow", "arrow": moved_to(0, 1.0)},
        ),
        LessonPart(
            "Only lengths",
            11,
            "Press Train with the method, rank and seed that you were given, and look at the board.",
            "The experiment of the class: LoRA and DoRA at ranks 1, 4 and 16, five seeds. Prediction first. On the "
            "board "
            "take the view by method: rank against loss.",
            "DoRA is at zero at every rank; LoRA is above nine tenths at rank 1 and still above a half at 4.",
            "A DoRA run above zero: was its rate or its number of steps changed? Ask for its link, and run it again.",
            ONLY_LENGTHS,
            "train",
            {"task": "magnitude", "alpha": 16, **ONE_RUN},
            [
                {"methods": [method], "rank": rank, "seed": seed}
                for seed in range(5)
                for rank in (1, 4, 16)
                for method in ("lora", "dora")
            ],
        ),
        LessonPart(
            "Only directions",
            7,
            "Look at the stored run, and then at yours with another seed.",
            "The counter-check, so that nobody leaves with a slogan: rows are turned and keep their lengths.",
            "DoRA gets there, LoRA keeps about 2 %: it cannot take 64 lengths back. Full fine-tuning is at zero, too.",
            "A higher rank leaves LoRA less: that is right, not a fault.",
            ONLY_DIRECTIONS,
            "train",
            {"task": "direction", "methods": train.FIVE, "rank": 8, "alpha": 16, "seed": 0, **ONE_RUN},
        ),
        LessonPart(
            "What four bits lose",
            8,
            "Pull one weight out and count the zeros; then give every 16 weights their own scale.",
            "One scale for 64 weights, sixteen levels. Pull weight 21 to 8 before the class, after the prediction.",
            "About forty become zero: the outlier sets the scale of all. With blocks of 16 only its own block pays.",
            "Where somebody counts others: the number of zeros is written below the picture.",
            AN_OUTLIER,
            "quantization",
            {"section": "sixty-four weights", "codes": {}},
        ),
        LessonPart(
            "Is it a difference?",
            11,
            "Press Train with the method and the seed that you were given. Watch the intervals on the board.",
            "Handwritten digits, turned: Full, LoRA and DoRA at rank 4, ten seeds each. Ask after three runs who is "
            "ahead, and again after thirty. Write both answers on the wall. Close with: what would you report?",
            "With few runs the order may change with every result; with ten seeds intervals are a third as wide as "
            "with three.",
            "Intervals that still overlap are the result: this task does not tell these methods apart, and that is "
            "said.",
            None,
            "train",
            {"task": "digits", "shift": "rotated", "rank": 4, "alpha": 8, **ONE_RUN},
            [{"methods": [method], "seed": seed} for seed in range(10) for method in ("full", "lora", "dora")],
        ),
    ),
)
