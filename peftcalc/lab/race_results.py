"""The board of a race: what each run has told so far, folded in as it arrives. No torch here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peftcalc.lab.comparison import Comparison, RunResult
from peftcalc.lab.race import Race
from peftcalc.lab.record_json import record_from_json
from peftcalc.lab.records import StepRecord
from peftcalc.lazy import explained
from peftcalc.methods import METHODS

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Track:
    """One run's records."""

    name: str
    method: str
    seed: int
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    looks: list[StepRecord] = field(default_factory=list)
    """The records with a held-out loss, the first of them step 0."""
    weights: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    """Step and look at a matrix, where somebody wanted to see it; see `runs.weight_looks`."""
    last: StepRecord | None = None

    def add(self, record: StepRecord) -> None:
        """One more record."""
        self.last = record
        if record.step:
            self.steps.append(record.step)
            self.losses.append(record.loss)
        if record.validation is not None:
            self.looks.append(record)

    @property
    def label(self) -> str:
        """The method's name for people."""
        return METHODS[self.method].label

    @property
    def before(self) -> float:
        """Held-out loss of the base; NaN before it is known."""
        return _number(self.looks[0].validation) if self.looks else math.nan

    @property
    def now(self) -> float:
        """Held-out loss at the last look; infinite for a run that diverged."""
        if self.last is not None and self.last.stopped:
            return math.inf
        return _number(self.looks[-1].validation) if self.looks else math.nan

    def at(self, step: int) -> StepRecord | None:
        """The last look up to a step."""
        return next((look for look in reversed(self.looks) if look.step <= step), None)

    @property
    def milliseconds(self) -> float:
        """Time a step; NaN before the first."""
        return 1000 * self.last.seconds / self.last.step if self.last is not None and self.last.step else math.nan


class RaceResults:
    """All tracks of a race, by the names of its runs.

    >>> board = RaceResults(Race(methods=("lora",)))
    >>> board.read([{"run": "lora-0", "step": 0, "steps": 9, "loss": 2.5, "validation": 2.5}])
    >>> board.tracks["lora-0"].before
    2.5
    """

    def __init__(self, race: Race) -> None:
        self.race = race
        self.tracks = {run["run"]: Track(run["run"], run["method"], run["seed"]) for run in race.runs()}
        self._read = 0

    def read(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Take in what is new in a job's growing list of records."""
        for message in messages[self._read :]:
            track = self.tracks[message["run"]]
            if "look" in message:
                track.weights.append((message["step"], message["look"]))
            else:
                track.add(record_from_json(dict(message)))
        self._read = max(self._read, len(messages))

    @property
    def begun(self) -> bool:
        """True when there is something to show."""
        return any(track.last is not None for track in self.tracks.values())

    @property
    def complete(self) -> bool:
        """True when every run has come to its end, or diverged."""
        return all(
            track.last is not None and (track.last.stopped or track.last.step == track.last.steps)
            for track in self.tracks.values()
        )

    @property
    def common_step(self) -> int:
        """The last step at which every run was measured on held-out data, those left out that diverged."""
        tracks = [track for track in self.tracks.values() if track.looks and track.last and not track.last.stopped]
        return min((track.looks[-1].step for track in tracks), default=0)

    @property
    def too_early(self) -> bool:
        """True where a race was cut off before each of its runs was measured on held-out data a second time: nothing
        says yet who learns."""
        return not self.complete and self.common_step == 0

    def paces(self) -> dict[str, float]:
        """Seconds a step of each method that has trained."""
        tracks = [track for track in self.tracks.values() if math.isfinite(track.milliseconds)]
        return {track.method: track.milliseconds / 1000 for track in tracks}

    def of(self, method: str) -> list[Track]:
        """The tracks of a method that have begun, one a seed."""
        return [track for track in self.tracks.values() if track.method == method and track.last is not None]

    def comparison(self) -> Comparison:
        """The results of every run that has begun, as `peftcalc.compare` returns them: all at `common_step`, so that a
        race that was cut off compares equals."""
        runs = []
        for track in self.tracks.values():
            look = track.at(self.common_step)
            if track.last is None or look is None:
                continue
            stopped = track.last.stopped
            run = RunResult(
                method=self.race.method(track.method),
                seed=track.seed,
                before=track.before,
                validation=math.inf if stopped else _number(look.validation),
                metrics=look.metrics,
                seconds=look.seconds,
                peak_bytes=track.last.peak_bytes,
                trainable=track.last.trainable,
                stopped=stopped,
            )
            runs.append(run)
        return Comparison(self.race.task, self.race.settings(self.race.methods[0], 0).record.unit, tuple(runs))

    def rows(self) -> list[dict[str, Any]]:
        """One row a record, for a table: without samples and matrices, metrics as columns."""
        rows = []
        for track in self.tracks.values():
            looks = {record.step: record for record in track.looks}
            for step, loss in [(0, track.before), *zip(track.steps, track.losses, strict=True)]:
                look = looks.get(step)
                row = {"method": track.label, "seed": track.seed, "step": step, "loss": loss}
                if look is not None:
                    row |= {"validation": look.validation, **look.metrics}
                rows.append(row)
        return rows

    def frame(self) -> pd.DataFrame:
        """`rows` as a table."""
        with explained("the race as a table"):
            import pandas as pd

        return pd.DataFrame(self.rows())

    def curves(self, most: int = 200, ceiling: float = 3.0) -> list[dict[str, Any]]:
        """Points to draw: means over seeds of the training loss (at most `most` points a method) and the held-out loss.

        What rises above `ceiling` times the worst start is left out: a run that diverged would hide the others.
        """
        limit = ceiling * max((track.before for track in self.tracks.values() if track.looks), default=math.inf)
        points = []
        for method in self.race.methods:
            tracks = self.of(method)
            label = METHODS[method].label
            for step, loss in _mean_curve([(t.steps, t.losses) for t in tracks], most):
                points.append({"method": label, "curve": "training", "step": step, "loss": loss})
            looks = [([r.step for r in t.looks], [_number(r.validation) for r in t.looks]) for t in tracks]
            for step, loss in _mean_curve(looks, most):
                points.append({"method": label, "curve": "held out", "step": step, "loss": loss})
        return [point for point in points if point["loss"] <= limit]


def _mean_curve(curves: list[tuple[list[int], list[float]]], most: int) -> list[tuple[float, float]]:
    """The mean over seeds, as far as all of them have come; neighbours are averaged where there are too many points."""
    length = min((len(steps) for steps, _ in curves), default=0)
    if not length:
        return []
    steps = curves[0][0][:length]
    losses = [statistics.fmean(values) for values in zip(*(losses[:length] for _, losses in curves), strict=True)]
    size = math.ceil(length / most)
    return [
        (steps[min(start + size, length) - 1], statistics.fmean(losses[start : start + size]))
        for start in range(0, length, size)
    ]


def _number(value: float | None) -> float:
    return math.nan if value is None else value
