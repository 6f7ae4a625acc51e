"""A class on one server: thirty visitors open its pages within ten seconds and move a slider about once a second.

    python benchmarks/classroom.py [--visitors 30] [--seconds 15] [--rounds 3] [--busy]
    python benchmarks/classroom.py --lesson [--visitors 30] [--rounds 3]

Starts the app on a free port of the loopback interface and opens real WebSocket connections that speak Streamlit's
protocol, spread over every page that has a control; a slider that stands in a fragment reruns the fragment alone. A
visitor waits for the answer to a move before the next. They come when the server has warmed itself. With `--busy` six
of them train, one simulates a model of 405B parameters, one pastes a large configuration, and two leave in the middle
of a move.

A bare Streamlit page with a slider and a chart is played first, by as many in the same way: `×` is the app's figure
over the bare page's. Clients, server and workers share the machine's cores. The second table is one visitor alone: the
processor time of the server's process for a move, to a value that was seen before, to a new one, and to another model.
`--lesson` plays something else: see `classroom_lesson.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from streamlit.proto.WidgetStates_pb2 import WidgetState

sys.path.insert(0, str(Path(__file__).parent))
from classroom_client import Visitor
from classroom_controls import Control
from classroom_lesson import lesson
from classroom_round import Role, Round, play
from served_app import memory_bytes, process_seconds, running_app

BARE = """
import streamlit as st
st.title("bare")
n = st.slider("Slope", 1, 50)
values = [{"x": x, "y": n * x} for x in range(50)]
axes = {name: {"field": name, "type": "quantitative"} for name in ("x", "y")}
st.vega_lite_chart({"values": values}, {"mark": "line", "encoding": axes})
"""
LARGE_MODEL = "meta-llama/Llama-3.1-405B"
TRAINERS, LEAVERS = 6, 2
DRAWERS = {"train": "Settings"}
"""Where a page's sliders stand behind a button, which its second row opens first."""
RESTS = 0.05
"""Processor seconds a second below which the server does nothing."""


async def survey(url: str) -> dict[str, Visitor]:
    """Every page of the app as one visitor sees it, which also is what warms the server."""
    async with Visitor(url, page="") as front:
        await front.open()
    seen = {}
    for page in front.pages or [""]:
        async with Visitor(url, page=page) as visitor:
            await visitor.open()
        seen[page] = visitor
    return seen


async def rested(server: int) -> None:
    """Until the server has warmed itself, as it has when a class comes; a few minutes at most."""
    for _ in range(300):
        before = process_seconds(server)
        await asyncio.sleep(1.0)
        if process_seconds(server) - before < RESTS:
            return


def roles(seen: dict[str, Visitor], visitors: int, busy: bool) -> list[Role]:
    """Who does what, page by page in turn."""
    able = [page for page, visitor in seen.items() if visitor.main_controls()]
    cast = [Role(able[index % len(able)]) for index in range(visitors)]
    if not busy:
        return cast
    special = [
        *[Role(_page_with(seen, "button", "Train"), press="Train", query="methods=LoRA&steps=50")] * TRAINERS,
        Role("memory", press="Simulate", query=f"model={LARGE_MODEL}&section=the+step"),
        Role(_page_with_drawer(seen, "Another model"), paste=True),
        *[Role(able[index % len(able)], leaves=True) for index in range(LEAVERS)],
    ]
    return special[:visitors] + cast[: max(0, visitors - len(special))]


def _page_with(seen: dict[str, Visitor], kind: str, label: str) -> str:
    found = next((page for page, visitor in seen.items() if visitor.has(kind, label)), None)
    if found is None:
        raise SystemExit(f"no page has a {kind} {label!r}: they cannot be busy")
    return found


def _page_with_drawer(seen: dict[str, Visitor], label: str) -> str:
    found = next(
        (page for page, visitor in seen.items() if any(name.startswith(label) for name in visitor.drawers)), None
    )
    if found is None:
        raise SystemExit(f"no page has a drawer {label!r}: they cannot be busy")
    return found


@dataclass
class Alone:
    """Milliseconds of the server's processor time for each move of one visitor on one page."""

    page: str
    again: list[float] = field(default_factory=list)
    """To a value that it had shown before."""
    new: list[float] = field(default_factory=list)
    model: list[float] = field(default_factory=list)
    """To a model of the menu that nobody had chosen."""


