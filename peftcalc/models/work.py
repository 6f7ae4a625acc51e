"""The kinds of work that this room offers to a queue: a stranger's configuration, read where it can do no harm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from peftcalc.bounded_memory import bound_memory
from peftcalc.models.shapes import ModelShapes

MODEL = "the model of this config"
PATIENCE = 9.0
"""Seconds after which a build ends itself: before its queue ends the whole worker, whose imports take as long again."""


def build_job(parameters: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """The record of a configuration, as one JSON object.

    Args:
        parameters: `config`, the content of a `config.json`; `name`, how the model is shown, or None.
        folder: not used.
    """
    del folder
    from peftcalc.models.bounded.building import bounded
    from peftcalc.models.load import load_config

    yield 0, 0.0, []
    bound_memory()
    with bounded(MODEL, PATIENCE):
        shapes = load_config(parameters["config"], parameters.get("name"))
    yield 1, 1.0, [shapes.to_dict()]


def task_job(parameters: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """The record of the class that a task loads, in place of the one that the configuration names.

    Args:
        parameters: `shapes`, the record as JSON; `task`, peft's task type; `labels`, or None.
        folder: not used.
    """
    del folder
    from peftcalc.models.bounded.building import bounded
    from peftcalc.models.tasks import task_shapes

    yield 0, 0.0, []
    bound_memory()
    with bounded(MODEL, PATIENCE):
        shapes = task_shapes(ModelShapes.from_dict(parameters["shapes"]), parameters["task"], parameters["labels"])
    yield 1, 1.0, [shapes.to_dict()]


KINDS = {"build": build_job, "task": task_job}


def load() -> None:
    """transformers, and what it loads at first use: that is not in the first visitor's time."""
    from peftcalc.models.load import load_config

    load_config({"model_type": "llama", "num_hidden_layers": 1})
