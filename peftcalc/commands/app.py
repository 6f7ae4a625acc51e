"""`peftcalc app`: start the browser app, with `--classroom` for a class; `peftcalc classroom key` for a lost key."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys

from peftcalc.app_folder import app_folder
from peftcalc.commands.running.elsewhere import add_scheduler, scheduler_variables
from peftcalc.lazy import needs

ANY = ""
"""A classroom whose name is to be made."""


def add(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("app", help="start the app in the browser")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument(
        "--classroom",
        nargs="?",
        const=ANY,
        default=None,
        metavar="NAME",
        help="for a class: print address, QR code and the teacher's key; NAME such as elm-42 goes on with that one",
    )
    add_scheduler(parser, "let visitors' runs train there")
    parser.set_defaults(run=run)
    classroom = commands.add_parser("classroom", help="a new teacher's key for a classroom that goes on")
    key = classroom.add_subparsers(dest="act", metavar="key", required=True).add_parser("key", help="make a new key")
    key.add_argument("name", nargs="?", help="the classroom's name; default: the one that was made last")
    classroom.set_defaults(run=new_key)


def run(arguments: argparse.Namespace) -> None:
    folder = app_folder()
    needs("streamlit", "the app")
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(arguments.port)]
    variables = {**scheduler_variables(arguments), **({} if arguments.classroom is None else _classroom(arguments))}
    raise SystemExit(subprocess.call(command, cwd=folder, env={**os.environ, **variables}))


def _classroom(arguments: argparse.Namespace) -> dict[str, str]:
    """Make the classroom and print what a teacher needs; what the server needs of it."""
    from peftcalc.jobs.classroom import names
    from peftcalc.jobs.classroom.register import found
    from peftcalc.jobs.history.history import History

    name = names.room_name(arguments.classroom) if arguments.classroom else names.new_room()
    key = names.new_key()
    history = History.here()
    kept = "It lasts a day; a lost key: python -m peftcalc classroom key"
    try:
        if history is None:
            raise ValueError("PEFTCALC_HISTORY is off")
        found(history, name, names.lock(key))
    except ValueError as error:
        kept = f"It lasts as long as this server runs ({error})"
    finally:
        if history is not None:
            history.close()
    link = f"http://{network_address()}:{arguments.port}/class?room={name}"
    print(f"\nClassroom {name}\n\n  {link}\n\n{_square(link)}\nThe teacher's key: {key}\n{kept}.\n", flush=True)
    return {names.ROOM_VARIABLE: name, names.LOCK_VARIABLE: names.lock(key), names.LINK_VARIABLE: link}


def new_key(arguments: argparse.Namespace) -> None:
    """Another key for a teacher who has lost the first; the old one opens nothing any more."""
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


def network_address() -> str:
    """This machine's address in its network; that of the machine itself where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:
        try:
            outward.connect(("192.0.2.1", 9))  # chooses a way out; no packet is sent
            return outward.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def _square(link: str) -> str:
    """The link as a QR code of half blocks; a sentence where no library makes one."""
    try:
        import segno
    except ImportError:
        return "(A QR code stands here with: pip install segno)\n"
    import io

    text = io.StringIO()
    segno.make(link, micro=False).terminal(text, compact=True)
    return text.getvalue()
