"""A run as the history keeps it, and as a line of JSON."""

from __future__ import annotations

import contextlib
import json
import platform
import re
import secrets
import sys
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from peftcalc.checks import one_of
from peftcalc.units import for_json

KeptState = Literal["running", "done", "stopped", "failed", "interrupted"]
STATES = ("running", "done", "stopped", "failed", "interrupted")
LONGEST_TITLE = 300
LONGEST_NAME = 200
LONGEST_LINK = 20_000
LATEST = 32_503_680_000
"""The year 3000, in seconds since 1970: no platform's calendar ends before it."""
_ID = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,39}")
_LINK = re.compile(r"(/(?![/\\]).*)?")
"""A page of this app; no other address, and no script."""
MOST_RECORD_BYTES = 50_000_000
"""Of one run, uncompressed."""


@dataclass(frozen=True)
class KeptRun:
    """What is known of a run beside its records.

    Attributes:
        id: nobody can guess it, though a list shows it.
        kind: what made it: a name that its readers know.
        source: "app", or the command.
        title: one line for people.
        state: "running", "done", "stopped", "failed", or "interrupted" when the process that ran it is gone.
        begun, ended: seconds since 1970; `ended` is None while it runs.
        settings: what repeats it.
        results: what it came to, small enough for a list of many.
        versions: of this package, Python and torch.
        link: opens it in the app; empty where no page shows it.
        room: the classroom's name; empty outside one.
    """

    id: str
    kind: str
    source: str
    title: str
    state: KeptState
    begun: float
    ended: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    results: Sequence[Mapping[str, Any]] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    link: str = ""
    room: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it; `from_dict` reads it."""
        return for_json(asdict(self))

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> KeptRun:
        """The run that `as_dict` wrote.

        Raises:
            ValueError: it is none.
        """
        known = {f.name for f in fields(KeptRun)}
        try:
            run = KeptRun(**{name: value for name, value in values.items() if name in known})
        except TypeError as error:
            raise ValueError(f"this is not a kept run: {error}") from None
        one_of("state", run.state, STATES)
        wrong = [name for name, right in _right(run).items() if not right]
        if wrong:
            raise ValueError(f"this is not a kept run: {', '.join(wrong)} cannot be read")
        return run


def _right(run: KeptRun) -> dict[str, bool]:
    """Whether each field is what its readers take it for: lists of the terminal, and pages that everybody sees."""
    right = {name: _is_text(getattr(run, name), LONGEST_NAME) for name in ("kind", "source", "room")}
    right["id"] = isinstance(run.id, str) and _ID.fullmatch(run.id) is not None
    right["title"] = _is_text(run.title, LONGEST_TITLE)
    right["link"] = _is_text(run.link, LONGEST_LINK) and _LINK.fullmatch(run.link) is not None
    right["begun"] = _is_moment(run.begun)
    right["ended"] = run.ended is None or _is_moment(run.ended)
    right["settings"] = isinstance(run.settings, Mapping)
    right["versions"] = isinstance(run.versions, Mapping) and all(
        _is_text(value, LONGEST_NAME) for value in run.versions.values()
    )
    right["results"] = isinstance(run.results, list | tuple) and all(_is_result(one) for one in run.results)
    return right


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest and (not value or value.isprintable())


def _is_moment(value: Any) -> bool:
    return is_number(value) and 0 <= value < LATEST


def _is_result(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        value.get(name) is None or is_number(value[name]) for name in ("before", "validation")
    )


def is_number(value: Any) -> bool:
    """A finite number that a float can hold, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def new_run(kind: str, source: str, title: str, settings: Mapping[str, Any], link: str = "", room: str = "") -> KeptRun:
    """A run that begins now. Where `link` has `{id}`, the run's id takes its place."""
    name = secrets.token_hex(6)
    return KeptRun(
        name,
        kind,
        source,
        title[:LONGEST_TITLE],
        "running",
        time.time(),
        None,
        for_json(settings),
        (),
        versions(),
        link.replace("{id}", name),
        room,
    )


def versions() -> dict[str, str]:
    """Of what decides a run; torch is not loaded for it."""
    own = sys.modules[__name__.partition(".")[0]].__version__
    found = {"peftcalc": own, "python": platform.python_version(), "platform": sys.platform}
    with contextlib.suppress(PackageNotFoundError):
        found["torch"] = version("torch")
    return found


def packed(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Records as they lie in the file: lines of JSON, compressed."""
    lines = "".join(json.dumps(for_json(record), separators=(",", ":")) + "\n" for record in records)
    return zlib.compress(lines.encode(), 6)


def unpacked(content: bytes) -> list[dict[str, Any]]:
    """The records that `packed` wrote; of a content that unfolds beyond all bounds its beginning.

    >>> unpacked(packed([{"step": 1, "loss": 0.5}]))
    [{'step': 1, 'loss': 0.5}]
    """
    unfolding = zlib.decompressobj()
    lines = unfolding.decompress(content, MOST_RECORD_BYTES).split(b"\n")
    return [json.loads(line) for line in lines[:-1]]
