"""Adapters against the real peft: same seed, same weights, same steps.

Tolerance: float32 sums in another order differ by about 1e-7 of the largest term; after twenty optimizer steps that
stays below 1e-5 relative. AdamW divides by the gradient's size, so entries with gradients near its eps of 1e-8 may
drift further; norms of whole tensors do not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

import peftcalc as pc
from peftcalc.adapters.layers.dora import DoRALinear, row_norm
from peftcalc.adapters.layers.frozen_weight import matrix
from peftcalc.adapters.layers.lora import LoRALinear
from peftcalc.adapters.state import adapted, adapter_tensors, trainable

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
RELATIVE = 1e-5
ON_CARD = 3e-5
"""On a GPU, where cuDNN and cuBLAS pick algorithms with other orders of summation: 1.12e-5 was seen on an H100."""


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


def linears() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 12, bias=False))


def conv1ds() -> nn.Module:
    return nn.Sequential(Conv1D(16, 20), nn.Tanh(), Conv1D(12, 16))


def embeddings() -> nn.Module:
    return nn.Sequential(nn.Embedding(30, 16, padding_idx=0), nn.Tanh(), nn.Linear(16, 12))


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(6, 12, 1, bias=False))


INPUTS: dict[Callable[[], nn.Module], Callable[[], torch.Tensor]] = {
    linears: lambda: torch.randn(3, 5, 20),
    conv1ds: lambda: torch.randn(3, 5, 20),
    embeddings: lambda: torch.randint(0, 30, (3, 5)),
    convolutions: lambda: torch.randn(3, 4, 8, 8),
}
ALPHA = {"rank": 4, "alpha": 10, "targets": ["0", "2"]}
CASES = [
    *((linears, pc.LoRA(**ALPHA, **more)) for more in ({}, {"rslora": True}, {"dropout": 0.3}, {"bias": "all"})),
    (linears, pc.LoRA(rank=4, alpha=10, targets=["0"], lora_bias=True)),
    (linears, pc.LoRA(rank=4, alpha=10, targets=["0"], bias="lora_only", modules_to_save=("2",))),
    *((linears, pc.DoRA(**ALPHA, **more)) for more in ({}, {"rslora": True}, {"dropout": 0.3}, {"bias": "all"})),
    (linears, pc.DoRA(**ALPHA, dropout=0.3, bias="lora_only")),
    *((conv1ds, method(**ALPHA, dropout=p)) for method in (pc.LoRA, pc.DoRA) for p in (0.0, 0.3)),
    *((embeddings, method(**ALPHA, dropout=p)) for method in (pc.LoRA, pc.DoRA) for p in (0.0, 0.3)),
    *((convolutions, method(**ALPHA, dropout=p)) for method in (pc.LoRA, pc.DoRA) for p in (0.0, 0.3)),
    (convolutions, pc.LoRA(rank=4, alpha=10, targets=["0"], lora_bias=True)),
]


def case_id(value: object) -> str:
    return value.__name__ if callable(value) else repr(value)


def peft_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """What peft trains, by the names of its files."""
    names = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            name = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
            name = name.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector")
            names[name.replace(".base_layer", "")] = parameter
    return names


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm().clamp_min(1e-12)).item()


def pair(build: Callable[[], nn.Module], method: pc.LoRA, device: str) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The plain module, ours and peft's, from the same weights and the same seed."""
    torch.manual_seed(3)
    base = build().to(device)
    torch.manual_seed(0)
    theirs = peft.get_peft_model(copy.deepcopy(base), method.to_peft())
    torch.manual_seed(0)
    return base, pc.attach(copy.deepcopy(base), method), theirs


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")  # peft corrects it itself and says so
@pytest.mark.filterwarnings("ignore:`lora_bias=True` was passed")
@pytest.mark.parametrize(("build", "method"), CASES, ids=case_id)
def test_twenty_steps_of_adamw_equal_pefts(build, method, device):
    base, ours, theirs = pair(build, method, device)
    mine, reference = adapter_tensors(ours), peft_tensors(theirs)
    assert mine.keys() == reference.keys()
    assert trainable(ours) == sum(p.numel() for p in mine.values()) == theirs.get_nb_trainable_parameters()[0]
    for name, tensor in reference.items():
        torch.testing.assert_close(mine[name], tensor, rtol=1e-6, atol=1e-7)
    x = INPUTS[build]().to(device)
    with torch.no_grad():
        assert torch.equal(ours.eval()(x), base(x))
        target = torch.randn_like(ours.train()(x))
    limit = ON_CARD if device == "cuda" else RELATIVE
    optimizers = [torch.optim.AdamW(tensors.values(), lr=1e-2) for tensors in (mine, reference)]
    for step in range(20):
        outputs = []
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            torch.manual_seed(step)  # the same dropout mask
            optimizer.zero_grad()
            outputs.append(model(x))
            (outputs[-1] - target).square().mean().backward()
        assert relative(*outputs) < limit, step
        for name, tensor in reference.items():
            if tensor.grad is not None and tensor.grad.norm() > 1e-7:
                assert relative(mine[name].grad, tensor.grad) < limit, (step, name)
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tokens", [1, 7, 64])
@pytest.mark.parametrize("kind", [LoRALinear, DoRALinear])
def test_step_zero_is_the_base_bit_by_bit(kind, tokens, bias, dtype, device):
    torch.manual_seed(0)
    base = nn.Linear(96, 80, bias=bias).to(device, dtype)
    x = torch.randn(2, tokens, 96, device=device, dtype=dtype)
    assert torch.equal(kind(base, rank=4)(x), base(x))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    rows=st.integers(1, 9), columns=st.integers(1, 9), rank=st.integers(1, 12), seed=st.integers(0, 99),
    size=st.sampled_from([1e-3, 1.0, 1e3]), scale=st.sampled_from([0.1, 1.0, 8.0]),
)  # fmt: skip
def test_norm_without_the_product_equals_the_norm_of_the_product(rows, columns, rank, seed, size, scale):
    generator = torch.Generator().manual_seed(seed)
    W, A, B = (torch.randn(*shape, generator=generator) for shape in ((rows, columns), (rank, columns), (rows, rank)))
    direct = (W + scale * size * B @ A).norm(dim=1)
    ours = row_norm(W, A, B * size, scale, W.square().sum(1))
    # Terms may cancel; what float32 leaves is 1e-6 of the largest that n² could have been.
    reach = (W.norm(dim=1) + scale * size * B.abs() @ A.norm(dim=1)).square()
    assert ((ours.square() - direct.square()).abs() <= 2e-6 * reach).all()


