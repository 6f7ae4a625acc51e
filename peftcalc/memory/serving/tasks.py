"""Serving many tasks: one base model with an adapter for each, against a whole model for each; memory and disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from peftcalc.checks import whole_number
from peftcalc.counting.count import count
from peftcalc.lazy import explained
from peftcalc.memory.estimate.model_state import weight_terms
from peftcalc.memory.options import DTYPE_BYTES, MemoryOptions
from peftcalc.memory.precision import precision_of
from peftcalc.methods import Full, LoRA
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_TASKS = 1_000_000


@dataclass(frozen=True)
class Serving:
    """Bytes for `tasks` tasks, weights only: the cache of keys and values is the same either way."""

    tasks: int
    adapted_memory: int
    """One base, quantized if the method's is, and all adapters in the dtype."""
    full_memory: int
    """A whole model a task, in the dtype."""
    adapted_disk: int
    """One base in the dtype (its 4-bit form is made on loading) and an adapter's file a task."""
    full_disk: int

    @property
    def times_less(self) -> float:
        """How many times the memory of whole models is that of one base with adapters."""
        return self.full_memory / self.adapted_memory


def serving(shapes: ModelShapes | Any, method: LoRA, tasks: int, dtype: str = "bfloat16") -> Serving:
    """Memory and disk for serving `tasks` fine-tuned variants of one model.

    One base and N adapters: `base + N · e · (A, B, m)`; N full models: `N · e · parameters`. (LoRA paper, section 4.2:
    task switching.)

    Args:
        shapes: what `load_model` returns or accepts.
        method: LoRA, DoRA, QLoRA or QDoRA.
        tasks: N, from 1.
        dtype: "bfloat16", "float16" or "float32", of bases and adapters.

    Raises:
        ValueError: full fine-tuning, which has no adapter; a number of tasks out of its range.

    >>> both = serving({"model_type": "gpt2"}, LoRA(rank=8, targets=["c_attn"]), 100)
    >>> both.full_disk // both.adapted_disk
    80
    """
    if not isinstance(method, LoRA):
        raise ValueError(f"serving needs a method with an adapter (LoRA, DoRA, QLoRA or QDoRA), got {method!r}")
    tasks = whole_number("tasks", tasks, 1, MOST_TASKS)
    model = load_model(shapes)
    each = _sizes(model, method, dtype)
    stored = DTYPE_BYTES[dtype] * model.total
    return Serving(
        tasks=tasks,
        adapted_memory=each.base + tasks * each.adapter,
        full_memory=tasks * each.whole,
        adapted_disk=stored + tasks * each.adapter,
        full_disk=tasks * stored,
    )


@dataclass(frozen=True)
class _Sizes:
    """Bytes of one whole model, of one base and of one adapter."""

    whole: int
    base: int
    adapter: int


@lru_cache(maxsize=256)
def _sizes(model: ModelShapes, method: LoRA, dtype: str) -> _Sizes:
    options = MemoryOptions(dtype=dtype, kbit_upcast=False)
    whole = sum(term.bytes for term in weight_terms(model, Full(), precision_of(Full(), options), options))
    base = sum(term.bytes for term in weight_terms(model, method, precision_of(method, options), options))
    return _Sizes(whole, base, DTYPE_BYTES[dtype] * count(model, method).adapter)


def serving_table(
    shapes: ModelShapes | Any, method: LoRA, tasks: Iterable[int] = (1, 2, 5, 10, 50, 100, 500), dtype: str = "bfloat16"
) -> DataFrame:
    """`serving` for several numbers of tasks: one row each, index = tasks, columns in bytes."""
    with explained("serving as a table"):
        import pandas as pd

    model = load_model(shapes)
    rows = [serving(model, method, number, dtype) for number in tasks]
    return pd.DataFrame([row.__dict__ for row in rows]).set_index("tasks")
