"""The same run as a configuration for Axolotl: YAML with the keys of its schema.

It is checked against the schema of release 0.19.0 and read back; Axolotl itself was not run.
"""

from __future__ import annotations

import json
from typing import Any

from peftcalc.methods import ALL_LINEAR, LoRA, Method, QLoRA
from peftcalc.models.shapes import ModelShapes
from peftcalc.recipes.model_class import model_class
from peftcalc.recipes.model_source import model_source
from peftcalc.recipes.objectives import objective
from peftcalc.recipes.python_code import repeated_heads
from peftcalc.recipes.text_objectives import TEXT
from peftcalc.recipes.training_script import FOLDER, OPTIMIZERS, TrainingSettings

SCHEMA = "axolotl 0.19.0"
FIRST_LINES = f"""\
# Checked against the schema of {SCHEMA}; not run here. Start it with: axolotl train axolotl.yaml
# data.jsonl holds one text a line: {{"text": "The ferry to the island leaves at nine."}}
"""
OLD_CARDS = """\
# Before compute capability 8.0 (T4, V100) sdpa keeps sequence × sequence for this model: query heads share keys, and
# no key here has them repeated. The training script does.
"""
NO_KEY = ("lora_bias", "exclude", "alpha_pattern", "target_parameters", "freeze_a")
"""What Axolotl's schema has no key for."""
STARTS = ("default", "gaussian")
"""Starts of A and B that leave the base as it is."""


def axolotl_yaml(method: Method, model: ModelShapes | Any = None, settings: TrainingSettings | None = None) -> str:
    """YAML with which Axolotl fine-tunes a causal language model.

    Args:
        method, model, settings: as for `training_script`.

    Raises:
        ValueError: another kind of model, or an option of the method that Axolotl has no key for.

    >>> print(next(line for line in axolotl_yaml(LoRA(rank=4)).splitlines() if not line.startswith("#")))
    base_model: "HuggingFaceTB/SmolLM2-135M"
    """
    chosen, source = settings or TrainingSettings(), model_source(model)
    loaded = model_class(source.shapes, chosen.task_type, chosen.num_labels)
    if objective(source.shapes, loaded) is not TEXT:
        raise ValueError(f"Axolotl's text fine-tuning takes causal language models, not {loaded.name}")
    values = {
        "base_model": source.name or FOLDER,
        **(_adapter(method) if isinstance(method, LoRA) else {}),
        "datasets": [{"path": "data.jsonl", "ds_type": "json", "type": "completion", "field": "text"}],
        **_run(method, chosen),
    }
    shared = chosen.attention == "sdpa" and repeated_heads(source.shapes, chosen.dtype)
    lines = [FIRST_LINES, OLD_CARDS if shared else "", *(f"{key}: {_yaml(value)}\n" for key, value in values.items())]
    return "".join(lines)


def _yaml(value: Any) -> str:
    """JSON is YAML, but for 2e-05, which YAML 1.1 reads as a text, and for lines that end where JSON's do not."""
    if isinstance(value, float) and "e" in repr(value):
        return format(value, ".15f").rstrip("0")
    text = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    """As YAML writes a character that is not printed; JSON has four digits for it, and two of them above 65,535."""
    return f"\\u{ord(letter):04x}" if ord(letter) < 2**16 else f"\\U{ord(letter):08x}"


def _adapter(method: LoRA) -> dict[str, Any]:
    """The keys of the adapter, and of a base in 4 bits."""
    for name in NO_KEY:
        if getattr(method, name):
            raise ValueError(f"Axolotl's schema has no key for {name}, which is {getattr(method, name)!r}")
    if method.init not in STARTS:
        raise ValueError(f"a start that changes the base, {method.init!r}, is not written for Axolotl, but as a script")
    if method.bias != "none":
        raise ValueError(f"Axolotl's schema has no key for bias, which is {method.bias!r}")
    pattern = (method.layers_pattern or ()) if method.layers_to_transform else ()
    targets = method.targets if isinstance(method.targets, str) else list(method.targets)
    given = {
        "adapter": "qlora" if method.quantized else "lora",
        "lora_r": method.rank,
        "lora_alpha": int(method.alpha),
        "lora_dropout": method.dropout,
        **({"lora_target_linear": True} if targets == ALL_LINEAR else {"lora_target_modules": targets}),
    }
    if method.alpha != int(method.alpha):
        raise ValueError(f"Axolotl's lora_alpha is a whole number, got {method.alpha!r}")
    optional = {
        "lora_modules_to_save": list(method.modules_to_save),
        "lora_rank_pattern": dict(method.rank_pattern),
        "peft_layers_to_transform": list(method.layers_to_transform or ()),
        "peft_layers_pattern": [pattern] if isinstance(pattern, str) else list(pattern),
        "peft_init_lora_weights": None if method.init == "default" else method.init,
        "peft_use_dora": method.decomposed,
        "peft_use_rslora": method.rslora,
        "loraplus_lr_ratio": float(method.lr_ratio) if method.lr_ratio != 1 else None,
    }
    given |= {key: value for key, value in optional.items() if value}
    if isinstance(method, QLoRA):
        kinds = {"bnb_4bit_quant_type": method.quant, "bnb_4bit_use_double_quant": method.double_quant}
        given |= {"load_in_4bit": True, "bnb_config_kwargs": kinds}
    return given


def _run(method: Method, settings: TrainingSettings) -> dict[str, Any]:
    """The keys of the training run."""
    return {
        "output_dir": f"{method.name}-output",
        "sequence_len": settings.sequence,
        "micro_batch_size": settings.batch,
        "gradient_accumulation_steps": settings.accumulation,
        "num_epochs": settings.epochs,
        "learning_rate": settings.rate(method),
        "optimizer": OPTIMIZERS[settings.optimizer],
        "seed": settings.seed,
        **_precision(method, settings),
        "attn_implementation": settings.attention_name,
        **({"gradient_checkpointing": True} if settings.checkpointing else {}),
        "val_set_size": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
    }


def _precision(method: Method, settings: TrainingSettings) -> dict[str, Any]:
    """bfloat16 or float16; float32 in float16's place where all weights are trained, since gradients are scaled."""
    if settings.dtype is None:
        return {"bf16": "auto"}
    return {"bf16": settings.dtype == "bfloat16", "fp16": settings.dtype == "float16" and method.has_adapter}
