"""The kinds of work that this room offers to a queue: what a visitor pasted and uploaded, read and cut."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from peftcalc.bounded_memory import bound_memory
from peftcalc.doctor.report import AdapterInspection, LayerUpdate, Stored
from peftcalc.doctor.strangers import About, inspect_given, smaller_adapter

ARCHIVE = "adapter.zip"


def inspect_job(parameters: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """What the doctor says, as `AdapterInspection.as_dict` writes it.

    Args:
        parameters: `pasted`, the text of an `adapter_config.json` or empty; `base`, a catalogue's id or None; `about`,
            the fields of an `About`, or nothing; and where there are tensors, `files`, the folder where `tensors` lies.
        folder: not used.
    """
    del folder
    yield 0, 0.0, []
    bound_memory()
    told = parameters.get("about")
    about = About(told["name"], told["length"], tuple(told["faults"]), tuple(told["notes"])) if told else About()
    found = inspect_given(parameters["pasted"], _tensors(parameters), parameters["base"], about)
    yield 1, 1.0, [found.as_dict()]


def cut_job(parameters: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """The smaller adapter as a zip archive, `adapter.zip` in the folder.

    Args:
        parameters: `pasted` and `files` as above; `rank`, to which it is cut.
        folder: for the archive.
    """
    yield 0, 0.0, []
    bound_memory()
    content = _tensors(parameters)
    if content is None:
        raise ValueError("an adapter is cut where its tensors are given, got none")
    (folder / ARCHIVE).write_bytes(smaller_adapter(parameters["pasted"], content, parameters["rank"]))
    yield 1, 1.0, [{"file": ARCHIVE}]


def _tensors(parameters: Mapping[str, Any]) -> bytes | None:
    return Path(parameters["files"], "tensors").read_bytes() if "files" in parameters else None


KINDS = {"inspect": inspect_job, "cut": cut_job}


@dataclass(frozen=True)
class ToldInspection(AdapterInspection):
    """An inspection as `inspect_job` told it: without the parts of its count, of which `trained` is the sum."""

    trained: int | None = None

    @property
    def trainable(self) -> int | None:
        """Parameters that the adapter trains; None where the base is not known."""
        return self.trained


def inspection_from_json(told: Mapping[str, Any]) -> ToldInspection:
    """The inspection that `inspect_job` told."""
    names = {entry.name for entry in fields(ToldInspection)} - {"count", "trained", "layers", "stored"}
    own: dict[str, Any] = {name: tuple(told[name]) if isinstance(told[name], list) else told[name] for name in names}
    return ToldInspection(
        **own,
        count=None,
        trained=told["trainable"],
        layers=tuple(_layer(layer) for layer in told["layers"]),
        stored=tuple(Stored(**part) for part in told["stored"]),
    )


def _layer(told: Mapping[str, Any]) -> LayerUpdate:
    """JSON has neither infinity nor NaN: a norm that is not there was one of them."""
    own = {name: value for name, value in told.items() if name != "energy"}
    for name in ("frobenius_norm", "spectral_norm", "effective_rank"):
        own[name] = math.nan if own[name] is None else own[name]
    own["singular_values"] = tuple(math.nan if value is None else value for value in own["singular_values"])
    return LayerUpdate(**own)
