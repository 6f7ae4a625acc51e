"""What lies outside the layers: the head, the loss over the vocabulary, and the optimizer's update."""

from __future__ import annotations

from collections.abc import Iterator

from peftcalc.memory.estimate.terms import ADAFACTOR, ADAM, ADAM_8BIT, HOST_OPTIMIZER, LIGER, LOSS
from peftcalc.speed.products import KAPLAN
from peftcalc.speed.work import COMPUTE, MEMORY, SpeedSetup, Work

_ACCESSES = {"adamw": 21, "adamw_fused": 7, "sgd": 3, "sgd_momentum": 6, "adafactor": 22}
"""Reads and writes of one trained number in an update. AdamW for all tensors at once is eight operators: decay 2,
first moment 3, second moment 2 + 4, root 2, correction 2, ε 2, step 4 (torch/optim/adamw.py, _multi_tensor_adamw).
Adafactor: square 2, ε 2, means of rows and columns 2, their product 1, times the gradient 3, two norms 2, clipping 2,
rate 2, decay and step 6 (transformers 5.23, optimization.py)."""
_CLIPPING = 3
"""Reads and writes that clipping by the norm of all gradients adds; transformers' Trainer clips at 1."""


def head_and_loss(setup: SpeedSetup) -> Iterator[Work]:
    """Logits of all positions and their cross-entropy; nothing for a model without a head over a vocabulary."""
    body, precision, options = setup.step.body, setup.step.precision, setup.step.options
    if not body.vocabulary:
        return
    float32 = precision.logits == 4
    weights = body.vocabulary * body.width
    moved = precision.logits * (weights + setup.tokens * (body.vocabulary + body.width))
    one = setup.machine.product(2 * weights * setup.tokens, moved, float32)
    trained = setup.step.trained or any(p.how == "copy" and p.kind == "linear" for p in setup.step.parts)
    again = 1 if options.loss == "chunked" else 0
    times = 2 + trained + again
    formula = f"{times} · 2·V·h·T / P"
    yield Work("the head", formula, times * one, COMPUTE, times, KAPLAN)
    if precision.autocast and precision.weight == 4:
        size = (4 + precision.dtype) * weights
        yield setup.traffic("cast of the head's weight", "6·V·h / B", size, 1, "torch.autocast")
    fused = setup.fused or options.loss in ("fused", "liger")
    cast = 4 + precision.logits if not float32 else 0
    each = 3 * precision.logits if fused else 2 * cast + 8 + 12
    each += 8 if options.loss == "shifted" else 0  # older releases copy the float32 logits once more
    source, words = (LIGER, "3·p·T·V / B") if fused else (LOSS, "(20 + 2·(4 + e))·T·V / B")
    yield setup.traffic("cross-entropy", words, each * setup.tokens * body.vocabulary, 12, source)


def update(setup: SpeedSetup) -> Work:
    """The optimizer's update of all trained numbers, and clipping; once in a step."""
    step = setup.step
    trained = sum(part.trainable for part in step.parts)
    size = step.precision.adapter if step.method.has_adapter else step.precision.weight
    name = step.options.optimizer
    if step.options.optimizer_offload != "none":
        each, source = 2 * size, HOST_OPTIMIZER
    elif name.endswith("8bit"):
        each, source = (3 + _CLIPPING) * size + 4, ADAM_8BIT
    elif name == "paged_adamw_32bit":
        each, source = (3 + _CLIPPING) * size + 16, ADAM_8BIT
    else:
        each, source = (_ACCESSES[name] + _CLIPPING) * size, ADAFACTOR if name == "adafactor" else ADAM
    tensors = sum(2 * part.repeats for part in step.parts)
    seconds = each * trained / setup.machine.bandwidth
    return Work("the update", f"{each:g} · N_trained / B", seconds, MEMORY, 2 * tensors, source)


def accumulated(setup: SpeedSetup) -> Work:
    """Each pass but the first adds its gradients to those that are there: two reads and a write."""
    step = setup.step
    trained = sum(part.trainable for part in step.parts)
    size = step.precision.adapter if step.method.has_adapter else step.precision.weight
    tensors = sum(2 * part.repeats for part in step.parts)
    return setup.traffic("adding gradients", "3·g·N_trained / B", 3 * size * trained, tensors, ADAM)
