"""Code to take away: Python that loads a model and applies a method with transformers and peft."""

from __future__ import annotations

from peftcalc.methods import LoRA, Method, QLoRA
from peftcalc.units import python_literal


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
        body += [f"    {key}={python_literal(value)}," for key, value in method.peft_arguments(task_type).items()]
        body += [")", "model = get_peft_model(model, config)", "model.print_trainable_parameters()"]
    return "\n".join([*lines, "", *body]) + "\n"
