"""`python -m peftcalc sweep`: a grid of methods, ranks, rates and seeds, with a progress bar, a table and its front."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.commands import add_json, number, print_json, print_table
from peftcalc.commands.running.elsewhere import add_scheduler, address_of, engine_of
from peftcalc.commands.running.interruption import Interruption, interruptions
from peftcalc.commands.running.keeping import Keeping, add_history, keeping
from peftcalc.jobs.history.kept_run import new_run
from peftcalc.lab.sweeps.kept_sweep import SWEEP, sweep_link
from peftcalc.methods import METHODS, make_method
from peftcalc.methods.starts import STARTS
from peftcalc.units import count, gib, seconds

if TYPE_CHECKING:
    from peftcalc.lab.sweeps.finished import FinishedRun
    from peftcalc.lab.sweeps.results import SweepResults

BAR = 24


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("sweep", help="train every combination of methods, ranks, rates and seeds")
    parser.add_argument("--task", default="digits", help="as for train; digits and the linear ones are quick")
    parser.add_argument("--methods", type=_texts, default=list(METHODS), help="with commas (default: all five)")
    parser.add_argument("--rank", type=_several(number), default=[8], help="ranks, with commas (default 8)")
    parser.add_argument("--alpha", type=_several(float), default=None, help="with commas (default twice the rank)")
    parser.add_argument("--lr", type=_several(float), default=None, help="learning rates (default: the task's)")
    parser.add_argument("--lr-ratio", type=_several(float), default=[1.0], help="B's learning rate over A's (LoRA+)")
    parser.add_argument("--init", type=_texts, default=["default"], help=f"starts: {', '.join(STARTS)}")
    parser.add_argument("--freeze-a", action="store_true", help="train B alone (LoRA-FA)")
    parser.add_argument("--seeds", type=number, default=3, help="how many, counted from 0 (default 3)")
    parser.add_argument("--steps", type=number, default=None, help="default: the task's")
    parser.add_argument("--batch", type=number, default=None, help="default: the task's")
    parser.add_argument("--out", type=Path, default=None, help="file that gets a line of JSON for every finished run")
    parser.add_argument("--resume", action="store_true", help="go on with the runs that --out does not hold yet")
    parser.add_argument("--plot", type=Path, default=None, help="file of the Pareto picture: .svg or .png")
    add_scheduler(parser)
    add_history(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, keep what is finished, and print what came of it."""
    from peftcalc.lab.sweeps.finished import read_finished, write_finished
    from peftcalc.lab.sweeps.grid import grid_settings
    from peftcalc.lab.sweeps.results import SweepResults

    out: Path | None = arguments.out
    address_of(arguments)
    if arguments.resume and out is None:
        raise ValueError("--resume needs --out, the file of the sweep that goes on")
    grid = _grid(arguments)
    asked = {one.to_code() for one in grid_settings(arguments.task, grid, arguments.seeds)}
    stored = read_finished(out) if out is not None and arguments.resume and out.exists() else []
    done = [one for one in stored if one.settings.to_code() in asked]
    kept = keeping(
        arguments, new_run(SWEEP, "sweep", _title(arguments, len(asked)), _settings(arguments), sweep_link())
    )
    trouble = ""
    with interruptions() as interruption:
        try:
            if out is not None:
                write_finished(out, stored)
            kept.begin()
            kept.add([one.as_dict() for one in done])
            _train(arguments, grid, done, interruption, kept)
        except KeyboardInterrupt:
            pass
        except OSError as error:
            raise ValueError(f"--out must be a file that can be written, got {str(out)!r} ({error.strerror})") from None
        except ValueError as error:
            if arguments.scheduler is None:
                raise
            trouble = str(error)  # the engine's: what has finished is kept
    kept.end("done" if len(done) == len(asked) else "stopped", [{**one.as_dict(), "losses": []} for one in done])
    results = SweepResults.of(done)
    if arguments.plot is not None and done:
        _draw(results, arguments.plot)
    if arguments.json:
        print_json(_report(arguments.task, results))
    elif done:
        _print(results)
    if len(done) < len(asked):
        left = f"after {len(done)} of {len(asked)} runs; " + (
            f"{out} holds them, and --resume goes on" if out else "nothing is kept without --out"
        )
        if trouble:
            raise ValueError(f"{trouble}: {left}")
        print(f"peftcalc sweep: interrupted {left}", file=sys.stderr)
        return interruption.exit_code
    return 0


