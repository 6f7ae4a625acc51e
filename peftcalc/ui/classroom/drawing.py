"""How a class goes, in three drawings with a line below each: one command, a part for everybody, one board.

A drawing holds no letters, so that it can be as small as a telephone wants it; its words stand below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from urllib.parse import quote

from peftcalc.plots.style import METHOD_STYLES, THEMES, Theme

WIDE, HIGH = 360, 196
COLORS = tuple(style.color for style in METHOD_STYLES.values())
STEPS = (
    ("A teacher at a laptop, beside it a square code that leads to the class", "The teacher", "runs one command."),
    ("Six learners with laptops and telephones, on each screen another curve", "Learners", "open the link and train."),
    (
        "A class before a board; most of its places hold a point, three are still empty",
        "One board",
        "gathers every result.",
    ),
)
"""Of each drawing what it shows, and the line below it."""
QR = (0b00101000, 0b00010100, 0b10110101, 0b01001011, 0b00110110, 0b00011010, 0b00100101, 0b00001101)
"""Modules of a square that looks like a code for a camera, and is none."""

CORNERS = ((262, 48), (312, 48), (262, 98))
"""Of its three larger squares."""


@cache
def steps(theme: str) -> str:
    """The three as an element."""
    drawn = (_teacher, _learners, _board)
    figures = (
        f'<figure><img alt="{alt}" src="data:image/svg+xml,{quote(_svg(draw(THEMES[theme]), THEMES[theme]))}">'
        f"<figcaption><b>{number}. {bold}</b> {rest}</figcaption></figure>"
        for number, draw, (alt, bold, rest) in zip((1, 2, 3), drawn, STEPS, strict=True)
    )
    return f'<div class="class-steps">{"".join(figures)}</div>'


def _svg(parts: Iterator[str], theme: Theme) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" fill="none" stroke="{theme.text}" '
        f'stroke-width="3" stroke-linecap="round" stroke-linejoin="round">{"".join(parts)}</svg>'
    )


def _teacher(theme: Theme) -> Iterator[str]:
    yield _person(52, 62, 1.5, theme.frozen)
    yield _laptop(104, 40, 128, 88, theme)
    yield f'<path d="M120 64l9 8l-9 8M138 80h22" stroke="{theme.text}"/>'
    yield f'<path d="M120 102h74" stroke="{COLORS[1]}" stroke-width="7"/>'
    yield f'<g fill="{theme.text}" stroke="none">'
    for row, bits in enumerate(QR):
        for column in range(8):
            if bits >> column & 1:
                yield f'<rect x="{262 + 10 * column}" y="{48 + 10 * row}" width="10" height="10"/>'
    for x, y in CORNERS:
        yield f'<path d="M{x} {y}h30v30h-30z"/><path d="M{x + 5} {y + 5}h20v20h-20z" fill="{theme.background}"/>'
        yield f'<path d="M{x + 10} {y + 10}h10v10h-10z"/>'
    yield "</g>"


def _learners(theme: Theme) -> Iterator[str]:
    for place in range(6):
        x, y, color = 62 + 118 * (place % 3), 20 + 94 * (place // 3), COLORS[place % len(COLORS)]
        yield _person(x, y, 0.95, theme.frozen)
        if place in (0, 2, 4):
            yield _laptop(x - 38, y + 20, 76, 44, theme)
        else:
            yield f'<rect x="{x - 17}" y="{y + 14}" width="34" height="56" rx="6" fill="{theme.background}"/>'
        across, deep = (26 if place in (0, 2, 4) else 11), 20 + 3 * (place % 3)
        curve = f"M{x - across} {y + 28}q{across * 0.4} {deep + 2} {2 * across} {deep}"
        yield f'<path d="{curve}" stroke="{color}" stroke-width="4"/>'


def _board(theme: Theme) -> Iterator[str]:
    yield f'<rect x="42" y="8" width="276" height="138" rx="8" fill="{theme.background}"/>'
    yield f'<path d="M66 24v102h232" stroke="{theme.frozen}"/>'
    for place in range(15):
        x, y = 88 + 46 * (place % 5), 40 + 30 * (place // 5) + 9 * (place % 5) // 2
        if place in (9, 12, 14):
            yield f'<circle cx="{x}" cy="{y}" r="8" stroke="{theme.frozen}" stroke-width="2" stroke-dasharray="3 5"/>'
        else:
            yield f'<circle cx="{x}" cy="{y}" r="8" fill="{COLORS[place % 5]}" stroke="none"/>'
    for x in range(60, WIDE - 50, 60):
        yield _person(x, 158, 0.95, theme.frozen)


def _person(x: float, y: float, size: float, color: str) -> str:
    """Head and shoulders."""
    return (
        f'<g transform="translate({x} {y}) scale({size})" fill="{color}" stroke="none">'
        '<circle r="13"/><path d="M-26 44c0-38 52-38 52 0z"/></g>'
    )


def _laptop(x: float, y: float, width: float, height: float, theme: Theme) -> str:
    foot = f"M{x - 12} {y + height + 8}h{width + 24}"
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{theme.background}"/>'
        f'<path d="{foot}" stroke-width="6"/>'
    )
