"""How long a simulation takes and how much memory it needs, and that few layers give what all layers give.

    python benchmarks/memory_simulation.py [--check]

Each model is simulated in a process of its own. Seconds are given with and without importing torch, transformers, peft
and bitsandbytes; CPU seconds beside wall seconds, since other work may share the machine. `--check` traces every layer
too and compares.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

CASES: tuple[tuple[str, str, bool], ...] = (
    ("meta-llama/Llama-3.2-3B", "lora", False),
    ("meta-llama/Llama-3.2-3B", "qdora", True),
    ("meta-llama/Llama-3.1-8B", "full", True),
    ("meta-llama/Llama-3.1-70B", "qlora", True),
    ("meta-llama/Llama-3.1-405B", "qlora", True),
)
CHECK_LIMIT = 40
"""Deeper models are not traced in full."""


def one(model: str, method: str, checkpointing: bool, *, check: bool) -> dict[str, Any]:
    """Figures of one simulation in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    import bitsandbytes  # noqa: F401  what the simulation imports, counted apart
    import peft  # noqa: F401

    import peftcalc as pc
    from peftcalc.methods import make_method

    shapes = pc.load_model(model)
    result: dict[str, Any] = {"model": model, "method": method, "checkpointing": checkpointing}
    result |= {"import_wall": time.perf_counter() - wall, "import_cpu": time.process_time() - cpu}
    wall, cpu = time.perf_counter(), time.process_time()
    options: dict[str, Any] = {"batch": 1, "sequence": 2048, "checkpointing": checkpointing}
    trace = pc.simulate_memory(shapes, make_method(method, rank=16), **options)
    result |= {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    result |= {"peak_gib": trace.peak / 2**30, "traced": trace.traced_layers, "layers": trace.layers}
    if check and trace.layers <= CHECK_LIMIT:
        full = pc.simulate_memory(shapes, make_method(method, rank=16), full_depth=True, limit_seconds=600, **options)
        result["full_trace_difference_bytes"] = trace.peak - full.peak
    result["resident_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        print(json.dumps(one(*CASES[arguments.case], check=arguments.check)))
        return
    for index in range(len(CASES)):
        command = [sys.executable, __file__, "--case", str(index), *(["--check"] if arguments.check else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        print(
            {name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()},
            flush=True,
        )


if __name__ == "__main__":
    main()
