"""The memory of a training step of any `nn.Module`, traced on fake copies of its tensors."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.simulate.course import Course, course_of
from peftcalc.memory.simulate.trace import StorageLedger
from peftcalc.memory.simulate.training_model import to_fake
from peftcalc.memory.simulate.training_step import run_step

CPU_STEP = MemoryOptions(dtype="float32", autocast=False, keep_outputs=False)
"""What a plain training loop on the CPU does: float32 throughout, AdamW."""


def simulate_module(
    module: nn.Module,
    loss_of: Callable[[nn.Module], torch.Tensor],
    options: MemoryOptions = CPU_STEP,
    vocabulary: int | None = None,
) -> Course:
    """The course of one steady-state training step of `module` on the CPU, without running it.

    The module itself is left as it is: a copy on fake tensors is trained for one step.

    Args:
        module: in training mode, adapters attached.
        loss_of: one forward pass of the module that it is given, from inputs that it makes itself to the loss.
        options: of these `optimizer`, `accumulation`, `autocast` and `dtype` are used.
        vocabulary: width of the logits, to tell them from other activations.

    >>> module = nn.Linear(100, 10)
    >>> course = simulate_module(module, lambda m: m(torch.ones(5, 100)).sum())
    >>> course.breakdown(course.peak).base_weights
    4040
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    fake: Any = copy.deepcopy(module)
    to_fake(fake, mode)
    ledger = StorageLedger(rounding=False)
    with mode, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of modules that ask a fake tensor for its address
        run_step(fake, lambda: (loss_of(fake), None), options, ledger, contextlib.nullcontext())
    return course_of(ledger, vocabulary)


def measure_module(
    module: nn.Module,
    loss_of: Callable[[nn.Module], torch.Tensor],
    options: MemoryOptions = CPU_STEP,
    vocabulary: int | None = None,
) -> Course:
    """The same step on the module's real tensors, by the same ledger: what `simulate_module` is checked against."""
    ledger = StorageLedger(rounding=False)
    run_step(module, lambda: (loss_of(module), None), options, ledger, contextlib.nullcontext())
    return course_of(ledger, vocabulary)
