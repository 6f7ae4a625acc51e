"""A simulated step as JSON and back, to pass it between processes and to store it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from peftcalc.memory.records import PARTS, Allowance, MemoryBreakdown, MemoryTrace, TimelinePoint

TRACES = Path(__file__).parents[1] / "data" / "traces.json.gz"

POINTS = 400
"""Points of the timeline that are kept: the highest of each stretch, and every change of phase."""


def trace_to_json(trace: MemoryTrace) -> dict[str, Any]:
    """Plain lists and dictionaries; the timeline thinned to about `POINTS` points."""
    record = asdict(trace)
    points = [trace.timeline[index] for index in trace.telling_points(POINTS)]
    record["timeline"] = [
        [point.phase, point.operator, *(getattr(point.breakdown, part) for part in PARTS)] for point in points
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


class StoredTrace:
    """A simulation that a script has stored (`scripts/store_traces.py`), and how it was made."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.parameters: dict[str, Any] = record["parameters"]
        self.made: str = record["made"]
        self.trace = trace_from_json(record["trace"])


@cache
def stored_trace(method: str) -> StoredTrace:
    """The stored step of the page's first setting with this method ("full", "lora", …)."""
    text = TRACES.read_bytes()
    return StoredTrace(json.loads(gzip.decompress(text))[method])
