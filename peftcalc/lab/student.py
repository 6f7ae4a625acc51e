"""The model that learns: a task's base with a method attached, and how far its matrices have moved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from peftcalc.geometry.direction import decompose
from peftcalc.lab.records import MatrixChange
from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.tasks.problem import Problem
from peftcalc.methods import LoRA, Method

if TYPE_CHECKING:
    from peftcalc.adapters.layers.base import AdaptedLayer

_GLOBAL_RANDOMNESS = threading.Lock()


class Student:
    """A task's problem whose module has the method attached, on the device and in the dtype that were asked for."""

    def __init__(self, settings: RunSettings) -> None:
        self.device = device_called(settings.device)
        with own_randomness(self.device):  # layers draw their first weights from it, before the real ones are loaded
            self.problem: Problem = settings.record.build(settings.seed, **settings.options)
        self.module = self.problem.module
        self.module.to(self.device, dtype_called(settings.dtype, self.device))
        self._before: dict[str, Tensor] = {}
        self.decomposed = settings.method.decomposed
        """Whether the rows' lengths are trained apart from their directions."""
        if settings.method.has_adapter:
            from peftcalc.adapters.attach import attach

            with own_randomness(self.device):
                attach(self.module, self._method(settings.method), seed=settings.seed)
        else:
            self._before = {name: weight.clone() for name, weight in self._linear_weights().items()}
        self.trained = [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    def _method(self, method: Method) -> Method:
        """The method, with the task's exceptions among those layers that "all-linear" would name."""
        left_out = self.problem.targets_left_out
        if left_out and isinstance(method, LoRA) and method.targets == "all-linear" and not method.exclude:
            return replace(method, exclude=left_out)
        return method

    def _linear_weights(self) -> dict[str, Tensor]:
        """The detached weights of the linear layers, by name."""
        return {name: part.weight.detach() for name, part in self.module.named_modules() if isinstance(part, nn.Linear)}

    @property
    def trainable(self) -> int:
        """How many parameters are trained."""
        return sum(parameter.numel() for parameter in self.trained)

    @property
    def trained_bytes(self) -> int:
        """Their size."""
        return sum(parameter.numel() * parameter.element_size() for parameter in self.trained)

    @torch.no_grad()
    def matrices(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Each adapted matrix before training (a quantized one dequantized) and now, as `(out, in)` float32 arrays."""
        if self._before:
            now = self._linear_weights()
            return {name: (_array(before), _array(now[name])) for name, before in self._before.items()}
        from peftcalc.adapters.attach import adapted

        return {
            name: (_array(layer.weight_before()), _array(layer.weight_now())) for name, layer in adapted(self.module)
        }

    def watched(self) -> tuple[str, ...]:
        """The names of the matrices that can be looked at while they learn."""
        return tuple(self._before) or tuple(self._adapted())

    def watch(self, name: str) -> tuple[AdaptedLayer | None, np.ndarray, np.ndarray]:
        """One matrix: its adapted layer (None in full fine-tuning), and as in `matrices` before and now."""
        if self._before:
            now = self.module.get_submodule(name).weight
            assert isinstance(now, Tensor)
            return None, _array(self._before[name]), _array(now)
        layer = self._adapted()[name]
        return layer, _array(layer.weight_before()), _array(layer.weight_now())

    def _adapted(self) -> dict[str, AdaptedLayer]:
        """The adapted layers by name."""
        from peftcalc.adapters.attach import adapted

        return dict(adapted(self.module))

    def updates(self) -> dict[str, np.ndarray]:
        """ΔW of each adapted matrix; `rank_of` tells how many directions it has."""
        return {name: now - before for name, (before, now) in self.matrices().items()}

    def changes(self, rows: bool = False) -> tuple[MatrixChange, ...]:
        """How each adapted matrix has moved, with the figures of every row if asked for."""
        changes = []
        for name, (before, now) in self.matrices().items():
            change = decompose(before, now)
            changes.append(
                MatrixChange(
                    matrix=name,
                    magnitude_change=change.magnitude_change,
                    direction_change=change.direction_change,
                    relative_lengths=tuple(change.relative_lengths.tolist()) if rows else (),
                    turns=tuple(change.turns.tolist()) if rows else (),
                )
            )
        return tuple(changes)


def device_called(name: str) -> torch.device:
    """The device for "auto", "cpu" or "cuda".

    >>> device_called("cpu")
    device(type='cpu')

    Raises:
        ValueError: "cuda" where there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("device must be one that is there, got 'cuda', but this machine has no CUDA device; use 'cpu'")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Whatever is drawn from torch's global generators inside, they are afterwards as they were.

    One thread at a time, so that runs side by side do not draw from each other's.
    """
    devices = [device.index or 0] if device.type == "cuda" else []
    with _GLOBAL_RANDOMNESS, torch.random.fork_rng(devices=devices):
        yield


def dtype_called(name: str, device: torch.device) -> torch.dtype:
    """The dtype for "float32", "bfloat16" or "auto": bfloat16 where the device computes in it, and not only stores it.

    On a CPU without such instructions a product in bfloat16 takes several times as long as one in float32.

    >>> dtype_called("float32", torch.device("cpu"))
    torch.float32
    """
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    can = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return torch.bfloat16 if can.get("avx512_bf16") or can.get("amx_bf16") else torch.float32


def _array(weight: Tensor) -> np.ndarray:
    return weight.detach().float().cpu().numpy()
