"""Models that visitors bring, built by the workers of `background`.

shapes = building.built(config)          # waits, and shows that it does; at most some seconds
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peftcalc.models.shapes import ModelShapes
from peftcalc.ui import background

WHERE = (
    f"It is built without its weights in a worker process of its own, with {background.LIMITS.running:g} s and 1 GiB, "
    "and without the net."
)
SAYS = "Building the model without its weights …"


def built(config: Mapping[str, Any], name: str | None = None) -> ModelShapes:
    """The record of a visitor's configuration.

    Args:
        config: the content of a `config.json`.
        name: how the model is shown; default what the configuration calls itself.

    Raises:
        ValueError: the sentence of a configuration that cannot be built, takes too long or too much memory.
    """
    return background.remembered("build", {"config": dict(config), "name": name}, _shapes, SAYS)


def for_task(shapes: ModelShapes, task: str, labels: int | None) -> ModelShapes:
    """The record of the class that a task loads for a visitor's model; see `peftcalc.models.tasks.task_shapes`."""
    asked = {"shapes": shapes.to_dict(), "task": task, "labels": labels}
    return background.remembered("task", asked, _shapes, SAYS)


def _shapes(made: background.Made) -> ModelShapes:
    return ModelShapes.from_dict(made.record)
