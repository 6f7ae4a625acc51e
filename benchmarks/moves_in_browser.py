"""A move in Chromium, one visitor alone: milliseconds from the hand to the settled page, beside a bare page's.

    python benchmarks/moves_in_browser.py [--repeats 9] [--pages memory rank]

Headless Chromium opens each page. Its first sliders that are on the screen get an arrow key, one after the other; where
there is none, the first number gets one, the first row of buttons or menu another choice (the menu's list is opened
before, which asks nothing of the server, and the key that chooses is the move), and last the page's own picture: a
slider of its own, or a handle that is dragged. Such a picture has followed the hand by itself, and tells the
server when the hand lets go: its row is what comes after that. A switch between the page's sections is no move. Train's
sliders stand in a drawer, which is opened first.

The page is settled when the server has said that it rests, and nothing of the main area or of an open drawer has
changed any more for 400 ms, which are not counted: so the drawing of charts is in it, where it changes elements, and
what a picture tells those who hear the page, 400 ms after a hand has come to rest, is not. The
first two moves of a control are not counted; the later ones go to values that were seen before. The bare page has a
slider and a chart. The processor time is that of the browser's processes that hold pages, all their threads, and does
not depend on who else uses the machine as the seconds do. Nor do the passes of the front end over the page in a move,
and the components that it draws in them (`passes.py`): of further moves, those of the leanest, since a busy machine
splits an answer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent))
from classroom import BARE, DRAWERS
from passes import SCRIPT, counted, whole
from served_app import CHROMIUM, CHROMIUM_FLAGS, below, process_seconds, running_app

from peftcalc.ui.pages import PAGES

MOST_CONTROLS = 4
PATIENCE_MS = 20_000
QUIET_MS = 400
MAIN = "[data-testid=stMain]"


def _arrow(page: Any, control: Any, turn: int) -> None:
    del control
    page.keyboard.press("ArrowRight" if turn % 2 == 0 else "ArrowLeft")


def _step(page: Any, control: Any, turn: int) -> None:
    del control
    page.keyboard.press("ArrowUp" if turn % 2 == 0 else "ArrowDown")


def _press(page: Any, control: Any, turn: int) -> None:
    """The other of two choices: the second of the row, and the first again."""
    del page
    control.locator("[role=radio]").nth(1 - turn % 2).click()


def _open(page: Any, control: Any, turn: int) -> None:
    """A menu's list, at the next entry or the one before."""
    control.focus()
    page.keyboard.press("ArrowDown" if turn % 2 == 0 else "ArrowUp")
    page.wait_for_timeout(QUIET_MS)


def _choose(page: Any, control: Any, turn: int) -> None:
    del control, turn
    page.keyboard.press("Enter")


def _drag(page: Any, control: Any, turn: int) -> None:
    """A few points, and let go."""
    box = control.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + (12 if turn % 2 == 0 else -12), y)
    page.mouse.up()


@dataclass(frozen=True)
class Kind:
    """A kind of control: where it is, what moves it, the event from which a move counts, and what comes before."""

    name: str
    where: str
    move: Callable[[Any, Any, int], None]
    event: str = "keydown"
    before: Callable[[Any, Any, int], None] | None = None


KINDS = (
    Kind("slider", f"{MAIN} [data-testid=stSlider] input[type=range]", _arrow),
    Kind("number", f"{MAIN} [data-testid=stNumberInput] input", _step),
    Kind(
        "row of buttons",
        f"{MAIN} :not([class*='-guess']):not(.st-key-section) > [data-testid=stButtonGroup]:has([role=radio])",
        _press,
        "click",
    ),
    Kind("menu", f"{MAIN} [data-testid=stSelectbox] input", _choose, before=_open),
)
IN_PICTURE = (
    Kind("picture", f"{MAIN} [data-testid=stBidiComponentIsolated] input[type=range]", _arrow),
    Kind("picture", f"{MAIN} [data-testid=stBidiComponentIsolated] [role=slider]", _drag, "pointerup"),
)
IN_DRAWER = (
    Kind("slider in a drawer", "[data-testid=stPopoverBody] [data-testid=stSlider] input[type=range]", _arrow),
)

RESTED = """{
  const listen = WebSocket.prototype.addEventListener;
  WebSocket.prototype.addEventListener = function (kind, ...more) {
    const note = ({data}) => { if (data.byteLength <= 2) window.rested = performance.now(); };
    if (kind === 'message') listen.call(this, kind, note);
    return listen.call(this, kind, ...more);
  };
}"""
"""Before the page's own scripts: when the server last said that nothing runs, in a message of two bytes."""
HAND_TO_SETTLED = """([control, event, quiet, patience]) => new Promise(resolve => {
  const app = document.querySelector('[data-testid=stApp]');
  const main = document.querySelector('[data-testid=stMain]');
  const running = () => app.getAttribute('data-test-script-state') !== 'notRunning';
  control.focus();
  let began, last;
  window.addEventListener(event, () => { began ??= last = performance.now(); }, {once: true, capture: true});
  const seen = ({target}) => !(target.nodeType === 1 ? target : target.parentElement)?.closest('[role=status]');
  const changed = records => { if (records.some(seen)) last = performance.now(); };
  const watch = {attributes: true, childList: true, characterData: true, subtree: true};
  const shadows = [...main.querySelectorAll('*')].flatMap(({shadowRoot}) => shadowRoot ?? []);
  const drawers = document.querySelectorAll('[data-testid=stPopoverBody]');
  const watched = [[app, {attributes: true}], ...[main, ...drawers, ...shadows].map(node => [node, watch])];
  const observers = watched.map(([node, what]) => {
    const observer = new MutationObserver(changed);
    observer.observe(node, what);
    return observer;
  });
  const timer = setInterval(() => {
    const now = performance.now();
    const answered = window.rested > began && !running();
    if (began === undefined || (!answered && now - began < patience) || now - last < quiet) return;
    clearInterval(timer);
    observers.forEach(observer => observer.disconnect());
    resolve(now - began < patience ? last - began : null);
  }, 20);
})"""
"""Milliseconds from the next event of a hand until nothing changes any more; null where that is never so."""


