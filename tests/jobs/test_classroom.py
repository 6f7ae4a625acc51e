"""A classroom: seats, one answer each, a grid that is dealt out, a board, a key; found again by the next server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peftcalc.jobs.classroom import doors, names
from peftcalc.jobs.classroom import room as module
from peftcalc.jobs.classroom.register import DAY, found, latest
from peftcalc.jobs.classroom.restored import restored
from peftcalc.jobs.classroom.room import Room
from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.kept_run import KeptRun

WAIT = 30
GRID = [{"rank": 1}, {"rank": 4}]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    kept = History(tmp_path / "history.sqlite")
    yield kept
    kept.close()


@pytest.fixture
def room() -> Room:
    return Room("elm-42", names.lock("key"), None)


def test_everybody_answers_once_and_nobody_after_the_answer_is_shown(room: Room):
    for token in "abc":
        room.join(token)
    assert room.counts() == {}
    room.ask("cost-0", ("yes", "no"))
    assert room.answer("a", "yes")
    assert not room.answer("a", "no")
    assert not room.answer("b", "perhaps")
    assert not room.answer("stranger", "yes")
    assert room.counts() == {"yes": 1, "no": 0}
    room.reveal()
    assert not room.answer("b", "no")
    assert (room.answered("a"), room.answered("b")) == ("yes", None)
    room.turn_to(1)
    assert room.question is None


def test_equal_nicknames_are_told_apart_and_a_reload_keeps_its_seat(room: Room):
    assert [room.join(token, "Ada").nickname for token in "ab"] == ["Ada", "Ada 2"]
    assert room.join("a", "Ada") == room.seat("a")
    assert [seat.number for seat in room.seats] == [0, 1]
    assert room.seat("stranger") is None
    room.hide(1)
    assert [seat.hidden for seat in room.seats] == [False, True]


def test_a_nickname_is_one_bounded_line_of_text():
    assert names.nickname("  a\tb\u202e\u0000 " + "x" * 99) == "a b " + "x" * 20
    assert names.nickname("<script>") == "<script>", "it is text; whoever shows it escapes it"
    assert names.nickname("\u200b\n") == ""


def test_the_grid_is_dealt_out_in_turn_also_to_who_comes_late(room: Room):
    for token in "ab":
        room.join(token)
    room.send("train", {"task": "rank"}, GRID)
    room.join("late")
    assert [room.part_of_grid(token) for token in ("a", "b", "late", "stranger")] == [*GRID, GRID[0], {}]


def test_an_order_is_followed_once_by_each_tab(room: Room):
    room.join("a")
    assert room.newest_order("a", None) is None
    room.send("train", {})
    first = room.newest_order("a", 0)
    assert first is not None
    assert first.page == "train"
    assert room.newest_order("a", first.number) is None
    assert room.newest_order("a", None) is None, "a reload stays where it is"
    room.join("late")
    assert room.newest_order("late", None) == first, "who comes late goes where the others are"


def test_the_board_takes_what_ended_after_it_was_cleared(room: Room):
    version = room.results_version
    room.add([{"validation": 0.5}])
    assert room.results == [{"validation": 0.5}]
    assert room.results_version > version
    room.clear_board()
    assert room.results == []
    room.add([{"validation": 1.0}], ended=time.time() - 60)
    assert room.results == []


def test_the_board_takes_what_ended_as_it_was_cleared_and_so_many_results(room: Room, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module.time, "time", lambda: 100.0)
    room.clear_board()
    room.add([{"n": 0}], ended=100.0)
    room.add([{"n": 1}], ended=99.9)
    assert room.results == [{"n": 0}]
    monkeypatch.setattr(module, "MOST_RESULTS", 3)
    room.add([{"n": 2}, {"n": 3}, {"n": 4}])
    room.add([{"n": 5}])
    assert [one["n"] for one in room.results] == [0, 2, 3]


def test_who_has_not_looked_for_half_a_minute_is_not_there(room: Room, monkeypatch: pytest.MonkeyPatch):
    now = [50.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    room.join("a")
    now[0] = 60.0
    room.join("b")
    now[0] = 79.9
    assert room.present == 2
    now[0] = 80.0
    assert room.present == 1
    room.seat("a")
    assert room.present == 2


def test_a_full_classroom_and_one_whose_day_is_over(room: Room, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_SEATS", 1)
    room.join("a")
    room.join("a", "again")
    with pytest.raises(ValueError, match="full"):
        room.join("b")
    assert not room.expired
    assert Room("elm-42", "", None, made=time.time() - DAY - 1).expired


def test_one_address_takes_its_share_of_the_seats_and_no_more(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doors, "SEATS_OF_ADDRESS", 2)
    entered = doors.Doors()
    for token in ("a", "b", "a"):
        entered.enter(token, "192.0.2.7")
    with pytest.raises(ValueError, match="2 seats"):
        entered.enter("c", "192.0.2.7")
    entered.enter("c", "192.0.2.8")
    for token in "abcd":
        entered.enter(token, None)


def test_the_next_server_finds_it_as_it_was(history: History):
    found(history, "elm-42", names.lock("key"))
    room = restored("elm-42", names.lock("key"), history)
    room.join("a", "Ada")
    room.begin("cost")
    room.ask("cost-0", ("yes", "no"))
    room.answer("a", "yes")
    room.send("train", {"task": "rank"}, GRID)
    now = time.time()
    history.keep(KeptRun("r", "race", "app", "", "done", now, now + 1, results=[{"v": 1}], room="elm-42")).result(WAIT)
    again = restored("elm-42", "", history)
    assert again._state == room._state
    assert again.results == [{"v": 1}]
    assert again.answered("a") == "yes"
    assert latest(history) == "elm-42"
    with history.reading() as connection:
        text = connection.execute("SELECT state FROM rooms").fetchone()[0]
    assert '"a"' not in text, "a token is kept as its mark"


def test_a_classroom_of_yesterday_is_forgotten_when_another_is_made(history: History):
    for name, age in (("elm-41", DAY + 5), ("elm-42", DAY - 60)):
        found(history, name, names.lock("key"))
        history.ask(
            lambda c, n=name, a=age: c.execute("UPDATE rooms SET made = made - ? WHERE name = ?", (a, n)) and None
        )
    found(history, "elm-43", names.lock("key"))
    with history.reading() as connection:
        assert [name for (name,) in connection.execute("SELECT name FROM rooms ORDER BY name")] == ["elm-42", "elm-43"]


def test_a_board_has_the_runs_of_its_own_classroom_and_a_damaged_state_is_a_new_one(history: History):
    found(history, "elm-42", names.lock("key"))
    made = restored("elm-42", "", history).made
    for name, begun in (("with it", made), ("before it", made - 0.5)):
        run = KeptRun(name, "race", "app", "", "done", begun, begun + 1, results=[{"run": name}], room="elm-42")
        history.keep(run).result(WAIT)
    assert restored("elm-42", "", history).results == [{"run": "with it"}]
    for text in ("{", "[]", "5"):
        history.ask(lambda c, t=text: c.execute("UPDATE rooms SET state = ?", (t,)) and None).result(WAIT)
        assert restored("elm-42", names.lock("key"), history).seats == []


def test_a_lost_key_is_replaced_from_the_terminal(history: History):
    found(history, "elm-42", names.lock("old"))
    room = restored("elm-42", names.lock("old"), history)
    assert room.is_key(" OLD ")
    assert not room.is_key("")
    found(history, "elm-42", names.lock("new"))
    assert room.is_key("new")
    assert not room.is_key("old")
    assert Room("elm-42", names.lock("key"), None).is_key("key"), "without a history the server's own"
    assert not Room("elm-42", "", None).is_key("")


@pytest.mark.parametrize("text", ["", "elm", "elm-1", "../x-42", "ELM 42", "elm-42; DROP"])
def test_what_is_no_name_of_a_classroom(text: str):
    with pytest.raises(ValueError, match="word and a number"):
        names.room_name(text)
