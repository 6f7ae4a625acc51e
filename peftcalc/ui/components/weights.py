"""A run as it learns: curves, the weights of one matrix, samples, and a rail that leads all of them back.

What is told at once is a race with all that has come of it (`whole_race`), or what came since the last looks
(`Told.tail`): some ten kilobytes, since five looks a second are sent.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from peftcalc import units
from peftcalc.lab.race_results import RaceResults, Track
from peftcalc.lab.runs.packed import packed
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.methods import METHODS
from peftcalc.plots.style import METHOD_STYLES
from peftcalc.plots.training import falls_far
from peftcalc.ui.components.mount import mount
from peftcalc.ui.components.parts import Choice, Number, Parts, State

WHOLE_BYTES = 300_000
"""Of looks that are sent at once: of a run with large adapters every second or third look."""
TAIL_BYTES = 6_500
"""Of matrices that are sent with a look while a run goes on: those of the chosen method first."""
AGAIN = 3
"""Looks whose losses are told again, for a browser that has missed one."""
AFRESH = 10
"""Every so many looks all losses are told, and then every base: a slow browser misses more than a few."""
TOLD_ONCE = ("W", "T", "among")
"""Parts of a look that travel apart from it."""
METRICS = {"judged": "sounds right", "copied": "copied", "accuracy": "read rightly"}
SHOWN = {"digits": 24, "names": 10}


def weights(data: Mapping[str, Any], key: str, written: str = "") -> State:
    """Show a race.

    Args:
        data: of `whole_race` or `Told.tail`.
        key: as for `mount`.
        written: the same as JSON, where it is shown again and again.

    Returns:
        What the visitor chose: "method", "matrix", "axis", the "step" where the rail was let go, −1 for the newest, and
        with "detail" 1 the spectrum and the rows.
    """
    return mount("weights", written or data, weights_parts(data), key)


def weights_parts(data: Mapping[str, Any]) -> Parts:
    """What can be chosen."""
    return {
        "method": Choice(tuple(METHODS)),
        "matrix": Choice(("", *data["matrices"])),
        "axis": Choice(("linear", "log")),
        "step": Number(-1, 100_000, whole=True),
        "detail": Number(0, 1, whole=True),
    }


def whole_race(board: RaceResults, run: str, status: str, live: bool = False) -> dict[str, Any]:
    """Everything that a race has told.

    Args:
        board: at least one of its runs has begun.
        run: a name that another race does not have.
        status: a line beside the picture.
        live: whether more is to come.
    """
    tracks = _first_tracks(board)
    size = sum(_bytes(look) for track in tracks for _, look in track.weights)
    every = max(1, math.ceil(size / WHOLE_BYTES))
    bases: dict[str, dict[str, Any]] = {}
    for track in tracks:
        for _, look in track.weights:
            if "W" in look:
                bases.setdefault(_kind(track), {})[look["matrix"]] = {"shape": look["shape"], **_once(look)}
    return {
        **_frame(board, run, status, live),
        "images": _images(board),
        "whole": True,
        "bases": bases,
        "methods": [_method(board, track, 0, _thinned(track.weights, every), track.looks) for track in tracks],
    }


def unchanged(whole: Mapping[str, Any]) -> dict[str, Any]:
    """Of a race that the browser has been told whole (`whole_race`): that it is as it was, in a hundredth of the bytes.

    What stands beside it (`status`) may differ.
    """
    gone = {"loss": [], "samples": [], "looks": []}
    methods = [{**one, **gone, "from": one["from"] + len(one["loss"])} for one in whole["methods"]]
    return {**whole, "whole": False, "images": None, "bases": {}, "methods": methods}


@dataclass
class Told:
    """What a browser has been told of a race, so that the next look tells what is new."""

    marks: deque[dict[str, tuple[int, int, int]]] = field(default_factory=lambda: deque(maxlen=AGAIN))
    """At each of the last looks, of each run how many losses, weights and evaluations there were."""
    waiting: dict[tuple[str, str, str], tuple[Any, Any]] = field(default_factory=dict)
    """By kind of base, matrix and part what has not been told: its shape and codes. One goes with each look."""
    turn: int = 0

    def tail(self, board: RaceResults, run: str, status: str, method: str) -> dict[str, Any]:
        """What is new, and for a browser that has missed some, the losses of the last looks once more.

        Args:
            board, run, status: as for `whole_race`.
            method: whose weights the visitor looks at: they go first.
        """
        tracks = _first_tracks(board)
        afresh = self.turn % AFRESH == AFRESH - 1
        if afresh:
            self.marks.clear()
        now = {track.name: (len(track.losses), len(track.weights), len(track.looks)) for track in tracks}
        oldest = self.marks[0] if self.marks else {}
        before = self.marks[-2] if len(self.marks) > 1 else oldest
        self.marks.append(now)
        fresh = {track.name: track.weights[before.get(track.name, (0, 0, 0))[1] :] for track in tracks}
        self._await(tracks, now)
        bases = {} if afresh else self._base()
        room = 0 if afresh else TAIL_BYTES - sum(len(str(part)) for part in bases.values())
        sent = self._chosen(tracks, fresh, method, room)
        methods = []
        for track in tracks:
            since, _, seen = oldest.get(track.name, (0, 0, 0))
            newly = before.get(track.name, (0, 0, 0))[2]
            methods.append(_method(board, track, since, sent.get(track.name, []), track.looks[min(seen, newly) :]))
        first = any(one["samples"] and one["samples"][0][0] == 0 for one in methods)
        told = {"images": _images(board) if first else None, "whole": False, "bases": bases, "methods": methods}
        return {**_frame(board, run, status, live=True), **told}

    def _await(self, tracks: Sequence[Track], now: Mapping[str, tuple[int, int, int]]) -> None:
        """Keep for the next looks the matrices that stay as they are."""
        before = self.marks[-2] if len(self.marks) > 1 else {}
        for track in tracks:
            for _, look in track.weights[before.get(track.name, (0, 0, 0))[1] : now[track.name][1]]:
                for part, codes in _once(look).items():
                    self.waiting[_kind(track), look["matrix"], part] = (look["shape"], codes)

    def _base(self) -> dict[str, Any]:
        """One of them, if there is one that has not been told."""
        if not self.waiting:
            return {}
        (kind, matrix, part), (shape, codes) = next(iter(self.waiting.items()))
        del self.waiting[kind, matrix, part]
        return {kind: {matrix: {"shape": shape, part: codes}}}

    def _chosen(
        self, tracks: Sequence[Track], fresh: Mapping[str, Sequence[Any]], method: str, room: int
    ) -> dict[str, list[Any]]:
        """Of each run its newest look, as far as there is room: the chosen method's, then the others in turn."""
        self.turn += 1
        turned = [*tracks[self.turn % len(tracks) :], *tracks[: self.turn % len(tracks)]]
        sent: dict[str, list[Any]] = {}
        for track in sorted(turned, key=lambda track: track.method != method):
            if fresh[track.name] and _bytes(fresh[track.name][-1][1]) <= room:
                sent[track.name] = [fresh[track.name][-1]]
                room -= _bytes(fresh[track.name][-1][1])
        return sent


