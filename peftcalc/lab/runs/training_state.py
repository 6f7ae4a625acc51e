"""What the steps of a run to come depend on, as one safetensors file: JSON in its header, tensors, nothing else.

The trained tensors, AdamW's step and two moments of each, the state of the batches' generator; and figures that the
records go on with. Dropout and the learning rate are made from the seed and the step. A file is taken for what it may
be, damaged or hostile: every name, type, shape and number is checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from peftcalc.adapters.files.whole_file import write_whole
from peftcalc.checks import whole_number
from peftcalc.lab.run_settings import RunSettings

HEADER = "peftcalc.training"
FIGURES = ("limit", "seconds", "tokens", "peak_bytes")
PARTS = ("step", "exp_avg", "exp_avg_sq")
"""Of AdamW's state of a tensor."""


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A run between two steps.

    Args:
        step: how many steps it has made.
        tensors: by name: `trained.…`, `optimizer.….…` and `batches`.
        figures: the loss that counts as diverged, seconds and tokens so far, highest bytes.
        code: Python that begins the run; two runs with the same code are the same run.
        arguments: whatever the caller needs to build the run anew, as JSON can hold it.
    """

    step: int
    tensors: Mapping[str, Tensor]
    figures: Mapping[str, float]
    code: str
    arguments: Mapping[str, Any] | None = None

    def checked(self, settings: RunSettings, trained: Mapping[str, Tensor], batches: Tensor) -> Mapping[str, Tensor]:
        """The tensors, if they are those of a run with these settings that trains these tensors.

        Raises:
            ValueError: with what does not belong together.
        """
        if self.code != settings.to_code():
            raise ValueError(f"the stored run is another one: it began with\n{self.code}")
        whole_number("step", self.step, 0, settings.steps)
        expected: dict[str, tuple[torch.dtype, torch.Size]] = {"batches": (batches.dtype, batches.shape)}
        for name, tensor in trained.items():
            expected[f"trained.{name}"] = (tensor.dtype, tensor.shape)
            for part in PARTS if self.step else ():
                is_step = part == "step"
                expected[f"optimizer.{part}.{name}"] = (
                    torch.float32 if is_step else tensor.dtype,
                    torch.Size() if is_step else tensor.shape,
                )
        if strange := sorted(expected.keys() ^ self.tensors.keys()):
            raise ValueError(f"the stored run must hold what is trained and its moments; {strange[0]} is not in both")
        for name, (dtype, shape) in expected.items():
            there = self.tensors[name]
            if (there.dtype, there.shape) != (dtype, shape):
                raise ValueError(
                    f"{name} must be {dtype} of shape {tuple(shape)}, got {there.dtype} of shape {tuple(there.shape)}"
                )
            if there.is_floating_point() and not bool(torch.isfinite(there).all()):
                raise ValueError(f"{name} must be finite")
        return self.tensors


def save_state(state: TrainingState, path: Path, arguments: Mapping[str, Any]) -> None:
    """Write `state` to `path`, whole or not at all, with the arguments that build its run anew."""
    header = {"step": state.step, "figures": dict(state.figures), "code": state.code, "arguments": dict(arguments)}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.tensors.items()}
    write_whole(path, lambda file: save_file(tensors, file, metadata={HEADER: json.dumps(header)}))


def load_state(path: Path) -> TrainingState:
    """Read what `save_state` wrote; whether it fits a run is checked by `TrainingState.checked`.

    Raises:
        ValueError: the file is missing, is not safetensors, or its header is not one of `save_state`.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} is missing: there is no run to go on with")
    try:
        with safe_open(path, "pt") as file:
            header = _header(path.name, (file.metadata() or {}).get(HEADER))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from None
    return TrainingState(header["step"], tensors, header["figures"], header["code"], header["arguments"])


def _header(name: str, text: str | None) -> dict[str, Any]:
    try:
        header = json.loads(text or "")
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{name} is not the state of a run")
    kinds = {"step": int, "figures": dict, "code": str, "arguments": dict}
    for key, kind in kinds.items():
        if type(header.get(key)) is not kind:
            raise ValueError(f"{name}: {key} must be {kind.__name__}, got {header.get(key)!r}")
    figures = header["figures"]
    for key in FIGURES:
        value = figures.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
            raise ValueError(f"{name}: {key} must be a number of at least 0, got {value!r}")
        if key != "limit" and math.isinf(value):
            raise ValueError(f"{name}: {key} must be finite, got {value!r}")
    return header
