"""The 4-bit base: bitsandbytes' codes, peft's training over the dequantized weights, and 4.127 bits a parameter."""

from __future__ import annotations

import copy

import four_bits
import peft
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

import peftcalc as pc
from peftcalc.adapters.layers.lora import LoRALinear
from peftcalc.adapters.layers.quantized_linear import QuantizedLinear
from peftcalc.adapters.state import adapted, adapter_tensors, trainable

METHODS = [
    pc.QLoRA(rank=4, alpha=10),
    pc.QDoRA(rank=4, alpha=10),
    pc.QLoRA(rank=4, alpha=10, quant="fp4", double_quant=False, dropout=0.3),
    pc.QDoRA(rank=4, alpha=10, quant="fp4", dropout=0.3, bias="all"),
    pc.QDoRA(rank=4, alpha=10, double_quant=False, rslora=True),
]
RELATIVE = 1e-5


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(96, 80), nn.Tanh(), Conv1D(48, 80), nn.Tanh(), nn.Linear(48, 12, bias=False))


def through_four_bits(weight: torch.Tensor, method: pc.QLoRA) -> torch.Tensor:
    """What bitsandbytes makes of a weight, (out, in)."""
    return four_bits.quantized(weight, quant_type=method.quant, compress_statistics=method.double_quant)[-1]


def rounded_net(method: pc.QLoRA) -> nn.Module:
    """The net with each weight replaced by what 4 bits leave of it."""
    module = net()
    with torch.no_grad():
        for layer in module[::2]:
            W = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
            W.copy_(through_four_bits(W, method))
    return module


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm().clamp_min(1e-12)).item()


def disturb(module: nn.Module) -> None:
    torch.manual_seed(7)
    with torch.no_grad():
        for tensor in adapter_tensors(module).values():
            tensor.add_(torch.randn_like(tensor), alpha=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("method", METHODS[:3], ids=repr)
def test_the_stored_weight_is_bitsandbytes(method, dtype):
    torch.manual_seed(0)
    layer = nn.Linear(96, 80).to(dtype)
    quantized = QuantizedLinear.of(layer, method)
    assert torch.equal(quantized.dequantize(), through_four_bits(layer.weight.detach(), method))


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to")
@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_training_equals_pefts_over_the_dequantized_base(method):
    kind = pc.DoRA if method.decomposed else pc.LoRA
    plain = kind(**{name: value for name, value in method.as_dict().items() if name not in ("quant", "double_quant")})
    torch.manual_seed(0)
    theirs = peft.get_peft_model(rounded_net(method), plain.to_peft())
    torch.manual_seed(0)
    ours = pc.attach(net(), method)
    assert trainable(ours) == theirs.get_nb_trainable_parameters()[0]
    assert trainable(ours) == pc.count(net(), method).trainable
    mine = adapter_tensors(ours)
    reference = {}
    for name, parameter in theirs.named_parameters():
        if parameter.requires_grad:
            name = name.removeprefix("base_model.model.").replace(".default", "").replace(".base_layer", "")
            reference[name.replace("magnitude_vector.weight", "magnitude_vector")] = parameter
    assert mine.keys() == reference.keys()
    x, target = torch.randn(3, 5, 96), torch.randn(3, 5, 12)
    optimizers = [torch.optim.AdamW(tensors.values(), lr=3e-3) for tensors in (mine, reference)]
    for step in range(20):
        outputs = []
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            torch.manual_seed(step)
            optimizer.zero_grad()
            outputs.append(model(x))
            (outputs[-1] - target).square().mean().backward()
        assert relative(*outputs) < RELATIVE, step
        for name, tensor in reference.items():
            if tensor.grad is not None and tensor.grad.norm() > 1e-7:
                assert relative(mine[name].grad, tensor.grad) < RELATIVE, (step, name)
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_qdora_starts_as_the_quantized_base_bit_by_bit(dtype):
    base = net().to(dtype)
    module = pc.attach(copy.deepcopy(base), pc.QDoRA(rank=4))
    bare = copy.deepcopy(base)
    for name, layer in adapted(module):
        bare[int(name)] = layer.base
    x = torch.randn(9, 96).to(dtype)
    assert torch.equal(module(x), bare(x))


@pytest.mark.parametrize(("double_quant", "bits"), [(True, 4.126953125), (False, 4.5)])
def test_the_resident_base_takes_4_127_bits_a_parameter(double_quant, bits):
    config = LlamaConfig(
        vocab_size=64, hidden_size=512, intermediate_size=1024, num_hidden_layers=2, num_attention_heads=8
    )
    module = pc.attach(LlamaForCausalLM(config), pc.QLoRA(rank=4, double_quant=double_quant))
    layers = [layer.base for _, layer in adapted(module)]
    assert all(isinstance(layer, QuantizedLinear) for layer in layers)
    stored = sum(buffer.nbytes for layer in layers for buffer in layer.buffers())
    parameters = sum(layer.in_features * layer.out_features for layer in layers)
    assert stored * 8 / parameters == pytest.approx(bits, rel=0.02)
    assert isinstance(module.lm_head, nn.Linear)  # the output embeddings stay in floats, as transformers leaves them
    held = {id(p) for p in module.parameters()}
    assert sum(p.numel() for p in module.parameters()) == sum(p.numel() for _, p in module.named_parameters())
    assert not any(p.numel() == 512 * 1024 for p in module.parameters()), held  # no float copy is kept


def test_backward_keeps_codes_and_not_weights():
    layer = LoRALinear(QuantizedLinear(torch.randn(256, 256)), rank=2)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        layer(torch.randn(3, 256, requires_grad=True))
    assert max(tensor.numel() for tensor in kept) < 256 * 256
    assert layer.base(torch.randn(3, 256, requires_grad=True)).grad_fn.saved_tensors == ()


def test_the_frozen_product_passes_the_gradient_on():
    torch.manual_seed(0)
    layer = QuantizedLinear(torch.randn(5, 64), torch.randn(5))
    x = torch.randn(2, 3, 64, requires_grad=True)
    target = torch.randn(2, 3, 5)
    assert layer.bias is not None
    ours = torch.autograd.grad((layer(x) * target).sum(), [x, layer.bias])
    formula = torch.nn.functional.linear(x, layer.dequantize(), layer.bias)
    theirs = torch.autograd.grad((formula * target).sum(), [x, layer.bias])
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS[:2], ids=repr)
def test_merging_requantizes_and_unmerging_is_exact(method):
    module = pc.attach(net(), method, seed=0)
    disturb(module)
    x = torch.randn(4, 96)
    apart = module(x)
    expected = {name: through_four_bits(layer.weight_now(), method) for name, layer in adapted(module)}
    pc.merge(module)
    for name, layer in adapted(module):
        assert torch.equal(layer.weight_now(), expected[name])
    assert relative(module(x), apart) < 0.5  # lossy: nothing closer is promised
    assert not torch.equal(module(x), apart)
    assert torch.equal(pc.unmerge(module)(x), apart)