def _frame(board: RaceResults, run: str, status: str, live: bool) -> dict[str, Any]:
    """What does not depend on how far a race is."""
    tracks, unit = _first_tracks(board), TASKS[board.race.task].unit
    names = dict.fromkeys(name for track in tracks for name in _among(track))
    return {
        "run": run,
        "status": status,
        "live": live,
        "unit": unit,
        "log": falls_far(unit),
        "steps": next(track.last.steps for track in tracks if track.last is not None),
        "matrices": list(names),
    }


def _first_tracks(board: RaceResults) -> list[Track]:
    """Of each method the run whose weights and samples are shown."""
    return [tracks[0] for name in board.race.methods if (tracks := board.of(name))]


def _method(
    board: RaceResults,
    track: Track,
    since: int,
    looks: Iterable[tuple[int, Mapping[str, Any]]],
    evaluations: Iterable[Any],
) -> dict[str, Any]:
    """One method: means over its seeds of what has been lost, and of its first run the weights and the samples."""
    tracks = board.of(track.method)
    far = min(len(one.losses) for one in tracks)
    held = zip(*([(look.step, look.validation) for look in one.looks] for one in tracks), strict=False)
    return {
        "name": track.method,
        "label": track.label,
        "dash": list(METHOD_STYLES[track.method].dash),
        "from": min(since, far),
        "loss": [_short(_mean(losses)) for losses in zip(*(one.losses[since:far] for one in tracks), strict=True)],
        "held": [[at[0][0], _short(statistics.fmean(value for _, value in at))] for at in held],
        "samples": [[look.step, *_sample(look)] for look in evaluations if look.samples],
        "looks": [[step, {name: part for name, part in look.items() if name not in TOLD_ONCE}] for step, look in looks],
        "figures": _figures(track),
    }


def _figures(track: Track) -> str:
    """What it costs, in one line."""
    last = track.last
    if last is None:
        return ""
    parts = [f"{track.label}: {units.short_count(last.trainable)} trained", units.gb(last.adapter_bytes)]
    if math.isfinite(track.milliseconds):
        parts.append(f"{units.seconds(track.milliseconds / 1000)} a step")
    if last.peak_bytes:
        parts.append(f"{units.gib(last.peak_bytes)} at most")
    return " · ".join([*parts, *([last.stopped] if last.stopped else [])])[:200]


def _once(look: Mapping[str, Any]) -> dict[str, Any]:
    """W, and what it should become, of a look that tells them."""
    return {part: look[part] for part in ("W", "T") if part in look}


def _kind(track: Track) -> str:
    """Methods of one kind have one base."""
    return "4bit" if METHODS[track.method].quantized else "float"


def _among(track: Track) -> Sequence[str]:
    return track.weights[0][1].get("among", ()) if track.weights else ()


def _sample(look: Any) -> tuple[list[Any], str]:
    """Texts, or the digits that were guessed; and the figures below them."""
    said = ", ".join(f"{METRICS.get(name, name)} {100 * value:.0f} %" for name, value in look.metrics.items())
    if isinstance(look.samples[0], Mapping):
        return [sample["guess"] for sample in look.samples[: SHOWN["digits"]]], said
    return [str(text)[:600] for text in look.samples[: SHOWN["names"]]], said


def _images(board: RaceResults) -> list[Any] | None:
    """The images of digits, which are the same at every look."""
    looks = next((track.looks for track in board.tracks.values() if track.looks), [])
    if not looks or not looks[0].samples or not isinstance(looks[0].samples[0], Mapping):
        return None
    samples = looks[0].samples[: SHOWN["digits"]]
    return [packed([sample["image"] for sample in samples]), [sample["truth"] for sample in samples]]


def _thinned(looks: Sequence[Any], every: int) -> list[Any]:
    """Every so many looks, the last among them."""
    return [look for place, look in enumerate(looks) if place % every == 0 or place == len(looks) - 1]


def _bytes(look: Mapping[str, Any]) -> int:
    """About how many bytes a look takes as JSON."""
    codes = [look[name][1] for name in ("A", "B", "D", "g") if name in look] + [part[1] for part in look["rows"]]
    return 300 + sum(map(len, codes))


def _mean(values: Sequence[float]) -> float:
    return values[0] if len(values) == 1 else statistics.fmean(values)


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
