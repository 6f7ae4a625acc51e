"""Trials of merging: LoRA trained over a base in four bits, and what its loss becomes in one weight of either kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from peftcalc.lab.findings.stacks import TrainedStack, weight_of
from peftcalc.lab.run_settings import run_settings
from peftcalc.lab.stacked.layers import StackedLinear
from peftcalc.lab.stacked.stack import Stack
from peftcalc.methods import LoRA
from peftcalc.quant.quantizing import quantize

Row = dict[str, Any]

FORMATS = {
    "nf4": {"block_size": 64, "double_quant": True},
    "fp4": {"block_size": 64, "double_quant": True},
    "mxfp4": {"block_size": 32},
    "int4": {"block_size": 64},
}
"""The four formats with the options of `quantize`; the first two are QLoRA's."""
WAYS = ("requantized", "dequantized", "original")
STEPS = 300
RATE = 1e-2
TASK = "digits"


def merging(seed: int) -> list[Row]:
    """Held-out loss before training in floats and in four bits, trained, and merged in three ways, by format.

    A base in four bits is here its dequantized weight in floats, which computes the same; so every format can be tried.
    """
    stack, bases = _begun(seed)
    floats = [found.validation for found in stack.evaluate()]
    _over(stack, [_rounded(base) for base in bases])
    trained = TrainedStack(stack)
    merged = {way: _merged(stack, bases, way) for way in WAYS}
    found = {way: _loss_of(stack, weights) for way, weights in merged.items()}
    return [
        {
            "quant": quant,
            "seed": seed,
            "steps": STEPS,
            "floats_before": floats[place],
            "before": trained.before(place),
            "trained": trained.after(place),
            **{way: losses[place] for way, losses in found.items()},
        }
        for place, quant in enumerate(FORMATS)
    ]


def merging_layers(seed: int) -> list[Row]:
    """Of every matrix its size, what four bits lose of it, how large its update is, and what requantizing loses of the
    two together: norms over that of the matrix."""
    stack, bases = _begun(seed)
    rounded = [_rounded(base) for base in bases]
    _over(stack, rounded)
    TrainedStack(stack)
    names = [name for name, part in stack.module.named_modules() if isinstance(part, StackedLinear)]
    rows = []
    for name, layer, base, start in zip(names, stack.layers, bases, rounded, strict=True):
        now = weight_of(layer)
        again = _rounded(now)
        for place, quant in enumerate(FORMATS):
            size = float(base[place].norm())
            parts = {"error": base - start, "update": now - start, "requantized_error": again - now}
            shares = {key: float(part[place].norm()) / size for key, part in parts.items()}
            rows.append({"quant": quant, "seed": seed, "layer": name, "norm": size, **shares})
    return rows


def _begun(seed: int) -> tuple[Stack, list[Tensor]]:
    """A stack of LoRA with a model for each format, and its base's weights, (formats, out, in) each."""
    one = run_settings(TASK, LoRA(rank=8, alpha=16), seed=seed, steps=STEPS, learning_rate=RATE, evaluations=1)
    stack = Stack([one] * len(FORMATS))
    return stack, [layer.weight.clone() for layer in stack.layers]


def _rounded(weights: Tensor) -> Tensor:
    """Each format's weight quantized in it, and dequantized."""
    return torch.stack(
        [
            quantize(weight, quant, **options).dequantize()
            for weight, (quant, options) in zip(weights, FORMATS.items(), strict=True)
        ]
    )


def _over(stack: Stack, weights: Sequence[Tensor]) -> None:
    """Put other frozen weights below the stack's updates."""
    for layer, weight in zip(stack.layers, weights, strict=True):
        layer.weight = weight


def _merged(stack: Stack, bases: Sequence[Tensor], way: str) -> list[Tensor]:
    """The weights that hold the updates: over the dequantized base, over the original one, or quantized again."""
    found = []
    for layer, base in zip(stack.layers, bases, strict=True):
        now = weight_of(layer)
        if way == "original":
            now = now - layer.weight + base
        found.append(_rounded(now) if way == "requantized" else now)
    return found


def _loss_of(stack: Stack, weights: Sequence[Tensor]) -> list[float]:
    """Held-out losses with these weights and no updates beside them."""
    kept = [(layer.weight, layer.updates) for layer in stack.layers]
    for layer, weight in zip(stack.layers, weights, strict=True):
        layer.weight, layer.updates = weight, []
    found = [one.validation for one in stack.evaluate()]
    for layer, (weight, updates) in zip(stack.layers, kept, strict=True):
        layer.weight, layer.updates = weight, updates
    return found
