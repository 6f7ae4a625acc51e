"""The choices that change how long a step takes, each with one sentence; those of memory are taken from there."""

from __future__ import annotations

from typing import Any

from peftcalc.checks import one_of
from peftcalc.memory.options import CHOICES, MemoryOptions, make_options, option_names

KERNELS = CHOICES["kernels"]
"""Who wrote the kernels of a step; memory has the same choice."""

DEQUANTIZATIONS = {
    "bitsandbytes": "4-bit weights are made dense by one kernel, before each product.",
    "autogptq": "4-bit weights are made dense by AutoGPTQ's torch operators, about 30 bytes a weight, before each "
    "forward product, and are kept for the backward one.",
}
"""How a 4-bit weight becomes dense."""

OWN: dict[str, tuple[dict[str, str], str]] = {
    "kernels": (KERNELS, "eager"),
    "dequantization": (DEQUANTIZATIONS, "bitsandbytes"),
    "experts": (CHOICES["experts"], "float"),
}
"""Each choice of this room: its values with their sentences, and its default."""


def split_options(options: dict[str, Any], batch: int, sequence: int) -> tuple[MemoryOptions, dict[str, str]]:
    """Memory's options and this room's own ones, checked; a name that both have goes to both.

    Raises:
        ValueError: an unknown name or value, with the nearest one.

    >>> split_options({"kernels": "fused", "dtype": "float16"}, 1, 512)[1]["kernels"]
    'fused'
    """
    known = option_names()
    own = {name: one_of(name, options.get(name, default), values) for name, (values, default) in OWN.items()}
    for name in options:
        if name not in known:
            one_of("option", name, [*known, *OWN])
    shared = {name: value for name, value in options.items() if name in known}
    return make_options(batch=batch, sequence=sequence, **shared), own
