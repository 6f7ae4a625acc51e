"""One door to a model's shapes: a catalogue id, a path, a dictionary, a module or a hub id."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.checks import nearest
from peftcalc.lazy import explained, needs
from peftcalc.models.configs.other_files import other_folder
from peftcalc.models.files import read_json
from peftcalc.models.shapes import ModelShapes

if TYPE_CHECKING:
    from torch import nn

MAX_NAME = 4_096
"""The longest path of common file systems, in characters."""

_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


def load_model(source: str | Path | Mapping[str, Any] | nn.Module | ModelShapes) -> ModelShapes:
    """What a model is made of: every weight's shape and the module that holds it.

    Args:
        source: an id of the catalogue (upper and lower case alike), which needs neither torch nor transformers; the
            path of a `config.json` or of the folder that has one; the configuration as a dictionary; any `nn.Module`;
            or a hub id, of which only `config.json` is downloaded. A `ModelShapes` is returned as it is.

    Raises:
        ValueError: nothing of that name (the nearest are offered), a file that is no configuration, an architecture
            that transformers does not ship, a dimension that no model has; torch, transformers or huggingface_hub is
            not installed (`MissingExtra`, with the command), which only what is outside the catalogue needs.

    >>> load_model({"model_type": "gpt2"}).total
    124439808
    """
    if isinstance(source, ModelShapes):
        return source
    if isinstance(source, Mapping):
        return _build(dict(source), None)
    if isinstance(source, str | Path):
        return _load_named(source)
    torch = sys.modules.get("torch")  # an nn.Module exists only where torch has been imported
    if torch is not None and isinstance(source, torch.nn.Module):
        with explained("a model that is a module"):
            from peftcalc.models.read import read_module

            return read_module(source)
    raise ValueError(
        f"a model is a catalogue id, a path, a dictionary, an nn.Module or a hub id, got {type(source).__name__}"
    )


def _load_named(source: str | Path) -> ModelShapes:
    """A catalogue id, an existing path or a hub id, in this order."""
    from peftcalc.models.catalogue import catalogue_id, catalogue_shapes

    text = str(source).strip()
    if not text or "\0" in text or len(text) > MAX_NAME:
        raise ValueError(f"a model is a catalogue id, a path or a hub id, got {text[:80]!r}")
    path = Path(text).expanduser()
    if isinstance(source, str) and catalogue_id(text) and not (path.is_dir() and (path / "config.json").exists()):
        return catalogue_shapes(text)
    if _exists(path):
        file = path / "config.json" if path.is_dir() else path
        if path.is_dir() and not file.exists() and (sentence := other_folder(path)):
            raise ValueError(sentence)
        return _build(read_json(file), _name(file))
    if isinstance(source, Path) or path.suffix == ".json" or not _HUB_ID.fullmatch(text):
        raise ValueError(
            f"no model {text!r}: no catalogue id, no file or folder, no hub id (owner/name){_nearest_ids(text)}"
        )
    return _load_from_hub(text)


def _load_from_hub(repo_id: str) -> ModelShapes:
    """By hub id; when the hub cannot help, the nearest names of the catalogue are offered."""
    from peftcalc.models.hub import download_config

    try:
        path = download_config(repo_id)
    except ValueError as error:
        raise ValueError(f"{error}{_nearest_ids(repo_id)}") from error
    return _build(read_json(path), repo_id)


def _build(config: dict[str, Any], name: str | None) -> ModelShapes:
    what = "a config outside the catalogue"
    needs("torch", what)  # transformers without it has the names of its classes, and no class
    with explained(what):
        from peftcalc.models.build import build_shapes

        return build_shapes(config, name)


def _name(file: Path) -> str:
    """What to call a model that is known by its file: the folder of a `config.json`, or the file's own name."""
    return file.absolute().parent.name if file.name == "config.json" else file.stem


def _nearest_ids(text: str) -> str:
    """The catalogue's ids that are spelled most alike, by the whole name or by the part after the slash."""
    from peftcalc.models.catalogue import catalogue_ids

    short = {name.rpartition("/")[2]: name for name in catalogue_ids()}
    near = nearest(text, short.values()) or [short[name] for name in nearest(text.rpartition("/")[2], short)]
    return f"; nearest in the catalogue: {', '.join(near)}" if near else ""


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than the file system allows
        return False
