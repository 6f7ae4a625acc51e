"""The kinds of work that this room offers to a queue: a stranger's configuration, read where it can do no harm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from peftcalc.models.shapes import ModelShapes

BUILD_BYTES = 2**30
"""Memory that a build may take beside what the worker has loaded."""


def build_job(parameters: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """The record of a configuration, as one JSON object.

    Args:
        parameters: `config`, the content of a `config.json`; `name`, how the model is shown, or None.
        folder: not used.
    """
    del folder
    from peftcalc.models.load import load_config

    yield 0, 0.0, []
    bound_memory(BUILD_BYTES)
    yield 1, 1.0, [load_config(parameters["config"], parameters.get("name")).to_dict()]


def task_job(parameters: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """The record of the class that a task loads, in place of the one that the configuration names.

    Args:
        parameters: `shapes`, the record as JSON; `task`, peft's task type; `labels`, or None.
        folder: not used.
    """
    del folder
    from peftcalc.models.tasks import task_shapes

    yield 0, 0.0, []
    bound_memory(BUILD_BYTES)
    shapes = ModelShapes.from_dict(parameters["shapes"])
    yield 1, 1.0, [task_shapes(shapes, parameters["task"], parameters["labels"]).to_dict()]


def bound_memory(beside: int) -> None:
    """From now on this process may have so many bytes more than before its first job; for more is a MemoryError.

    Where the system has no such limit (Windows), the time limit of the queue remains.
    """
    data = _bytes_before()
    if data is None:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = data + beside if hard == resource.RLIM_INFINITY else min(data + beside, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


@cache
def _bytes_before() -> int | None:
    """Writable memory of this process when it was first asked; None where the system does not tell or bound it."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:")), None)


KINDS = {"build": build_job, "task": task_job}


def load() -> None:
    """transformers, and what it loads at first use: that is not in the first visitor's time."""
    from peftcalc.models.load import load_config

    load_config({"model_type": "llama", "num_hidden_layers": 1})