def test_norm_follows_the_direct_norm_through_training():
    layer = DoRALinear(nn.Linear(64, 48), rank=4, alpha=8)
    with torch.no_grad():
        layer.B.normal_()
    torch.testing.assert_close(layer.norm(), layer.norm_directly(), rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        layer.base.weight.mul_(3)  # another base: the cached ‖W‖² is out of date
    torch.testing.assert_close(layer.norm(), layer.norm_directly(), rtol=1e-6, atol=1e-6)


def test_a_row_of_zeros_stays_finite():
    base = nn.Linear(8, 4)
    with torch.no_grad():
        base.weight[1] = 0
    layer = DoRALinear(base, rank=2)
    x = torch.randn(3, 8)
    assert torch.equal(layer(x), base(x))
    optimizer = torch.optim.AdamW(layer.adapter().values(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
    assert all(p.isfinite().all() for p in layer.adapter().values())
    assert layer(x).isfinite().all()


@pytest.mark.parametrize("kind", [LoRALinear, DoRALinear])
def test_gradients_equal_those_of_the_formula(kind):
    """The hand-written backward against autograd on the paper's formula with `n` held constant, in float64."""
    torch.manual_seed(0)
    base = nn.Linear(7, 5, dtype=torch.float64)
    layer = kind(base, rank=3, alpha=5)
    with torch.no_grad():
        layer.B.normal_()
    x = torch.randn(2, 4, 7, dtype=torch.float64, requires_grad=True)
    target = torch.randn(2, 4, 5, dtype=torch.float64)
    inputs = [x, base.bias, *layer.adapter().values()]
    ours = torch.autograd.grad((layer(x) * target).sum(), inputs)
    formula = torch.autograd.grad((nn.functional.linear(x, layer.effective_weight(), base.bias) * target).sum(), inputs)
    for mine, theirs in zip(ours, formula, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("method", [pc.LoRA(rank=4, alpha=10), pc.DoRA(rank=4, alpha=10)], ids=repr)
def test_sixteen_bits_stay_near_float32(method, dtype, device):
    """Adapters are kept in float32 over a 16-bit base; outputs differ by that dtype's rounding (2^-8), not by more."""
    torch.manual_seed(0)
    base = linears().to(device)
    x = torch.randn(6, 20, device=device)
    exact, low = (
        pc.attach(copy.deepcopy(base), method, seed=0),
        pc.attach(copy.deepcopy(base).to(dtype), method, seed=0),
    )
    mine, reference = adapter_tensors(low), adapter_tensors(exact)
    with torch.no_grad():
        for name, tensor in mine.items():
            assert tensor.dtype == torch.float32
            tensor.add_(torch.randn_like(tensor), alpha=0.1)
            reference[name].copy_(tensor)
    y = low(x.to(dtype))
    assert y.dtype == dtype
    assert relative(y.float(), exact(x)) < 0.02
    y.float().square().sum().backward()
    exact(x).square().sum().backward()
    for name, tensor in mine.items():
        assert relative(tensor.grad, reference[name].grad) < 0.04, name


@pytest.mark.parametrize(
    "method", [pc.LoRA(rank=4, dropout=0.2), pc.DoRA(rank=4), pc.QLoRA(rank=4), pc.QDoRA(rank=4)], ids=repr
)
def test_autocast_computes_in_16_bits(method):
    module = pc.attach(linears(), method)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(torch.randn(3, 20))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert all(tensor.grad is not None for tensor in adapter_tensors(module).values())


def test_conv1d_and_convolution_weights_are_seen_as_out_in():
    for build in INPUTS:
        module = pc.attach(build(), pc.DoRA(rank=2, targets=["0"]))
        for _, layer in adapted(module):
            W = matrix(layer.base)
            torch.testing.assert_close(layer.weight_before(), W)
            torch.testing.assert_close(layer.weight_now(), W)
            assert layer.weight_now().shape[0] in (6, 16)


def test_convolutions_keep_dilation_padding_mode_and_groups():
    torch.manual_seed(0)
    base = nn.Conv2d(4, 6, 3, padding=2, dilation=2, padding_mode="reflect")
    module = pc.attach(nn.Sequential(base), pc.DoRA(rank=2, targets=["0"]))
    x = torch.randn(2, 4, 9, 9)
    with torch.no_grad():
        for tensor in adapter_tensors(module).values():
            tensor.add_(torch.randn_like(tensor), alpha=0.2)
    apart = module(x)
    torch.testing.assert_close(pc.merge(module)(x), apart, rtol=1e-5, atol=1e-5)
    grouped = pc.attach(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2)), pc.LoRA(rank=2, targets=["0"]))
    assert grouped(x).shape == (2, 6, 7, 7)
    with pytest.raises(ValueError, match="2 groups"):
        pc.merge(grouped)
    with pytest.raises(ValueError, match="divisible by the convolution's 2 groups, got 3"):
        pc.attach(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2)), pc.LoRA(rank=3, targets=["0"]))