def test_detach_gives_float_layers_with_what_4_bits_left():
    method = pc.QLoRA(rank=4)
    module = pc.detach(pc.attach(net(), method))
    x = torch.randn(4, 96)
    assert [type(layer) for layer in module[::2]] == [nn.Linear, Conv1D, nn.Linear]
    assert all(p.requires_grad for p in module.parameters())
    torch.testing.assert_close(module(x), rounded_net(method)(x), rtol=1e-5, atol=1e-6)


def test_other_adapters_share_the_quantized_base():
    module = pc.attach(net(), pc.QLoRA(rank=4), adapter="one")
    bases = [layer.base for _, layer in adapted(module)]
    pc.attach(module, pc.DoRA(rank=2), adapter="two")
    assert [layer.base for _, layer in adapted(module)] == bases
    floats = pc.attach(net(), pc.LoRA(rank=4), adapter="one")
    with pytest.raises(ValueError, match="needs a 4-bit base"):
        pc.attach(floats, pc.QLoRA(rank=4), adapter="two")


CASTS = {
    "bfloat16": lambda module: module.to(torch.bfloat16),
    "half": lambda module: module.half(),
    "float": lambda module: module.half().float(),
    "double": lambda module: module.double(),
    "device": lambda module: module.to("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("method", METHODS[:3], ids=repr)
def test_scales_stay_float32_whatever_the_layer_is_cast_to(method, cast):
    """What remains is the rounding of the result and of the adapter to the new type, at most 2^-8 of it each."""
    module = pc.attach(net(), method, seed=0).eval()
    disturb(module)
    x = torch.randn(4, 96)
    before = module(x)
    stored = {name: buffer.clone() for name, buffer in module.named_buffers()}
    CASTS[cast](module)
    dtype = next(module.parameters()).dtype
    for name, buffer in module.named_buffers():
        assert torch.equal(buffer, stored[name]), name
        assert buffer.dtype == stored[name].dtype, name
    assert all(layer.base.dequantize().dtype == dtype for _, layer in adapted(module))
    after = module(x.to(dtype))
    assert after.dtype == dtype
    assert relative(after.double(), before.double()) < (0.02 if dtype.itemsize == 2 or cast == "float" else 1e-6)
    after.square().sum().backward()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in adapter_tensors(module).values())


def test_a_layer_on_the_meta_device_and_back_keeps_its_types():
    layer = QuantizedLinear(torch.randn(64, 64)).to("meta", torch.bfloat16).to_empty(device="cpu")
    assert [buffer.dtype for buffer in layer.buffers()] == [torch.uint8, torch.uint8, torch.float32, torch.float32]
    assert layer.dtype == torch.bfloat16


def test_what_cannot_be_quantized_is_said():
    with pytest.raises(ValueError, match="has none"):
        pc.attach(nn.Sequential(nn.Embedding(4, 4)), pc.QLoRA(targets=["0"]))
    integers = nn.Sequential(nn.Linear(4, 4))
    integers[0].weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(ValueError, match="already quantized"):
        pc.attach(integers, pc.LoRA())
