"""`python -m peftcalc history list|show|export|import|prune`: what was trained before, and what is kept of it."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.checks import whole_number
from peftcalc.commands import add_json, number, print_json, print_table
from peftcalc.outside_files import plain_file
from peftcalc.units import moment, seconds

if TYPE_CHECKING:
    from peftcalc.jobs.history.history import History
    from peftcalc.jobs.history.kept_run import KeptRun

MOST = 1_000_000
"""Runs that are listed, and days."""


def add(commands: Any) -> None:
    """Declare the command and what it can do."""
    parser = commands.add_parser("history", help="runs that were kept: list, show, export, import, prune")
    acts = parser.add_subparsers(dest="act", metavar="list|show|export|import|prune", required=True)
    listing = acts.add_parser("list", help="the latest runs, newest first")
    listing.add_argument("--count", type=number, default=20)
    showing = acts.add_parser("show", help="one run: settings, results, versions, link")
    showing.add_argument("id")
    showing.add_argument("--records", action="store_true", help="with everything that it told")
    for one in (listing, showing):
        add_json(one)
    exporting = acts.add_parser("export", help="every run with its records, a line of JSON each")
    exporting.add_argument("file", nargs="?", type=Path, help="default: standard output")
    importing = acts.add_parser("import", help="keep the runs of such a file")
    importing.add_argument("file", nargs="?", type=Path, help="default: standard input")
    pruning = acts.add_parser("prune", help="forget what is old, or too much")
    pruning.add_argument("--days", type=float, default=90.0, help="keep what is younger (default 90)")
    pruning.add_argument("--count", type=number, default=2000, help="keep at most so many (default 2,000)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Do one of them."""
    from peftcalc.jobs.history.history import History

    history = History.here()
    if history is None:
        raise ValueError("there is no history: PEFTCALC_HISTORY is off, or this user has no home")
    try:
        {"list": _list, "show": _show, "export": _export, "import": _import, "prune": _prune}[arguments.act](
            history, arguments
        )
    finally:
        history.close()


def _list(history: History, arguments: argparse.Namespace) -> None:
    runs = history.runs(whole_number("count", arguments.count, 1, MOST))
    if arguments.json:
        print_json([run.as_dict() for run in runs])
        return
    if not runs:
        print(f"nothing is kept in {history.path} yet")
        return
    rows = [[run.id, moment(run.begun), run.state, _duration(run), run.source, run.title] for run in runs]
    print_table(rows, ["id", "begun", "state", "time", "by", "run"])


def _show(history: History, arguments: argparse.Namespace) -> None:
    run = history.run(arguments.id)
    records = history.records(run.id) if arguments.records else []
    if arguments.json:
        print_json({**run.as_dict(), **({"records": records} if arguments.records else {})})
        return
    print(f"{run.title}\n{run.state}, begun {moment(run.begun)}, {_duration(run)}, by {run.source}")
    print("versions: " + ", ".join(f"{name} {value}" for name, value in run.versions.items()))
    if run.link:
        print(f"in the app: {run.link}")
    rows = [
        [f"{one.get('method')}, seed {one.get('seed')}", *(_figure(one.get(name)) for name in ("before", "validation"))]
        for one in run.results
    ]
    if rows:
        print()
        print_table(rows, ["run", "held out before", "after"])
    for record in records:
        print(record)


def _export(history: History, arguments: argparse.Namespace) -> None:
    from peftcalc.jobs.history.lines import exported

    with ExitStack() as stack:
        try:
            file = stack.enter_context(arguments.file.open("w", encoding="utf-8")) if arguments.file else sys.stdout
            file.writelines(exported(history))
        except OSError as error:
            raise ValueError(f"cannot write {arguments.file}: {error.strerror}") from None


def _import(history: History, arguments: argparse.Namespace) -> None:
    from peftcalc.jobs.history.history import OLDEST_DAYS
    from peftcalc.jobs.history.lines import imported, read_lines, wait

    before = len(history.runs(MOST))
    with ExitStack() as stack:
        try:
            if arguments.file is None:
                file = sys.stdin
            else:
                plain_file(arguments.file)
                file = stack.enter_context(arguments.file.open(encoding="utf-8", errors="surrogateescape"))
            new, there = imported(history, read_lines(file))
        except OSError as error:
            raise ValueError(f"cannot read {arguments.file}: {error.strerror}") from None
    wait(history, [history.prune()] if new else [])
    forgotten = before + new - len(history.runs(MOST))
    told = f"; {forgotten} forgotten: older than {OLDEST_DAYS:g} days, or too many" if forgotten > 0 else ""
    print(f"{new} new, {there} were there{told}")


def _prune(history: History, arguments: argparse.Namespace) -> None:
    from peftcalc.jobs.history.lines import wait

    if not 0 <= arguments.days <= MOST:
        raise ValueError(f"days must be between 0 and {MOST:,}, got {arguments.days:g}")
    count = whole_number("count", arguments.count, 0, MOST)
    before = len(history.runs(MOST))
    wait(history, [history.prune(arguments.days, count)])
    kept = len(history.runs(MOST))
    print(f"{before - kept} forgotten, {kept} kept in {history.path}")


def _duration(run: KeptRun) -> str:
    return seconds(run.ended - run.begun) if run.ended is not None else ""


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "–"
