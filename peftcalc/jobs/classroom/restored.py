"""A classroom as it was before its server ended."""

from __future__ import annotations

import json

from peftcalc.jobs.classroom.register import room_row
from peftcalc.jobs.classroom.room import MOST_RESULTS, Room
from peftcalc.jobs.classroom.state import state_of
from peftcalc.jobs.history.history import History


def restored(name: str, locked: str, history: History | None) -> Room:
    """The classroom of this name with the board of its runs; a new one where there is none, or none can be read."""
    try:
        found = None if history is None else room_row(history, name)
        if history is None or found is None:
            return Room(name, locked, history)
        room = Room(name, locked, history, found[0], state_of(json.loads(found[1])))
        for run in reversed(history.runs(MOST_RESULTS, room=name)):
            if run.ended is not None and run.begun >= room.made:
                room.add(run.results, run.ended)
        return room
    except (ValueError, KeyError, TypeError, AttributeError):  # no history, or a state that is damaged
        return Room(name, locked, history)
