"""Scripts run one at a time, in the order in which they were asked for, and nobody waits long for one that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

from peftcalc.ui import background
from peftcalc.ui.server import in_turn as in_turn_module
from peftcalc.ui.server.in_turn import LONGEST, PLACES, Turns, in_turn

LONG = 30.0
"""Seconds that no test takes: who waits so long is waited for in vain."""


class Script(threading.Thread):
    """At work from its turn on until it is told to end."""

    def __init__(self, turns: Turns, begun: list[str], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.turns, self.begun, self.may_end = turns, begun, threading.Event()
        before = self._in_line()
        self.start()
        while self._in_line() == before and name not in begun:  # in line, or at work
            time.sleep(0.001)

    def _in_line(self) -> int:
        """How many wait; who comes to a free place stands in line for a moment too, which the lock hides."""
        with self.turns._lock:
            return len(self.turns._line)

    def run(self) -> None:
        with self.turns.turn():
            self.begun.append(self.name)
            self.may_end.wait(2 * LONG)  # longer than anybody waits for its place

    def end(self) -> None:
        self.may_end.set()
        self.join(LONG)


def _until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + LONG
    while not true() and time.monotonic() < end:
        time.sleep(0.001)
    return true()


def until(begun: list[str], expected: list[str]) -> None:
    _until(lambda: begun == expected)
    assert begun == expected


def test_two_are_at_work_and_the_others_follow_in_their_order() -> None:
    turns, begun = Turns(places=2, longest=LONG), []
    scripts = {name: Script(turns, begun, name) for name in "abcde"}
    until(begun, ["a", "b"])
    assert len(turns._line) == 3
    scripts["b"].end()
    until(begun, ["a", "b", "c"])
    scripts["a"].end()
    until(begun, ["a", "b", "c", "d"])
    scripts["c"].end()  # one place after the other: of two that are called at once, either may be the first to say so
    until(begun, ["a", "b", "c", "d", "e"])
    for script in scripts.values():
        script.end()
    assert turns._at_work == {}


def test_who_takes_long_keeps_nobody_waiting_and_gives_no_second_place_at_its_end() -> None:
    now = [0.0]
    turns, begun = Turns(places=1, longest=0.01, clock=lambda: now[0]), []
    first, second = Script(turns, begun, "first"), Script(turns, begun, "second")
    now[0] = 0.009
    time.sleep(0.05)  # the second looks again and again
    assert begun == ["first"]
    now[0] = 0.01
    until(begun, ["first", "second"])
    third = Script(turns, begun, "third")
    first.end()  # its place is the second's by now
    assert begun == ["first", "second"]
    second.end()
    until(begun, ["first", "second", "third"])
    third.end()
    assert turns._at_work == {}


def test_who_takes_long_stays_at_work_as_long_as_nobody_waits() -> None:
    now = [0.0]
    turns, begun = Turns(places=1, longest=0.01, clock=lambda: now[0]), []
    alone = Script(turns, begun, "alone")
    now[0] = 1.0
    turns._call()
    assert len(turns._at_work) == 1
    alone.end()


def test_a_script_that_fails_leaves_its_place() -> None:
    turns = Turns(places=1, longest=LONG)
    with pytest.raises(ValueError, match="rank"), turns.turn():
        raise ValueError("rank")
    assert turns._at_work == {}


def test_who_waits_for_others_gives_its_place_away_and_stands_in_line_again() -> None:
    turns, begun, may_go_on = Turns(places=1, longest=LONG), [], threading.Event()

    def first() -> None:
        with turns.turn():
            with turns.aside():
                begun.append("aside")
                may_go_on.wait(LONG)
            begun.append("back")

    waits = threading.Thread(target=first, daemon=True)
    waits.start()
    until(begun, ["aside"])
    assert turns._at_work == {}
    second = Script(turns, begun, "second")
    until(begun, ["aside", "second"])
    may_go_on.set()
    assert _until(lambda: len(turns._line) == 1)
    third = Script(turns, begun, "third")
    assert begun == ["aside", "second"], "its place is the second's"
    second.end()
    until(begun, ["aside", "second", "back", "third"])
    third.end()
    waits.join(LONG)
    assert turns._at_work == {}


def test_who_has_no_place_gives_none_away() -> None:
    turns = Turns()
    with turns.aside():
        assert turns._at_work == {}
    assert turns._at_work == {}
    with turns.turn(), pytest.raises(ValueError, match="rank"), turns.aside():
        raise ValueError("rank")
    with turns.aside():  # a turn that is over is none
        pass
    assert turns._at_work == {}


def test_who_waits_for_a_worker_has_no_place_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, seen = Turns(), []
    monkeypatch.setattr(in_turn_module, "_of_this_server", turns)

    class Queue:
        ready = True
        touch = stop = staticmethod(lambda job: seen.append(len(turns._at_work)))

        @staticmethod
        def submit(*asked: Any) -> Any:
            return SimpleNamespace(alive=True, state="done", records=[{}])

    monkeypatch.setattr(background, "queue", Queue)

    def left(ready: bool) -> None:  # as Streamlit ends the script of a visitor who leaves
        assert ready
        raise TimeoutError

    with pytest.raises(TimeoutError), turns.turn():
        background.from_worker("me", "kind", {}, {}, left)
    assert seen == [0, 0], "nor while its job is stopped"
    assert turns._at_work == {}


def test_a_page_waits_far_less_than_anybody_sees() -> None:
    assert (PLACES, LONGEST) == (1, 0.1)


def test_streamlit_s_scripts_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[int] = []

    def script(runner: Any) -> None:
        at_work.append(len(turns._at_work))

    monkeypatch.setattr(ScriptRunner, "_run_script_thread", script)
    turns = Turns()
    with in_turn(turns):
        ScriptRunner._run_script_thread(None)  # type: ignore[arg-type]
    ScriptRunner._run_script_thread(None)  # type: ignore[arg-type]
    assert at_work == [1, 0]
    assert ScriptRunner._run_script_thread is script
