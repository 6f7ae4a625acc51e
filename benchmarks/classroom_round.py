"""One round of a class: every visitor plays a role, all at once, and what each waited is written down."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field

from classroom_client import Visitor
from served_app import memory_bytes, process_seconds

OPENING = 10.0
"""Seconds within which all have opened their page."""
EVERY = 1.0
"""Seconds between two moves of a visitor, and between two looks at a job."""
LARGE_CONFIG = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "n_routed_experts": 256,
    "_name_or_path": "somebody/large",
    "remarks": ["a large configuration has many fields"] * 1_000,
}


@dataclass(frozen=True)
class Role:
    """What a visitor does on which page beside moving controls."""

    page: str
    query: str = ""
    press: str = ""
    """The beginning of a button's label; its job is then looked at once a second until it ends."""
    paste: bool = False
    leaves: bool = False


@dataclass
class Round:
    """What one round of visitors met with; times in seconds."""

    opens: list[float] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    reruns: int = 0
    processor_seconds: float = 0.0
    """Of the server's process, workers and clients not counted."""
    memory: tuple[float, float] = (0.0, 0.0)
    """Of the server and of its workers, bytes, when both together held most."""


async def play(url: str, server: int, cast: list[Role], seconds: float, opening: float = OPENING) -> Round:
    """All roles at once.

    Args:
        url, server: the app's address and process.
        cast: a role for each visitor.
        seconds: how long each goes on after the last has opened.
        opening: seconds within which they open.
    """
    found, before = Round(), process_seconds(server)
    end = time.monotonic() + opening + seconds
    visits = (
        _visit(url, role, opening * index / len(cast), end, found, random.Random(index))
        for index, role in enumerate(cast)
    )
    everybody = asyncio.gather(*visits)
    while not everybody.done():
        found.memory = max(found.memory, memory_bytes(server), key=sum)
        await asyncio.wait([everybody], timeout=2.0)
    await everybody
    found.processor_seconds = process_seconds(server) - before
    return found


async def _visit(url: str, role: Role, delay: float, end: float, found: Round, chance: random.Random) -> None:
    await asyncio.sleep(delay)
    visitor = Visitor(url, role.query, role.page)
    try:
        async with visitor:
            found.opens.append(await visitor.open())
            if role.paste:
                await visitor.pull("Another model")
                found.moves.append(await visitor.write("Paste a config.json", json.dumps(LARGE_CONFIG)))
            if role.press:
                found.moves.append(await visitor.press(role.press))
            left = (time.monotonic() + end) / 2 if role.leaves else end
            while time.monotonic() < left:
                await asyncio.sleep(EVERY * chance.uniform(0.7, 1.3))
                if visitor.looking:
                    found.looks.append(await visitor.look())
                else:
                    await _move(visitor, chance, found)
            if role.leaves:
                await _leave_in_the_middle(visitor, chance)
    except Exception as error:
        found.errors.append(f"/{role.page}: {type(error).__name__}: {error}")
    found.errors += [f"/{role.page}: {error}" for error in visitor.errors]
    found.reruns += visitor.reruns


async def _move(visitor: Visitor, chance: random.Random, found: Round) -> None:
    """A random one of the page's controls."""
    controls = visitor.main_controls()
    if controls:
        control = chance.choice(controls)
        found.moves.append(await visitor.move(control, control.another(chance)))


async def _leave_in_the_middle(visitor: Visitor, chance: random.Random) -> None:
    """Close the page while the server answers a move."""
    controls = visitor.main_controls()
    if controls:
        control = chance.choice(controls)
        moving = asyncio.create_task(visitor.move(control, control.another(chance)))
        await asyncio.sleep(0.02)
        moving.cancel()
