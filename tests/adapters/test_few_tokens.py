"""The compiled loops compute what the formulas say, rounded once, and what torch's operations do without them."""

from __future__ import annotations

import copy
import platform
import shutil
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import peftcalc as pc
from peftcalc.adapters.layers import few_tokens
from peftcalc.adapters.layers.dora import DoRALinear, row_norm
from peftcalc.adapters.layers.frozen_weight import product_dtype
from peftcalc.adapters.layers.lora import LoRALinear
from peftcalc.adapters.layers.quantized_linear import QuantizedLinear

needs_loops = pytest.mark.skipif(few_tokens.loops() is None, reason="this installation has no compiled loops")
needs_products = pytest.mark.skipif(
    product_dtype(torch.bfloat16, torch.device("cpu")) != torch.bfloat16,
    reason="this processor does not multiply in bfloat16",
)
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 1100), st.integers(1, 40), st.integers(1, 16))


@pytest.fixture
def without_loops(monkeypatch):
    monkeypatch.setattr(few_tokens, "loops", lambda: None)


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape).to(dtype)


def assert_rounded_once(ours: Tensor, exact: Tensor) -> None:
    """`ours`, bfloat16, is as near to the exact numbers as half its last digit and float32's own rounding allow."""
    torch.testing.assert_close(ours.double(), exact, rtol=2**-8, atol=1e-4 * float(exact.abs().max()))


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64") or shutil.which("gcc") is None,
    reason="the loops are compiled by gcc, for x86-64 under Linux",
)
def test_where_there_is_a_compiler_the_loops_are_there():
    assert few_tokens.loops() is not None