def test_scaled_embeddings_scale_the_update_too():
    class Scaled(nn.Embedding):
        embed_scale = torch.tensor(3.0)

        def forward(self, x):
            return super().forward(x) * self.embed_scale

    module = pc.attach(nn.Sequential(Scaled(10, 4)), pc.DoRA(rank=2, targets=["0"]))
    with torch.no_grad():
        for tensor in adapter_tensors(module).values():
            tensor.add_(torch.randn_like(tensor), alpha=0.2)
    x = torch.arange(10)
    apart = module(x)
    torch.testing.assert_close(pc.merge(module)(x), apart, rtol=1e-5, atol=1e-5)


def test_rank_above_the_smaller_side_works():
    """Wasteful, not wrong: peft allows it, and so does counting, with a note."""
    module = pc.attach(linears(), replace(pc.LoRA(), rank=40))
    assert trainable(module) == 40 * (20 + 16 + 16 + 12)
    assert module(torch.randn(2, 20)).shape == (2, 12)


def test_the_norm_of_a_row_that_is_nearly_cancelled_keeps_its_digits():
    torch.manual_seed(0)
    W = torch.randn(8, 16)
    A, B = torch.randn(2, 16), torch.zeros(8, 2)
    A[0] = -W[3] * (1 - 1e-4)  # the update takes row 3 away but for a ten-thousandth
    B[3, 0] = 1.0
    computed = row_norm(W, A, B, 1.0, W.square().sum(1))
    direct = (W.double() + B.double() @ A.double()).norm(dim=1)
    torch.testing.assert_close(computed.double(), direct, rtol=1e-3, atol=0)


@pytest.mark.parametrize("kind", [LoRALinear, DoRALinear])
def test_a_second_derivative_is_refused_and_a_graph_that_nobody_differentiates_is_not(kind):
    layer, x = kind(nn.Linear(8, 8), rank=2), torch.randn(3, 8, requires_grad=True)
    loss = layer(x).square().sum()
    plain = torch.autograd.grad(loss, x, retain_graph=True)[0]
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    assert torch.equal(slope, plain)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


@pytest.mark.parametrize("tokens", [1, 5, 64, 300, 1100])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_rows_of_a_beside_those_of_x_change_no_bit_of_the_base(tokens, dtype):
    """Few tokens share the base's product with A, more of them do not; both give the base and the norm alike."""
    torch.manual_seed(tokens)
    base = nn.Linear(200, 72, bias=False, dtype=dtype)
    x = torch.randn(tokens, 200, dtype=dtype)
    layer = DoRALinear(base, rank=3)
    assert torch.equal(layer(x), base(x))
    with torch.no_grad():
        layer.B.normal_(std=0.1)
        expected = x.float() @ layer.effective_weight().T
    torch.testing.assert_close(layer(x).float(), expected, rtol=0.05, atol=0.05)
