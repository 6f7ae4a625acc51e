"""What counting answers: how many parameters a method trains of a model, and where they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from peftcalc.lazy import Drawn, explained
from peftcalc.methods import Method
from peftcalc.models.shapes import ModuleGroup

if TYPE_CHECKING:
    import pandas

    from peftcalc.counting.adapter_files.other_adapters import OtherAdapter


@dataclass(frozen=True)
class Part:
    """Equal modules that train equally many parameters.

    Args:
        module: name, with `{}` for the layer's number.
        kind: "linear", "embedding", "experts", … (`peftcalc.models.shapes.KINDS`).
        suffix: the name by which people choose it: "q_proj".
        how: "adapter", "bias" (of the base), "copy" (`modules_to_save`), "tokens" (single rows of a table) or "full".
        rank: r of the adapter, 0 where there is none.
        each: parameters that one module trains.
        magnitude: how many of `each` are DoRA's magnitudes.
        indices: the layers; empty for one module without a number.
        in_features, out_features: widths of the base module.
        base: parameters of one base module, without tied ones.
        frozen: parameters that one module's adapter holds beside `each` and does not train (A of LoRA-FA).
        part: which part of a model of several it belongs to ("vision_tower"); empty for a model of one part.
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
    frozen: int = 0
    part: str = ""

    @property
    def repeats(self) -> int:
        """How many modules this stands for."""
        return len(self.indices) or 1

    @property
    def trainable(self) -> int:
        """Parameters that all of them train."""
        return self.each * self.repeats

    @property
    def held(self) -> int:
        """Parameters that all of them add to the model, trained or not."""
        return (self.each + self.frozen) * self.repeats


def part_of(
    group: ModuleGroup, how: str, each: int, indices: tuple[int, ...], rank: int = 0, magnitude: int = 0
) -> Part:
    """The part that a group of modules trains; see `Part`."""
    return Part(
        group.template,
        group.kind,
        group.suffix,
        how,
        rank,
        each,
        magnitude,
        indices,
        group.in_features,
        group.out_features,
        group.parameters_each,
    )


@dataclass(frozen=True)
class Count(Drawn):
    """What a method trains of a model; all numbers are exact counts of parameters.

    Args:
        model: id of the model.
        method: the method; of an adapter's file it may be VeRA or AdaLoRA.
        base: parameters of the model itself, tied ones once.
        trainable: parameters that are trained.
        total: base and everything that the method adds, as peft's `get_nb_trainable_parameters` counts "all".
        adapter: parameters in the adapter's file: A (frozen or not), B and magnitudes, copies of saved modules, trained
            biases; for full fine-tuning the whole model.
        parts: where the trained parameters are, equal modules together.
        notes: sentences worth reading: a wasteful rank, tied embeddings, what was translated, another class than asked.
        architecture: the class whose parameters were counted.
    """

    model: str
    method: Method | OtherAdapter
    base: int
    trainable: int
    total: int
    adapter: int
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    architecture: str = ""

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
        return _table(_MODULE_COLUMNS, self._module_rows())

    @cached_property
    def by_kind(self) -> pandas.DataFrame:
        """A row per module name and way of training: modules (how many), rank, trainable, percent of the trainable.

        A model of several parts (a vision tower, a projector, a language model) has a row for each of them; `part`
        names it, and is empty for a model of one part.
        """
        return _table(_KIND_COLUMNS, (row.values() for row in self.kind_rows()))

    def kind_rows(self) -> list[dict[str, Any]]:
        """The rows of `by_kind` as plain records, for which no package is needed: name, kind, how, rank, modules, …"""
        rows: dict[tuple[str, str, str, str, int], list[int]] = {}
        for part in self.parts:
            row = rows.setdefault((part.part, part.suffix, part.kind, part.how, part.rank), [0, 0])
            row[0] += part.repeats
            row[1] += part.trainable
        whole = max(self.trainable, 1)
        records = [(*key, modules, n, 100 * n / whole, part) for (part, *key), (modules, n) in rows.items()]
        return [dict(zip(_KIND_COLUMNS, record, strict=True)) for record in records]

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints: attribute names and values, and a row per module name."""
        return {
            "model": self.model,
            "architecture": self.architecture,
            "method": self.method.name,
            "trainable": self.trainable,
            "total": self.total,
            "base": self.base,
            "percent": self.percent,
            "adapter_bytes_fp32": self.adapter_bytes_fp32,
            "adapter_bytes_fp16": self.adapter_bytes_fp16,
            "by_kind": self.kind_rows(),
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


_KIND_COLUMNS = ("name", "kind", "how", "rank", "modules", "trainable", "percent", "part")
_MODULE_COLUMNS = ("module", "kind", "how", "rank", "in_features", "out_features", "base", "trainable", "magnitude")


def _table(columns: tuple[str, ...], rows: Iterable[Iterable[Any]]) -> pandas.DataFrame:
    """A frame made column by column, in half the time of one made of rows; the first column is the index."""
    with explained("the count as a table"):
        import pandas

    index, *values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pandas.DataFrame(dict(zip(columns[1:], values, strict=True)), pandas.Index(index, name=columns[0]))
