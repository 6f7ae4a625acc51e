"""The same method as the libraries name it: peft's arguments, and the real configuration of a base in 4 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peftcalc.lazy import explained
from peftcalc.methods.starts import loftq_config, to_peft

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

    from peftcalc.methods.five import LoRA

PEFT_NAMES = {
    "rank": "r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "targets": "target_modules",
    "rslora": "use_rslora",
    "exclude": "exclude_modules",
    "init": "init_lora_weights",
}
"""Where peft names the same thing differently."""
_NOT_IN_A_CONFIG = ("freeze_a", "lr_ratio")
"""Which factors are trained, and how fast, is in peft a matter of the optimizer."""
_ALWAYS_GIVEN = ("r", "lora_alpha", "lora_dropout", "target_modules")


def lora_arguments(method: LoRA, default: LoRA, task_type: str | None) -> dict[str, Any]:
    """Keyword arguments of `peft.LoraConfig`: those that are always given, and those that differ from `default`."""
    arguments: dict[str, Any] = {}
    for name, value in default.as_dict().items():
        ours, theirs = getattr(method, name), PEFT_NAMES.get(name, name)
        if name not in _NOT_IN_A_CONFIG and (theirs in _ALWAYS_GIVEN or ours != value):
            arguments[theirs] = list(ours) if isinstance(ours, tuple) else ours
    if "init_lora_weights" in arguments:
        arguments["init_lora_weights"] = to_peft(method.init)
        arguments |= {"loftq_config": turns} if (turns := loftq_config(method.init)) else {}
    if method.decomposed:
        arguments["use_dora"] = True
    return arguments if task_type is None else arguments | {"task_type": task_type}


def four_bit_config(quant: str, double_quant: bool) -> BitsAndBytesConfig:
    """The real configuration object of a base in 4 bits, which computes in bfloat16."""
    with explained("a transformers.BitsAndBytesConfig"):
        import torch
        from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quant,
        bnb_4bit_use_double_quant=double_quant,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
