"""A quantized base: bitsandbytes' layers in the place of linear ones, and what is done to the weights beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.simulate.choices.quantized_experts import separate_experts
from peftcalc.methods import QLoRA


def quantize(model: Any, method: QLoRA, options: MemoryOptions, device: str = "meta") -> None:
    """Quantize the base as the options say, and prepare the rest as peft or TRL do.

    Args:
        model: as `from_pretrained` would load it without quantization.
        device: where the quantized weights lie; what they are made of may lie anywhere.

    Raises:
        ValueError: a format that bitsandbytes does not have.
    """
    dtype = getattr(torch, options.dtype)
    if options.base_format not in ("4bit", "int8"):
        raise ValueError(
            f"base_format {options.base_format!r} is not simulated, '4bit' and 'int8' are; estimate_memory has it"
        )
    if options.base_format == "int8":
        quantize_linears(model, lambda weight, bias: eight_bit_linear(weight, device, bias))
        model.is_loaded_in_8bit = True
    else:
        quantize_linears(model, lambda weight, bias: four_bit_linear(weight, method, dtype, device, bias))
        model.is_loaded_in_4bit = True
    model.is_quantized = True
    if options.experts == "4bit":
        separate_experts(model, lambda weight: four_bit_linear(weight, method, dtype, device))
    prepare(model, options)


def prepare(model: Any, options: MemoryOptions) -> None:
    """What peft or TRL do to the weights that are not quantized."""
    if options.preparation == "trl_norms":
        _upcast_norms(model)
    elif options.kbit_upcast and options.preparation == "peft":
        _upcast_rest(model, getattr(torch, options.dtype))


def _upcast_norms(model: Any) -> None:
    """What TRL's older preparation leaves in float32."""
    for name, module in model.named_modules():
        if "norm" in name or isinstance(module, nn.LayerNorm):
            module.to(torch.float32)


def quantize_linears(model: Any, layer: Callable[[torch.Tensor, bool], Any]) -> None:
    """Every linear layer but the head, and what stays float32 (`wo` of T5), is replaced, as transformers does.

    Args:
        layer: makes the new one from a weight (out, in) and whether it has a bias.
    """
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import get_keys_to_not_convert

    kept = set(get_keys_to_not_convert(model))
    for name, module in list(model.named_modules()):
        if name in kept or stays_float32(model, name) or not (type(module) is nn.Linear or isinstance(module, Conv1D)):
            continue
        weight: Any = module.weight.data if type(module) is nn.Linear else module.weight.data.T
        linear = layer(weight, module.bias is not None)
        if module.bias is not None:
            linear.bias = nn.Parameter(module.bias.data, requires_grad=False)
        model.set_submodule(name, linear)


def stays_float32(model: Any, name: str) -> bool:
    """Whether the model's class keeps this module or parameter in float32, and so out of quantization."""
    keep = getattr(model, "_keep_in_fp32_modules", None) or ()
    return any(part in name.split(".") for part in keep)


def eight_bit_linear(weight: torch.Tensor, device: str, bias: bool = False) -> Any:
    """A `Linear8bitLt` over this weight (out, in), without outlier columns, whose number depends on the data."""
    from bitsandbytes.autograd._functions import MatMul8bitLt
    from bitsandbytes.nn import modules as bitsandbytes

    class OnCuda(bitsandbytes.Linear8bitLt):
        """bitsandbytes has another product for the CPU."""

        def forward(self, x: torch.Tensor) -> Any:
            return MatMul8bitLt.apply(x, self.weight, None, self.bias, self.state)

    out_features, in_features = weight.shape
    linear: Any = OnCuda(in_features, out_features, bias, has_fp16_weights=False, device=device)
    codes = torch.empty(weight.shape, dtype=torch.int8, device=device)
    eight_bit: Any = bitsandbytes.Int8Params
    linear.weight = eight_bit(codes, requires_grad=False, has_fp16_weights=False)
    linear.state.CB, linear.state.SCB = linear.weight, torch.empty(out_features, device=device)
    return linear


def four_bit_linear(weight: torch.Tensor, method: QLoRA, dtype: torch.dtype, device: str, bias: bool = False) -> Any:
    """A `Linear4bit` over this weight (out, in)."""
    from bitsandbytes.nn import modules as bitsandbytes

    out_features, in_features = weight.shape
    linear: Any = bitsandbytes.Linear4bit(in_features, out_features, bias, dtype, method.double_quant, method.quant)
    four_bit: Any = bitsandbytes.Params4bit
    linear.weight = four_bit(
        weight, compress_statistics=method.double_quant, quant_type=method.quant, module=linear
    )._quantize(device)
    linear.weight.quant_state.dtype = dtype
    return linear


def _upcast_rest(model: Any, dtype: torch.dtype) -> None:
    """What is not quantized becomes float32, by peft's own function; fused experts stay, for they are multiplied so."""
    from peft import prepare_model_for_kbit_training

    stacks = [p for n, p in model.named_parameters() if p.dim() == 3 and ".experts." in n and p.is_floating_point()]
    prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    for parameter in stacks:
        parameter.data = parameter.data.to(dtype)
