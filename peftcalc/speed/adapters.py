"""What adapters add: their own products, casts, dropout, sums, and DoRA's norms.

Bytes are those of peft's operators one by one (0.21, `tuners/lora/layer.py`, `bnb.py`, `dora.py`): a cast reads one
type and writes the other, a product reads its operands, a sum reads two and writes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from peftcalc.counting.counts import Part
from peftcalc.memory.estimate.model_state import is_quantized
from peftcalc.memory.estimate.terms import PEFT, PEFT_DORA
from peftcalc.methods import LoRA
from peftcalc.speed.products import STORED
from peftcalc.speed.work import COMPUTE, MEMORY, SpeedSetup, Work


@dataclass(frozen=True)
class Traffic:
    """Bytes for each token, by input's and output's width, of one adapter's elementwise operators, and its kernels."""

    inputs: float
    outputs: float
    launches: float


def adapters(setup: SpeedSetup) -> Iterator[Work]:
    """Everything that adapters of linear layers add to a step."""
    method = setup.step.method
    parts = [part for part in setup.step.parts if part.how == "adapter"]
    if not isinstance(method, LoRA) or not parts:
        return
    yield _products(setup, parts, method)
    yield _elementwise(setup, parts, method)
    if method.decomposed:
        yield from _norms(setup, parts)


def _visits(setup: SpeedSetup, part: Part) -> float:
    """Passes of a token through an adapted module: one, or as many as experts that it visits."""
    return max([1, *(e.visits for e in setup.step.body.experts)]) if part.kind == "experts" else 1


def _products(setup: SpeedSetup, parts: list[Part], method: LoRA) -> Work:
    """A and B: 2·r·(in + out)·T operations forward, as many for gradients of inputs and again of A and B."""
    precision = setup.step.precision
    size = precision.dtype if precision.autocast or setup.fused_adapters else precision.adapter
    float32 = size == 4
    times = setup.forwards + (1.5 if method.freeze_a else 2)
    seconds = 0.0
    for part in parts:
        tokens = setup.tokens * _visits(setup, part)
        for width in (part.in_features, part.out_features):
            moved = size * (tokens * (width + part.rank) + part.rank * width)
            seconds += part.repeats * times * setup.machine.product(2 * part.rank * width * tokens, moved, float32)
    launches = 2 * times * sum(part.repeats for part in parts)
    formula = "(F + 2) · 2·r·Σ(in + out)·T / P, or their bytes / B"
    return Work("products of A and B", formula, seconds, COMPUTE if float32 else MEMORY, launches, PEFT)


def _elementwise(setup: SpeedSetup, parts: list[Part], method: LoRA) -> Work:
    """Everything around the products of A and B, forward, again where a layer is checkpointed, and backward."""
    forward, backward = _forward(setup, method), _backward(setup, method)
    widest = max(setup.step.precision.adapter, setup.step.precision.stream)
    seconds = launches = 0.0
    for part in parts:
        tokens = _visits(setup, part) * setup.tokens
        for traffic, passes in ((forward, setup.forwards), (backward, 1)):
            for each, width in ((traffic.inputs, part.in_features), (traffic.outputs, part.out_features)):
                one = tokens * width
                seconds += passes * part.repeats * setup.machine.traffic(each * one, widest * one)
            launches += passes * part.repeats * traffic.launches
    formula = "T · Σ (bytes·in + bytes·out) / B, operator by operator"
    return Work("casts, dropout and sums of the adapters", formula, seconds, MEMORY, launches, PEFT)


def _forward(setup: SpeedSetup, method: LoRA) -> Traffic:
    """Forward: the input is cast to A's type and dropped out, B's result scaled and added to the base's.

    Over a 4-bit base peft copies the base's result first and, under autocast, casts nothing itself.
    """
    precision = setup.step.precision
    p = precision.product
    if setup.fused_adapters:
        return Traffic(0, precision.dtype, 1)
    entering = _entering(setup, method)
    inputs, casts = entering.inputs, entering.launches
    dora = 10 * p if method.decomposed else 0  # (m/n − 1)·base and m/n·s·BAx are made, and added to the result
    work = _work_size(setup)
    result = max(p, work)
    outputs = 2 * work + (p + work + result) + (result + p if result != p else 0)
    outputs += 2 * p if method.quantized else 0
    launches = casts + 2 + (result != p) + method.quantized + (8 if method.decomposed else 0)
    launches += 2 if precision.autocast and precision.adapter != precision.dtype else 0
    return Traffic(inputs, outputs + dora, launches)


def _backward(setup: SpeedSetup, method: LoRA) -> Traffic:
    """The same operators backward; the input's gradient is added to that of the layer."""
    precision = setup.step.precision
    p, work = precision.product, _work_size(setup)
    if setup.fused_adapters:
        return Traffic(3 * precision.dtype, 0, 1)
    entering = _entering(setup, method)
    inputs = entering.inputs + 3 * precision.stream
    outputs = 2 * work + (p + work if work != p else 0) + (20 * p if method.decomposed else 0)
    launches = 5 + entering.launches + (10 if method.decomposed else 0)
    launches += 2 if precision.autocast and precision.adapter != precision.dtype else 0
    return Traffic(inputs, outputs, launches)


def _work_size(setup: SpeedSetup) -> int:
    """Bytes of a number in the products of A and B."""
    precision = setup.step.precision
    return precision.dtype if precision.autocast else precision.adapter


def _entering(setup: SpeedSetup, method: LoRA) -> Traffic:
    """What happens to an adapter's input: a cast to A's type, dropout, and autocast's cast to the dtype."""
    precision, work = setup.step.precision, _work_size(setup)
    cast = work if precision.autocast and method.quantized else precision.adapter
    size = launches = 0.0
    if cast != precision.stream:
        size, launches = size + precision.stream + cast, launches + 1
    if method.dropout:
        size, launches = size + 2 * cast + 1, launches + 1
    if cast != work:
        size, launches = size + cast + work, launches + 1
    return Traffic(size, 0, launches)


def _norms(setup: SpeedSetup, parts: list[Part]) -> Iterator[Work]:
    """‖W + s·B·A‖ in every forward pass: an identity matrix through A and B, a cast, a scaled sum, a norm."""
    precision = setup.step.precision
    size = precision.dtype if precision.autocast else precision.adapter
    e = precision.dtype
    flops = passed = 0.0
    for part in parts:
        square, whole = part.in_features**2, part.in_features * part.out_features
        flops += part.repeats * 2 * part.rank * (square + whole)
        moved = (precision.adapter + size) * square + (size + e + 4 + 8 + 12 + 4) * whole
        moved += (STORED + e) * whole if _stored(setup, part) else 0
        passed += part.repeats * setup.machine.traffic(moved, 4 * whole)
    times = setup.forwards
    seconds = times * (flops / (setup.machine.float32 if size == 4 else setup.machine.half))
    launches = times * 9 * sum(part.repeats for part in parts)
    yield Work(
        "DoRA: B·A of an identity matrix", "F · 2·r·(in² + in·out) / P", seconds, COMPUTE, launches / 3, PEFT_DORA
    )
    yield Work(
        "DoRA: the norm of W + s·B·A", "F · (8·in² + 34·in·out) / B", times * passed, MEMORY, launches, PEFT_DORA
    )


def _stored(setup: SpeedSetup, part: Part) -> bool:
    group = next((x.group for x in setup.step.body.linears if x.group.template == part.module), None)
    return group is not None and setup.step.method.quantized and is_quantized(group, setup.model)
