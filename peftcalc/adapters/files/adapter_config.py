"""`adapter_config.json`, the description that peft keeps beside an adapter's tensors, as a method and back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from peftcalc.methods import DoRA, LoRA, QDoRA, QLoRA
from peftcalc.methods.starts import from_peft
from peftcalc.outside_files import check_content, read_bounded

MAX_BYTES = 5_000_000
"""The longest files, which list every module of a large model, have some tens of kilobytes."""

_NAMES = {
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
    "use_rslora": "rslora",
    "bias": "bias",
    "lora_bias": "lora_bias",
    "modules_to_save": "modules_to_save",
    "exclude_modules": "exclude",
    "rank_pattern": "rank_pattern",
    "alpha_pattern": "alpha_pattern",
    "layers_to_transform": "layers_to_transform",
    "layers_pattern": "layers_pattern",
    "target_parameters": "target_parameters",
}
_WITHOUT_MEANING_HERE = {
    *("auto_mapping", "base_model_name_or_path", "fan_in_fan_out", "inference_mode", "loftq_config", "peft_type"),
    *("peft_version", "qalora_group_size", "revision", "task_type", "use_dora", "megatron_core", "init_lora_weights"),
    *("runtime_config", "eva_config", "corda_config", "lora_ga_config"),
}


def config_of(method: LoRA, targets: list[str], model: Any) -> dict[str, Any]:
    """What to write for a method whose targets were found to be `targets`, on a model."""
    config = {"peft_type": "LORA", "task_type": None, "base_model_name_or_path": None, "inference_mode": True}
    config |= method.peft_arguments() | {"target_modules": targets}
    if type(model).__name__.endswith("ForCausalLM"):
        config["task_type"] = "CAUSAL_LM"
    name = getattr(getattr(model, "config", None), "_name_or_path", "")
    if name and not os.path.exists(name):
        config["base_model_name_or_path"] = name
    return config


def beside_peft(method: LoRA) -> dict[str, Any]:
    """What peft's format leaves out: how the base was quantized, that A is frozen, how much faster B learns.

    >>> beside_peft(QLoRA(freeze_a=True))
    {'quant': 'nf4', 'double_quant': True, 'freeze_a': True}
    """
    more: dict[str, Any] = {}
    if isinstance(method, QLoRA):
        more |= {"quant": method.quant, "double_quant": method.double_quant}
    more |= {"freeze_a": True} if method.freeze_a else {}
    return more | ({"lr_ratio": float(method.lr_ratio)} if method.lr_ratio != 1 else {})


def checked_beside_peft(found: dict[str, Any], file: str) -> dict[str, Any]:
    """The same, as somebody else wrote it."""
    kinds = {"quant": str, "double_quant": bool, "freeze_a": bool, "lr_ratio": float}
    known = found.keys() <= kinds.keys() and ("quant" in found) == ("double_quant" in found)
    if not known or not all(isinstance(value, kinds[name]) for name, value in found.items()):
        raise ValueError(f"{file} must hold quant and double_quant, freeze_a, lr_ratio or all of them, got {found}")
    return found


def method_of(config: dict[str, Any], more: dict[str, Any] | None = None) -> LoRA:
    """The method that a file describes; `more` holds what peft's file leaves out, see `beside_peft`.

    Raises:
        ValueError: another kind of adapter, a setting that is not known here, or a start that changes the base in a way
            that is not known here.

    >>> method_of({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "use_dora": True})
    DoRA(rank=4, alpha=8, targets=('q_proj',))
    """
    if str(config.get("peft_type")).upper() != "LORA":
        raise ValueError(f"peft_type must be LORA (with use_dora for DoRA), got {config.get('peft_type')!r}")
    unknown = [
        name for name, value in config.items() if value and name not in _NAMES and name not in _WITHOUT_MEANING_HERE
    ]
    if unknown:
        raise ValueError(f"this adapter uses {', '.join(unknown)}, which the lab does not know")
    if not config.get("target_modules") and not config.get("target_parameters"):
        raise ValueError("this adapter_config.json names no target_modules")
    values = {ours: config[theirs] for theirs, ours in _NAMES.items() if config.get(theirs) is not None}
    values["init"] = from_peft(config.get("init_lora_weights", True), config.get("loftq_config"))
    if "r" not in config or "lora_alpha" not in config:
        values = {"rank": 8, "alpha": 8} | values  # peft's defaults
    more = more or {}
    quant = "quant" in more
    kind = (QDoRA if quant else DoRA) if config.get("use_dora") else (QLoRA if quant else LoRA)
    try:
        return kind(**values, **more)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"this adapter_config.json holds a value of a wrong kind: {error}") from None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file that somebody else wrote.

    Raises:
        ValueError: no such file, too large, not JSON, or not an object.
    """
    if not os.path.exists(path):
        raise ValueError(f"cannot read {path.name}: no such file")
    content = read_bounded(path, MAX_BYTES, path.name)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not readable JSON: {error}") from None
    check_content(value if isinstance(value, dict) else {}, path.name)
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} must hold names and values, got a {type(value).__name__}")
    return value
