"""A model of true shapes with random weights on a device, as `from_pretrained`, bitsandbytes and peft would leave it.

It is built without memory first, and each weight is made where it is to lie: a 4-bit base never needs the bytes of its
16-bit weights, so what fits the card in training fits it here.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import nn

from peftcalc.checks import one_of
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.simulate.choices.quantized_base import four_bit_linear, prepare, quantize_linears
from peftcalc.memory.simulate.training_model import cast_weights, enable_checkpointing, settings_of, with_adapters
from peftcalc.methods import Method, QLoRA
from peftcalc.models.configs.transformers_classes import class_called, quiet
from peftcalc.models.shapes import ModelShapes

LAYERS_OF_A_DRY_RUN = 2

_SPREAD = 0.02
"""Standard deviation of the random weights."""

_THRESHOLD = 6.0
"""Above it an input is an outlier of LLM.int8; transformers' default."""


def real_model(
    shapes: ModelShapes, method: Method, options: MemoryOptions, device: str, layers: int | None = None
) -> tuple[Any, Any]:
    """The model in training mode, and its configuration object.

    Args:
        shapes: a model of the transformers library.
        method, options: as for `estimate_memory`.
        device: "cuda" or "cpu".
        layers: another depth, for a dry run.

    Raises:
        ValueError: what transformers or peft refuse, and formats that bitsandbytes does not have.
    """
    settings = settings_of(shapes.config, layers)
    dtype = getattr(torch, options.dtype)
    model_class = class_called(shapes.architecture)
    settings._attn_implementation = _attention(model_class, options)
    with quiet():
        model = _without_memory(model_class, settings)
        cast_weights(model, torch.float32 if options.float32_masters and not method.has_adapter else dtype)
        if isinstance(method, QLoRA):
            _quantize(model, method, options, dtype, device)
        _fill(model, device)
        if method.has_adapter:
            model = with_adapters(model, method, options)
        if options.checkpointing:
            enable_checkpointing(model, contextlib.nullcontext, trains_embedding=not method.has_adapter)
    return model.train(), settings


def _attention(model_class: Any, options: MemoryOptions) -> str:
    """transformers' name of the attention."""
    if options.attention == "eager" or not getattr(model_class, "_supports_sdpa", False):
        return "eager"
    return "flash_attention_2" if options.attention == "flash" else "sdpa"


def _without_memory(model_class: Any, settings: Any) -> Any:
    """Parameters on meta; buffers, which are computed and small, as they are."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        model = model_class(settings)
    model.tie_weights()  # each name got a parameter of its own
    return model


def _quantize(model: Any, method: QLoRA, options: MemoryOptions, dtype: torch.dtype, device: str) -> None:
    one_of("base_format of a step that is measured", options.base_format, ("4bit", "int8"))

    def layer(weight: torch.Tensor, bias: bool) -> Any:
        real = torch.empty(weight.shape, dtype=dtype, device=device).normal_(0, _SPREAD)
        if options.base_format == "int8":
            return _eight_bit(real, bias)
        return four_bit_linear(real, method, dtype, device, bias)

    quantize_linears(model, layer)
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = options.base_format == "4bit", options.base_format == "int8"
    model.is_quantized = True
    prepare(model, options)


def _eight_bit(weight: torch.Tensor, bias: bool) -> Any:
    from bitsandbytes.nn import modules as bitsandbytes

    out_features, in_features = weight.shape
    linear: Any = bitsandbytes.Linear8bitLt(
        in_features, out_features, bias, has_fp16_weights=False, threshold=_THRESHOLD, device="meta"
    )
    eight_bit: Any = bitsandbytes.Int8Params
    linear.weight = eight_bit(weight, requires_grad=False, has_fp16_weights=False)._quantize(weight.device.type)
    return linear


def _fill(model: nn.Module, device: str) -> None:
    """Random matrices, and norms that change nothing, in the place of meta tensors; tied ones stay tied."""
    filled: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is None or not parameter.is_meta:
                continue
            if id(parameter) not in filled:
                real = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                real = real.normal_(0, _SPREAD) if parameter.dim() > 1 else real.fill_(float(name == "weight"))
                filled[id(parameter)] = nn.Parameter(real, requires_grad=parameter.requires_grad)
            module._parameters[name] = filled[id(parameter)]
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
