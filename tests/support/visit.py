"""How the browser tests look at a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TIMEOUT = 60_000


@dataclass
class Visit:
    """An open page and what its console said."""

    page: Any
    errors: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Until the script has run, nothing is stale and every chart is drawn."""
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=TIMEOUT)
        self.page.wait_for_selector("[data-testid=stMain] h1", timeout=TIMEOUT)
        self.page.wait_for_function(EVERY_CHART_IS_DRAWN, timeout=TIMEOUT)
        self.page.wait_for_timeout(600)

    def evaluate(self, script: str) -> Any:
        return self.page.evaluate(script)


def visit(
    browser: Any, url: str, width: int = 1280, scheme: str = "light", height: int = 900, touch: bool = False
) -> Visit:
    """Open a link in a context of its own, with `touch` on a telephone."""
    size = {"width": width, "height": height}
    context = browser.new_context(viewport=size, color_scheme=scheme, has_touch=touch, is_mobile=touch)
    page = context.new_page()
    opened = Visit(page)

    def note(message: Any) -> None:
        if message.type == "error":
            opened.errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    page.goto(url, timeout=TIMEOUT)
    opened.settle()
    return opened


EVERY_CHART_IS_DRAWN = "() => !document.querySelector('[data-testid=stVegaLiteChart]:empty')"

OVERFLOW = """() => {
  const wide = document.querySelector('[data-testid=stMain]');
  return wide.scrollWidth - wide.clientWidth;
}"""

LENGTH = "() => document.querySelector('[data-testid=stMain]').scrollHeight"

# Text of the main area whose own box is wider than it may be, cut without a scrollbar.
OVERLAPS = """() => {
  const seen = e => {  // of what a box within the page scrolls, the part that it shows
    const { left, right, top, bottom } = e.getBoundingClientRect(), box = { left, right, top, bottom };
    for (let p = e.parentElement; p && p.dataset.testid !== 'stMain'; p = p.parentElement) {
      if (!['auto', 'scroll'].includes(getComputedStyle(p).overflowY)) continue;
      const q = p.getBoundingClientRect();
      box.top = Math.max(box.top, q.top), box.bottom = Math.min(box.bottom, q.bottom);
    }
    return box;
  };
  const boxes = [...document.querySelectorAll('[data-testid=stMain] [data-testid=stElementContainer]')]
    .filter(e => e.checkVisibility() && e.offsetParent && e.getBoundingClientRect().height > 1)
    .map(e => [e, seen(e)]);
  const found = [];
  for (const [a, p] of boxes) for (const [b, q] of boxes) {
    if (a === b || a.contains(b) || b.contains(a)) continue;
    const x = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const y = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (x > 3 && y > 3) found.push(a.innerText.slice(0, 40) + ' | ' + b.innerText.slice(0, 40));
  }
  return found;
}"""

# Pictures and charts without an alternative text.
NAMELESS_PICTURES = """() => [
  ...document.querySelectorAll('[data-testid=stMain] img:not([alt]), [data-testid=stMain] img[alt=""]'),
  ...[...document.querySelectorAll('[data-testid=stVegaLiteChart]')].filter(
    e => !(e.getAttribute('aria-label') || e.querySelector('[aria-label]:not([aria-label=""])'))),
].map(e => e.outerHTML.slice(0, 200))"""
