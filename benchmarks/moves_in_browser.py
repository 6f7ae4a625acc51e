"""A move in Chromium, one visitor alone: milliseconds from the key to the settled page, beside a bare page's.

    python benchmarks/moves_in_browser.py [--repeats 9] [--pages memory rank]

Headless Chromium opens each page, and its first sliders that are on the screen get an arrow key, one after the other.
The page is settled when its script has ended and nothing of its main area has changed any more for 400 ms, which are
not counted: so the drawing of charts is in it, where it changes elements. The first two moves of a slider are not
counted; the later ones go to values that were seen before. The bare page has a slider and a chart.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent))
from classroom import BARE
from served_app import CHROMIUM, CHROMIUM_FLAGS, running_app

from peftcalc.ui.pages import PAGES

SLIDERS = "[data-testid=stSlider] input[type=range]"
MOST_SLIDERS = 4
PATIENCE_MS = 20_000

KEY_TO_SETTLED = """([slider, quiet, patience]) => new Promise(resolve => {
  const app = document.querySelector('[data-testid=stApp]');
  const main = document.querySelector('[data-testid=stMain]');
  const running = () => app.getAttribute('data-test-script-state') !== 'notRunning';
  slider.focus();
  let began, last;
  slider.addEventListener('keydown', () => { began = last = performance.now(); }, {once: true, capture: true});
  const changed = () => { last = performance.now(); };
  const watch = {attributes: true, childList: true, characterData: true, subtree: true};
  const observers = [[main, watch], [app, {attributes: true}]].map(([node, what]) => {
    const observer = new MutationObserver(changed);
    observer.observe(node, what);
    return observer;
  });
  const timer = setInterval(() => {
    const now = performance.now();
    if (began === undefined || (running() && now - began < patience) || now - last < quiet) return;
    clearInterval(timer);
    observers.forEach(observer => observer.disconnect());
    resolve(now - began < patience ? last - began : null);
  }, 20);
})"""
"""Milliseconds from the next key that a slider gets until nothing changes any more; null where that is never so."""


def moves(browser: Any, url: str, repeats: int) -> list[float]:
    """Milliseconds of each counted move; none where a page has no slider."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url, timeout=120_000)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=120_000)
    page.wait_for_selector("[data-testid=stMain] h1", timeout=120_000)
    page.wait_for_timeout(2_000)
    times: list[float] = []
    for number in range(min(page.locator(SLIDERS).count(), MOST_SLIDERS)):
        for turn in range(2 + max(2, repeats // MOST_SLIDERS)):
            slider = page.locator(SLIDERS).nth(number)
            if not slider.count() or not slider.is_visible():
                break
            took = _one_move(page, slider, "ArrowRight" if turn % 2 == 0 else "ArrowLeft")
            if turn >= 2 and took is not None:
                times.append(took)
    page.close()
    return times


def _one_move(page: Any, slider: Any, key: str) -> float | None:
    argument = [slider.element_handle(), 400, PATIENCE_MS]
    waiting = page.evaluate_handle("([script, ...given]) => ({end: eval(script)(given)})", [KEY_TO_SETTLED, *argument])
    page.keyboard.press(key)
    took = waiting.evaluate("async waiting => await waiting.end")
    return None if took is None else float(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--pages", nargs="+", default=[entry.path for entry in PAGES], metavar="PATH")
    asked = parser.parse_args()
    if not CHROMIUM.exists():
        print("Chromium is not installed here: nothing was measured")
        return
    rows: list[tuple[str, list[float]]] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_FLAGS))
        script = Path(folder) / "bare.py"
        script.write_text(BARE)
        with running_app(str(script)) as (url, _):
            rows.append(("a bare page", moves(browser, url, asked.repeats)))
        with running_app() as (url, _):
            rows += [(path or "home", moves(browser, f"{url}/{path}", asked.repeats)) for path in asked.pages]
        browser.close()
    print("| page | moves | key to settled, median ms | highest | × bare |\n|---|---|---|---|---|")
    floor = statistics.median(rows[0][1])
    for name, times in rows:
        if times:
            middle = statistics.median(times)
            print(f"| {name} | {len(times)} | {middle:.0f} | {max(times):.0f} | {middle / floor:.1f} |")


if __name__ == "__main__":
    main()
