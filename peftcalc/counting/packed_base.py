"""What a program prints that counts the bytes of a base in 4 bits as if each were one parameter.

bitsandbytes packs two weights of 4 bits into a byte, so `tensor.numel()` of such a weight is `⌈n / 2⌉`. Scripts that
add up `numel()`, as those of the QLoRA notebooks do, and older stacks print a total that is almost halved. peft 0.21
doubles such tensors again and prints the logical total, as everything here does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from peftcalc.methods import LoRA
from peftcalc.models.shapes import LINEAR_KINDS, ModelShapes

_KEPT_IN_FLOATS = {
    **dict.fromkeys(("t5", "mt5", "umt5", "udop", "pop2piano"), ("wo",)),
    "blip-2": ("qformer",),
    "longcat_flash": ("classifier",),
    **dict.fromkeys(("deepseek_v32", "glm_moe_dsa"), ("indexer.weights_proj",)),
    "deepseek_v4": (
        "self_attn.compressor.kv_proj",
        "self_attn.compressor.gate_proj",
        "self_attn.compressor.indexer.kv_proj",
        "self_attn.compressor.indexer.gate_proj",
        "self_attn.compressor.indexer.scorer.weights_proj",
    ),
}
"""Linear layers that transformers never quantizes, by model type (`_keep_in_fp32_modules` of its classes)."""


def is_packed(shapes: ModelShapes, method: LoRA) -> bool:
    """True when the base is in 4 bits: the method says so, or the model's own configuration does."""
    if not shapes.pretrained:
        return False
    return method.quantized or bool(_settings(shapes).get("load_in_4bit"))


def packed_total(shapes: ModelShapes, total: int) -> int:
    """The total that adding up `numel()` gives, for a logical total of base and adapter.

    `total - Σ ⌊n / 2⌋` over the weights of the linear layers that bitsandbytes replaces: all but the one that makes the
    logits, those whose weight is tied to another, the model's last one and those that its class keeps in floats. A
    configuration that lists what it keeps (`llm_int8_skip_modules`) keeps that in place of the head and the last one.

    >>> from peftcalc.models.shapes import ModuleGroup, Tensor
    >>> layer = ModuleGroup("up", "linear", "Linear", (Tensor("weight", (5, 3)),), (), 3, 5)
    >>> head = ModuleGroup("head", "linear", "Linear", (Tensor("weight", (3, 3)),), (), 3, 3)
    >>> packed_total(ModelShapes("a", "Net", {}, (layer, head)), total=15 + 9)
    17
    """
    return total - sum(weight // 2 * modules for weight, modules in _packed(shapes))


def _packed(shapes: ModelShapes) -> Iterator[tuple[int, int]]:
    """Numbers in one packed weight, and how many modules have it."""
    owners = {tensor.tied_to for group in shapes.groups for tensor in group.tensors if tensor.tied_to}
    listed = _skipped(shapes)
    kept = (*_kept_in_floats(shapes), *(listed or ()))
    head, last = None, None
    if listed is None:
        head = shapes.output_embedding
        last = next((group for group in reversed(shapes.groups) if group.parameters_each), None)
    for group in shapes.groups:
        if group.kind not in LINEAR_KINDS or group.template == head:
            continue
        weight = group.tensors[0] if group.tensors[0].name == "weight" else group.tensor("weight")
        if weight is None or weight.tied_to:
            continue
        if owners and any(f"{name}.weight" in owners for name in group.names):
            continue
        modules = group.repeats - (group is last)
        if kept:
            modules -= sum(_is_kept(name, kept) for name in group.names)
        yield weight.numel, max(modules, 0)


def _kept_in_floats(shapes: ModelShapes) -> Iterator[str]:
    """What the classes of the model and of its parts keep in floats."""
    config = shapes.config
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        yield from _KEPT_IN_FLOATS.get(str(part.get("model_type")), ())


def _is_kept(name: str, kept: tuple[str, ...]) -> bool:
    return any(name.endswith(key) or re.match(rf"{re.escape(key)}(\.|$)", name) for key in kept)


def _settings(shapes: ModelShapes) -> dict[str, Any]:
    """How the checkpoint itself is quantized, if its configuration says so."""
    settings = shapes.config.get("quantization_config")
    return settings if isinstance(settings, dict) else {}


def _skipped(shapes: ModelShapes) -> tuple[str, ...] | None:
    """Modules that the checkpoint's own configuration keeps out of quantization; None when it lists none."""
    names = _settings(shapes).get("llm_int8_skip_modules")
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else None
