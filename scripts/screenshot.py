"""Take pictures of pages in headless Chromium: `python scripts/screenshot.py parameters?rank=4 --dark --width 390`.

Prints console errors, so that a silent one is seen too. The pictures in `docs/`, as a projector shows the pages at
first, of an app that runs at --url:

    python scripts/screenshot.py --first-screen --out docs "?scene=3" train memory choose dora quantization
    python scripts/screenshot.py --first-screen --out docs --dark dora

All sections of all pages, at four widths, in light and dark, whole, of an app that it starts itself; and of each what
a look would find: text that is cut, that collides or is small, a page that is too long (`pages_seen.py`):

    python scripts/screenshot.py --everything --out /tmp/looks [--projector] [parameters memory ...]
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from pages_seen import WIDTHS, faults
from served_app import CHROMIUM, CHROMIUM_FLAGS, running_app

from peftcalc.ui.pages import PAGES

FIRST, COLORS = 720, 128
"""Height of a projector's screen; colours of its picture."""
SCENES = range(1, 10)
SECTIONS = """(() => {
  const place = document.querySelector('.st-key-section'), tabs = place?.querySelector('[role=tablist]');
  return [...(tabs ?? place)?.querySelectorAll(tabs ? '[role=tab]' : 'button') ?? []];
})()"""
"""The names of a page's sections, as it shows them."""
GROUPS = ".st-key-section-group > [role=tablist] [role=tab], .st-key-section-group > * > [role=tablist] [role=tab]"
"""The groups that a page's sections stand in, where there are many."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--url", help="of a running app; default: one is started for --everything, else port 8501's")
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--projector", action="store_true", help="with the projector's switch on")
    parser.add_argument("--everything", action="store_true", help="all sections, four widths, light and dark")
    parser.add_argument(
        "--first-screen",
        action="store_true",
        help="only what stands on 1280 × 720, in few colours",
    )
    parser.add_argument("--wait", type=float, default=1.5, help="seconds after the page has stopped running")
    parser.add_argument("--click", action="append", default=[], help="text of a button to click first; may be repeated")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    own = running_app() if arguments.everything and arguments.url is None else nullcontext((arguments.url, 0))
    with own as (url, _), sync_playwright() as playwright:
        arguments.url = url or "http://localhost:8501"
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_FLAGS))
        (everything if arguments.everything else some)(browser, arguments)
        browser.close()


def some(browser, arguments: argparse.Namespace) -> None:
    """The pages that were named, at one width in one theme."""
    height = FIRST if arguments.first_screen else 900
    context = new_context(browser, arguments.width, height, "dark" if arguments.dark else "light")
    for name in arguments.pages:
        page = opened(context, address(arguments, name), arguments.wait)
        for text in arguments.click:
            page.get_by_text(text, exact=True).first.click()
            wait_until_still(page)
        page.wait_for_timeout(1000 * arguments.wait)
        path = taken(page, arguments, name.split("?")[0] or "home")
        print(path, path.stat().st_size)
        page.close()


def everything(browser, arguments: argparse.Namespace) -> None:
    """Each section once in each theme, drawn wider and narrower; beside the pictures what is wrong with them."""
    names = [name.strip("/") for name in arguments.pages] or [entry.path for entry in PAGES]
    found = list(links(new_context(browser, WIDTHS[0], FIRST, "light"), arguments, names))
    for theme in ("light", "dark"):
        context = new_context(browser, WIDTHS[0], FIRST, theme)
        for name, link in found:
            page = opened(context, address(arguments, link), arguments.wait)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": FIRST})
                page.wait_for_timeout(900)  # a chart is drawn anew at another width
                for fault in faults(page, width, arguments.projector):
                    print(f"{name} {theme} {width}: {fault}", flush=True)
                whole(page, width, arguments.out / f"{name}-{theme}-{width}.png")
            page.close()
        context.close()


def links(context, arguments: argparse.Namespace, names: list[str]) -> Iterator[tuple[str, str]]:
    """A file's name and a link for each section of these pages, and for each scene of the story."""
    for name in names:
        if not name:
            yield from ((f"home-{scene}", f"?scene={scene}") for scene in SCENES)
            continue
        page = opened(context, address(arguments, name), 2.0)
        sections, grouped = [], page.locator(GROUPS).count()
        for group in page.locator(GROUPS).all() or [None]:
            if group:
                group.click()
                page.wait_for_timeout(800)
                wait_until_still(page)
            sections += page.evaluate(f"{SECTIONS}.map(tab => [tab.innerText.trim(), tab.ariaSelected])")
        page.close()
        if not grouped and all(selected != "true" for _, selected in sections):
            yield name, name
        for section, _ in sections:
            yield f"{name}-{section.replace(' ', '_')}", f"{name}?section={section.replace(' ', '+')}"


def address(arguments: argparse.Namespace, link: str) -> str:
    projector = ("&" if "?" in link else "?") + "projector=true" if arguments.projector else ""
    return f"{arguments.url}/{link}{projector}"


def new_context(browser, width: int, height: int, theme: str):
    return browser.new_context(viewport=ViewportSize(width=width, height=height), color_scheme=theme)


def opened(context, url: str, wait: float):
    """A page that has run and drawn."""
    page = context.new_page()
    page.on("console", lambda message: print("console:", message.text) if message.type == "error" else None)
    page.goto(url)
    wait_until_still(page)
    page.wait_for_load_state("networkidle")  # components fetch their own files
    page.wait_for_timeout(1000 * wait)
    return page


def taken(page, arguments: argparse.Namespace, name: str) -> Path:
    """The picture's file: the first screen, or the whole page."""
    if arguments.first_screen:
        path = arguments.out / f"{name}{'-dark' if arguments.dark else ''}.png"
        drawn = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        drawn.convert("P", palette=Image.Palette.ADAPTIVE, colors=COLORS).save(path, optimize=True)
        return path
    path = arguments.out / f"{name}-{'dark' if arguments.dark else 'light'}-{arguments.width}.png"
    whole(page, arguments.width, path)
    return path


def whole(page, width: int, path: Path) -> None:
    """The whole page: Streamlit scrolls an inner box, so the window is made as tall as its content."""
    page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": max(FIRST, height)})
    page.wait_for_timeout(700)
    page.screenshot(path=path)


def wait_until_still(page) -> None:
    """Until the script has run and the running man is gone."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=120_000)
    page.wait_for_selector("[data-testid=stMain] h1, [data-testid=stAlert]", timeout=120_000)


if __name__ == "__main__":
    main()
