"""The model of a training step as users build it, by transformers, bitsandbytes and peft, without any memory.

It is built on the meta device, where modules convert as usual, and then moved to fake tensors, which have a device and
with it autocast.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.simulate.choices.quantized_base import quantize, stays_float32
from peftcalc.memory.simulate.cuda_rules import register_attention
from peftcalc.methods import Full, LoRA, Method, QLoRA
from peftcalc.models.bounded.building import bounded
from peftcalc.models.configs.transformers_classes import class_called, config_object, quiet
from peftcalc.models.shapes import ModelShapes


def settings_of(config: Mapping[str, Any], layers: int | None = None) -> Any:
    """The transformers configuration object, with another number of (language) layers if one is given.

    Attributes that hold one entry a layer are cut to that number.

    Raises:
        ValueError: a model type that transformers does not have, or settings that it refuses.
    """
    settings = config_object(config)
    settings.use_cache = False
    settings.get_text_config().use_cache = False
    if getattr(settings, "is_encoder_decoder", False) and getattr(settings, "decoder_start_token_id", None) is None:
        settings.decoder_start_token_id = 0
    if layers is not None:
        language = settings.get_text_config()
        depth = language.num_hidden_layers
        for name, value in list(vars(language).items()):
            if isinstance(value, list | tuple) and len(value) == depth:
                setattr(language, name, value[:layers])
        language.num_hidden_layers = layers
    return settings


def build_model(settings: Any, architecture: str, method: Method, options: MemoryOptions) -> nn.Module:
    """The model, on the meta device, with the adapters, types and frozen weights that users would have.

    Raises:
        ValueError: transformers or peft cannot build it, with their reason.
    """
    with quiet(), torch.device("meta"):
        model = _base(settings, architecture, options)
        dtype = getattr(torch, options.dtype)
        if isinstance(method, Full):
            cast_weights(model, torch.float32 if options.float32_masters else dtype)
            model.train()
            return model
        cast_weights(model, dtype)
        if isinstance(method, QLoRA):
            quantize(model, method, options)
        return with_adapters(model, method, options).train()


def enable_checkpointing(model: Any, recomputation: Callable[[], Any], trains_embedding: bool) -> None:
    """Non-reentrant checkpointing of every layer.

    Args:
        recomputation: gives the context in which a layer is computed again.
        trains_embedding: False where nothing before the first layer is trained; its input then must ask for a gradient.

    Raises:
        ValueError: an architecture that does not support it.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not getattr(base, "supports_gradient_checkpointing", False):
        raise ValueError(f"{type(base).__name__} does not support gradient checkpointing")
    settings = {"use_reentrant": False, "context_fn": lambda: (contextlib.nullcontext(), recomputation())}
    with quiet():
        enable = getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable
        enable(settings)
    if not trains_embedding:
        base.enable_input_require_grads()


def untie(model: Any, shapes: ModelShapes) -> None:
    """A head of its own for a model that has one, where transformers ties it until the weights say otherwise.

    T5's classes always begin tied; weights with both tensors untie them (transformers 5.23, `tie_weights`).
    """
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = {group.template: group for group in shapes.groups}
    head, table = known.get(shapes.output_embedding or ""), known.get(shapes.input_embedding or "")
    apart = head is not None and table is not None and not any(tensor.tied_to for tensor in head.tensors)
    output = whole.get_output_embeddings() if apart and head is not table else None
    if output is not None and output.weight is whole.get_input_embeddings().weight:
        old = output.weight
        output.weight = nn.Parameter(torch.empty_like(old), requires_grad=old.requires_grad)


def to_fake(model: nn.Module, mode: FakeTensorMode) -> None:
    """Replace every tensor of the model, meta or real, by a fake one on the CPU; tied parameters stay tied."""
    converted: dict[int, Any] = {}

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        with mode:
            return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")

    def convert(tensor: Any) -> Any:
        if not isinstance(tensor, torch.Tensor) or isinstance(tensor, FakeTensor):
            return tensor
        if id(tensor) not in converted:
            replacement: Any = fake(tensor)
            if isinstance(tensor, nn.Parameter):
                replacement = _same_parameter(tensor, replacement, convert)
            converted[id(tensor)] = (replacement, tensor)  # the original stays alive, so that its id stays its own
        return converted[id(tensor)][0]

    for module in model.modules():
        for tensors in (module._parameters, module._buffers, module.__dict__):
            for name, value in list(tensors.items()):
                tensors[name] = convert(value)
        state = getattr(module._parameters.get("weight"), "quant_state", None)
        if state is not None:
            module.__dict__["quant_state"] = state
        rows: Any = getattr(module, "state", None)  # of an 8-bit layer
        if getattr(rows, "SCB", None) is not None:
            rows.CB, rows.SCB = module._parameters["weight"], convert(rows.SCB)


def _same_parameter(old: Any, data: torch.Tensor, convert: Any) -> nn.Parameter:
    """A parameter over other data; a 4-bit one with its quantization state over converted tensors."""
    state = getattr(old, "quant_state", None)
    if state is None:
        return nn.Parameter(data, requires_grad=old.requires_grad)
    parameter: Any = nn.Parameter(data, requires_grad=False)
    parameter.__class__ = _fake_four_bit()
    parameter.quant_state = state
    while state is not None:
        state.absmax, state.code, state.offset = convert(state.absmax), convert(state.code), convert(state.offset)
        state = state.state2
    return parameter


@cache
def _fake_four_bit() -> type:
    """A fake tensor's class under the name by which peft recognises a 4-bit weight."""
    return type("Params4bit", (FakeTensor,), {})


def _base(settings: Any, architecture: str, options: MemoryOptions) -> Any:
    """The transformers model of this class, in float32."""
    model_class = class_called(architecture)
    written_out = options.attention == "eager" or not getattr(model_class, "_supports_sdpa", False)
    name = "eager" if written_out else register_attention()
    settings._attn_implementation = name
    with bounded("the model of this config"):
        try:
            return model_class(settings)
        except KeyError:  # an older family looks its attention up in a table of its own
            settings._attn_implementation = "eager" if written_out else "sdpa"
            return model_class(settings)


def cast_weights(model: Any, dtype: torch.dtype) -> None:
    """Parameters in the stored type, buffers (rotary frequencies) as they are, as `from_pretrained` leaves them."""
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not stays_float32(model, name):
            parameter.data = parameter.data.to(dtype)


def with_adapters(model: Any, method: Method, options: MemoryOptions) -> Any:
    """The model wrapped by peft, as for any causal language model."""
    from peft import get_peft_model

    assert isinstance(method, LoRA)
    start = replace(method, init="default")  # how A and B begin takes no memory, and a meta tensor has no vectors
    try:
        adapted = get_peft_model(model, start.to_peft(), autocast_adapter_dtype=options.adapters_float32)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"peft cannot adapt this model: {error}") from error
    if not options.adapters_float32 and options.preparation == "peft":
        _cast_adapters(adapted)
    if method.quantized and options.preparation != "peft":
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(getattr(torch, options.dtype))
    if method.freeze_a:
        for name, parameter in adapted.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and ".lora_A." not in name)
    return adapted


def _cast_adapters(model: nn.Module) -> None:
    """Adapters in the type of the weight they sit on, as peft leaves them; over a 4-bit weight they stay float32.

    peft does this itself wherever weights have a device, but not on meta.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        weight = getattr(module.get_base_layer(), "weight", None) if isinstance(module, BaseTunerLayer) else None
        if weight is None or not weight.is_floating_point():
            continue
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(weight.dtype)
