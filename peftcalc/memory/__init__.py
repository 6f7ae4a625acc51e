"""Where the bytes go: closed-form estimate, traced simulation, GPUs, fit, serving."""

from __future__ import annotations

from peftcalc.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "estimate_memory": "peftcalc.memory.estimate",
        "simulate_memory": "peftcalc.memory.simulate",
        "gpus": "peftcalc.memory.gpu_table",
    },
)
