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


def now_and_then(now: str, then: str) -> str:
    """What the picture below shows already, and what the guess adds to it."""
    return (
        f'<p class="now"><b>Drawn below:</b> {words(now)}</p>'
        f'<p class="now"><b class="ahead">? With your guess:</b> {words(then)}</p>'
    )


def answer(
    asked: str, method: str, settings: str, does: str, verdict: str, needs: int, there: int, why: str
) -> str:
    """What is advised: for what, the method in large, what it does, and how far it fills the card.

    Args:
        asked: the visitor's choices as a phrase.
        method, settings: what to train with.
        does: the method in a sentence.
        verdict: whether it fits, in figures.
        needs, there: bytes; the bar shows their ratio.
        why: what decided.
    """
    whole = max(needs, there)
    fill = f'<div class="fills" aria-hidden="true"><div style="width:{needs / whole:.1%}"></div>'
    edge = f'<span style="left:{there / whole:.1%}"></span></div>'
    return (
        f'<div class="answer"><div><small>{words(asked)}</small><p class="large">{words(method)}'
        f"<span>{words(settings)}</span></p></div><div><strong>{words(verdict)}</strong>{fill}{edge}</div></div>"
        f'<p class="now"><b>{words(does)}</b> {words(why)}</p>'
    )
