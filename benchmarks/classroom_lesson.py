"""A lesson that thirty play on one server: predictions, a grid that is dealt out, and the board that all look at.

`python benchmarks/classroom.py --lesson`. A teacher with the key, learners with a seat each, and a projector that shows
the board speak Streamlit's protocol; every one of them asks for each polling part of its page when a browser's timer
would, whether or not the last one was answered. Learners answer each prediction, go where they are sent, press Train
with the part of the grid that they were given as soon as they are there, and then look at the board. The grid is dealt
out again each round. A look is timed from the ask to the end of its answer, which may be a whole page; since a server
could have a class wait by calling it late, the time from the teacher's press until everybody is there is told too.

How late the board is counts from the last moment at which a learner's own page had still shown its run going on: it is
at least as long as in truth.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
from classroom_client import Visitor
from served_app import memory_bytes, process_seconds, running_app

from peftcalc.jobs.classroom import names
from peftcalc.jobs.history.history import History
from peftcalc.ui.classroom.lessons import LESSONS

LESSON, GRID = LESSONS["cost"], 3
"""Which, and the part of it whose grid is dealt out."""
ROOM, KEY = "elm-42", "abcd-efgh-jkmn"
TICK = 0.05
PATIENCE = 90.0
UNANSWERED, TRIES = 5.0, 4
"""Seconds after which a look, or a press, counts as one that nobody answers: ten times what the bar allows; and how
often a learner presses."""
RESTS = 0.12
"""Share of a core below which the server has nothing to do but for those who wait."""
BARS = {"board": 2.0, "look": 0.5, "waiting": 5.0}
"""Seconds to the board at most, seconds of a look at its 95th percentile, and milliseconds of the server's processor
for a page that waits a second."""


@dataclass
class Played:
    """What happened; times in seconds."""

    looks: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    """Those of the looks of which a whole page came."""
    sent: list[float] = field(default_factory=list)
    """When the teacher pressed, each time the grid was dealt out, and …"""
    there: list[float] = field(default_factory=list)
    """… when the last learner had the page, if all had it."""
    polls: tuple[int, float] = (0, 0.0)
    """Looks of those who wait, and the server's processor time for them."""
    started: int = 0
    ended: list[float] = field(default_factory=list)
    """Of each run the last moment at which it was still seen going on."""
    shown: dict[int, float] = field(default_factory=dict)
    """When the projector first showed so many runs."""
    memory: list[tuple[str, float, float]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    answers: int = 0
    lost: int = 0
    again: int = 0
    """Presses on Train of which nothing came, so that the learner pressed again."""
    unanswered: int = 0
    """Looks that nobody answered within `UNANSWERED` seconds."""


class Seen:
    """A visitor who looks at every polling part of the page as a browser's timers do.

    Args:
        visitor: with a page open.
        played: where each look is written.
    """

    def __init__(self, visitor: Visitor, played: Played) -> None:
        self.visitor, self.played = visitor, played
        self._due: dict[str, tuple[float, float]] = {}
        """By fragment its interval, and when it is to be run."""

    async def until(self, condition, patience: float = PATIENCE) -> None:
        """Look until something is there."""
        end = time.monotonic() + patience
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(
                    f"/{self.visitor.page}: it did not come about; the page says {self.visitor.texts[-3:]}"
                )
            await self.once()

    async def once(self) -> None:
        """The looks that are due, and a short rest."""
        now = time.monotonic()
        for fragment, interval in list(self.visitor.fragments.items()):
            known, due = self._due.get(fragment, (None, 0.0))
            if interval != known:  # a timer begins anew when its interval is another
                due = now + interval
            if now >= due and fragment in self.visitor.fragments:
                due = now + interval
                await self.visitor.ask(fragment)
            self._due[fragment] = interval, due
        await self.visitor.hear(TICK)
        self.played.looks += [seconds for seconds, _ in self.visitor.answered]
        self.played.pages += [seconds for seconds, whole in self.visitor.answered if whole]
        self.visitor.answered.clear()
        self.played.unanswered += self.visitor.forget(UNANSWERED)


async def learner(url: str, number: int, rounds: int, stage: Stage, played: Played) -> None:
    """From the door to the board."""
    chance = random.Random(number)
    await asyncio.sleep(5 * chance.random())
    visitor = Visitor(url, f"room={ROOM}", "class")
    try:
        async with visitor:
            seen = Seen(visitor, played)
            await visitor.open()
            await visitor.write("A nickname", f"Learner {number % 7}", "text_input")
            await visitor.press("Join")
            stage.joined += 1
            before = visitor.wholes
            for part in range(GRID + 1):
                await seen.until(lambda part=part: stage.asked > part)
                question = LESSON.parts[part].prediction
                assert question is not None
                await seen.until(lambda question=question: visitor.has("button_group", question.question))
                await visitor.choose(question.question, chance.choice(list(question.options)))
                played.answers += 1
                await seen.until(lambda: visitor.says("You said") or visitor.wholes > before)
            for turn in range(rounds):
                await seen.until(lambda turn=turn: stage.dealt > turn)
                before = visitor.wholes  # what comes next as a whole page is the one to which everybody is sent
                await seen.until(
                    lambda before=before: (
                        visitor.wholes > before and visitor.says("Yours:") and visitor.has("button", "Train")
                    )
                )
                stage.there += 1
                if stage.there == stage.joined * (turn + 1):
                    played.there.append(time.monotonic())
                await press_train(visitor, played)
                played.started += 1
                last = busy = time.monotonic()
                end = last + PATIENCE
                while not visitor.says("measured: "):
                    last = time.monotonic()
                    if last > end:
                        raise RuntimeError(f"its run did not end; the page says {visitor.texts[-3:]}")
                    if not visitor.has("button", "Train"):
                        busy = last
                    elif last > busy + UNANSWERED:  # nothing came of the press: it could be pressed all the while
                        played.again += 1
                        await press_train(visitor, played)
                        busy = time.monotonic()
                    await seen.once()
                played.ended.append(last)
                stage.done += 1
                await visitor.hear(0.5)  # the rest of the page that shows the end of the run
                async with Visitor(url, f"section=board&room={ROOM}", "class") as tab:
                    await tab.open()
                    looks = Seen(tab, played)
                    while not (stage.dealt > turn + 1 or stage.over):  # the timers of the tab behind it go on
                        await looks.once()
                        await seen.once()
    except Exception as error:
        played.errors.append(f"learner {number}: {type(error).__name__}: {error}")
    played.errors += visitor.errors


async def press_train(visitor: Visitor, played: Played) -> None:
    """Press Train, and again where nothing comes of it."""
    for _ in range(TRIES):
        try:
            await visitor.press("Train", UNANSWERED)
            return
        except TimeoutError:
            played.again += 1
    raise RuntimeError(f"nothing comes of pressing Train; the page says {visitor.texts[-3:]}")


@dataclass
class Stage:
    """Where the lesson is, as teacher and learners see it."""

    joined: int = 0
    asked: int = 0
    dealt: int = 0
    there: int = 0
    done: int = 0
    over: bool = False


async def teacher(
    url: str, server: int, people: int, rounds: int, waiting: float, stage: Stage, played: Played
) -> None:
    """Lead the lesson, once everybody is there."""
    async with Visitor(url, f"room={ROOM}", "class") as visitor:
        seen = Seen(visitor, played)
        await visitor.open()
        await visitor.write("The key", KEY, "text_input")
        await visitor.press("Open")
        await seen.until(lambda: stage.joined == people or played.errors)
        _note(played, server, "all have joined")
        await _rests(seen, server)
        before, count = process_seconds(server), len(played.looks)
        end = time.monotonic() + waiting
        while time.monotonic() < end:
            await seen.once()
        played.polls = (len(played.looks) - count, process_seconds(server) - before)
        await visitor.press(f"Start: {LESSON.title}")
        for part in range(GRID + 1):
            await visitor.press("Ask the prediction")
            stage.asked += 1
            await seen.until(lambda: visitor.says(f"{people} of {people} have answered") or played.errors)
            await visitor.press("Reveal the answer")
            if part < GRID:
                await visitor.press("Next part")
        _note(played, server, "all have predicted")
        for turn in range(rounds):
            played.sent.append(time.monotonic())
            stage.dealt += 1  # before the press: the first are called while it is answered
            await visitor.press("Deal out the grid")
            wanted = people * (turn + 1)
            await seen.until(lambda wanted=wanted: stage.done >= wanted or played.errors)
            await seen.until(lambda wanted=wanted: max(played.shown, default=0) >= wanted or played.errors, 30)
            _note(played, server, f"grid {turn + 1}")
    stage.over = True


async def _rests(seen: Seen, server: int) -> None:
    """Until the server has warmed its pages, two minutes at most."""
    end, spent, marked = time.monotonic() + 120, process_seconds(server), time.monotonic()
    while time.monotonic() < end:
        await seen.once()
        if time.monotonic() - marked >= 5.0:
            busy = (process_seconds(server) - spent) / (time.monotonic() - marked)
            if busy < RESTS:
                return
            spent, marked = process_seconds(server), time.monotonic()


async def projector(url: str, stage: Stage, played: Played) -> None:
    """Show the board, and write down when it shows how many runs."""
    async with Visitor(url, f"section=board&room={ROOM}&projector=true", "class") as visitor:
        seen = Seen(visitor, played)
        await visitor.open()
        while not stage.over:
            await seen.once()
            for text in visitor.texts:
                found = re.search(r"(\d+) runs?,", text.replace("\\", ""))
                if found:
                    played.shown.setdefault(int(found[1]), time.monotonic())


async def play(url: str, server: int, people: int, rounds: int, waiting: float) -> Played:
    played, stage = Played(), Stage()
    cast = [learner(url, number, rounds, stage, played) for number in range(people)]

    async def lead() -> None:
        try:
            await teacher(url, server, people, rounds, waiting, stage, played)
        except Exception as error:
            played.errors.append(f"teacher: {type(error).__name__}: {error}")
        stage.over = True

    await asyncio.gather(lead(), projector(url, stage, played), *cast)
    return played


def _note(played: Played, server: int, when: str) -> None:
    played.memory.append((when, *memory_bytes(server)))


def delays(played: Played) -> list[float]:
    """How late each of the runs came to the board: the k-th that ended, and the first sight of at least k.

    >>> delays(Played(ended=[1.0, 2.0], shown={1: 1.5, 2: 2.25}))
    [0.5, 0.25]
    """
    found = []
    for count, ended in enumerate(sorted(played.ended), 1):
        seen = [moment for runs, moment in played.shown.items() if runs >= count]
        found.append(min(seen) - ended if seen else float("inf"))
    return found


def lesson(people: int, rounds: int, waiting: float) -> None:
    """Play it, and print what is asked of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite"
        variables = {
            "PEFTCALC_HISTORY": str(path),
            names.ROOM_VARIABLE: ROOM,
            names.LOCK_VARIABLE: names.lock(KEY),
        }
        with mock.patch.dict(os.environ, variables), running_app() as (url, server):
            played = asyncio.run(play(url, server, people, rounds, waiting))
            history = History(path)
            kept = sum(run.state == "done" for run in history.runs(10_000, room=ROOM))
            history.close()
    late, looks = sorted(delays(played)), sorted(played.looks)
    count, spent = played.polls
    lost = played.started - kept
    memory = ", ".join(f"{own / 1e6:.0f} + {workers / 1e6:.0f} ({when})" for when, own, workers in played.memory)
    print(f"{people} learners, a teacher and a projector on {len(os.sched_getaffinity(0))} cores, {rounds} grids.")
    print(f"looks: {len(looks)}, median {_at(looks, 0.5):.3f} s, 95 % {_at(looks, 0.95):.3f} s (bar {BARS['look']})")
    pages = sorted(played.pages)
    print(f"of these whole pages: {len(pages)}, median {_at(pages, 0.5):.3f} s, 95 % {_at(pages, 0.95):.3f} s")
    gone = ", ".join(f"{there - sent:.2f}" for sent, there in zip(played.sent, played.there, strict=False))
    print(f"from the teacher's press until the last learner has the page: {gone} s")
    print(f"looks that nobody answered within {UNANSWERED:.0f} s: {played.unanswered}")
    print(f"presses of which nothing came: {played.again}")
    print(f"runs: {played.started} started, {len(played.ended)} seen to their end, {kept} kept, {lost} lost (bar 0)")
    print(f"to the board: median {_at(late, 0.5):.2f} s, at most {_at(late, 1.0):.2f} s (bar {BARS['board']})")
    each = 1000 * spent / waiting / (people + 2)
    print(f"a page that waits: {each:.2f} ms of the server's processor a second (bar {BARS['waiting']}), {count} looks")
    print(f"memory of server + workers, MB: {memory}")
    for error in sorted(set(played.errors))[:5]:
        print("  error:", error)


def _at(times: list[float], share: float) -> float:
    return times[round(share * (len(times) - 1))] if times else float("nan")
