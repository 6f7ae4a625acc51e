"""The base's weights, where they are at hand: a module in memory, or a folder with the model's own safetensors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peftcalc.doctor.tensor_file import FLOATS, open_tensors
from peftcalc.models.shapes import ModelShapes

MAX_SHARDS = 1_000


@dataclass(frozen=True)
class BaseWeights:
    """Asks for the norms of a weight's output rows.

    Args:
        weights: reads a tensor by full name as float64 of shape (out, …), or None.
        transposed: modules that store their weight as (in, out), as GPT-2's `Conv1D`.
    """

    weights: Callable[[str], np.ndarray | None]
    transposed: frozenset[str]

    def row_norms(self, module: str, embedding: bool) -> np.ndarray | None:
        """‖W‖ by output row, (out,); of an embedding by feature. None where the weight is not there as numbers."""
        weight = self.weights(f"{module}.weight" if module else "weight")
        if weight is None or weight.ndim < 2:
            return None
        across = embedding or module in self.transposed
        flat = weight.reshape(len(weight), -1)
        return np.sqrt(np.einsum("oi,oi->i" if across else "oi,oi->o", flat, flat))


def base_weights(base: Any, shapes: ModelShapes) -> BaseWeights | None:
    """The weights of `base`, if it is a module or a folder that holds them."""
    transposed = frozenset(name for name, group in shapes.modules() if group.kind == "conv1d")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(base, torch.nn.Module):
        parameters = dict(base.named_parameters(remove_duplicate=False))
        return BaseWeights(lambda name: _from_module(parameters.get(name)), transposed)
    if isinstance(base, str | Path) and "\0" not in str(base):
        folder = Path(base).expanduser()
        paths = sorted(folder.glob("*.safetensors"))[:MAX_SHARDS] if folder.is_dir() else []
        files = [open_tensors(path, path.name) for path in paths if not path.name.startswith("adapter_model")]
        where = {name: file for file in files for name in file.entries}

        def read(name: str) -> np.ndarray | None:
            file = where.get(name)
            return file.numbers(name) if file and file.entries[name].dtype in FLOATS else None

        return BaseWeights(read, transposed) if where else None
    return None


def _from_module(parameter: Any) -> np.ndarray | None:
    """A parameter's numbers; None on the meta device, and for packed 4-bit codes."""
    if parameter is None or parameter.is_meta or not parameter.is_floating_point():
        return None
    return parameter.detach().double().cpu().numpy()
