"""What a stranger pasted, uploaded or named on the hub, given to the doctor.

No path of the server is read. The hub is asked for what somebody typed, by `from_hub` alone, as it is for models; what
is inside a config or a file makes no request.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

from peftcalc.doctor.cut import cut_tensors
from peftcalc.doctor.examine import examine
from peftcalc.doctor.report import AdapterInspection
from peftcalc.doctor.sources import CONFIG, TENSORS, Source, hub_files
from peftcalc.doctor.tensor_file import TensorFile, header_only, open_tensors
from peftcalc.doctor.write import header_bytes
from peftcalc.models.catalogue import catalogue_id, catalogue_shapes
from peftcalc.models.files import parse_json
from peftcalc.models.hub import one_look_up

MOST_TENSORS = 4_000
"""A model of 126 layers with an adapter on all seven of its matrices has 1,764; each costs the server some time."""


@dataclass(frozen=True)
class About:
    """Where a visitor's files come from.

    Args:
        name: what to call the adapter.
        length: of the file of tensors, where only its beginning is at hand; else 0.
        faults, notes: what is to be said about the files themselves.
    """

    name: str = "this adapter"
    length: int = 0
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


GIVEN = About()
"""Pasted or uploaded."""


@one_look_up()
def from_hub(repo_id: str, most_bytes: int) -> tuple[str, bytes | None, About]:
    """The config's text, the tensors (None without any) and where they come from, of an adapter on the hub.

    Args:
        repo_id: owner/name, as somebody typed it.
        most_bytes: of a larger file of tensors only the header is read.

    Raises:
        ValueError: as `peftcalc.models.hub.download_file`; together the files take no longer than one look-up may.
    """
    found = hub_files(repo_id, most_bytes, most_bytes)
    content = found.tensors.read_bytes() if found.tensors is not None else _header(found.beginning) or None
    about = About(repo_id, found.length, found.faults, found.notes)
    return found.config.read_text(encoding="utf-8", errors="replace"), content, about


def _header(beginning: bytes) -> bytes:
    """No more of a file's beginning than says what is in it."""
    return beginning[: 8 + int.from_bytes(beginning[:8], "little")]


def inspect_given(pasted: str, content: bytes | None, base: str | None, about: About = GIVEN) -> AdapterInspection:
    """What the doctor says of a pasted config (may be empty), an uploaded file (may be None) and a catalogue's base.

    Raises:
        ValueError: damaged, of another format, or too many tensors.
    """
    source = _source(pasted, content, about)
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


def _source(pasted: str, content: bytes | None, about: About = GIVEN) -> Source:
    config: dict[str, Any] | None = parse_json(pasted, CONFIG) if pasted.strip() else None
    file: TensorFile | None = None
    if content is not None:
        label = "this file" if about == GIVEN else f"{TENSORS} of {about.name}"
        file = header_only(content, about.length, label) if about.length else open_tensors(content, label)
    if file is not None and len(file.entries) > MOST_TENSORS:
        raise ValueError(f"this file has {len(file.entries):,} tensors; at most {MOST_TENSORS:,} are read here")
    notes = ("only the config was given, no tensors",) if file is None and not about.faults else ()
    return Source(about.name, config, file, None, about.faults, (*about.notes, *notes))
