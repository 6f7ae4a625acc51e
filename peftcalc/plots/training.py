"""Loss curves of a race, live in the browser and as a figure to take away, and pictures of digits before and now."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from peftcalc import units
from peftcalc.lab.race_results import RaceResults
from peftcalc.methods import METHODS
from peftcalc.plots.channels import (
    LOG,
    MARKS_ON_TOP,
    ONE_LEGEND,
    faint_unless_picked,
    name,
    number,
    of_methods,
    picked,
    tells,
    zoom,
)
from peftcalc.plots.chart import Chart, Spec
from peftcalc.plots.style import LIGHT, METHOD_STYLES, Theme, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOOR = 1e-6
"""On a logarithmic axis, what is below counts as reached."""


def curves_chart(board: RaceResults) -> Chart:
    """A race: training loss thin, held-out loss with marks, on one pair of axes.

    Its specification is the same at each look, so that the browser adds points in place of drawing anew.
    """
    race = board.race
    steps = race.settings(race.methods[0], race.seeds[0]).steps
    return Chart(_curves, (_unit(board), steps, *race.methods), {"points": curve_points(board)})


def _curves(unit: str, steps: int, *methods: str) -> Spec:
    entries = {"values": [METHODS[method].label for method in methods]}
    legend = {**MARKS_ON_TOP, **entries, "columns": {"expr": "width < 400 ? 3 : 5"}}
    told = tells(method="method", curve="curve", step=("step", "d"), loss=(f"loss ({unit})", ".4g"))
    color = name("method", scale=of_methods("color"), legend=legend)
    dash = name("method", scale=of_methods("dash"), legend=None)
    shape = name("method", scale=of_methods("shape"), legend=legend)
    held_out, training = ([{"filter": f"datum.curve == '{curve}'"}] for curve in ("held out", "training"))
    thin = {"mark": {"type": "line", "strokeWidth": 1, "clip": True}, "transform": training}
    thick = {"mark": {"type": "line", "strokeWidth": 3, "clip": True}, "transform": held_out}
    marks = {"mark": {"type": "point", "size": 80, "filled": True, "clip": True}, "transform": held_out}
    plain, faint = {**color, "legend": None}, faint_unless_picked
    params = [picked("method"), zoom("x", "y")]
    return {
        "description": f"Loss ({unit}) by step of each method: thin in training, with marks held out.",
        "height": 380,
        **ONE_LEGEND,
        "data": {"name": "points"},
        "encoding": {
            "x": number("step", "step", scale={"domain": [0, steps]}),
            "y": number("loss", f"loss ({unit})", scale=LOG if _falls_far(unit) else {"zero": False}),
            "tooltip": told,
        },
        "layer": [
            {**thin, "encoding": {"color": plain, "opacity": faint(0.45)}},
            {**thick, "encoding": {"color": plain, "strokeDash": dash, "opacity": faint()}},
            {**marks, "encoding": {"color": color, "shape": shape, "opacity": faint()}, "params": params},
        ],
    }


def is_logarithmic(board: RaceResults) -> bool:
    """Relative errors fall over many powers of ten; cross-entropies do not."""
    return _falls_far(_unit(board))


def _falls_far(unit: str) -> bool:
    return "relative" in unit


def curve_points(board: RaceResults) -> list[dict[str, Any]]:
    """The data of `curves_chart`, at most 200 points a curve."""
    points = board.curves()
    if is_logarithmic(board):
        points = [{**point, "loss": max(FLOOR, point["loss"])} for point in points]
    return points


def curves_alt(board: RaceResults) -> str:
    """What the chart shows, in words."""
    told = []
    for method in board.race.methods:
        tracks = board.of(method)
        if tracks:
            before = sum(track.before for track in tracks) / len(tracks)
            now = sum(track.now for track in tracks) / len(tracks)
            told.append(f"{METHODS[method].label} {before:.3g} to {now:.3g}")
    return f"Loss by step; held-out loss in {_unit(board)}: {'; '.join(told) or 'no points yet'}."


def curves_figure(board: RaceResults, theme: Theme = LIGHT) -> Figure:
    """The same curves as a matplotlib figure, for a slide."""
    figure, (axis,) = new_figure(8, 4.5, theme)
    points = curve_points(board)
    for method in board.race.methods:
        style, label = METHOD_STYLES[method], METHODS[method].label
        mine = [point for point in points if point["method"] == label]
        training, held_out = (
            [(p["step"], p["loss"]) for p in mine if p["curve"] == curve] for curve in ("training", "held out")
        )
        axis.plot(*_columns(training), color=style.color, linewidth=0.8, alpha=0.45)
        line = "solid" if style.dash == (1, 0) else (0, style.dash)
        axis.plot(
            *_columns(held_out), color=style.color, linewidth=2.2, linestyle=line, marker=style.marker, label=label
        )
    if is_logarithmic(board):
        axis.set_yscale("log")
    axis.set_xlabel("step")
    axis.set_ylabel(f"loss ({_unit(board)}); thin: training, marks: held out")
    axis.legend(frameon=False, labelcolor=theme.text)
    return figure


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _unit(board: RaceResults) -> str:
    return board.race.settings(board.race.methods[0], board.race.seeds[0]).record.unit


def standings(board: RaceResults) -> list[dict[str, str]]:
    """One row a method: held-out loss before and now, what it trains, what a step costs; numbers with their units."""
    rows = []
    for method in board.race.methods:
        tracks = board.of(method)
        if not tracks:
            continue
        last = tracks[0].last
        assert last is not None  # `of` leaves out what has not begun
        before, now, pace = (
            sum(getattr(track, name) for track in tracks) / len(tracks) for name in ("before", "now", "milliseconds")
        )
        rows.append(
            {
                "Method": METHODS[method].label,
                "Held-out loss": f"{before:.3f} → {now:.3f}" if math.isfinite(now) else f"{before:.3f} → diverged",
                "Trained": units.short_count(last.trainable),
                "Its bytes": units.gb(last.adapter_bytes),
                "A step": units.seconds(pace / 1000) if math.isfinite(pace) else "…",
                "Peak memory": units.gib(last.peak_bytes) if last.peak_bytes else "…",
            }
        )
    return rows


def digits_picture(samples: Sequence[Mapping[str, Any]], columns: int = 8, pixel: int = 5) -> str:
    """Images of digits as one PNG (a `data:` address): a wrongly read one is framed and crossed at its corner.

    Args:
        samples: dictionaries of `image` (8 × 8 numbers from 0 to 1), `truth` and `guess`.
        columns: images in a row.
        pixel: screen points of each pixel.
    """
    import numpy as np
    from PIL import Image

    side = 8 * pixel + 6
    lines = math.ceil(len(samples) / columns)
    sheet = np.full((lines * side, columns * side, 3), 255, dtype=np.uint8)
    for index, sample in enumerate(samples):
        top, left = index // columns * side, index % columns * side
        gray = np.kron(1 - np.clip(np.asarray(sample["image"], dtype=np.float64), 0, 1), np.ones((pixel, pixel)))
        tile = np.repeat((gray * 255).astype(np.uint8)[:, :, None], 3, axis=2)
        wrong = sample["guess"] != sample["truth"]
        frame = (213, 94, 31) if wrong else (217, 221, 229)
        sheet[top + 1 : top + side - 1, left + 1 : left + side - 1] = frame
        sheet[top + 3 : top + side - 3, left + 3 : left + side - 3] = tile
        if wrong:
            for offset in range(12):
                sheet[top + offset + 1, left + 1 : left + 13 - offset] = frame
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def digits_alt(samples: Sequence[Mapping[str, Any]]) -> str:
    """How many are read rightly, and the wrong ones."""
    wrong = [f"{sample['truth']} read as {sample['guess']}" for sample in samples if sample["guess"] != sample["truth"]]
    return f"{len(samples) - len(wrong)} of {len(samples)} read rightly" + (f"; {', '.join(wrong)}" if wrong else "")
