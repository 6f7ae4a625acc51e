"""What a look at a page would find, measured in the browser: text that is cut, that collides, that is small.

For `scripts/screenshot.py`, which takes the pictures, and for the browser tests. Nothing here replaces a look.
"""

from __future__ import annotations

from typing import Any

WIDTHS = (1280, 390, 768, 1920)
LONGEST = 3_000
"""Pixels of a page at 1280, but the story's."""
PROJECTED = 16
"""Pixels of the smallest letters in the projector mode."""

_TEXTS = """
const texts = [];
const left_out = 'style, script, annotation, .katex-mathml, .spoken, [data-testid=stIconMaterial]';
const raised = 'sup, sub, .katex .vlist, .katex .sizing, .katex .mtight';
const walk = node => {
  if (node.nodeType === Node.TEXT_NODE) {
    const e = node.parentElement ?? node.getRootNode().host, text = node.nodeValue.trim();
    if (!text || !e?.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return;
    if (e.closest(left_out)) return;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect(), svg = e.ownerSVGElement, drawn = svg && e.getScreenCTM();
    if (box.width < 2 || box.height < 2) return;
    const size = parseFloat(getComputedStyle(e).fontSize) * (drawn ? Math.hypot(drawn.a, drawn.b) : 1);
    texts.push({ text: text.slice(0, 60), box, size, svg, e, raised: e.closest(raised) });
  }
  if (node.shadowRoot) walk(node.shadowRoot);
  for (const child of node.childNodes) walk(child);
};
walk(document.querySelector('[data-testid=stMain]'));
"""
"""Every text that is drawn in the main area, in the components' shadow trees too: what it says, where, how large."""

_SMALL = f"""least => {{
  {_TEXTS}
  const small = texts.filter(t => !t.raised && t.size < least - 0.05);
  return [...new Set(small.map(t => `${{t.size.toFixed(1)}} px: ${{t.text}}`))];
}}"""

_COLLISIONS = f"""() => {{
  {_TEXTS}
  const drawn = texts.filter(t => t.svg), found = [];
  drawn.forEach((p, i) => drawn.slice(0, i).forEach(q => {{
    if (p.svg !== q.svg || p.e === q.e) return;
    const x = Math.min(p.box.right, q.box.right) - Math.max(p.box.left, q.box.left);
    const y = Math.min(p.box.bottom, q.box.bottom) - Math.max(p.box.top, q.box.top);
    if (x > 2 && y > 0.25 * Math.min(p.box.height, q.box.height)) found.push(`${{q.text}} | ${{p.text}}`);
  }}));
  return found;
}}"""

# Text that leaves its picture, or whose box hides what does not fit.
_CUT = f"""() => {{
  {_TEXTS}
  const leaves = ({{ box, svg }}) => {{
    const s = svg.getBoundingClientRect();
    if (getComputedStyle(svg).overflow === 'visible') return false;
    return box.left < s.left - 6 || box.right > s.right + 3 || box.top < s.top - 4 || box.bottom > s.bottom + 4;
  }};
  const hidden = e => {{
    for (let depth = 0; e && depth < 4; e = e.parentElement, depth++) {{
      const cuts = ['hidden', 'clip'].includes(getComputedStyle(e).overflowX);
      if (cuts && e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1) return true;
    }}
    return false;
  }};
  return [...new Set(texts.filter(t => t.svg ? leaves(t) : hidden(t.e)).map(t => t.text))];
}}"""

_WIDER = "(e => e.scrollWidth - e.clientWidth)(document.querySelector('[data-testid=stMain]'))"
_LENGTH = "document.querySelector('[data-testid=stMain]').scrollHeight"


def faults(page: Any, width: int, projector: bool = False) -> list[str]:
    """What is wrong with the page as it stands, in words."""
    found = [f"cut: {text}" for text in page.evaluate(_CUT)]
    found += [f"collide: {pair}" for pair in page.evaluate(_COLLISIONS)]
    wider, length = page.evaluate(_WIDER), page.evaluate(_LENGTH)
    if wider > 1:
        found.append(f"{wider} px wider than the window")
    if width == 1280 and length > LONGEST:
        found.append(f"{length:,} px long")
    return found + [f"small: {text}" for text in small_text(page) if projector]


def small_text(page: Any, least: float = PROJECTED) -> list[str]:
    """Texts with letters below this many pixels as drawn; super- and subscripts of a formula aside."""
    return page.evaluate(_SMALL, least)
