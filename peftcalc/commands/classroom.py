"""`python -m peftcalc classroom key`: another key for a teacher who has lost it."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("classroom", help="a new teacher's key for a classroom that goes on")
    acts = parser.add_subparsers(dest="act", metavar="key", required=True)
    key = acts.add_parser("key", help="make a new key; the old one does not open it any more")
    key.add_argument("name", nargs="?", help="the classroom's name; default: the one that was made last")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Make a key, and print it."""
    from peftcalc.jobs.classroom import names
    from peftcalc.jobs.classroom.register import found, latest, room_row
    from peftcalc.jobs.history.history import History

    history = History.here()
    if history is None:
        raise ValueError("a key is kept in the history, and PEFTCALC_HISTORY is off: start the app again for another")
    try:
        name = names.room_name(arguments.name) if arguments.name else latest(history)
        if name is None or room_row(history, name) is None:
            raise ValueError("there is no such classroom: python -m peftcalc app --classroom makes one")
        key = names.new_key()
        found(history, name, names.lock(key))
    finally:
        history.close()
    print(f"the key of {name}: {key}")
