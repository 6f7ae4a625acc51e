"""The kinds of work that this room offers to a queue, by name; what is heavy is loaded when a kind begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from peftcalc.memory.simulate.trace_json import trace_to_json
from peftcalc.methods import make_method


def simulate_job(parameters: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """One step, traced.

    Args:
        parameters: `model` (id or configuration), `method` (name), `rank`, `batch`, `sequence`, `options` of
            `simulate_memory`.
        folder: not used; a trace leaves no files.
    """
    del folder
    from peftcalc.memory.simulate.simulate import simulate_memory

    yield 0, 0.0, []
    method = make_method(parameters["method"], rank=parameters["rank"], alpha=2 * parameters["rank"])
    trace = simulate_memory(
        parameters["model"], method, parameters["batch"], parameters["sequence"], **parameters["options"]
    )
    yield 1, 1.0, [trace_to_json(trace)]


KINDS = {"simulate": simulate_job}
