"""What a stranger pasted and uploaded, given to the doctor: no path of the server is read, and no hub is asked."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from peftcalc.doctor.cut import cut_tensors
from peftcalc.doctor.examine import examine
from peftcalc.doctor.report import AdapterInspection
from peftcalc.doctor.sources import CONFIG, TENSORS, Source
from peftcalc.doctor.tensor_file import TensorFile, open_tensors
from peftcalc.doctor.write import header_bytes
from peftcalc.models.catalogue import catalogue_id, catalogue_shapes
from peftcalc.models.files import parse_json

MOST_TENSORS = 4_000
"""A model of 126 layers with an adapter on all seven of its matrices has 1,764; each costs the server some time."""


def inspect_given(pasted: str, content: bytes | None, base: str | None) -> AdapterInspection:
    """What the doctor says of a pasted config (may be empty), an uploaded file (may be None) and a catalogue's base.

    Raises:
        ValueError: damaged, of another format, or too many tensors.
    """
    source = _source(pasted, content)
    named = base or (source.config or {}).get("base_model_name_or_path")
    known = catalogue_id(named) if isinstance(named, str) and len(named) <= 200 else None
    if known:
        return examine(source, catalogue_shapes(known))
    config = source.config
    notes = source.notes
    if config is not None:  # a visitor's text names no file of the server and makes it send no request
        config = {**config, "base_model_name_or_path": None}
        if isinstance(named, str) and named.strip():
            notes = (
                *notes,
                f"its base {named[:120]!r} is not in the catalogue; choose one, or use the terminal",
            )
    return examine(Source(source.name, config, source.file, None, source.faults, notes))


def smaller_adapter(pasted: str, content: bytes, rank: int) -> bytes:
    """The two files of the smaller adapter as a zip archive; a sentence where it cannot be cut."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as files:
        try:
            config, tensors, _, notes = cut_tensors(_source(pasted, content), rank)
        except ValueError as error:
            files.writestr("README.txt", f"Not cut: {error}.\n")
            return archive.getvalue()
        body = b"".join(part for tensor in tensors for part in tensor.parts())
        files.writestr(CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
        files.writestr(TENSORS, header_bytes(tensors, {"format": "pt"}) + body)
        if notes:
            files.writestr("README.txt", "".join(f"{note}.\n" for note in notes))
    return archive.getvalue()


def _source(pasted: str, content: bytes | None) -> Source:
    config: dict[str, Any] | None = parse_json(pasted, CONFIG) if pasted.strip() else None
    file: TensorFile | None = open_tensors(content, "this file") if content is not None else None
    if file is not None and len(file.entries) > MOST_TENSORS:
        raise ValueError(f"this file has {len(file.entries):,} tensors; at most {MOST_TENSORS:,} are read here")
    notes = ("only the config was given, no tensors",) if file is None else ()
    return Source("this adapter", config, file, notes=notes)