def _train(
    arguments: argparse.Namespace,
    grid: dict[str, Any],
    done: list[FinishedRun],
    interruption: Interruption,
    kept: Keeping,
) -> None:
    """Add every run that is not done yet to `done`, to the history, and to the file."""
    from peftcalc.lab.sweeps.finished import line_of
    from peftcalc.lab.sweeps.sweep import sweep

    show = _progress(arguments.json)

    def progress(made: int, every: int) -> None:
        show(made, every)
        if interruption.signal is not None:  # a stack of runs would go on for long
            raise KeyboardInterrupt

    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(engine_of(arguments))
        known = tuple(done)
        new = sweep(arguments.task, grid, arguments.seeds, finished=known, progress=progress, engine=engine)
        file = stack.enter_context(arguments.out.open("a", encoding="utf-8")) if arguments.out is not None else None
        for one in new:
            done.append(one)
            kept.add([one.as_dict()])
            if file is not None:
                file.write(line_of(one))
                file.flush()


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, as it was typed."""
    names = ("task", "methods", "rank", "alpha", "lr", "lr_ratio", "init", "freeze_a", "seeds", "steps", "batch")
    return {name: getattr(arguments, name) for name in names}


def _title(arguments: argparse.Namespace, count: int) -> str:
    """One line for a list."""
    methods = ", ".join(METHODS[name].label if name in METHODS else name for name in arguments.methods)
    ranks = ", ".join(map(str, arguments.rank))
    return f"{arguments.task}: {methods}, rank {ranks}, {arguments.seeds} seeds: {count} runs"


def _draw(results: SweepResults, path: Path) -> None:
    """The front as a picture.

    Raises:
        ValueError: the file cannot be written, or its ending is no format.
    """
    figure = results.plot().get_figure(root=True)
    try:
        figure.savefig(path)  # pyright: ignore[reportOptionalMemberAccess]
    except OSError as error:
        raise ValueError(f"--plot must be a file that can be written, got {str(path)!r} ({error.strerror})") from None


def _grid(arguments: argparse.Namespace) -> dict[str, Any]:
    """The grid that the arguments mean; alpha follows the rank where it is not given."""
    methods = [
        make_method(name, rank=rank, alpha=alpha, lr_ratio=ratio, init=init, freeze_a=arguments.freeze_a)
        for name in arguments.methods
        for rank in arguments.rank
        for alpha in arguments.alpha or [2 * rank]
        for ratio in arguments.lr_ratio
        for init in arguments.init
    ]
    rest = {"learning_rate": arguments.lr, "steps": arguments.steps, "batch": arguments.batch}
    return {"methods": methods, **{name: value for name, value in rest.items() if value is not None}}


def _progress(quiet: bool) -> Callable[[int, int], None]:
    """A bar on standard error where a person is looking."""
    if quiet or not sys.stderr.isatty():
        return lambda made, every: None
    started, shown = time.perf_counter(), 0.0

    def show(made: int, every: int) -> None:
        nonlocal shown
        now = time.perf_counter()
        if now - shown < 0.1 and made < every:
            return
        shown = now
        filled = round(BAR * made / every)
        left = (now - started) / max(1, made) * (every - made)
        bar = "█" * filled + "·" * (BAR - filled)
        print(f"\r{bar} {made:,}/{every:,} steps  {seconds(left)} left   ", end="", file=sys.stderr, flush=True)
        if made >= every:
            print(file=sys.stderr)

    return show


def _report(task: str, results: SweepResults) -> dict[str, Any]:
    """Table, front and runs as JSON."""
    from peftcalc.lab.sweeps.results import cell_row

    return {
        "task": task,
        "cells": [cell_row(cell) for cell in results.cells()],
        "pareto": [cell_row(cell) for cell in results.pareto()],
        "runs": [one.as_dict() for one in results.runs],
    }


def _print(results: SweepResults) -> None:
    """The table, best first, with a mark on the front."""
    front = {cell.label for cell in results.pareto()}
    metrics = list(results.runs[0].metrics)
    unit = results.runs[0].settings.record.unit
    rows = [
        [
            ("* " if cell.label in front else "  ") + cell.label,
            f"{cell.validation}" if not cell.diverged else f"{cell.diverged} of {cell.validation.count} diverged",
            *(f"{cell.metrics[name]:.4f}" if name in cell.metrics else "" for name in metrics),
            count(cell.trainable),
            gib(cell.peak_bytes),
            seconds(cell.seconds),
        ]
        for cell in results.cells()
    ]
    print_table(rows, ["  settings", unit, *metrics, "trained", "peak", "a run"])
    print("\n± is the 95 % interval over the seeds; * nothing trains fewer parameters and loses less (Pareto front)")


def _texts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _several(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """A list with commas, of what `kind` reads."""

    def values(text: str) -> list[Any]:
        try:
            return [kind(part) for part in _texts(text)]
        except ValueError:
            raise argparse.ArgumentTypeError(f"not numbers with commas: {text!r}") from None

    return values
