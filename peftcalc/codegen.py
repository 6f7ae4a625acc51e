"""A method as the libraries write it: the real `LoraConfig`, the real `BitsAndBytesConfig`, and the code for both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peftcalc.methods import LoRA, Method, QLoRA

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig

# peft names the same things differently; what stands at peft's default is left out of the printed code.
_PEFT_NAMES = {
    "rank": "r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "targets": "target_modules",
    "rslora": "use_rslora",
    "exclude": "exclude_modules",
}
_ALWAYS_PRINTED = ("r", "lora_alpha", "lora_dropout", "target_modules")


def lora_arguments(method: LoRA, task_type: str | None = None) -> dict[str, Any]:
    """Keyword arguments of `peft.LoraConfig` for this method, without those at their default.

    >>> lora_arguments(LoRA(rank=4))
    {'r': 4, 'lora_alpha': 16, 'lora_dropout': 0.0, 'target_modules': 'all-linear'}
    """
    default = LoRA()
    arguments: dict[str, Any] = {}
    for name, value in method.as_dict().items():
        if name in ("quant", "double_quant"):
            continue
        peft_name = _PEFT_NAMES.get(name, name)
        if peft_name in _ALWAYS_PRINTED or value != getattr(default, name):
            arguments[peft_name] = list(value) if isinstance(value, tuple) else value
    if method.decomposed:
        arguments["use_dora"] = True
    if task_type is not None:
        arguments["task_type"] = task_type
    return arguments


def lora_config(method: LoRA, task_type: str | None = None) -> LoraConfig:
    """The real configuration object of peft."""
    from peft import LoraConfig

    return LoraConfig(**lora_arguments(method, task_type))


def bitsandbytes_config(method: QLoRA) -> BitsAndBytesConfig:
    """The real configuration object of the 4-bit base."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=method.quant,
        bnb_4bit_use_double_quant=method.double_quant,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def method_code(method: Method, task_type: str | None = "CAUSAL_LM") -> str:
    """Python text that loads a model and applies this method with transformers and peft; it runs once MODEL is set."""
    lines = ["import torch", "from transformers import AutoModelForCausalLM"]
    load = ["    MODEL,", "    dtype=torch.bfloat16,"]
    body: list[str] = []
    if isinstance(method, QLoRA):
        lines[1] += ", BitsAndBytesConfig"
        load.append("    quantization_config=quantization,")
        body += [
            "quantization = BitsAndBytesConfig(",
            "    load_in_4bit=True,",
            f'    bnb_4bit_quant_type="{method.quant}",',
            f"    bnb_4bit_use_double_quant={method.double_quant},",
            "    bnb_4bit_compute_dtype=torch.bfloat16,",
            ")",
        ]
    body += ["model = AutoModelForCausalLM.from_pretrained(", *load, ")"]
    if isinstance(method, LoRA):
        names = "LoraConfig, get_peft_model"
        if method.quantized:
            names += ", prepare_model_for_kbit_training"
            body.append("model = prepare_model_for_kbit_training(model)")
        lines.append(f"from peft import {names}")
        body += ["config = LoraConfig("]
        body += [f"    {key}={_python(value)}," for key, value in lora_arguments(method, task_type).items()]
        body += [")", "model = get_peft_model(model, config)", "model.print_trainable_parameters()"]
    return "\n".join([*lines, "", *body]) + "\n"


def _python(value: Any) -> str:
    """`repr` with double quotes, as formatters write it."""
    text = repr(value)
    return text.replace("'", '"') if '"' not in text else text
