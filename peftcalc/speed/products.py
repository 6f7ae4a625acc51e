"""Matrix products of the base: forward, again where a layer is checkpointed, backward, and weight gradients.

A frozen layer of N weights takes 2·N·T operations forward and 2·N·T for its input's gradient; a trained one as many
again for its weight's (Kaplan et al. 2020, arXiv:2001.08361, section 2.1). Its bytes pass partly meanwhile and partly
not, so that few tokens wait for the weights and narrow models fall behind wide ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from peftcalc.memory.estimate.model_state import is_quantized
from peftcalc.speed.work import COMPUTE, HOST, MEMORY, SpeedSetup, Work

KAPLAN = "Kaplan et al. 2020 (arXiv:2001.08361), section 2.1"
QLORA = "QLoRA paper, section 3; bitsandbytes 0.50, autograd/_functions.py"
STORED = 0.5 + 1 / 32
"""Bytes of a 4-bit weight with its share of the block's scale."""
AUTOGPTQ = 30
"""Bytes a weight of AutoGPTQ's torch operators: shifts of an int32 copy 4.5, int16 6, mask 4, gathered scales and zeros
8, difference and product 8."""
GPTQ = "AutoGPTQ 0.4, nn_modules/qlinear/qlinear_cuda.py, QuantLinear.forward"
_KERNELS = 4
"""Kernels that make one weight dense: scales of scales, their offset, the weight, a view."""
_AUTOGPTQ_KERNELS = 12
_GATHERING = 12
"""Kernels that choose, weigh and put back the tokens of one expert."""
_PRODUCTS = 6
"""Kernels of one expert itself: three products, the activation, and views."""
LOOP = "transformers' loop over experts: the indices of an expert's tokens are made by `where` or `nonzero`"


@dataclass(frozen=True)
class Matrix:
    """Equal matrices, one in each layer, and how many tokens each multiplies in a step."""

    repeats: int
    inputs: int
    outputs: int
    tokens: float
    quantized: bool

    @property
    def weights(self) -> int:
        return self.repeats * self.inputs * self.outputs


def matrices(setup: SpeedSetup) -> list[Matrix]:
    """Every matrix of the layers; experts share their tokens evenly."""
    quantized = setup.step.method.quantized
    found = [
        Matrix(
            linear.group.repeats,
            linear.group.in_features,
            linear.group.out_features,
            setup.tokens,
            quantized and is_quantized(linear.group, setup.model),
        )
        for linear in setup.step.body.linears
    ]
    for experts in setup.step.body.experts:
        visits = setup.tokens * experts.visits
        touched = min(experts.count, visits)
        wide, narrow = setup.step.body.width, experts.width
        stored = quantized and setup.experts == "4bit"
        found.append(Matrix(experts.repeats * touched, wide, 2 * narrow, visits / touched, stored))
        found.append(Matrix(experts.repeats * touched, narrow, wide, visits / touched, stored))
    return found


def products(setup: SpeedSetup) -> Iterator[Work]:
    """Forward, recomputed, backward and weight gradients; and 4-bit weights made dense for each of them."""
    found = matrices(setup)
    forward, bound = _passes(setup, found)
    launches = sum(m.repeats for m in found) + _GATHERING * _experts_at_work(setup)
    size = "2·N·T / P, or e·(N + T·Σ(in + out)) / B"
    yield Work("matrix products, forward", size, forward, bound, launches, KAPLAN)
    if setup.forwards > 1:
        yield Work("matrix products, computed again", size, forward, bound, launches, KAPLAN)
    share = setup.backward
    yield Work("matrix products, backward", size, forward * share, bound, launches * share, KAPLAN)
    if setup.step.trained:
        yield Work("gradients of the weights", size, forward, bound, launches, KAPLAN)
    yield from _searched(setup)
    yield from _dequantized(setup, found)
    yield from _casts(setup, found)


def _passes(setup: SpeedSetup, found: list[Matrix]) -> tuple[float, str]:
    """Seconds of one pass through all matrices, and what bounds most of it."""
    size = 4 if setup.float32_products else setup.step.precision.dtype
    machine = setup.machine
    seconds = {COMPUTE: 0.0, MEMORY: 0.0}
    for m in found:
        flops = 2 * m.weights * m.tokens
        moved = size * (m.weights + m.repeats * m.tokens * (m.inputs + m.outputs))
        taken = machine.product(flops, moved, setup.float32_products)
        seconds[COMPUTE if taken > 2 * machine.overlap * moved / machine.bandwidth else MEMORY] += taken
    return sum(seconds.values()), max(seconds, key=seconds.__getitem__)


def _experts_at_work(setup: SpeedSetup) -> float:
    """Experts that some token visits, in all layers."""
    return sum(e.repeats * min(e.count, setup.tokens * e.visits) for e in setup.step.body.experts)


def _searched(setup: SpeedSetup) -> Iterator[Work]:
    """Which tokens an expert gets is read by the host, so in forward passes it cannot run ahead of the card."""
    kernels = setup.forwards * _experts_at_work(setup) * (_GATHERING + _PRODUCTS)
    if kernels:
        seconds = kernels * setup.machine.launch
        yield Work(
            "finding each expert's tokens", "F · L · experts · kernels · seconds for one", seconds, HOST, 0, LOOP
        )


def _dequantized(setup: SpeedSetup, found: list[Matrix]) -> Iterator[Work]:
    """Each product of a 4-bit weight makes it dense first: two times a step, three under checkpointing."""
    stored = [m for m in found if m.quantized]
    weights, modules = sum(m.weights for m in stored), sum(m.repeats for m in stored)
    if not weights:
        return
    name = "4-bit weights made dense"
    if setup.dequantization == "autogptq":
        times, size = setup.forwards, AUTOGPTQ * setup.forwards * weights
        yield setup.traffic(name, f"F · {AUTOGPTQ}·N₄ / B", size, _AUTOGPTQ_KERNELS * times * modules, GPTQ)
        return
    times = setup.forwards + setup.backward
    seconds = times * weights * (STORED + setup.step.precision.dtype) / setup.machine.dequantize
    yield Work(name, "(F + 1) · N₄·(0.53 + e) / B", seconds, MEMORY, _KERNELS * times * modules, QLORA)


def _casts(setup: SpeedSetup, found: list[Matrix]) -> Iterator[Work]:
    """Float32 hidden states are cast before each 4-bit layer and its result back; float32 weights by autocast."""
    precision = setup.step.precision
    widths = sum(m.repeats * m.tokens * (m.inputs + m.outputs) for m in found)
    if setup.step.method.quantized and precision.stream > precision.dtype:
        times = setup.forwards + setup.backward
        size = (4 + precision.dtype) * widths * times
        count = 2 * times * sum(m.repeats for m in found)
        yield setup.traffic("casts of float32 hidden states", "(F + 1) · 6·T·Σ(in + out) / B", size, count, QLORA)
    if precision.autocast and precision.weight == 4 and setup.step.trained:
        weights = sum(m.weights for m in found)
        size = (4 + precision.dtype) * weights * (setup.forwards + 1)
        count = (setup.forwards + 1) * sum(m.repeats for m in found)
        yield setup.traffic("casts of float32 weights", "(F + 1) · 6·N / B", size, count, "torch.autocast")
