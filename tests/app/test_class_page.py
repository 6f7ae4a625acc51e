"""The page Class for a learner, a teacher and nobody; runs come to the board, and pasted text goes nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from peftcalc.jobs.classroom import names
from peftcalc.jobs.classroom.room import Room
from peftcalc.jobs.history.history import History
from peftcalc.jobs.job import Job
from peftcalc.lab.race import Race
from peftcalc.lab.runs.kept_race import KeepableRace, keepable, race_link, race_results
from peftcalc.lab.stored_runs import stored_run
from peftcalc.ui import page
from peftcalc.ui.classroom import board as board_page
from peftcalc.ui.classroom import follow, here, teacher
from peftcalc.ui.classroom.lessons import LESSONS
from peftcalc.ui.classroom.notes import as_html
from peftcalc.ui.history.keeper import CHUNK, Keeper
from peftcalc.ui.lessons.train import LESSON
from peftcalc.ui.pages import PAGES

ROOT = Path(__file__).parents[2]
WAIT = 30


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    found = Room("elm-42", names.lock("key"), None)
    monkeypatch.setattr(here, "room", lambda: found)
    return found


def open_page(**session) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages/class.py"), default_timeout=120)
    for key, value in session.items():
        page.session_state[key] = value
    return page.run()


def text(page: AppTest) -> str:
    assert not page.exception
    return "\n".join(str(one.value) for kind in ("markdown", "header", "info") for one in getattr(page, kind))


def test_a_learner_joins_predicts_and_sees_how_all_answered(room: Room):
    page = open_page()
    page.text_input(key="nickname").set_value("<b>Ada</b>")
    page.button(key="join").click().run()
    assert [seat.nickname for seat in room.seats] == ["<b>Ada</b>"]
    assert page.query_params["seat"]
    assert "\\<b\\>Ada" in text(page), "a nickname is text"
    room.begin("cost")
    lesson = LESSONS["cost"]
    prediction = lesson.parts[0].prediction
    assert prediction is not None
    room.ask(lesson.question(0), prediction.options)
    page.run()
    page.button_group(key="answer-cost-0").set_value(prediction.options[0]).run()
    assert room.counts()[prediction.options[0]] == 1
    assert prediction.explanation not in text(page)
    room.reveal()
    assert prediction.explanation in text(page.run())


def test_a_teacher_leads_with_the_key_alone(room: Room):
    page = open_page()
    page.text_input(key="teacher-key").set_value("guess")
    page.button(key="teacher-open").click().run()
    assert [error.value for error in page.error]
    page.text_input(key="teacher-key").set_value("key")
    page.button(key="teacher-open").click().run()
    page.button(key="start-cost").click().run()
    assert room.lesson == "cost"
    page.button(key="ask").click().run()
    page.button(key="reveal").click().run()
    assert room.question is not None
    assert room.question.revealed
    page.button(key="send").click().run()
    assert room.order is not None
    assert room.order.page == "memory"
    page.button(key="part-next").click().run()
    assert room.part == 1
    assert "key" not in str(page.query_params)


def test_a_link_with_a_seat_is_the_same_learner_and_one_without_is_nobody(room: Room):
    room.join("a-token", "Ada")
    script = "from peftcalc.ui.classroom import here\nhere.carry_seat()"
    for given, known in (("a-token", True), ("another", False), ("x" * 99, False)):
        page = AppTest.from_string(script, default_timeout=120)
        page.query_params["seat"] = given
        assert ("_seat" in page.run().session_state) == known


def test_a_reload_on_the_page_to_which_all_were_sent_has_its_settings_again(room: Room, monkeypatch):
    monkeypatch.setattr(follow, "_look", lambda path: None)
    room.join("a-token")
    room.send("train", {"task": "rank"}, [{"rank": 1}])
    for path, expected in (("train", {"task": "rank", "rank": 1}), ("memory", {})):
        script = f"from peftcalc.ui.classroom import follow\nfollow.frame('{path}')"
        page = AppTest.from_string(script, default_timeout=120)
        page.query_params["seat"] = "a-token"
        page.run()
        assert not page.exception
        assert {key: page.session_state[key] for key in ("task", "rank") if key in page.session_state} == expected


def test_what_is_sent_goes_to_pages_and_controls_that_there_are():
    paths = {entry.path for entry in PAGES}
    for lesson in LESSONS.values():
        assert lesson.minutes == 45
        for part in lesson.parts:
            assert part.page is None or part.page in paths
            assert part.task
            assert part.expect
            assert part.otherwise


@pytest.mark.parametrize("lesson", LESSONS.values(), ids=list(LESSONS))
def test_a_lessons_answers_are_among_its_options_and_in_its_notes(lesson):
    html = as_html(lesson)
    for part in lesson.parts:
        if part.prediction is not None:
            answer = part.prediction.answer()
            assert answer in part.prediction.options
            assert str(answer) in html
    assert html.count("<section>") == len(lesson.parts)


@pytest.mark.parametrize(
    ("lesson", "part"),
    [(name, place) for name, one in LESSONS.items() for place, part in enumerate(one.parts) if part.grid],
)
def test_every_cell_of_a_grid_is_a_race_that_the_train_page_can_run(lesson: str, part: int):
    one = LESSONS[lesson].parts[part]
    ranks = {cell.get("rank", one.parameters.get("rank")) for cell in one.grid}
    assert ranks <= {1, 2, 4, 8, 16, 32, 64}
    assert all(0 <= cell["seed"] <= 9 for cell in one.grid)
    assert len({str(cell) for cell in one.grid}) == len(one.grid) >= 30


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    kept = History(tmp_path / "history.sqlite")
    yield kept
    kept.close()


def told(name: str) -> tuple[Race, list[dict]]:
    import gzip
    import json

    content = json.loads(gzip.decompress((ROOT / "peftcalc/lab/stored" / f"{name}.json.gz").read_bytes()))
    return Race.from_dict(content["race"]), content["records"]


def test_the_keeper_keeps_a_race_while_it_goes_on_and_tells_the_board_at_its_end(history: History):
    race, records = told("magnitude-rank-1")
    job, heard = Job("ada", "finetune", [{}]), []
    keeper = Keeper(history)
    run = keeper.watch(job, KeepableRace(race), "elm-42", lambda run, results: heard.extend(results))
    job.state = "running"
    job.records += records[:50]
    for _ in range(CHUNK):
        keeper.look()
    history.ask(lambda connection: None).result(WAIT)
    assert history.run(run.id).state == "running"
    assert len(history.records(run.id)) == 50
    job.records += records[50:]
    job.state = "done"
    keeper.look()
    keeper.look()
    history.ask(lambda connection: None).result(WAIT)
    kept = history.run(run.id)
    keeper.close()
    assert (kept.state, kept.room, kept.results) == ("done", "elm-42", heard)
    assert heard == race_results(stored_run("magnitude-rank-1").board)
    assert len(history.records(run.id)) == len(records)


def test_what_a_visitor_pasted_is_never_kept(history: History):
    race = Race("own", methods=("lora",), steps=10)
    job = Job("ada", "finetune", [{"runs": [{"text": "my secret"}]}])
    job.records += [
        {"run": "lora-0", "step": step, "steps": 1, "loss": 1.0, "validation": 1.0, "samples": ["my secret"]}
        for step in (0, 1)
    ]
    job.state = "done"
    keeper = Keeper(history)
    keeper.watch(job, KeepableRace(race))
    keeper.look()
    keeper.close()
    assert b"secret" not in history.path.read_bytes()
    assert "secret" not in str([(run, history.records(run.id)) for run in history.runs()])
    assert keepable("names", [{"samples": ["a"]}]) == [{"samples": ["a"]}]


def test_a_kept_race_is_shown_again_by_its_link(history: History, monkeypatch: pytest.MonkeyPatch):
    from urllib.parse import parse_qs

    from peftcalc.ui.history import shown

    race, records = told("magnitude-rank-1")
    keeper, job = Keeper(history), Job("ada", "finetune", [{}])
    run = keeper.watch(job, KeepableRace(race))
    job.records += records
    job.state = "done"
    keeper.look()
    keeper.look()
    history.ask(lambda connection: None).result(WAIT)
    monkeypatch.setattr(shown, "keeper", lambda: keeper)
    assert parse_qs(run.link.partition("?")[2])["run"] == [run.id]
    assert run.link == race_link(race).replace("{id}", run.id)
    script = "import streamlit as st\nfrom peftcalc.ui.history import shown\nshown.note()\n"
    script += "kept = shown.kept_race()\nst.write(kept and kept.status)\nshown.section()"
    page = AppTest.from_string(script, default_timeout=120)
    page.query_params["run"] = run.id
    page.run()
    assert not page.exception
    assert "kept run: Only the lengths change" in page.markdown[0].value
    page.query_params["run"] = "no-such-run"
    assert "pruned" in page.run().info[0].value
    keeper.close()


def test_following_looks_cost_little(room: Room):
    """A look reads memory alone."""
    import timeit

    for number in range(30):
        room.join(f"token-{number}")
    room.send("train", {}, [{"rank": 1}])
    looks = timeit.timeit(lambda: (room.newest_order("token-7", 1), room.seat("token-7"), room.counts()), number=100)
    bare = timeit.timeit(lambda: names.lock("token-7"), number=100)
    assert looks < 200 * bare


def test_a_board_reads_each_result_once_and_begins_anew_when_it_is_cleared(room: Room, monkeypatch):
    race, records = told("magnitude-rank-1")
    results = KeepableRace(race).results(records)
    read, own = [], board_page._run
    monkeypatch.setattr(board_page, "_run", lambda values: read.append(values) or own(values))
    board = board_page.Board()
    assert board.by_task(room) == {}
    room.add(results)
    first = board.by_task(room)["magnitude"]
    assert len(first.runs) == len(results) == len(read)
    assert board.by_task(room)["magnitude"] is first
    room.add([*results, {"from": "another version"}])
    assert len(board.by_task(room)["magnitude"].runs) == 2 * len(results)
    assert len(read) == 2 * len(results) + 1
    room.clear_board()
    room.add([dict(one) for one in results * 3])
    assert len(board.by_task(room)["magnitude"].runs) == 3 * len(results)


def test_a_board_whose_day_is_over_is_left_while_somebody_looks(room: Room, monkeypatch):
    page = AppTest.from_file(str(ROOT / "pages/class.py"), default_timeout=120)
    page.query_params["section"] = "board"
    assert "The board is empty" in text(page.run())
    room.made -= 2 * 86_400
    assert "over" in text(page.run())


def test_whoever_has_moved_a_control_is_sent_on_all_the_same(room: Room, monkeypatch):
    """Streamlit clears no link that holds what a control says, and raises; one that it is given takes its place."""
    room.join("a-token")
    sent: list[dict] = []
    monkeypatch.setattr(follow.st, "switch_page", lambda page, **more: sent.append(more))
    monkeypatch.setattr(here, "token", lambda: "a-token")
    script = "from peftcalc.ui.classroom import follow, here\nfollow._go(here.room(), 'train')"
    page = AppTest.from_string(script, default_timeout=120)
    page.run()
    room.send("class", {})
    assert not page.run().exception
    room.ask("cost-0", ["a", "b"])
    page.run()
    assert sent == [{"query_params": {"seat": "a-token"}}] * 2


def test_whom_a_teacher_has_sent_the_page_shows_what_the_class_does(room: Room):
    """It is made thirty times at once, and what leads elsewhere is for later."""

    def opened(**session) -> AppTest:
        test = AppTest.from_file(str(ROOT / "pages/train.py"), default_timeout=120)
        for key, value in session.items():
            test.session_state[key] = value
        test.run()
        assert not test.exception
        return test

    def buttons(test: AppTest) -> set[str]:
        return {one.label for one in test.button}

    alone, led = opened(), opened(**{page.LED: True})
    preset = LESSON.presets[0].name
    assert {"Train", preset} <= buttons(alone)
    assert "Train" in buttons(led)
    assert preset not in buttons(led)
    assert "The comparison" in {one.label for one in alone.expander}
    assert "The comparison" not in {one.label for one in led.expander}, "the class compares on its board"
    assert len(led.main) < len(alone.main)
    for test in (alone, led):
        assert "Set it up" not in buttons(test)
        test.session_state["train-try"] = True
        assert "Set it up" in buttons(test.run()), "in its box"


def test_a_teacher_who_sends_twice_quickly_sends_everybody_to_the_last_page(room: Room, monkeypatch):
    held, went, alone = {}, [], [False, True]
    monkeypatch.setattr(follow.st, "session_state", held)
    monkeypatch.setattr(here, "token", lambda: "token")
    monkeypatch.setattr(follow, "_to", went.append)
    monkeypatch.setattr(follow.calls, "alone", lambda: alone.pop(0))
    room.join("token")
    room.send("memory", {"rank": 8})
    assert follow._go(room, "class"), "on the way"
    room.send("train", {"alpha": 16}, [{"rank": 1}])
    follow._go(room, "class")
    assert went == ["train"]
    assert held[follow._SENT] == {"alpha": 16, "rank": 1}
    assert not follow._go(room, "train"), "once"


@pytest.mark.parametrize(
    ("held", "called", "goes"),
    [
        ({"order": 0}, False, False),
        ({"order": 0}, True, True),
        ({}, False, True),
        ({"order": 0, "going": 1}, False, True),
    ],
    ids=["asks by itself", "called", "just opened", "on the way"],
)
def test_who_asks_by_itself_while_a_class_is_sent_stays_until_it_is_called(room: Room, monkeypatch, held, called, goes):
    names, went = {"order": follow._ORDER, "going": follow._GOING}, []
    monkeypatch.setattr(follow.st, "session_state", {follow._DRAWN: "", **{names[key]: held[key] for key in held}})
    for name, found in (("open_room", room), ("seat", object()), ("is_teacher", False), ("token", "token")):
        monkeypatch.setattr(here, name, lambda found=found: found)
    monkeypatch.setattr(follow.calls, "follow", lambda *_, **__: called)
    monkeypatch.setattr(follow, "_go", lambda *where: went.append(where) or True)
    monkeypatch.setattr(follow, "_bar", lambda room: None)
    room.send("train", {})
    follow._look("memory")
    assert went == [(room, "memory")] * goes


def test_what_leads_a_learner_elsewhere(room: Room):
    room.join("token")
    leads = lambda path="train", last=1, called=None: follow._leads(room, path, "token", last, called)  # noqa: E731
    assert leads() is None
    room.send("train", {})
    assert leads() is None, "it has followed"
    assert leads(last=0) == 1
    room.ask("which", ("a", "b"))
    assert leads() == "which"
    assert leads(path="class") is None
    assert leads(called="which") is None, "once: a learner may go back"
    room.answer("token", "a")
    assert leads() is None
    room.send("memory", {})
    assert leads() == 2


def test_each_of_two_who_teach_sees_what_the_other_does(room: Room, monkeypatch):
    room.begin("cost")
    page = open_page(_teacher=True)
    assert {"part-next", "send"} <= {one.key for one in page.button}
    drawn = page.session_state[teacher._DRAWN]
    assert drawn == teacher._stands(room)
    for act in (lambda: room.ask("cost-0", ("a", "b")), room.reveal, lambda: room.turn_to(1), lambda: room.begin("")):
        before = teacher._stands(room)
        act()
        assert teacher._stands(room) != before

    class Again(Exception):
        pass

    def again() -> None:
        raise Again

    monkeypatch.setattr(teacher.st, "session_state", {teacher._DRAWN: drawn})
    monkeypatch.setattr(teacher.st, "rerun", again)
    with pytest.raises(Again):
        teacher._look(room)
