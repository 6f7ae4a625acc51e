"""The linear layers of the shipped text model, as numbers to quantize."""

from __future__ import annotations

import functools
import gzip
from typing import Any

import numpy as np
import torch

from peftcalc.lab.character_model import encode, load_character_model
from peftcalc.lab.tasks.corpora import DATA


def trained_layers() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each linear layer of the shipped text model: its weight (out, in), and its inputs on real text, (tokens, in)."""
    model = load_character_model(DATA / "text.safetensors").eval()
    with gzip.open(DATA / "docstrings.txt.gz", "rt", encoding="ascii") as file:
        codes = encode(file.read(4 * model.config.context)).view(4, -1)
    inputs: dict[str, np.ndarray] = {}
    linears = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    for name, module in linears.items():
        module.register_forward_pre_hook(functools.partial(_keep_input, inputs, name))
    with torch.inference_mode():
        model(codes)
    return {name: (module.weight.detach().numpy(), inputs[name]) for name, module in linears.items()}


def _keep_input(inputs: dict[str, np.ndarray], name: str, _: Any, arguments: tuple[Any, ...]) -> None:
    inputs[name] = arguments[0].flatten(0, 1).numpy()  # (tokens, in)
