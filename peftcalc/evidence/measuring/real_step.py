"""Training steps on a device, and the bytes that CUDA's allocator counts in one of the steady state."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from peftcalc.checks import one_of
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.simulate.choices.losses import forward_function
from peftcalc.memory.simulate.choices.optimizers import make_optimizer
from peftcalc.memory.simulate.inputs import training_inputs

WARM_UP = 2
"""Steps before the one that is measured: the optimizer's states exist then, and libraries have their workspaces."""

TIMED = 3

_PAGED = {"adamw_8bit": "AdamW8bit", "paged_adamw_8bit": "PagedAdamW8bit", "paged_adamw_32bit": "PagedAdamW32bit"}
"""Our names of bitsandbytes' optimizers, and its classes."""

OUT_OF_MEMORY = torch.OutOfMemoryError
"""What CUDA's allocator raises where it finds no memory, for the model or for the step."""

_ONLY = {
    "kernels": "eager",
    "optimizer_offload": "none",
    "activation_offload": False,
    "sharding": "ddp",
    "gpus": 1,
}
"""Choices that need another library or other cards: measured with this value alone."""


@dataclass(frozen=True)
class Reading:
    """What was counted and timed; bytes are 0 where there was no card."""

    allocated_bytes: int
    reserved_bytes: int
    process_bytes: int
    """Of this process, as nvidia-smi shows it; 0 where it does not say."""
    seconds: float
    """Of one step, the mean of those after the measured one."""
    loss: float


def check_measurable(options: MemoryOptions) -> None:
    """Refuse what no step here is made of.

    Raises:
        ValueError: a choice that is estimated and not measured.
    """
    for name, value in _ONLY.items():
        if getattr(options, name) != value:
            raise ValueError(f"a step is measured with {name}={value!r} alone, got {getattr(options, name)!r}")
    one_of("loss of a step that is measured", options.loss, ("standard", "shifted", "chunked", "fused"))


def measure_step(model: Any, settings: Any, options: MemoryOptions, device: str) -> Reading:
    """A few steps of the same batch of texts of `sequence` tokens; the peak is that of the third.

    Nothing of the step is left in the model when it is over.

    Raises:
        OUT_OF_MEMORY: CUDA's allocator found no memory.
    """
    on_card = device == "cuda"
    inputs = {name: value.to(device) for name, value in batch_of_texts(model, settings, options).items()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    forward = forward_function(model, inputs, options.loss, options.chunk_size)
    with _optimizers(trained, options) as optimizers:
        for _ in range(WARM_UP):
            _step(forward, trained, optimizers, options, device)
        if on_card:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        loss = _step(forward, trained, optimizers, options, device)
        sizes = _counted() if on_card else (0, 0, 0)
        began = time.perf_counter()
        for _ in range(TIMED):
            loss = _step(forward, trained, optimizers, options, device)
        if on_card:
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - began) / TIMED
    return Reading(*sizes, seconds, loss)


def batch_of_texts(model: Any, settings: Any, options: MemoryOptions) -> dict[str, torch.Tensor]:
    """`training_inputs`, with texts that are padded where a mask says so: each after the first lacks its last token.

    transformers looks into a mask of real values, and leaves attention without one where all are ones (5.17,
    masking_utils.py, `_ignore_causal_mask_sdpa`).
    """
    inputs = training_inputs(model, settings, options)
    if "attention_mask" in inputs:
        inputs["attention_mask"][1:, -1] = 0
    return inputs


def _step(
    forward: Any, trained: Sequence[nn.Parameter], optimizers: list[Any], options: MemoryOptions, device: str
) -> float:
    """`accumulation` passes and an update, as a plain loop and transformers' Trainer make them; the last loss."""
    dtype = getattr(torch, options.dtype)
    cast = options.autocast and dtype != torch.float32
    value = 0.0
    with torch.autocast(device, dtype=dtype if cast else torch.bfloat16, enabled=cast and _whole(options)):
        for _ in range(options.accumulation):
            with torch.autocast(device, dtype=dtype if cast else torch.bfloat16, enabled=cast):
                loss, output = forward()
            if not options.keep_outputs:
                del output
            loss.backward()
            value = float(loss.detach())
            del loss
    if options.gradients_stay:
        for optimizer in optimizers:
            optimizer.step()
        for parameter in trained:
            parameter.grad = None
    return value


def _whole(options: MemoryOptions) -> bool:
    return options.autocast_scope == "step"


@contextlib.contextmanager
def _optimizers(trained: Sequence[nn.Parameter], options: MemoryOptions) -> Iterator[list[Any]]:
    """One optimizer, or one for each weight, which updates it in the backward pass while this is open.

    A hook that stayed would hold weights and states for good: it lies in C++, where no collector sees the cycle.
    """
    if options.gradients_stay:
        yield [_optimizer(options.optimizer, list(trained))]
        return
    optimizers = {parameter: _optimizer(options.optimizer, [parameter]) for parameter in trained}

    def update(parameter: torch.Tensor) -> None:
        optimizers[parameter].step()  # type: ignore[index]
        parameter.grad = None

    hooks = [parameter.register_post_accumulate_grad_hook(update) for parameter in trained]
    try:
        yield []
    finally:
        for hook in hooks:
            hook.remove()


def _optimizer(name: str, parameters: list[nn.Parameter]) -> Any:
    if name in _PAGED:
        from bitsandbytes import optim

        return getattr(optim, _PAGED[name])(parameters, lr=1e-4)
    return make_optimizer(name, parameters)


def _counted() -> tuple[int, int, int]:
    """torch's peaks since they were reset, and what nvidia-smi shows of this process."""
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved(), _of_this_process()


def _of_this_process() -> int:
    command = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
        rows = [line.split(",") for line in lines]
        return sum(int(size) * 2**20 for pid, size in rows if int(pid) == os.getpid())
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0
