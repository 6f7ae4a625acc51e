"""Simulate the Memory page's first setting with each method and store the traces: `python scripts/store_traces.py`."""

from __future__ import annotations

import datetime
import gzip
import json
from importlib.metadata import version
from pathlib import Path

from peftcalc.memory.simulate.simulate import simulate_memory
from peftcalc.memory.simulate.trace_json import trace_to_json
from peftcalc.methods import METHODS, make_method

TARGET = Path(__file__).parents[1] / "peftcalc/memory/data/traces.json.gz"
SETTING = {
    "model": "meta-llama/Llama-3.1-8B",
    "rank": 16,
    "batch": 1,
    "sequence": 2048,
    "options": {"checkpointing": True},
}


def main() -> None:
    made = f"{datetime.date.today()}, " + ", ".join(
        f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "bitsandbytes")
    )
    stored = {}
    for name in METHODS:
        method = make_method(name, rank=SETTING["rank"], alpha=2 * SETTING["rank"])
        trace = simulate_memory(SETTING["model"], method, SETTING["batch"], SETTING["sequence"], **SETTING["options"])
        stored[name] = {"parameters": {**SETTING, "method": name}, "made": made, "trace": trace_to_json(trace)}
        print(f"{method.label}: {trace.peak / 2**30:.2f} GiB in {trace.seconds:.1f} s")
    text = json.dumps(stored, separators=(",", ":")).encode()
    TARGET.write_bytes(gzip.compress(text, mtime=0))
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
