"""A race as something to keep: what may be kept of it, what it came to, and the link that shows it. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from peftcalc.lab.race import Race
from peftcalc.lab.race_results import RaceResults
from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.sweeps.finished import FinishedRun
from peftcalc.lab.tasks.catalogue import TASKS, find_task
from peftcalc.methods import METHODS, LoRA

RACE = "race"
"""The kind of a kept race; its settings are `Race.as_dict`, its records those of the job."""


@dataclass(frozen=True)
class KeepableRace:
    """A race on its way into the history."""

    race: Race

    kind = RACE

    @property
    def title(self) -> str:
        return race_title(self.race)

    @property
    def settings(self) -> dict[str, Any]:
        """What repeats it, but for what a visitor gave it alone."""
        return {**self.race.as_dict(), "options": without_private(self.race.task, self.race.options)}

    @property
    def link(self) -> str:
        return race_link(self.race)

    def keepable(self, records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return keepable(self.race.task, records)

    def results(self, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        board = RaceResults(self.race)
        board.read(records)
        return race_results(board)


def race_of(settings: RunSettings) -> Race:
    """One run as a race of one method and one seed; of the method its rank, alpha and dropout."""
    method = settings.method
    adapter = (
        {"rank": method.rank, "alpha": method.alpha, "dropout": method.dropout} if isinstance(method, LoRA) else {}
    )
    return Race(
        task=settings.task,
        methods=(method.name,),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        steps=settings.steps,
        seeds=(settings.seed,),
        device=settings.device,
        options=without_private(settings.task, settings.options),
        **adapter,
    )


def without_private(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A task's options, but for what a visitor gave it alone."""
    private = find_task(task)[0].private
    return {name: value for name, value in options.items() if name != private}


def keepable(task: str, records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A job's records, without samples where these may repeat what a visitor pasted.

    >>> keepable("own", [{"run": "lora-0", "step": 0, "loss": 2.5, "samples": ("a line of mine",)}])
    [{'run': 'lora-0', 'step': 0, 'loss': 2.5}]
    """
    if not find_task(task)[0].private:
        return list(records)
    return [{name: value for name, value in record.items() if name != "samples"} for record in records]


def race_results(board: RaceResults) -> list[dict[str, Any]]:
    """Every run of a race that has come to its end, as `FinishedRun.as_dict` without its curve."""
    found = []
    for track in board.tracks.values():
        last = track.last
        if last is None or not track.looks or not (last.stopped or last.step == last.steps):
            continue
        run = FinishedRun(
            settings=board.race.settings(track.method, track.seed),
            losses=(),
            before=track.before,
            validation=track.now,
            metrics=track.looks[-1].metrics,
            trainable=last.trainable,
            peak_bytes=last.peak_bytes,
            seconds=last.seconds,
            stopped=last.stopped,
        )
        values = run.as_dict()
        found.append({**values, "options": without_private(board.race.task, values["options"])})
    return found


def race_title(race: Race) -> str:
    """One line for a list.

    >>> race_title(Race("digits", methods=("lora", "dora"), rank=4, steps=50))
    'Handwritten digits, rotated: LoRA, DoRA, rank 4, alpha 16, 50 steps, seed 0'
    """
    own = race.settings(race.methods[0], race.seeds[0])
    chosen = without_private(race.task, own.options).values()
    options = "".join(f", {value}" for value in chosen if isinstance(value, str) and value)
    methods = ", ".join(METHODS[name].label for name in race.methods)
    seeds = f"seed {race.seeds[0]}" if len(race.seeds) == 1 else f"seeds {race.seeds[0]} to {race.seeds[-1]}"
    return (
        f"{TASKS[race.task].title}{options}: {methods}, rank {race.rank}, alpha {race.alpha:g}, {own.steps} steps, "
        f"{seeds}"
    )


def race_link(race: Race) -> str:
    """The address, from the app's root, that sets the Train page to this race; `{id}` is where its run's id goes.

    >>> race_link(Race("rank", methods=("lora",), rank=2, seeds=(3,)))
    '/train?task=An+update+of+known+rank&methods=LoRA&rank=2&alpha=16&dropout=0.0&decay=0.0&seeds=1&seed=3&run={id}'
    """
    given = {
        "task": TASKS[race.task].title,
        "methods": [METHODS[name].label for name in race.methods],
        "rank": race.rank,
        "alpha": f"{race.alpha:g}",
        "dropout": race.dropout,
        "decay": race.weight_decay,
        "seeds": len(race.seeds),
        "seed": race.seeds[0],
        "lr": None if race.learning_rate is None else f"{race.learning_rate:g}",
        "steps": race.steps,
        **{name: race.options[name] for name in TASKS[race.task].choices if name in race.options},
    }
    query = urlencode({name: value for name, value in given.items() if value is not None}, doseq=True)
    return f"/train?{query}&run={{id}}"
