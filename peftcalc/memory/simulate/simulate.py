"""The memory of a training step, found by running it on fake tensors: no weights, no GPU, seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.checks import positive
from peftcalc.lazy import explained
from peftcalc.memory.allowances import context_allowance, spread
from peftcalc.memory.cards import Gpu
from peftcalc.memory.model_config import check_images
from peftcalc.memory.options import MemoryOptions, make_options
from peftcalc.memory.records import MemoryTrace
from peftcalc.methods import Method
from peftcalc.models.configs.unsaid import settings
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes

if TYPE_CHECKING:
    from torch import nn

    from peftcalc.memory.simulate.course import Course

SECONDS = 120.0
"""A simulation takes seconds; one that takes longer than this is stopped unless another limit is given."""

REPLAYED = (
    "expected: the step played through a model of torch's caching allocator; range: most of the measured rows of "
    "a Tesla T4, an RTX 4080 and an A100"
)

_ONE_AT_A_TIME = threading.Lock()


@explained("a simulation")
def simulate_memory(
    model: ModelShapes | str | Path | Mapping[str, Any] | nn.Module,
    method: Method,
    batch: int = 1,
    sequence: int = 2048,
    *,
    limit_seconds: float = SECONDS,
    full_depth: bool = False,
    **options: Any,
) -> MemoryTrace:
    """Trace one training step of transformers, peft and bitsandbytes on fake tensors and add up the storages.

    `peak = max over operators of Σ over living storages ⌈bytes / 512⌉ · 512`, which is what
    `torch.cuda.max_memory_allocated` counts. Equal layers are traced a few deep and extrapolated.

    Args:
        model: what `load_model` takes: shapes, a catalogue id, a path, a configuration, a transformers model.
        method: `Full`, `LoRA`, `DoRA`, `QLoRA` or `QDoRA`.
        batch: sequences in one forward pass.
        sequence: tokens of each; more than the model's context is allowed and noted.
        limit_seconds: the trace is stopped after this many seconds, and no partial result is given.
        full_depth: trace every layer, never extrapolate.
        options: the other fields of `MemoryOptions`: `dtype`, `checkpointing`, `attention`, `optimizer`, `autocast`, …

    Raises:
        ValueError: an option out of its range, or a model that cannot be traced, with the reason.
        TimeoutError: the trace took longer than `limit_seconds`.

    >>> tiny = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    ...         "num_attention_heads": 4, "vocab_size": 512}
    >>> from peftcalc import LoRA
    >>> trace = simulate_memory(tiny, LoRA(rank=4), batch=2, sequence=32)
    >>> trace.peak == trace.breakdown.total, trace.phase
    (True, 'backward')
    """
    chosen = make_options(batch=batch, sequence=sequence, **options)
    limit = positive("limit_seconds", limit_seconds)
    if not isinstance(method, Method):
        raise ValueError(f"method must be one of Full, LoRA, DoRA, QLoRA, QDoRA, got {method!r}")
    shapes = load_model(model)
    _check_traceable(shapes)
    check_images(shapes.id or shapes.architecture, settings(shapes), chosen.images, chosen.sequence)
    started = time.monotonic()
    if not _ONE_AT_A_TIME.acquire(timeout=limit):
        raise TimeoutError(f"another simulation was still running after {limit:g} seconds")
    try:
        course, depths, layers, notes = _course(shapes, method, chosen, started + limit, full_depth)
    except _time_limit_error() as error:
        raise TimeoutError(f"the simulation of {shapes.id} was stopped after {limit:g} seconds: no result") from error
    finally:
        _ONE_AT_A_TIME.release()
    return _trace_record(course, depths, layers, notes, chosen.chosen_card, time.monotonic() - started)


def _time_limit_error() -> type[Exception]:
    from peftcalc.memory.simulate.trace import TimeLimitError

    return TimeLimitError


def _check_traceable(shapes: ModelShapes) -> None:
    """A model that transformers can build again at any depth, from its configuration."""
    if not shapes.pretrained or not shapes.config.get("model_type"):
        raise ValueError(
            f"{shapes.id} cannot be traced: only models of the transformers library can be built anew from a config"
        )


def _course(
    shapes: ModelShapes, method: Method, options: MemoryOptions, deadline: float, full_depth: bool
) -> tuple[Course, tuple[int, ...], int, tuple[str, ...]]:
    """The course of the step at the model's depth, the depths that were traced, the model's depth and notes."""
    from peftcalc.memory.simulate.depth import FEWEST_DIVIDED, FEWEST_LAYERS, depths_to_trace, extrapolate
    from peftcalc.memory.simulate.inputs import step_notes
    from peftcalc.memory.simulate.traced_model import trace_at_depth
    from peftcalc.memory.simulate.training_model import settings_of
    from peftcalc.models.configs.transformers_classes import class_called

    settings = settings_of(shapes.config)
    language = settings.get_text_config()
    layers = getattr(language, "num_hidden_layers", 0)
    trace = partial(trace_at_depth, shapes, method, options, deadline)
    notes = step_notes(class_called(shapes.architecture), settings, options)
    fewest = FEWEST_DIVIDED if options.gpus > 1 and options.sharding != "ddp" else FEWEST_LAYERS
    whole = full_depth or hasattr(settings, "max_source_positions")
    depths = None if whole else depths_to_trace(shapes, method, language, fewest)
    if depths is not None:
        course = extrapolate(trace(depths.low), trace(depths.high), depths, layers)
        if course is not None:
            return course, (depths.low, depths.high), layers, notes
    return trace(None), (layers,), layers, notes


def _trace_record(
    course: Course, depths: tuple[int, ...], layers: int, notes: tuple[str, ...], card: Gpu | None, seconds: float
) -> MemoryTrace:
    peak = course.peak
    breakdown = course.breakdown(peak)
    return MemoryTrace(
        peak=breakdown.total,
        phase=course.phases[peak],
        operator=course.operators[peak],
        breakdown=breakdown,
        timeline=course.timeline(),
        operators=len(course.operators),
        reserved_allowance=spread("reserved by the caching allocator", breakdown.total, course.unused, REPLAYED),
        context_allowance=context_allowance(card),
        traced_layers=depths,
        layers=layers,
        kernel=" and ".join(course.kernels),
        notes=notes,
        seconds=seconds,
    )
