"""What takes the bytes of an adapter's file, and why it is so large."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from peftcalc import units
from peftcalc.doctor.findings import Findings, many, some
from peftcalc.doctor.keys import Key
from peftcalc.doctor.report import Stored
from peftcalc.doctor.tensor_file import Entry, TensorFile, dtype_name

_PARTS = {
    "A": "low-rank factors",
    "B": "low-rank factors",
    "B's bias": "biases",
    "magnitude": "magnitudes",
    "base": "copies of the base",
    "token": "tokens",
    "copy": "modules in full",
    "foreign": "other",
}
_LARGE = 0.1
"""A part below this share of the file does not explain its size."""


def stored_parts(tensors: Mapping[Key, Entry]) -> tuple[Stored, ...]:
    """The file's tensors by purpose and type, largest first."""
    rows: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for key, entry in tensors.items():
        row = rows[_part(key), dtype_name(entry.dtype)]
        row[0], row[1], row[2] = row[0] + 1, row[1] + entry.numel, row[2] + entry.nbytes
    parts = (Stored(part, dtype, *row) for (part, dtype), row in rows.items())
    return tuple(sorted(parts, key=lambda stored: -stored.nbytes))


def explain_size(tensors: Mapping[Key, Entry], file: TensorFile, found: Findings) -> None:
    """Why the file is so large: whole tables in it, the same table twice, numbers of 32 bits."""
    total = sum(entry.nbytes for entry in tensors.values())
    if not total:
        return
    for role, sentence in (
        (
            "base",
            "copies of the frozen base, which peft adds where embeddings or the head are targets or the vocabulary was "
            "resized; they do not change the model if the base is the same (save_pretrained with "
            "save_embedding_layers=False leaves them out)",
        ),
        ("copy", "modules in full, trained or saved whole (modules_to_save, or a resized vocabulary)"),
    ):
        whole = {key: entry for key, entry in tensors.items() if key.role == role and key.parameter != "bias"}
        nbytes = sum(entry.nbytes for entry in whole.values())
        if nbytes >= _LARGE * total:
            names = some([key.owner for key in sorted(whole, key=lambda key: -whole[key].nbytes)])
            found.note(
                f"{units.gb(nbytes)} of {units.gb(total)}, {units.percent(100 * nbytes / total)}, are {names}: "
                f"{sentence}"
            )
    for first, second in _twins(tensors, file):
        found.note(f"{first} and {second} hold the same numbers twice")
    wide = sum(entry.nbytes for entry in tensors.values() if entry.dtype in ("F32", "F64"))
    if wide >= _LARGE * total:
        half = sum(2 * e.numel if e.dtype in ("F32", "F64") else e.nbytes for e in tensors.values())
        found.note(
            f"{units.gb(wide)} are numbers of 32 bits or more, as peft trains them; in bfloat16 the file would have "
            f"{units.gb(half)}"
        )


def check_numbers(tensors: Mapping[Key, Entry], file: TensorFile, found: Findings) -> None:
    """Values that are not finite, and updates that are exactly zero."""
    import numpy as np

    broken, zero = [], set()
    for key, entry in tensors.items():
        finite, all_zero = True, entry.numel > 0
        for chunk in file.chunks(entry.name):
            finite = finite and bool(np.isfinite(chunk).all())
            all_zero = all_zero and not chunk.any()
        if not finite:
            broken.append(entry.name)
        if all_zero and key.role in ("A", "B"):
            zero.add((key.module, key.role))
    if broken:
        found.fault(f"{many(len(broken), 'tensor holds', 'tensors hold')} NaN or infinity: {some(broken)}")
    modules = list(dict.fromkeys(key.module for key in tensors if key.role == "B"))
    still = [module for module in modules if (module, "A") in zero or (module, "B") in zero]
    dead = [module for module in modules if (module, "A") in zero and (module, "B") in zero]
    found.untrained += still
    if still:
        which = "every module" if len(still) == len(modules) else f"{len(still):,} of {len(modules):,} modules"
        found.note(f"the update of {which} is exactly zero, as before the first step of training: {some(still)}")
    if dead:
        found.note(f"A and B are both zero in {some(dead)}: no gradient can move them")


def _part(key: Key) -> str:
    return "biases" if key.parameter == "bias" else _PARTS[key.role]


def _twins(tensors: Mapping[Key, Entry], file: TensorFile) -> list[tuple[str, str]]:
    """Whole tables of the same shape that hold the same bytes: embeddings and an output head that are tied."""
    if not file.has_values:
        return []
    tables = [e for k, e in tensors.items() if k.role in ("copy", "base") and len(e.shape) == 2 and e.numel > 1][:16]
    return [
        (one.name, other.name)
        for place, one in enumerate(tables)
        for other in tables[place + 1 :]
        if (one.shape, one.dtype) == (other.shape, other.dtype) and _same_bytes(file, one.name, other.name)
    ]


def _same_bytes(file: TensorFile, one: str, other: str) -> bool:
    return all(a == b for a, b in zip(file.raw_chunks(one), file.raw_chunks(other), strict=True))
