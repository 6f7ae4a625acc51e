"""Take pictures of pages in headless Chromium: `python scripts/screenshot.py parameters?rank=4 --dark --width 390`.

Starts nothing: the app must run at --url. Prints console errors, so that a silent one is seen too. The pictures in
`docs/`, as a projector shows the pages at first:

    python scripts/screenshot.py --first-screen --out docs "?scene=3" train memory choose dora quantization
    python scripts/screenshot.py --first-screen --out docs --dark dora
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from served_app import CHROMIUM, CHROMIUM_FLAGS

FIRST, COLORS = 720, 128
"""Height of a projector's screen; colours of its picture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+")
    parser.add_argument("--url", default="http://localhost:8501")
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument(
        "--first-screen",
        action="store_true",
        help="only what stands on 1280 × 720, in few colours",
    )
    parser.add_argument("--wait", type=float, default=1.5, help="seconds after the page has stopped running")
    parser.add_argument("--click", action="append", default=[], help="text of a button to click first; may be repeated")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_FLAGS))
        size = ViewportSize(width=arguments.width, height=FIRST if arguments.first_screen else 900)
        context = browser.new_context(viewport=size, color_scheme="dark" if arguments.dark else "light")
        for name in arguments.pages:
            page = context.new_page()
            page.on("console", lambda message: print("console:", message.text) if message.type == "error" else None)
            page.goto(f"{arguments.url}/{name}")
            wait_until_still(page)
            for text in arguments.click:
                page.get_by_text(text, exact=True).first.click()
                wait_until_still(page)
            page.wait_for_load_state("networkidle")  # components fetch their own files
            page.wait_for_timeout(1000 * arguments.wait)
            path = taken(page, arguments, name.split("?")[0] or "home")
            print(path, path.stat().st_size)
            page.close()
        browser.close()


def taken(page, arguments: argparse.Namespace, name: str) -> Path:
    """The picture's file: the first screen, or the whole page."""
    if arguments.first_screen:
        path = arguments.out / f"{name}{'-dark' if arguments.dark else ''}.png"
        drawn = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        drawn.convert("P", palette=Image.Palette.ADAPTIVE, colors=COLORS).save(path, optimize=True)
        return path
    # Streamlit scrolls an inner box: make the window as tall as its content, so that the picture is whole.
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": arguments.width, "height": max(900, height)})
    page.wait_for_timeout(700)
    path = arguments.out / f"{name}-{'dark' if arguments.dark else 'light'}-{arguments.width}.png"
    page.screenshot(path=path)
    return path


def wait_until_still(page) -> None:
    """Until the script has run and the running man is gone."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=120_000)
    page.wait_for_selector("[data-testid=stMain] h1, [data-testid=stAlert]", timeout=120_000)


if __name__ == "__main__":
    main()
