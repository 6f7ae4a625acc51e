"""Simulate the Memory page's first setting with each method and store the traces: `python scripts/store_traces.py`."""

from __future__ import annotations

import stored

from peftcalc.memory.simulate.simulate import simulate_memory
from peftcalc.memory.simulate.trace_json import TRACES, trace_to_json
from peftcalc.methods import METHODS, make_method

SETTING = {
    "model": "meta-llama/Llama-3.1-8B",
    "rank": 16,
    "batch": 1,
    "sequence": 2048,
    "options": {"checkpointing": True},
}


def main() -> None:
    made, traces = stored.made("torch", "transformers", "peft", "bitsandbytes"), {}
    for name in METHODS:
        method = make_method(name, rank=SETTING["rank"], alpha=2 * SETTING["rank"])
        trace = simulate_memory(SETTING["model"], method, SETTING["batch"], SETTING["sequence"], **SETTING["options"])
        traces[name] = {"parameters": {**SETTING, "method": name}, "made": made, "trace": trace_to_json(trace)}
        print(f"{method.label}: {trace.peak / 2**30:.2f} GiB in {trace.seconds:.1f} s")
    stored.write(TRACES, traces)


if __name__ == "__main__":
    main()
