"""How many parameters a method trains: exactly what peft would say, from shapes alone.

This module is loaded with the package, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from peftcalc.methods import LoRA, Method

if TYPE_CHECKING:
    from pathlib import Path

    import pandas

    from peftcalc.adapter_config import AdapterReport
    from peftcalc.models.shapes import ModelShapes


@dataclass(frozen=True)
class Part:
    """Equal modules that train equally many parameters.

    Args:
        module: name, with `{}` for the layer's number.
        kind: "linear", "embedding", "experts", … (`peftcalc.models.shapes.KINDS`).
        suffix: the name by which people choose it: "q_proj".
        how: "adapter", "bias" (of the base), "copy" (`modules_to_save`) or "full".
        rank: r of the adapter, 0 where there is none.
        each: parameters that one module trains.
        magnitude: how many of `each` are DoRA's magnitudes.
        indices: the layers; empty for one module without a number.
        in_features, out_features: widths of the base module.
        base: parameters of one base module, without tied ones.
    """

    module: str
    kind: str
    suffix: str
    how: str
    rank: int
    each: int
    magnitude: int
    indices: tuple[int, ...]
    in_features: int
    out_features: int
    base: int

    @property
    def repeats(self) -> int:
        """How many modules this stands for."""
        return len(self.indices) or 1

    @property
    def trainable(self) -> int:
        """Parameters that all of them train."""
        return self.each * self.repeats


@dataclass(frozen=True)
class Count:
    """What a method trains of a model; all numbers are exact counts of parameters.

    Args:
        model: id of the model.
        method: the method.
        base: parameters of the model itself, tied ones once.
        trainable: parameters that are trained.
        total: base and everything that the method adds, as peft's `get_nb_trainable_parameters` counts "all".
        adapter: parameters in the adapter's file: A, B and magnitudes, copies of saved modules, trained biases; for
            full fine-tuning the whole model.
        parts: where the trained parameters are, equal modules together.
        notes: sentences worth reading: a wasteful rank, tied embeddings, what was translated.
    """

    model: str
    method: Method
    base: int
    trainable: int
    total: int
    adapter: int
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()

    @property
    def percent(self) -> float:
        """100 · trainable / total, as peft prints it."""
        return 100 * self.trainable / self.total if self.total else 0.0

    @property
    def adapter_bytes_fp32(self) -> int:
        """Bytes of the adapter's tensors on disk at 4 bytes a parameter, without the file's header."""
        return 4 * self.adapter

    @property
    def adapter_bytes_fp16(self) -> int:
        """Bytes of the adapter's tensors on disk at 2 bytes a parameter (fp16 or bf16), without the file's header."""
        return 2 * self.adapter

    @cached_property
    def by_module(self) -> pandas.DataFrame:
        """A row per trained module: module, kind, how, rank, in_features, out_features, base, trainable, magnitude."""
        import pandas

        return pandas.DataFrame(list(self._module_rows()), columns=list(_MODULE_COLUMNS)).set_index("module")

    @cached_property
    def by_kind(self) -> pandas.DataFrame:
        """A row per module name and way of training: modules (how many), rank, trainable, percent of the trainable."""
        import pandas

        rows: dict[tuple[str, str, str, int], list[int]] = {}
        for part in self.parts:
            row = rows.setdefault((part.suffix, part.kind, part.how, part.rank), [0, 0])
            row[0] += part.repeats
            row[1] += part.trainable
        records = [(*key, modules, n, 100 * n / max(self.trainable, 1)) for key, (modules, n) in rows.items()]
        columns = ["name", "kind", "how", "rank", "modules", "trainable", "percent"]
        return pandas.DataFrame(records, columns=columns).set_index("name")

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints: attribute names and values, and a row per module name."""
        return {
            "model": self.model,
            "method": self.method.name,
            "trainable": self.trainable,
            "total": self.total,
            "base": self.base,
            "percent": self.percent,
            "adapter_bytes_fp32": self.adapter_bytes_fp32,
            "adapter_bytes_fp16": self.adapter_bytes_fp16,
            "by_kind": self.by_kind.reset_index().to_dict("records"),
            "notes": list(self.notes),
        }

    def _module_rows(self) -> Iterator[tuple[Any, ...]]:
        for part in self.parts:
            for index in part.indices or (None,):
                name = part.module if index is None else part.module.replace("{}", str(index), 1)
                yield (
                    name,
                    part.kind,
                    part.how,
                    part.rank,
                    part.in_features,
                    part.out_features,
                    part.base,
                    part.each,
                    part.magnitude,
                )


_MODULE_COLUMNS = ("module", "kind", "how", "rank", "in_features", "out_features", "base", "trainable", "magnitude")


def count(shapes: ModelShapes | Any, method: Method, task_type: str | None = None) -> Count:
    """How many parameters `method` trains on a model, to the parameter as peft 0.21 would.

    LoRA trains `r · (in + out)` per linear layer, DoRA `out` more; full fine-tuning trains every parameter. A quantized
    base is counted by its logical parameters, so QLoRA counts as LoRA does and QDoRA as DoRA.

    Args:
        shapes: what `load_model` returns, or anything that it accepts.
        method: one of the five.
        task_type: peft's `task_type`; "SEQ_CLS" and "TOKEN_CLS" train the classification head in full and
            "QUESTION_ANS" the answer head, as peft's classes for them do.

    Raises:
        ValueError: targets that match nothing, or a combination that peft refuses.

    >>> result = count({"model_type": "gpt2"}, LoRA(rank=8, targets=["c_attn"]))
    >>> result.trainable, result.total, round(result.percent, 4)
    (294912, 124734720, 0.2364)
    """
    if not isinstance(method, Method):
        raise ValueError(f"a method is Full(), LoRA(), DoRA(), QLoRA() or QDoRA(), got {method!r}")
    from peftcalc.models.load import load_model
    from peftcalc.trained import count_adapter, count_full

    model = load_model(shapes)
    return count_adapter(model, method, task_type) if isinstance(method, LoRA) else count_full(model, method)


def read_adapter_config(source: str | Path | Mapping[str, Any], base: Any = None) -> AdapterReport:
    """The exact count of an existing `adapter_config.json` on its base model, with an explanation in sentences.

    See `peftcalc.adapter_config.read_adapter_config`, which this loads when it is called.
    """
    from peftcalc.adapter_config import read_adapter_config as read

    return read(source, base)
