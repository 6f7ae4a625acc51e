"""Pages that follow a classroom are called when it changes: who, when, and once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from types import SimpleNamespace

import pytest

from peftcalc.jobs.classroom import names
from peftcalc.jobs.classroom.room import Room
from peftcalc.ui.classroom import calls
from peftcalc.ui.classroom.calls import AGAIN, ROUND, SOON, Calls, Follower
from peftcalc.ui.classroom.way import AHEAD, ASKS, MADE, PLACES, SLOT


class Browsers:
    """Tabs that hear when they are to ask; one that is closed cannot be reached."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, float]] = []
        self.closed: set[str] = set()

    def reach(self, session: str, fragment: str):
        if session in self.closed:
            return None
        return lambda name, seconds: self.heard.append((session, name, seconds))


def follower(room: Room, session: str, drawn: float = 0.0, every: float = 0.0) -> Follower:
    return Follower(session, "look", lambda: room.part, room.part, drawn, every)


def learner(room: Room, session: str, quiet: bool = True) -> Follower:
    """One who goes where the teacher sends everybody."""
    leads = lambda: room.order and room.order.number  # noqa: E731
    return Follower(session, "look", leads, leads(), 0.0, hush=lambda: lambda: quiet)


def sent(calls: Calls, now: float) -> list[str]:
    """Who is called at this time."""
    due = calls.due(calls.late(), now)
    for one in due:
        calls.call(one)
    return [one.session for one in due]


@pytest.fixture
def room() -> Room:
    return Room("elm-42", names.lock("key"), None)


def test_whoever_has_not_seen_the_newest_is_called_one_after_the_other_and_once(room: Room):
    browsers = Browsers()
    followed = Calls(browsers.reach)
    for session in "abc":
        followed.enter(follower(room, session))
    assert followed.late() == []
    room.turn_to(1)
    assert sent(followed, 10.0) == ["a", "b", "c"]
    assert browsers.heard == [(session, "look", SOON) for session in "abc"]
    assert followed.due(followed.late(), 10.1) == [], "they are on their way"
    assert followed.enter(follower(room, "a")), "it was called, and is to rest now"
    assert not followed.enter(follower(room, "a"))
    assert [one.session for one in followed.late()] == ["b", "c"]
    assert len(followed.due(followed.late(), 10.0 + AGAIN)) == 2, "who has not come is called again"


def test_no_more_parts_are_called_than_there_is_time_for(room: Room):
    followed = Calls(Browsers().reach)
    sessions = [f"learner {number}" for number in range(30)]
    for session in sessions:
        followed.enter(follower(room, session))
    room.turn_to(1)
    first = sent(followed, 10.0)
    assert first == sessions[:AHEAD]
    assert sent(followed, 10.0 + 0.01 * SLOT) == [], "however often one asks"
    rest = [session for turn in range(1, 6) for session in sent(followed, 10.0 + turn * ROUND)]
    assert first + rest == sessions, "in half a second"


def test_who_asks_while_a_class_is_on_its_way_waits_for_the_call(room: Room):
    followed = Calls(Browsers().reach)
    for session in "abc":
        followed.enter(learner(room, session))
    room.send("train", {})
    assert not followed.enter(learner(room, "c")), "it asked by itself"
    assert [one.session for one in followed.late()] == ["a", "b", "c"], "and is late as before"
    assert sent(followed, 10.0) == ["a", "b"]
    assert followed.enter(learner(room, "a")), "it was called, and goes"
    followed.arrived("a")
    assert sent(followed, 10.1) == ["c"]


def test_parts_of_a_page_that_is_about_to_be_left_are_not_called(room: Room):
    followed = Calls(Browsers().reach)
    followed.enter(learner(room, "a"))
    for session in "ab":
        followed.enter(Follower(session, "part", lambda: room.part, room.part, 0.0))
    room.turn_to(1)
    room.send("train", {})
    assert [(one.session, one.fragment) for one in followed.due(followed.late(), 10.0)] == [
        ("b", "part"),
        ("a", "look"),
    ]
    assert followed.due(followed.late(), 10.0 + AGAIN)


