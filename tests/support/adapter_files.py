"""Small adapters as peft writes them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

TENSORS, CONFIG = "adapter_model.safetensors", "adapter_config.json"

BASE: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 40,
}


def llama() -> nn.Module:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**BASE)).eval()


def image_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(6 * 16, 6)).eval()


def write_adapter(folder: Path, build: Callable[[], nn.Module] = llama, **settings: Any) -> nn.Module:
    """Attach with peft, give every tensor numbers, save; the adapted module is returned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's own, about embeddings and hub look-ups
        settings = {"r": 6, "lora_alpha": 15, "target_modules": ["q_proj", "v_proj"]} | settings
        module = peft.get_peft_model(build(), peft.LoraConfig(**settings)).eval()  # pyright: ignore[reportArgumentType]
        torch.manual_seed(1)
        with torch.no_grad():
            for tensor in module.parameters():
                if tensor.requires_grad:
                    tensor.add_(torch.randn_like(tensor), alpha=0.2)
        module.save_pretrained(str(folder))
    return module


def peft_load(folder: Path, build: Callable[[], nn.Module] = llama) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.PeftModel.from_pretrained(build(), str(folder)).eval()


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change the tensors in place, or by what `change` returns."""
    tensors = load_file(folder / TENSORS)
    changed = change(tensors)
    tensors = tensors if changed is None else changed
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / TENSORS)


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))
