"""Time of a page's full rerun on the server, beside a bare Streamlit page's, through Streamlit's own test bench.

    python benchmarks/pages.py [--repeats 15] [--browser]

Each page is opened once, which fills its caches, and then run again and again; runs of all pages are interleaved. With
`--browser` headless Chromium moves a slider of each page that has one, and the time is that from the key to the end of
the rerun as the browser sees it, a bare page's slider beside it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from peftcalc.ui.pages import PAGES

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parents[1]
BARE = 'import streamlit as st\nst.title("bare")\nst.select_slider("Rank", [1, 2, 4])\n'


KEY_TO_END = """(selector) => new Promise(resolve => {
  const app = document.querySelector('[data-testid=stApp]');
  const slider = document.querySelector(selector);
  slider.focus();
  let began, ran = false;
  slider.addEventListener('keydown', () => { began = performance.now(); }, {once: true, capture: true});
  const observer = new MutationObserver(() => {
    const state = app.getAttribute('data-test-script-state');
    ran = ran || state === 'running';
    if (ran && state === 'notRunning') { observer.disconnect(); resolve(performance.now() - began); }
  });
  observer.observe(app, {attributes: true});
  setTimeout(() => { observer.disconnect(); resolve(null); }, 5000);
})"""
"""Milliseconds from the next key that a slider gets to the end of the rerun that it causes; null where none is seen."""

SLIDER = "[data-testid=stMain] [data-testid=stSlider] input[type=range]"


def in_the_browser(repeats: int) -> None:
    from playwright.sync_api import sync_playwright
    from served_app import CHROMIUM, CHROMIUM_FLAGS, running_app

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_FLAGS))
        rows = []
        with running_app(str(bare)) as (url, _):
            rows.append(("a bare page", key_to_end(browser, url, repeats)))
        with running_app() as (url, _):
            rows += [(entry.title, key_to_end(browser, f"{url}/{entry.path}", repeats)) for entry in PAGES]
        browser.close()
    report([(name, times) for name, times in rows if times])


def key_to_end(browser: Any, url: str, repeats: int) -> list[float]:
    """Seconds of each rerun that a slider's key causes; none where a page has no slider."""
    page = browser.new_page()
    page.goto(url)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)
    page.wait_for_timeout(2000)
    if not page.locator(SLIDER).count():
        return []
    times = []
    for turn in range(repeats + 2):
        waiting = page.evaluate_handle("([script, selector]) => ({end: eval(script)(selector)})", [KEY_TO_END, SLIDER])
        page.keyboard.press("ArrowRight" if turn % 2 == 0 else "ArrowLeft")
        times.append(waiting.evaluate("async waiting => await waiting.end"))
        page.wait_for_timeout(300)
    page.close()
    return [milliseconds / 1000 for milliseconds in times[2:] if milliseconds is not None]  # both values have been seen


def on_the_server(repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        files = {"a bare page": bare, **{entry.title: ROOT / "pages" / entry.file for entry in PAGES}}
        pages = {name: AppTest.from_file(str(file), default_timeout=120).run() for name, file in files.items()}
        seconds: dict[str, list[float]] = {name: [] for name in pages}
        for _ in range(repeats):
            for name, page in pages.items():
                started = time.perf_counter()
                page.run()
                seconds[name].append(time.perf_counter() - started)
    report(list(seconds.items()))


def report(rows: list[tuple[str, list[float]]]) -> None:
    print(f"{'page':<14} {'median ms':>10} {'lowest':>8} {'highest':>8}")
    for name, times in rows:
        low, middle, high = min(times), statistics.median(times), max(times)
        print(f"{name:<14} {1000 * middle:>10.0f} {1000 * low:>8.0f} {1000 * high:>8.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--browser", action="store_true", help="from the key to the end, in headless Chromium")
    arguments = parser.parse_args()
    (in_the_browser if arguments.browser else on_the_server)(arguments.repeats)


if __name__ == "__main__":
    main()
