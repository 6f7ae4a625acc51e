"""Where an adapter comes from: a folder, one of its files, a dictionary, or the hub; anything else there is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftcalc.doctor.tensor_file import TensorFile, header_only, open_tensors
from peftcalc.models.files import MAX_CONFIG_BYTES, read_json
from peftcalc.models.hub import NoSuchFile, TooLarge, download_file, read_beginning

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
PICKLE = "adapter_model.bin"
MAX_DOWNLOAD_BYTES = 2 * 10**9
"""The largest file of tensors that is downloaded; of a larger one only the header is read."""
HEADER_BYTES = 16_000_000
DOWNLOAD_SECONDS = 300.0

_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


@dataclass(frozen=True)
class Source:
    """An adapter as it was found.

    Args:
        name: what to call it.
        config: the content of `adapter_config.json`, None where it is missing.
        file: the tensors, None where they are missing.
        folder: where it lies, None for the hub, a dictionary and an upload.
        faults, notes: what is to be said about the files themselves.
    """

    name: str
    config: Mapping[str, Any] | None
    file: TensorFile | None
    folder: Path | None = None
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_adapter(source: str | Path | Mapping[str, Any]) -> Source:
    """The adapter that a path, a dictionary or a hub id names.

    Raises:
        ValueError: nothing there, or something that is no adapter, with what it is.
    """
    if isinstance(source, Mapping):
        return Source("this config", source, None, notes=("only the config was given, no tensors",))
    if not isinstance(source, str | Path) or not str(source).strip() or "\0" in str(source):
        raise ValueError(f"an adapter is a folder, a hub id or a dictionary, got {source!r}")
    path = Path(source).expanduser()
    try:
        is_dir, exists = path.is_dir(), path.exists()
    except OSError:  # a name longer than the file system allows
        is_dir = exists = False
    if is_dir:
        return _from_folder(path)
    if exists:
        return _from_file(path)
    text = str(source).strip()
    if isinstance(source, Path) or not _HUB_ID.fullmatch(text):
        raise ValueError(f"no adapter {text[:200]!r}: no folder, no file, no hub id (owner/name)")
    return _from_hub(text)


def _from_file(path: Path) -> Source:
    """One of an adapter's files; the other is looked for beside it."""
    if path.suffix == ".json":
        config = read_json(path, CONFIG)
        beside = path.parent / TENSORS
        if path.name == CONFIG and beside.exists():
            return _from_folder(path.parent)
        return Source(path.name, config, None, notes=("only the config was given, no tensors",))
    if path.name == TENSORS and (path.parent / CONFIG).exists():
        return _from_folder(path.parent)
    file = open_tensors(path, path.name)
    return Source(path.name, None, file)


def _from_folder(folder: Path) -> Source:
    """An adapter's folder."""
    config = folder / CONFIG
    tensors = folder / TENSORS
    name = folder.absolute().name
    if not config.exists() and not tensors.exists():
        raise ValueError(f"{folder} holds no adapter: {_what_lies_there(folder)}")
    faults = [] if config.exists() else [f"{CONFIG} is missing, without which peft does not load an adapter"]
    if not tensors.exists():
        faults.append(_no_tensors(f"{PICKLE} is there" if (folder / PICKLE).exists() else ""))
    return Source(
        name,
        read_json(config, CONFIG) if config.exists() else None,
        open_tensors(tensors, TENSORS) if tensors.exists() else None,
        folder,
        tuple(faults),
    )


def _no_tensors(pickled: str) -> str:
    """Why there are no tensors."""
    if pickled:
        return (
            f"{pickled}, a pickle, which can run code, and is not read; load it once with peft in a place that you "
            "trust and save it again, which writes safetensors"
        )
    return f"{TENSORS} is missing"


def _what_lies_there(folder: Path) -> str:
    """What a folder without an adapter has instead."""
    names = {path.name for path in list(folder.iterdir())[:10_000]}
    inside = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))[:3]
    if inside:
        return f"it lies in {', '.join(inside)}"
    if PICKLE in names:
        return f"{_no_tensors(f'{PICKLE} is there')}, and {CONFIG} is missing"
    if "pytorch_lora_weights.safetensors" in names:
        return "pytorch_lora_weights.safetensors is an adapter in diffusers' format, which peft does not load by itself"
    if "config.json" in names:
        return "it has a config.json and is a whole model"
    return f"neither {CONFIG} nor {TENSORS} is there"


@dataclass(frozen=True)
class HubFiles:
    """An adapter's files as the hub gave them.

    Args:
        config: where `adapter_config.json` lies.
        tensors: where the tensors lie, None where they are missing or too large.
        beginning: of tensors that are too large, the first bytes, among which the header is.
        length: of that file.
        faults, notes: what is to be said about the files themselves.
    """

    config: Path
    tensors: Path | None = None
    beginning: bytes = b""
    length: int = 0
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def hub_files(
    repo_id: str, most_bytes: int, header_bytes: int = HEADER_BYTES, seconds: float | None = None
) -> HubFiles:
    """Of a repository only the config and, up to a bounded size, the tensors.

    Raises:
        ValueError: as `download_file`, for the config.
    """
    if not _HUB_ID.fullmatch(repo_id):
        raise ValueError(f"on the hub an adapter is called owner/name, got {repo_id[:200]!r}")
    config = download_file(repo_id, CONFIG, MAX_CONFIG_BYTES)
    try:
        return HubFiles(config, download_file(repo_id, TENSORS, most_bytes, seconds))
    except TooLarge as error:
        note = f"{error}; only its header was read, so nothing is said of its numbers"
        return HubFiles(config, None, *read_beginning(repo_id, TENSORS, header_bytes), notes=(note,))
    except NoSuchFile as error:
        return HubFiles(config, faults=(f"{error}; a pickle ({PICKLE}) is not read",))


def _from_hub(repo_id: str) -> Source:
    found = hub_files(repo_id, MAX_DOWNLOAD_BYTES, HEADER_BYTES, DOWNLOAD_SECONDS)
    label = f"{TENSORS} of {repo_id}"
    file = None
    if found.tensors is not None:
        file = open_tensors(found.tensors, label)
    elif found.beginning:
        file = header_only(found.beginning, found.length, label)
    return Source(repo_id, read_json(found.config, CONFIG), file, None, found.faults, found.notes)
