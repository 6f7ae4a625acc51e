"""A simulated step as JSON and back, to pass it between processes and to store it; and the job that makes one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from peftcalc.memory.records import PARTS, Allowance, MemoryBreakdown, MemoryTrace, TimelinePoint
from peftcalc.methods import make_method

POINTS = 400
"""Points of the timeline that are kept: the highest of each stretch, and every change of phase."""


def trace_to_json(trace: MemoryTrace) -> dict[str, Any]:
    """Plain lists and dictionaries; the timeline thinned to about `POINTS` points."""
    record = asdict(trace)
    record["timeline"] = [
        [point.phase, point.operator, *(getattr(point.breakdown, part) for part in PARTS)] for point in _thinned(trace)
    ]
    return record


def trace_from_json(record: Mapping[str, Any]) -> MemoryTrace:
    """The trace that `trace_to_json` described.

    >>> trace = stored_trace("lora").trace
    >>> trace_from_json(trace_to_json(trace)).peak == trace.peak == trace.breakdown.total
    True
    """
    timeline = tuple(
        TimelinePoint(phase, operator, MemoryBreakdown(**dict(zip(PARTS, sizes, strict=True))))
        for phase, operator, *sizes in record["timeline"]
    )
    return MemoryTrace(
        **{
            **record,
            "breakdown": MemoryBreakdown(**record["breakdown"]),
            "timeline": timeline,
            "reserved_allowance": Allowance(**record["reserved_allowance"]),
            "context_allowance": Allowance(**record["context_allowance"]),
            "traced_layers": tuple(record["traced_layers"]),
            "notes": tuple(record["notes"]),
        }
    )


def simulate_job(parameters: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """The worker's job "simulate": one step, traced.

    Args:
        parameters: `model` (id or configuration), `method` (name), `rank`, `batch`, `sequence`, `options` of
            `simulate_memory`.
        folder: not used; a trace leaves no files.
    """
    del folder
    from peftcalc.memory.simulate import simulate_memory

    yield 0, 0.0, []
    method = make_method(parameters["method"], rank=parameters["rank"], alpha=2 * parameters["rank"])
    trace = simulate_memory(
        parameters["model"], method, parameters["batch"], parameters["sequence"], **parameters["options"]
    )
    yield 1, 1.0, [trace_to_json(trace)]


class StoredTrace:
    """A simulation that a script has stored (`scripts/store_traces.py`), and how it was made."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.parameters: dict[str, Any] = record["parameters"]
        self.made: str = record["made"]
        self.trace = trace_from_json(record["trace"])


@cache
def stored_trace(method: str) -> StoredTrace:
    """The stored step of the page's first setting with this method ("full", "lora", …)."""
    text = files("peftcalc.memory").joinpath("data/traces.json.gz").read_bytes()
    return StoredTrace(json.loads(gzip.decompress(text))[method])


def _thinned(trace: MemoryTrace) -> list[TimelinePoint]:
    points = trace.timeline
    stretch = max(1, -(-len(points) // POINTS))
    kept = {max(range(s, min(s + stretch, len(points))), key=lambda i: points[i].allocated_bytes)
            for s in range(0, len(points), stretch)}  # fmt: skip
    borders = {i for i in range(1, len(points)) if points[i].phase != points[i - 1].phase}
    return [points[i] for i in sorted(kept | borders | {i - 1 for i in borders} | {0, len(points) - 1})]