async def alone(url: str, server: int, page: str, moves: int, models: random.Random, drawer: str = "") -> Alone:
    """One visitor on one page, moving its controls in turn, or those of a drawer."""
    found, chance = Alone(f"{page}, {drawer}" if drawer else page or "home"), random.Random(0)
    async with Visitor(url, page=page) as visitor:
        await visitor.open()
        if drawer:
            await visitor.pull(drawer)
        for _ in range(min(moves, 6)):
            menu = next((c for c in visitor.controls("selectbox") if c.label == "Model"), None)
            if menu is not None:
                found.model.append(await _measured(visitor, server, menu, menu.another(models)))
        names = [control.id for control in visitor.main_controls()]
        for number in range(2 * len(names) + moves if names else 0):  # two values of each once, and then again
            seen = number >= 2 * len(names)
            control = _there(visitor, names[number % len(names)] if seen else names[number // 2])
            if control is not None:
                spent = await _measured(visitor, server, control, control.values[control.value == control.values[0]])
                found.again += [spent] if seen else []
        for number in range(moves if names else 0):
            control = _there(visitor, names[number % len(names)])
            if control is not None:
                found.new.append(await _measured(visitor, server, control, control.another(chance)))
    return found


def _there(visitor: Visitor, name: str) -> Control | None:
    """The control of this id; None when another control has taken it from the page."""
    return next((control for control in visitor.main_controls() if control.id == name), None)


async def _measured(visitor: Visitor, server: int, control: Control, state: WidgetState) -> float:
    await asyncio.sleep(0.05)
    before = process_seconds(server)
    await visitor.move(control, state)
    await asyncio.sleep(0.03)  # the last of the run is done after its end was told
    return 1000 * (process_seconds(server) - before)


def alone_table(rows: list[Alone]) -> None:
    print("\nProcessor time of the server for one move, one visitor alone, ms (× that of a bare page):\n")
    print("| page | a value seen before | 95 % | a new value | 95 % | another model |\n|---|---|---|---|---|---|")
    floor = middle(rows[0].again)

    def cell(times: list[float], share: float = 0.5) -> str:
        return f"{at(times, share):.1f} (× {at(times, share) / floor:.1f})" if times else "–"

    for row in rows:
        if row.again:
            cells = (cell(row.again), cell(row.again, 0.95), cell(row.new), cell(row.new, 0.95), cell(row.model))
            print(f"| {row.page} | {' | '.join(cells)} |")


def middle(times: list[float]) -> float:
    return at(times, 0.5)


def at(times: list[float], share: float) -> float:
    """The time within which this share of them stays; not a number without any."""
    return sorted(times)[round(share * (len(times) - 1))] if times else float("nan")


def crowd_row(name: str, found: Round, floor: Round | None) -> str:
    """One row of the first table."""

    def cell(times: list[float], bare: list[float] | None) -> str:
        if not times:
            return "–"
        ratio = f" (× {middle(times) / middle(bare):.1f}, {at(times, 0.95) / at(bare, 0.95):.1f})" if bare else ""
        return f"{middle(times):.2f} / {at(times, 0.95):.2f} / {at(times, 0.99):.2f}{ratio}"

    kinds = ("opens", "moves", "looks")
    cells = [cell(getattr(found, kind), getattr(floor, kind) if floor else None) for kind in kinds]
    each = 1000 * found.processor_seconds / max(1, found.reruns)
    memory = f"{found.memory[0] / 1e6:.0f} + {found.memory[1] / 1e6:.0f}"
    return f"| {name} | {' | '.join(cells)} | {len(found.moves)} | {each:.0f} | {len(found.errors)} | {memory} |"


def crowd(name: str, url: str, server: int, cast: list[Role], seconds: float, floor: Round | None = None) -> Round:
    found = asyncio.run(play(url, server, cast, seconds))
    print(crowd_row(name, found, floor), flush=True)
    for error in sorted(set(found.errors))[:5]:
        print("  error:", error)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=15.0, help="of moving, after the ten in which they open")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", action="store_true", help="some also train, simulate, paste and leave")
    parser.add_argument("--lesson", action="store_true", help="a teacher leads them through a lesson, and nothing else")
    parser.add_argument("--moves", type=int, default=12, help="of the visitor alone, on each page")
    asked = parser.parse_args()
    if not (1 <= asked.visitors <= 100 and 0 <= asked.rounds <= 20 and 1 <= asked.seconds <= 600 and asked.moves >= 1):
        parser.error("at most 100 visitors, 20 rounds and 600 seconds")
    if asked.lesson:
        lesson(asked.visitors, asked.rounds, asked.seconds)
        return
    print(f"{len(os.sched_getaffinity(0))} cores, shared by {asked.visitors} clients, the server and its workers.")
    print("Seconds: median / 95 / 99 % (× the bare page's median and 95 %)\n")
    print("| round | open | move | look | moves | ms a rerun | errors | server + workers MB |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE)
        with running_app(str(script)) as (url, server):
            asyncio.run(survey(url))
            floor = crowd("a bare page", url, server, [Role("")] * asked.visitors, asked.seconds)
            rows = [replace(asyncio.run(alone(url, server, "", asked.moves, random.Random(1))), page="a bare page")]
    with running_app() as (url, server):
        seen = asyncio.run(survey(url))
        asyncio.run(rested(server))
        cast = roles(seen, asked.visitors, asked.busy)
        for number in range(asked.rounds):
            crowd(f"the app, {number + 1}", url, server, cast, asked.seconds, floor)
        models = random.Random(1)
        for page in seen:
            places = ("", DRAWERS[page]) if page in DRAWERS else ("",)
            rows += [asyncio.run(alone(url, server, page, asked.moves, models, drawer)) for drawer in places]
        memory = memory_bytes(server)
    alone_table(rows)
    print(f"\nAt the end the server holds {memory[0] / 1e6:.0f} MB and its workers {memory[1] / 1e6:.0f} MB.")


if __name__ == "__main__":
    main()
