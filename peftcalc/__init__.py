"""peftcalc: what LoRA, DoRA, QLoRA, QDoRA and full fine-tuning cost, how they learn, and what 4 bits lose.

The public names are listed in `__all__` and loaded when first used, so that importing the package brings in neither
torch nor transformers, streamlit or matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# `count` is a function and the room it lives in. The room is loaded here, once, and its name given to the function:
# Python sets the attribute `peftcalc.count` to the module at its first import, and never again.
from peftcalc.count import count
from peftcalc.lazy import lazy_names
from peftcalc.methods import DoRA, Full, LoRA, QDoRA, QLoRA

if TYPE_CHECKING:
    from peftcalc.count import read_adapter_config
    from peftcalc.lab import (
        attach,
        compare,
        decompose,
        detach,
        finetune,
        load_adapter,
        merge,
        rank_of,
        save_adapter,
        unmerge,
    )
    from peftcalc.memory import estimate_memory, gpus, simulate_memory
    from peftcalc.models import catalogue, load_model
    from peftcalc.one_matrix import square
    from peftcalc.quant import quantization_error, quantize

__version__ = "0.1.0"

_ROOMS = {
    "read_adapter_config": "peftcalc.count",
    "square": "peftcalc.one_matrix",
    "catalogue": "peftcalc.models",
    "load_model": "peftcalc.models",
    "estimate_memory": "peftcalc.memory",
    "simulate_memory": "peftcalc.memory",
    "gpus": "peftcalc.memory",
    "quantize": "peftcalc.quant",
    "quantization_error": "peftcalc.quant",
    "decompose": "peftcalc.lab",
    "attach": "peftcalc.lab",
    "detach": "peftcalc.lab",
    "merge": "peftcalc.lab",
    "unmerge": "peftcalc.lab",
    "save_adapter": "peftcalc.lab",
    "load_adapter": "peftcalc.lab",
    "finetune": "peftcalc.lab",
    "compare": "peftcalc.lab",
    "rank_of": "peftcalc.lab",
}

__all__ = [
    "DoRA",
    "Full",
    "LoRA",
    "QDoRA",
    "QLoRA",
    "attach",
    "catalogue",
    "compare",
    "count",
    "decompose",
    "detach",
    "estimate_memory",
    "finetune",
    "gpus",
    "load_adapter",
    "load_model",
    "merge",
    "quantization_error",
    "quantize",
    "rank_of",
    "read_adapter_config",
    "save_adapter",
    "simulate_memory",
    "square",
    "unmerge",
]


__getattr__ = lazy_names(__name__, _ROOMS)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
