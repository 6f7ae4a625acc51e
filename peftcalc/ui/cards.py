"""Small pictures of words: a claim beside what came, what waits for a guess, and a sum of matrices.

Each is one element of the page, written as HTML of our own; `styles/cards.css` is their look. What comes from data is
escaped by `words`.
"""

from __future__ import annotations

import html

import streamlit as st

OPENS = "opens with your guess"


def draw(picture: str) -> None:
    """One card, or several that stand together."""
    st.html(picture)


def words(text: str) -> str:
    """Text as HTML shows it, nothing in it being markup."""
    return html.escape(text)


def said(title: str, text: str, source: str = "") -> str:
    """A box of what is known: its title, what it says, and smaller where that comes from."""
    small = f"<small>{words(source)}</small>" if source else ""
    return f'<div class="card"><b>{words(title)}</b><p>{words(text)}</p>{small}</div>'


def waits(title: str) -> str:
    """The same box before the guess: empty, dashed, with a question mark."""
    return f'<div class="card ahead"><b>{words(title)}</b><i>?</i><span>{OPENS}</span></div>'


def line(strong: str, text: str, mark: str = "") -> str:
    """A sentence whose beginning is strong; its `mark` is a class of that."""
    marked = f' class="{mark}"' if mark else ""
    return f'<p class="now"><b{marked}>{words(strong)}</b> {words(text)}</p>'


def now_and_then(now: str, then: str) -> str:
    """What the picture below shows already, and what the guess adds to it."""
    return line("Drawn below:", now) + line("? With your guess:", then, "ahead")


def answer(said: tuple[str, str, str], beside: str) -> str:
    """What is advised: for whom, the method in large and its settings; beside it another card."""
    asked, method, settings = map(words, said)
    large = f'<p class="large">{method}<span>{settings}</span></p>'
    return f'<div class="answer"><div><small>{asked}</small>{large}</div>{beside}</div>'


def filled(title: str, needs: int, there: int, note: str) -> str:
    """How far something fills what is there: a bar, and a mark where that ends.

    Args:
        title: the same in words and figures.
        needs, there: bytes.
        note: below the bar.
    """
    whole = max(needs, there)
    bar = f'<div style="width:{needs / whole:.1%}"></div><span style="left:{there / whole:.1%}"></span>'
    return (
        f'<div><strong>{words(title)}</strong><div class="fills" aria-hidden="true">{bar}</div>'
        f"<small>{words(note)}</small></div>"
    )
