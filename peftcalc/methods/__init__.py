"""The vocabulary: the five methods as data, which every other room understands.

`method` what they have in common · `five` the methods themselves · `starts` how their adapters begin · `peft_objects`
the same as peft and bitsandbytes name them.
"""

from peftcalc.methods.five import (
    ALL_LINEAR,
    BIAS_CHOICES,
    MAX_RANK,
    METHODS,
    QUANT_TYPES,
    DoRA,
    Full,
    LoRA,
    QDoRA,
    QLoRA,
    Targets,
    make_method,
)
from peftcalc.methods.method import Method

__all__ = [
    "ALL_LINEAR",
    "BIAS_CHOICES",
    "MAX_RANK",
    "METHODS",
    "QUANT_TYPES",
    "DoRA",
    "Full",
    "LoRA",
    "Method",
    "QDoRA",
    "QLoRA",
    "Targets",
    "make_method",
]
