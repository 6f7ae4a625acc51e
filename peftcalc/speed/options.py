"""The choices that change how long a step takes and not what it needs of memory, each with one sentence."""

from __future__ import annotations

from typing import Any

from peftcalc.checks import one_of
from peftcalc.memory.options import MemoryOptions, make_options

KERNELS = {
    "eager": "transformers' and peft's own operators, one kernel each.",
    "fused": "Norms, rotary embedding and loss are one kernel each, and the sums around A and B where the base has 4 "
    "bits (fms-acceleration).",
    "liger": "Norms, rotary embedding, activation and loss are one kernel each; adapters stay peft's own.",
    "unsloth": "As liger, and the sums around A and B belong to their products, over any base.",
    "compiled": "torch.compile joins elementwise operators, residual sums included, into few kernels.",
}
"""Who wrote the kernels of a step."""

DEQUANTIZATIONS = {
    "bitsandbytes": "4-bit weights are made dense by one kernel, before each product.",
    "autogptq": "4-bit weights are made dense by AutoGPTQ's torch operators, about 30 bytes a weight, before each "
    "forward product, and are kept for the backward one.",
}
"""How a 4-bit weight becomes dense."""

EXPERTS = {
    "float": "Stacked experts are not quantized: bitsandbytes replaces linear layers only.",
    "4bit": "Experts are quantized like other linear layers, as in stacks whose experts are modules.",
}
"""What a 4-bit base does with its experts."""

OWN: dict[str, tuple[dict[str, str], str]] = {
    "kernels": (KERNELS, "eager"),
    "dequantization": (DEQUANTIZATIONS, "bitsandbytes"),
    "experts": (EXPERTS, "float"),
}
"""Each choice of this room: its values with their sentences, and its default."""


def split_options(options: dict[str, Any], batch: int, sequence: int) -> tuple[MemoryOptions, dict[str, str]]:
    """Memory's options and this room's own ones, checked; a name that both have goes to both.

    Raises:
        ValueError: an unknown name or value, with the nearest one.

    >>> split_options({"kernels": "fused", "dtype": "float16"}, 1, 512)[1]["kernels"]
    'fused'
    """
    known = MemoryOptions.__dataclass_fields__
    own = {name: one_of(name, options.get(name, default), values) for name, (values, default) in OWN.items()}
    for name in options:
        one_of("option", name, [*known, *OWN])
    shared = {name: value for name, value in options.items() if name in known}
    return make_options(batch=batch, sequence=sequence, **shared), own
