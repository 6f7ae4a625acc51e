"""Code to take away: Python that loads a model and applies a method with transformers and peft."""

from __future__ import annotations

from peftcalc.methods import LoRA, Method, QLoRA
from peftcalc.methods.starts import changes_base
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
        config = ["config = LoraConfig("]
        config += [f"    {key}={python_literal(value)}," for key, value in method.peft_arguments(task_type).items()]
        config.append(")")
        if method.quantized and changes_base(method.init):
            names += ", PeftModel"
            body = _residual_first(config, body)
        else:
            if method.quantized:
                body.append("model = prepare_model_for_kbit_training(model)")
            body += [*config, "model = get_peft_model(model, config)"]
        if method.freeze_a:
            body += [
                "for name, parameter in model.named_parameters():  # LoRA-FA trains B alone",
                '    if ".lora_A." in name:',
                "        parameter.requires_grad_(False)",
            ]
        lines.append(f"from peft import {names}")
        body.append("model.print_trainable_parameters()")
    return "\n".join([*lines, "", *body]) + "\n"


def _residual_first(config: list[str], load: list[str]) -> list[str]:
    """A start that changes the base reads it in floats: what is left of it is saved, and that is stored in 4 bits."""
    return [
        "# this start reads the weights before they are quantized, and 4 bits hold what is left of them",
        "model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16)",
        *config,
        "model = get_peft_model(model, config)",
        'model.peft_config["default"].init_lora_weights = True  # on loading, nothing is taken out again',
        'model.save_pretrained("start")',
        'model.unload().save_pretrained("rest")',
        *[line.replace("MODEL,", '"rest",') for line in load],
        "model = prepare_model_for_kbit_training(model)",
        'model = PeftModel.from_pretrained(model, "start", is_trainable=True)',
    ]
