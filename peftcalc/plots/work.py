"""The kinds of work that this room offers to a queue: a figure drawn to a file, from what JSON can say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.bounded_memory import bound_memory
from peftcalc.lab.race import Race
from peftcalc.lab.race_results import RaceResults
from peftcalc.plots.figure_files import figure_bytes
from peftcalc.plots.style import THEMES, Theme
from peftcalc.plots.training import curves_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves(asked: Mapping[str, Any], theme: Theme) -> Figure:
    """`race` and `records`, as `curves_asked` writes them."""
    board = RaceResults(Race.from_dict(asked["race"]))
    board.read(asked["records"])
    return curves_figure(board, theme)


FIGURES: dict[str, Callable[[Mapping[str, Any], Theme], Figure]] = {
    "curves": curves,
}


def curves_asked(board: RaceResults) -> dict[str, Any]:
    """What `curves` draws a race's board from: a record a step, with its held-out loss where there was a look."""
    records = []
    for track in board.tracks.values():
        looks = {record.step: record.validation for record in track.looks}
        steps = track.last.steps if track.last is not None else 0
        for step, loss in [(0, track.before), *zip(track.steps, track.losses, strict=True)]:
            records.append(
                {"run": track.name, "step": step, "steps": steps, "loss": loss, "validation": looks.get(step)}
            )
    return {"race": board.race.as_dict(), "records": records if board.begun else []}


def figure_job(parameters: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, float, list[dict[str, Any]]]]:
    """A figure as `figure.png` or `figure.svg` in the folder.

    Args:
        parameters: `figure`, a name of `FIGURES`, and what it asks for; `theme`, "light" or "dark"; `format`.
        folder: for the file.
    """
    yield 0, 0.0, []
    bound_memory()
    name = f"figure.{parameters['format']}"
    drawn = FIGURES[parameters["figure"]](parameters, THEMES[parameters["theme"]])
    (folder / name).write_bytes(figure_bytes(drawn, parameters["format"]))
    yield 1, 1.0, [{"file": name}]


KINDS = {"figure": figure_job}
