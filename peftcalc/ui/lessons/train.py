"""What the Train page teaches with. The claims are trained anew by the tests."""

from __future__ import annotations

from peftcalc.lab.stored_runs import stored_run
from peftcalc.methods import make_method
from peftcalc.ui.lessons.lesson import Lesson, Prediction, Preset, TryThis

_PLAIN = {"dropout": 0.0, "decay": 0.0, "seeds": 1, "seed": 0, "steps": 0, "lr": 0.0}
FIVE = ["full", "lora", "dora", "qlora", "qdora"]


def last_loss(task: str, method: str, rank: int = 8, steps: int | None = None, **settings) -> float:
    """Held-out loss at the end of a run with seed 0."""
    from peftcalc.lab.training import finetune

    options = {name: settings.pop(name) for name in ("dropout", "alpha") if name in settings}
    *_, last = finetune(task, make_method(method, rank=rank, **options), steps=steps, **settings)
    return float("inf") if last.stopped or last.validation is None else last.validation


def _direction_answer() -> str:
    """From the stored race, which needs no torch."""
    tracks = stored_run("direction").board.tracks
    reached = [name for name in ("lora", "dora") if tracks[f"{name}-0"].now < 1e-3]
    return {("lora", "dora"): "Both", ("lora",): "Only LoRA", ("dora",): "Only DoRA"}.get(tuple(reached), "Neither")


LESSON = Lesson(
    notebook="03_finetune",
    presets=(
        Preset(
            "Only lengths change, five methods",
            {"task": "magnitude", "methods": FIVE, "rank": 4, "alpha": 16, **_PLAIN},
        ),
        Preset(
            "Japanese city names, five methods", {"task": "names", "methods": FIVE, "rank": 8, "alpha": 16, **_PLAIN}
        ),
        Preset("Digits turned by 90°", {"task": "digits", "methods": FIVE, "rank": 4, "alpha": 8, **_PLAIN}),
        Preset(
            "The QLoRA paper's α = 16, r = 64",
            {"task": "names", "methods": ["lora", "qlora"], "rank": 64, "alpha": 16, **_PLAIN},
        ),
    ),
    prediction=Prediction(
        "Now the other way round: the rows keep their lengths and are turned, by an update of rank 4. Who gets there, "
        "with rank 8?",
        ("Only LoRA", "Only DoRA", "Both", "Neither"),
        _direction_answer,
        "What LoRA adds to a row turns it and makes it longer at once, as a hypotenuse is longer than its side; taking "
        "64 lengths back needs more than rank 8, and about 2 % of the error stay. DoRA sets the lengths apart.",
        {"task": "direction", "methods": FIVE, "rank": 8, "alpha": 16, **_PLAIN},
    ),
    try_this=(
        TryThis(
            "Give LoRA and DoRA rank 1 on the task where only the lengths of the rows change.",
            {"task": "magnitude", "methods": ["lora", "dora"], "rank": 1, "alpha": 16, **_PLAIN},
            "Does either of them reach zero?",
            "DoRA does, LoRA keeps most of its loss: its single direction cannot scale 64 rows by 64 factors.",
            lambda: last_loss("magnitude", "dora", rank=1) < 0.01 < 0.5 < last_loss("magnitude", "lora", rank=1),
        ),
        TryThis(
            "The update has rank 4. Train LoRA at rank 2.",
            {"task": "rank", "methods": ["lora"], "rank": 2, "alpha": 16, **_PLAIN},
            "Where does the loss end, and what happens at rank 4?",
            "It ends at one half: two of four equal singular values are out of reach, whatever the learning rate. "
            "At rank 4 it falls to nothing.",
            lambda: abs(last_loss("rank", "lora", rank=2) - 0.5) < 0.02 and last_loss("rank", "lora", rank=4) < 1e-4,
        ),
        TryThis(
            "Turn the digits and give full fine-tuning and LoRA of rank 1 the same time.",
            {"task": "digits", "methods": ["full", "lora"], "rank": 1, "alpha": 2, **_PLAIN},
            "Which ends lower, and does the other one fail?",
            "Full fine-tuning ends lower. LoRA of rank 1 comes from far above 1 to below a third with a few percent of "
            "the parameters.",
            lambda: last_loss("digits", "full") < last_loss("digits", "lora", rank=1, alpha=2) < 0.34,
        ),
        TryThis(
            "Raise the learning rate of LoRA to 0.1 on the rank task with rank 16.",
            {"task": "rank", "methods": ["lora"], "rank": 16, "alpha": 512, **_PLAIN, "lr": 0.1},
            "With alpha 512 the scaling is 32. Is faster better?",
            "No: it overshoots and ends far above the run with alpha 16.",
            lambda: (
                last_loss("rank", "lora", rank=16, alpha=512, learning_rate=0.1)
                > 10 * last_loss("rank", "lora", rank=16, alpha=16)
            ),
        ),
    ),
)
