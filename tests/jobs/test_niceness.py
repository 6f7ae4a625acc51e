"""Who gives way to whom on a core that both want."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from peftcalc.jobs.classroom.names import ROOM_VARIABLE
from peftcalc.jobs.worker import let_others_first


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no niceness of its own")
@pytest.mark.parametrize(("room", "nice"), [("", 5), ("maple-42", 10)])
def test_a_worker_gives_way_and_to_a_class_more(monkeypatch, room, nice):
    monkeypatch.setenv(ROOM_VARIABLE, room)
    found = []

    def work() -> None:
        before = os.nice(0)
        let_others_first()
        found.extend((before, os.nice(0)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    before, after = found
    assert after == max(before, nice)
