"""Runs that other processes or machines train: `--scheduler`, and the line that says which engine works."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from peftcalc.jobs.engines.addresses import CERTIFICATES, FORMS, SCHEDULER, Address, address
from peftcalc.lazy import needs

if TYPE_CHECKING:
    from peftcalc.jobs.engines.batch import Batch

ROOMS = ("peftcalc.lab.work",)
"""What the workers load."""
HERE = "This process trains, small runs stacked, the others one by one; when it ends, the run in hand is lost."


def add_scheduler(parser: argparse.ArgumentParser, what: str = "train there") -> None:
    """The options that name an engine."""
    parser.add_argument(
        "--scheduler", default=None, metavar="ADDRESS", help=f"{what}: {FORMS} (needs the extra cluster)"
    )
    add_certificates(parser)


def add_certificates(parser: argparse.ArgumentParser) -> None:
    """The folder of a cluster's certificates."""
    parser.add_argument(
        "--certificates", type=Path, default=os.environ.get(CERTIFICATES), metavar="FOLDER", help="for tls://"
    )


def address_of(arguments: argparse.Namespace) -> Address | None:
    """The engine that is asked for; None for this process.

    Raises:
        ValueError: it is no address, or one that is refused.
    """
    return address(arguments.scheduler, arguments.certificates) if arguments.scheduler is not None else None


def scheduler_variables(arguments: argparse.Namespace) -> dict[str, str]:
    """The engine that is asked for, as a server of the app reads it from its environment; checked here.

    Raises:
        ValueError: as `address_of`, or Dask is not installed.
    """
    asked = address_of(arguments)
    if asked is None:
        return {}
    if asked.kind != "crew":
        needs("distributed", "a cluster")
    folder = {} if asked.certificates is None else {CERTIFICATES: str(asked.certificates.resolve())}
    return {SCHEDULER: arguments.scheduler, **folder}


@contextmanager
def engine_of(arguments: argparse.Namespace) -> Iterator[Batch | None]:
    """Who trains: a batch on the engine that is asked for, or None for this process; either is said.

    Raises:
        ValueError: it cannot be had.
    """
    say, asked = _say(arguments.command), address_of(arguments)
    if asked is None:
        needs("torch", f"a {arguments.command}")
        if not arguments.json:
            say(HERE)
        yield None
        return
    from peftcalc.jobs.engines.batch import batch

    with batch(asked, ROOMS, say) as found:
        yield found


def _say(command: str) -> Callable[[str], None]:
    return lambda sentence: print(f"peftcalc {command}: {sentence}", file=sys.stderr, flush=True)
