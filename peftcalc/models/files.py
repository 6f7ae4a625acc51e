"""Reading a JSON object from a file that somebody else wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peftcalc.models.configs.other_files import HEAD_BYTES, other_file
from peftcalc.outside_files import check_content, plain_file, read_bounded

MAX_CONFIG_BYTES = 5_000_000
"""The largest config.json on the hub is below a megabyte; the app's upload limit is the same."""


def read_json(path: Path, what: str = "config.json") -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: no such file, a pipe or a device, a file of another kind (weights, a pointer of Git LFS, …), larger
            than 5 MB (it is then not read), not JSON, not an object, or nested too deeply.
    """
    size = plain_file(path)
    try:
        with path.open("rb") as file:
            _refuse_other(file.read(HEAD_BYTES), size, what)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    return parse_json(read_bounded(path, MAX_CONFIG_BYTES, f"a {what}"), what)


def parse_json(text: str | bytes, what: str = "config.json") -> dict[str, Any]:
    """The JSON object in a text or its bytes, pasted or uploaded; a byte-order mark and UTF-16 are read too.

    >>> parse_json('{"model_type": "llama"')
    Traceback (most recent call last):
    ValueError: this config.json is not complete JSON: Expecting ',' delimiter at line 1, column 23
    """
    if len(text) > MAX_CONFIG_BYTES:
        raise ValueError(f"this {what} has {len(text):,} bytes; the limit is {MAX_CONFIG_BYTES:,}")
    head = text[:HEAD_BYTES]
    _refuse_other(head if isinstance(head, bytes) else head.encode("utf-8", "replace"), len(text), what)
    try:
        value = json.loads(text.removeprefix("\ufeff") if isinstance(text, str) else text)
    except json.JSONDecodeError as error:
        cut_off = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        complete = "complete " if cut_off else ""
        place = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"this {what} is not {complete}JSON: {error.msg} at {place}") from None
    except UnicodeDecodeError:
        raise ValueError(f"this {what} is not JSON: it is not text") from None
    except RecursionError:
        raise ValueError(f"this {what} is nested too deeply") from None
    except ValueError:
        raise ValueError(f"this {what} is not readable: a number in it has thousands of digits") from None
    check_content(value, f"this {what}")
    if not isinstance(value, dict):
        raise ValueError(f"this {what} must be a JSON object with names and values, got {type(value).__name__}")
    return value


def _refuse_other(head: bytes, size: int, what: str) -> None:
    """Raise a ValueError that says what a file is when it begins as no JSON does."""
    if sentence := other_file(head, size, what):
        raise ValueError(sentence)