@needs_loops
@settings(deadline=None, derandomize=True, max_examples=60)
@given(shape=SHAPES)
def test_the_products_are_those_of_the_formulas(shape):
    tokens, wide, narrow, rank = shape
    torch.manual_seed(sum(shape))
    for n_in, n_out in ((wide, narrow), (narrow, wide)):
        A, B, scale = numbers(rank, n_in), numbers(n_out, rank), 0.75
        x, y, grad = (numbers(tokens, n, dtype=torch.bfloat16) for n in (n_in, n_out, n_out))
        before = y.double()
        Ax = few_tokens.low_rank_forward(y, x, A, B, scale)
        torch.testing.assert_close(Ax.double(), scale * A.double() @ x.double().T, rtol=1e-5, atol=1e-4)
        assert_rounded_once(y, before + (B.double() @ Ax.double()).T)

        grad_A, grad_B, inner = few_tokens.low_rank_backward(grad, x, Ax, B, scale)
        torch.testing.assert_close(inner.double(), scale * (grad.double() @ B.double()).T, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(grad_A.double(), inner.double() @ x.double(), rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(grad_B.double(), (Ax.double() @ grad.double()).T, rtol=1e-5, atol=1e-3)

        before = x.double()
        assert few_tokens.add_low_rank(x, inner, A) is x
        assert_rounded_once(x, before + inner.double().T @ A.double())


@needs_loops
@settings(deadline=None, derandomize=True, max_examples=60)
@given(shape=SHAPES)
def test_the_norm_and_the_stretch_are_those_of_the_formulas(shape):
    tokens, n_out, n_in, rank = shape
    torch.manual_seed(sum(shape))
    W, A, B, scale = numbers(n_out, n_in), numbers(rank, n_in), 0.1 * numbers(n_out, rank), 0.75
    WA = (A @ W.T).bfloat16()
    squares = W.square().sum(1)
    norm, lost = few_tokens.row_norm(WA, A @ A.T, B, squares, scale, 0.01, 1e-24)
    AAB = A.double() @ A.double().T @ B.double().T
    exact = squares.double() + ((2 * scale * WA.double() + scale**2 * AAB) * B.double().T).sum(0)
    torch.testing.assert_close(norm.double().square(), exact.clamp_min(1e-24), rtol=1e-4, atol=1e-5)
    assert lost == int((norm.square() < 0.01 * squares).sum())

    z, grad = (numbers(tokens, n_out, dtype=torch.bfloat16) for _ in range(2))
    magnitude, norm = torch.rand(n_out) + 0.5, torch.rand(n_out) + 0.5
    y, stretch = few_tokens.stretch_forward(z, magnitude, norm)
    torch.testing.assert_close(stretch, magnitude / norm - 1)
    assert_rounded_once(y, (magnitude / norm).double() * z.double())
    stretched, grad_magnitude = few_tokens.stretch_backward(grad, z, stretch, norm)
    assert_rounded_once(stretched, (magnitude / norm).double() * grad.double())
    exact = (grad.double() * z.double()).sum(0) / norm
    torch.testing.assert_close(grad_magnitude.double(), exact, rtol=1e-5, atol=1e-5)


@needs_loops
def test_rounding_is_torchs_ties_and_nan_and_infinity_included():
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    every = bits.view(torch.bfloat16).view(16, -1)
    ours, _ = few_tokens.stretch_forward(every, torch.full((4096,), 1.37), torch.ones(4096))
    stretch = torch.full((4096,), 1.37) / torch.ones(4096) - 1
    exact = torch.addcmul(every.double(), every.double(), stretch.double())
    torch.testing.assert_close(ours, exact.float().bfloat16(), rtol=0, atol=0, equal_nan=True)


@needs_loops
@needs_products
@pytest.mark.parametrize("layer", [LoRALinear, DoRALinear])
@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_learns_the_same_without_the_loops(layer, quantized, dropout, bias, monkeypatch):
    """Against float32: neither the loops nor torch's operations are further from it than bfloat16 rounds."""
    torch.manual_seed(0)
    base = nn.Linear(96, 64, bias, dtype=torch.bfloat16).requires_grad_(False)
    frozen = QuantizedLinear(base.weight.detach(), base.bias) if quantized else base
    with_loops = layer(frozen, rank=4, alpha=6, dropout=dropout)
    with torch.no_grad():
        with_loops.B.normal_(0, 0.3)
        if layer is DoRALinear:
            with_loops.magnitude.mul_(1.3)
    x, grad = torch.randn(2, 5, 96).bfloat16(), torch.randn(2, 5, 64).bfloat16()
    calls = []
    call = few_tokens.call
    monkeypatch.setattr(few_tokens, "call", lambda name, *rest: (calls.append(name), call(name, *rest))[1])

    def gradients(module: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
        torch.manual_seed(1)
        here = x.clone().to(dtype).requires_grad_()
        y = module(here)
        y.backward(grad.to(dtype))
        found = {name: p.grad.float() for name, p in module.named_parameters() if p.grad is not None}
        return found | {"x": here.grad.float(), "y": y.detach().float()}  # type: ignore[union-attr]

    plain, exact = copy.deepcopy(with_loops), copy.deepcopy(with_loops)
    ours = gradients(with_loops, torch.bfloat16)
    assert {"low_rank_forward", "low_rank_backward"} <= set(calls)
    assert ("add_low_rank" in calls) == (dropout == 0 or layer is DoRALinear)
    assert {"row_norm", "stretch_forward", "stretch_backward"}.isdisjoint(calls) == (layer is LoRALinear)
    calls.clear()
    monkeypatch.setattr(few_tokens, "loops", lambda: None)
    theirs = gradients(plain, torch.bfloat16)
    reference = gradients(exact if quantized else exact.float(), torch.float32)
    assert not calls
    for name, expected in reference.items():
        size = expected.norm()
        assert (ours[name] - expected).norm() < 0.01 * size, name
        assert (theirs[name] - expected).norm() < 0.02 * size, name


@needs_loops
@needs_products
def test_dora_starts_as_the_base_layer_exactly():
    torch.manual_seed(0)
    base = nn.Linear(600, 520, bias=False, dtype=torch.bfloat16)
    x = torch.randn(7, 600).bfloat16()
    layer = DoRALinear(base, rank=3)
    assert few_tokens.take(3, (layer.A, layer.B), (x,))
    assert torch.equal(layer(x), base(x))


@needs_loops
def test_a_row_that_nearly_vanishes_is_formed_in_full():
    torch.manual_seed(0)
    W = torch.randn(40, 24).bfloat16()
    A, B = torch.zeros(2, 24), torch.zeros(40, 2)
    A[0], B[7, 0] = W[7].float(), -0.9999  # W + B A leaves a ten thousandth of row 7
    squares = W.float().square().sum(1)
    WA = (A.bfloat16() @ W.T).contiguous()
    assert few_tokens.take(2, (B, squares), (WA,))
    norm = row_norm(W, A, B, 1.0, squares, WA)
    torch.testing.assert_close(norm, (W.float() + B @ A).norm(dim=1), rtol=1e-3, atol=0)


@needs_loops
def test_what_the_loops_do_not_know_is_left_to_torch():
    A, x = torch.randn(8, 64), torch.randn(4, 64).bfloat16()
    assert few_tokens.take(8, (A,), (x,))
    assert not few_tokens.take(8, (A,), (x.float(),))
    assert not few_tokens.take(8, (A.bfloat16(),), (x,))
    assert not few_tokens.take(8, (A,), (x, x.float()))
    assert not few_tokens.take(17, (A,), (x,))
    assert not few_tokens.take(8, (A,), (torch.randn(129, 64).bfloat16(),))
    assert not few_tokens.take(8, (A,), (torch.randn(64, 9000).bfloat16(),))
    assert not few_tokens.take(8, (A,), (torch.randn(64, 4).bfloat16().T,))
    with FakeTensorMode():
        assert not few_tokens.take(8, (A,), (torch.empty(4, 64, dtype=torch.bfloat16),))


@pytest.mark.usefixtures("without_loops")
def test_without_loops_a_model_learns_too():
    torch.manual_seed(0)
    module = pc.attach(nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 4)).bfloat16(), pc.DoRA(rank=2))
    module(torch.randn(5, 32).bfloat16()).float().square().mean().backward()
    grads = [p.grad for p in module.parameters() if p.requires_grad]
    assert len(grads) == 6
    assert all(grad is not None and bool(torch.isfinite(grad).all()) for grad in grads)
