"""peftcalc: what LoRA, DoRA, QLoRA, QDoRA and full fine-tuning cost, how they learn, and what 4 bits lose.

The public names are listed in `__all__` and loaded when first used, so that importing the package brings in neither
torch nor transformers, streamlit, numpy, pandas or matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftcalc.lazy import lazy_names
from peftcalc.methods import DoRA, Full, LoRA, QDoRA, QLoRA

if TYPE_CHECKING:
    from peftcalc.adapters.attach import activate, attach, detach, merge, unmerge
    from peftcalc.adapters.files.adapter_folder import load_adapter, save_adapter
    from peftcalc.adapters.state import adapters
    from peftcalc.adapters.switching import disabled, remove_adapter
    from peftcalc.advice.advise import advise
    from peftcalc.counting.adapter_file import read_adapter_config
    from peftcalc.counting.count import count
    from peftcalc.counting.one_matrix import square
    from peftcalc.doctor.cut import cut_adapter
    from peftcalc.doctor.examine import inspect_adapter
    from peftcalc.evidence.rows import evidence
    from peftcalc.geometry.direction import decompose
    from peftcalc.geometry.spectrum import rank_of
    from peftcalc.jobs.compared import compare
    from peftcalc.lab.sweeps.sweep import sweep
    from peftcalc.lab.training import finetune
    from peftcalc.memory.cards import gpus
    from peftcalc.memory.estimate.closed_form import estimate_memory
    from peftcalc.memory.fit import fit
    from peftcalc.memory.serving.estimate import estimate_serving
    from peftcalc.memory.simulate.simulate import simulate_memory
    from peftcalc.models.catalogue import catalogue
    from peftcalc.models.load import load_model
    from peftcalc.quant.errors import quantization_error
    from peftcalc.quant.quantizing import quantize
    from peftcalc.speed.estimate import estimate_speed
    from peftcalc.speed.run import run_cost

__version__ = "0.1.0"

_MODULES = {
    "activate": "peftcalc.adapters.attach",
    "adapters": "peftcalc.adapters",
    "advise": "peftcalc.advice.advise",
    "attach": "peftcalc.adapters.attach",
    "catalogue": "peftcalc.models.catalogue",
    "compare": "peftcalc.jobs.compared",
    "count": "peftcalc.counting.count",
    "cut_adapter": "peftcalc.doctor.cut",
    "decompose": "peftcalc.geometry.direction",
    "detach": "peftcalc.adapters.attach",
    "disabled": "peftcalc.adapters.switching",
    "estimate_memory": "peftcalc.memory.estimate.closed_form",
    "estimate_serving": "peftcalc.memory.serving.estimate",
    "estimate_speed": "peftcalc.speed.estimate",
    "evidence": "peftcalc.evidence",
    "finetune": "peftcalc.lab.training",
    "fit": "peftcalc.memory.fit",
    "gpus": "peftcalc.memory.cards",
    "inspect_adapter": "peftcalc.doctor.examine",
    "load_adapter": "peftcalc.adapters.files.adapter_folder",
    "load_model": "peftcalc.models.load",
    "merge": "peftcalc.adapters.attach",
    "quantization_error": "peftcalc.quant.errors",
    "quantize": "peftcalc.quant.quantizing",
    "rank_of": "peftcalc.geometry.spectrum",
    "remove_adapter": "peftcalc.adapters.switching",
    "read_adapter_config": "peftcalc.counting.adapter_file",
    "run_cost": "peftcalc.speed.run",
    "save_adapter": "peftcalc.adapters.files.adapter_folder",
    "simulate_memory": "peftcalc.memory.simulate.simulate",
    "square": "peftcalc.counting.one_matrix",
    "sweep": "peftcalc.lab.sweeps.sweep",
    "unmerge": "peftcalc.adapters.attach",
}

__all__ = [
    "DoRA",
    "Full",
    "LoRA",
    "QDoRA",
    "QLoRA",
    "activate",
    "adapters",
    "advise",
    "attach",
    "catalogue",
    "compare",
    "count",
    "cut_adapter",
    "decompose",
    "detach",
    "disabled",
    "estimate_memory",
    "estimate_serving",
    "estimate_speed",
    "evidence",
    "finetune",
    "fit",
    "gpus",
    "inspect_adapter",
    "load_adapter",
    "load_model",
    "merge",
    "quantization_error",
    "quantize",
    "rank_of",
    "read_adapter_config",
    "remove_adapter",
    "run_cost",
    "save_adapter",
    "simulate_memory",
    "square",
    "sweep",
    "unmerge",
]

__getattr__ = lazy_names(__name__, _MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
