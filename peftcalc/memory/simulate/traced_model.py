"""A transformers model at some depth, traced: built on meta, moved to fake tensors, one step under the ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from peftcalc.memory.kernels import matrix_workspaces
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.reserve.replay import unused_bytes
from peftcalc.memory.simulate.choices.fused_kernels import fuse
from peftcalc.memory.simulate.choices.losses import forward_function
from peftcalc.memory.simulate.course import PART_NAMES, Course, course_of
from peftcalc.memory.simulate.cuda_rules import CudaRules, cuda_autocast, own_mask
from peftcalc.memory.simulate.inputs import training_inputs
from peftcalc.memory.simulate.trace import StorageLedger, TimeLimitError
from peftcalc.memory.simulate.training_model import build_model, enable_checkpointing, settings_of, to_fake, untie
from peftcalc.memory.simulate.training_step import run_step
from peftcalc.methods import Method
from peftcalc.models.configs.transformers_classes import quiet
from peftcalc.models.shapes import ModelShapes


def trace_at_depth(
    shapes: ModelShapes, method: Method, options: MemoryOptions, deadline: float | None, layers: int | None
) -> Course:
    """The course of one steady-state training step of this model with `layers` layers; all of them where None.

    Raises:
        ValueError: the model cannot be built or run, with the reason.
        TimeLimitError: the deadline (of `time.monotonic`) passed.
    """
    _prepare_bitsandbytes(method)
    settings = settings_of(shapes.config, layers)
    model: Any = build_model(settings, shapes.architecture, method, options)
    untie(model, shapes)
    ledger = StorageLedger(deadline)
    rules = CudaRules(options)
    if options.checkpointing:
        enable_checkpointing(model, lambda: _recomputation(ledger, rules), trains_embedding=not method.has_adapter)
    fuse(model, options.kernels)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    to_fake(model, mode)
    try:
        with mode, quiet(), own_mask(settings):
            run_step(
                model,
                forward_function(
                    model,
                    training_inputs(model, settings, options),
                    options.loss,
                    options.chunk_size,
                    lambda: _rules_again(rules),
                ),
                options,
                ledger,
                rules,
            )
    except (TimeLimitError, ValueError):
        raise
    except Exception as error:  # any operator of any architecture may refuse tensors without values
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise ValueError(f"{shapes.id} cannot be traced: {type(error).__name__}: {reason}") from error
    course = course_of(ledger, getattr(settings.get_text_config(), "vocab_size", None))
    course.parts[:, PART_NAMES.index("temporary_buffers")] += matrix_workspaces(options.chosen_card)
    kernels = tuple(sorted(rules.kernels)) or ("eager",)
    unused = unused_bytes(ledger, options, method.quantized)
    return replace(course, kernels=kernels, unused=unused)


@contextlib.contextmanager
def _rules_again(rules: CudaRules) -> Iterator[None]:
    """The rules where a chunk of the loss is computed again: `Tensor.backward` suspends them."""
    with rules, cuda_autocast():
        yield


@contextlib.contextmanager
def _recomputation(ledger: StorageLedger, rules: CudaRules) -> Iterator[None]:
    """`Tensor.backward` suspends the rules while it runs: a layer that is computed again needs them anew."""
    with rules, cuda_autocast(), ledger.recomputation():
        yield
        torch.clear_autocast_cache()  # autograd's own thread leaves its outermost autocast here


def _prepare_bitsandbytes(method: Method) -> None:
    """Fill bitsandbytes' table of the 8-bit code with real numbers, before a meta tensor could take its place."""
    if method.quantized:
        from bitsandbytes import functional

        functional.name2qmap.setdefault("dynamic", functional.create_dynamic_map())