def test_a_page_is_not_called_more_often_than_it_bears(room: Room):
    followed = Calls(Browsers().reach)
    followed.enter(follower(room, "board", drawn=5.0, every=0.8))
    room.turn_to(1)
    assert followed.due(followed.late(), 5.5) == []
    assert len(followed.due(followed.late(), 5.9)) == 1


def test_a_class_that_is_sent_goes_few_at_a_time_and_the_board_before_it(room: Room):
    browsers = Browsers()
    followed = Calls(browsers.reach)
    sessions = [f"learner {number}" for number in range(60)]
    for session in sessions:
        followed.enter(learner(room, session))
    followed.enter(follower(room, "board"))
    room.send("train", {})
    room.turn_to(1)
    assert sent(followed, 10.0) == ["board", *sessions[:PLACES]]
    assert browsers.heard[-1] == (sessions[PLACES - 1], "look", SOON)
    assert sent(followed, 10.1) == [], "all places are taken"
    for number, session in enumerate(sessions):
        followed.enter(learner(room, session))
        followed.arrived(session)
        assert sent(followed, 10.2) == sessions[number + PLACES : number + PLACES + 1]
    assert followed.late() == [next(one for one in followed.late() if one.session == "board")]


def test_a_browser_that_sleeps_keeps_a_place_for_a_moment_only(room: Room):
    followed = Calls(Browsers().reach)
    for session in "abcde":
        followed.enter(learner(room, session))
    room.send("train", {})
    assert sent(followed, 10.0) == ["a", "b"]
    followed.way.makes("a", 10.1)
    assert sent(followed, 10.0 + ASKS) == ["c"], "b has not asked; a's page is being made"
    assert sent(followed, 10.1 + MADE) == ["d", "e"], "even a page that is never done"
    assert sent(followed, 10.1 + AGAIN) == ["a", "b"], "who has not come is called again"


def test_pages_that_are_made_for_another_reason_take_places_but_one(room: Room):
    """A class that presses Train is not sent on top of it; and it is sent, however many others open pages."""
    followed = Calls(Browsers().reach)
    for session in "abcd":
        followed.enter(learner(room, session))
    for other in range(PLACES):
        followed.way.makes(f"other {other}", 10.0)
    room.send("train", {})
    assert sent(followed, 10.1) == ["a"]
    assert sent(followed, 10.2) == []
    followed.arrived("other 0")
    assert sent(followed, 10.3) == [], "a's and another's are two"
    followed.enter(learner(room, "a"))
    followed.arrived("a")
    assert sent(followed, 10.4) == ["b"]
    assert sent(followed, 10.0 + MADE) == ["c", "d"], "b sleeps, and the other's is never done"


def test_a_closed_tab_gives_its_place_away_at_once(room: Room):
    browsers = Browsers()
    followed = Calls(browsers.reach)
    for session in "abcd":
        followed.enter(learner(room, session))
    browsers.closed = {"a", "b"}
    room.send("train", {})
    assert sent(followed, 10.0) == ["a", "b"]
    assert sent(followed, 10.0) == ["c", "d"]


def test_whoever_is_called_elsewhere_is_alone_on_the_page_from_then_on(room: Room):
    followed = Calls(Browsers().reach)
    for session, quiet in (("a", True), ("b", False)):
        followed.enter(learner(room, session, quiet))
    assert not followed.quiet("a", "look"), "nobody has called"
    room.send("train", {})
    sent(followed, 10.0)
    assert followed.enter(learner(room, "a"))
    assert followed.enter(learner(room, "b"))
    assert followed.quiet("a", "look")
    assert not followed.quiet("b", "look"), "something else of its page was made again"
    followed.enter(learner(room, "a"))
    assert not followed.quiet("a", "look"), "it is another page by now"