@dataclass
class Moves:
    """What was measured on one page, in milliseconds a move."""

    page: str
    kind: str = ""
    settled: list[float] = field(default_factory=list)
    processor: float = 0.0
    passes: list[int] = field(default_factory=list)
    """Components that the front end drew in the leanest move, pass by pass."""


def moves(browser: Any, name: str, url: str, repeats: int, kinds: tuple[Kind, ...] = KINDS, drawer: str = "") -> Moves:
    """A page's moves, in this drawer of it; none where nothing of these kinds is on the screen."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(SCRIPT)
    page.add_init_script(RESTED)
    page.goto(url, timeout=120_000)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=120_000)
    page.wait_for_selector(f"{MAIN} h1", timeout=120_000)
    page.wait_for_timeout(2_000)
    if drawer:
        page.get_by_role("button", name=drawer).first.click()
        page.wait_for_selector(kinds[0].where, timeout=PATIENCE_MS)
    found = Moves(name)
    for kind in kinds:
        seen = [number for number in range(page.locator(kind.where).count()) if _in_sight(page, kind, number)]
        if not seen:
            continue
        found.kind, spent = kind.name, []
        for number in seen[:MOST_CONTROLS]:
            for turn in range(2 + max(2, repeats // min(len(seen), MOST_CONTROLS))):
                if not _in_sight(page, kind, number):
                    break
                before = browser_seconds()
                took = _one_move(page, kind, number, turn)
                if turn >= 2 and took is not None:
                    found.settled.append(took)
                    spent.append(1000 * (browser_seconds() - before))
        found.processor = statistics.median(spent) if spent else 0.0
        found.passes = leanest(page, kind, seen[0])
        break
    page.close()
    return found


def leanest(page: Any, kind: Kind, number: int, moves: int = 4) -> list[int]:
    """The passes of that move of one control in which the front end drew least."""
    return min((counted(page, partial(_one_move, page, kind, number, turn)) for turn in range(moves)), key=sum)


def _in_sight(page: Any, kind: Kind, number: int) -> bool:
    control = page.locator(kind.where).nth(number)
    box = control.bounding_box() if control.count() and control.is_visible() else None
    return box is not None and box["y"] < page.viewport_size["height"]


def _one_move(page: Any, kind: Kind, number: int, turn: int) -> float | None:
    control = page.locator(kind.where).nth(number)
    if kind.before:
        kind.before(page, control, turn)
    argument = [control.element_handle(), kind.event, QUIET_MS, PATIENCE_MS]
    waiting = page.evaluate_handle("([script, ...given]) => ({end: eval(script)(given)})", [HAND_TO_SETTLED, *argument])
    kind.move(page, control, turn)
    took = waiting.evaluate("async waiting => await waiting.end")
    return None if took is None else float(took)


def browser_seconds() -> float:
    """Processor time of this process's browser, of the processes that hold pages."""
    return sum(process_seconds(process) for process in below(os.getpid()) if _holds_a_page(process))


def _holds_a_page(process: int) -> bool:
    try:
        return "--type=renderer" in Path(f"/proc/{process}/cmdline").read_text()
    except OSError:  # it has just ended
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--pages", nargs="+", default=[entry.path for entry in PAGES], metavar="PATH")
    asked = parser.parse_args()
    if not CHROMIUM.exists():
        print("Chromium is not installed here: nothing was measured")
        return
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_FLAGS))
        script = Path(folder) / "bare.py"
        script.write_text(BARE)
        with running_app(str(script)) as (url, _):
            bare = moves(browser, "a bare page", url, asked.repeats)
        rows = [bare]
        with running_app() as (url, _):
            for path in asked.pages:
                name, address = path or "home", f"{url}/{path}"
                rows += [moves(browser, name, address, asked.repeats, kinds) for kinds in (KINDS, IN_PICTURE)]
                if drawer := DRAWERS.get(path):
                    rows.append(moves(browser, name, address, asked.repeats, IN_DRAWER, drawer))
        browser.close()
    report([row for row in rows if row.settled], bare)


def report(rows: list[Moves], bare: Moves) -> None:
    heads = ("page", "control", "moves", "hand to settled, median ms", "highest", "× bare", "processor ms", "× bare")
    print("|", " | ".join((*heads, "passes", "drawn")), "|\n" + "|---" * 10 + "|")
    floor = statistics.median(bare.settled)
    for row in rows:
        middle = statistics.median(row.settled)
        ratios = f"{middle / floor:.1f} | {row.processor:.0f} | {row.processor / bare.processor:.1f}"
        drawn = f"{whole(row.passes)} | {sum(row.passes)}"
        times = f"{len(row.settled)} | {middle:.0f} | {max(row.settled):.0f} | {ratios}"
        print(f"| {row.page} | {row.kind} | {times} | {drawn} |", flush=True)


if __name__ == "__main__":
    main()