def test_nobody_is_called_to_go_nowhere(room: Room):
    """All else on a page is forgotten for it."""
    followed = Calls(Browsers().reach)
    room.send("train", {})
    followed.enter(learner(room, "a"))
    room.begin("cost")  # the order is gone
    assert room.order is None
    assert followed.late() == []


def test_a_tab_that_is_closed_follows_no_longer(room: Room):
    browsers = Browsers()
    followed = Calls(browsers.reach)
    followed.enter(follower(room, "a"))
    room.turn_to(1)
    browsers.closed = {"a"}
    sent(followed, 10.0)
    assert followed.late() == []
    assert browsers.heard == []


def test_a_change_in_the_classroom_reaches_the_browsers(room: Room):
    browsers = Browsers()
    followed = Calls(browsers.reach)
    room.heard = followed.changed

    async def lesson() -> None:
        serving = asyncio.create_task(followed.serve())
        await asyncio.sleep(0)
        assert followed.serving
        followed.enter(follower(room, "a"))
        await asyncio.to_thread(room.turn_to, 2)
        while not browsers.heard:
            await asyncio.sleep(0.01)
        followed.enter(follower(room, "a"))
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(asyncio.wait_for(lesson(), 30))
    assert browsers.heard == [("a", "look", SOON)]
    assert not followed.serving


def test_a_page_is_left_when_nothing_else_of_it_can_ask(monkeypatch: pytest.MonkeyPatch):
    """Else Streamlit answers a late question in the name of the page before, and the browser empties the new one."""
    state, sent, kept = {}, [], []
    storage = SimpleNamespace(clear=lambda new_fragment_ids: kept.append(new_fragment_ids))
    context = SimpleNamespace(
        session_id="a", fragment_ids_this_run=None, fragment_storage=storage, enqueue=lambda one: sent.append(one)
    )
    monkeypatch.setattr(calls.st, "session_state", state)
    monkeypatch.setattr(calls, "get_script_run_ctx", lambda: context)
    monkeypatch.setattr(calls, "_fragment", lambda: "look")
    assert not calls.alone(), "the whole page runs: its parts are being made"
    assert kept == []
    context.fragment_ids_this_run = ["look", "other"]
    assert not calls.alone()
    assert kept == [frozenset({"look"})]
    assert calls.alone()
    assert [message.auto_rerun.interval for message in sent] == pytest.approx([SOON, SOON, calls.REST])
    calls.begins()
    assert not calls.alone(), "another page has parts of its own"


def test_all_else_on_a_page_is_forgotten_until_it_is_made_again():
    from streamlit.runtime.fragment import MemoryFragmentStorage

    storage = MemoryFragmentStorage()
    for name in ("look", "other"):
        storage.register(name, lambda: None)
    quiet = calls._hush(storage, "look")
    assert storage.contains("look")
    assert not storage.contains("other")
    assert quiet()
    storage.register("other", lambda: None)
    assert not quiet()


def test_the_server_of_the_pages_does_not_load_torch():
    """It took three of the five seconds of a cold Train page."""
    code = "import sys; import peftcalc.ui.train.playground, peftcalc.ui.train.results, peftcalc.ui.classroom.board; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_that_waits_tells_little_of_the_stored_one_beside_it():
    """It was told whole with every look, by each of thirty who waited."""
    from peftcalc.lab.stored_runs import stored_run
    from peftcalc.ui.components.mount import _json
    from peftcalc.ui.components.weights import unchanged, whole_race

    whole = whole_race(stored_run("magnitude").board, "stored magnitude", "")
    told = unchanged(whole)
    assert len(_json(told)) < len(_json(whole)) / 20
    assert [one["from"] for one in told["methods"]] == [len(one["loss"]) for one in whole["methods"]]
    assert [one["held"] for one in told["methods"]] == [one["held"] for one in whole["methods"]]
    assert told["run"] == whole["run"]
