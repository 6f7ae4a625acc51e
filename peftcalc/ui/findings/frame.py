"""What every claim of the page has: the question, what was published, the badge and what came here, the stored runs."""

from __future__ import annotations

import functools
from typing import Literal

import streamlit as st

from peftcalc.lab.findings.claims import CLAIMS
from peftcalc.lab.findings.stored import stored_finding, stored_findings
from peftcalc.plots.chart import Chart
from peftcalc.ui import cards, page, show
from peftcalc.ui.lessons.findings.waits import DRAWN

LOOKS: dict[str, tuple[Literal["green", "orange", "gray"], str]] = {
    "reproduces": ("green", ":material/check_circle:"),
    "not resolved": ("gray", ":material/question_mark:"),
    "reverses": ("orange", ":material/swap_horiz:"),
}
"""Of a badge: its colour and its icon; the words tell it, too."""


def claimed(name: str, guessed: bool) -> None:
    """The question; once it is guessed what was published beside what came, either of which gives the answer away."""
    claim = CLAIMS[name]
    if guessed:
        boxes = cards.said("Published", claim.published, claim.source)
        boxes += cards.said("Here", claim.sentence, f"On {claim.model}.")
    else:
        boxes = cards.waits("Published") + cards.waits("Here")
    cards.draw(f'<p class="claim">{cards.words(claim.question)}</p>{boxes}')


def until(name: str) -> None:
    """Before the guess, above the picture: what it shows already, and what comes."""
    cards.draw(cards.now_and_then(*DRAWN[name]))


def there(name: str) -> bool:
    """Whether runs of this claim are stored."""
    return name in CLAIMS


def badge(name: str) -> None:
    """Whether the claim shows here, from how many seeds."""
    claim = CLAIMS[name]
    color, icon = LOOKS[claim.badge]
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key=f"badge-{name}"):
        st.badge(f"{claim.badge} here", color=color, icon=icon)
        page.badge("stored run", f"{claim.seeds} seeds")


def large(name: str, chart: Chart, alt: str, note: str = "") -> None:
    """The same claim on a language model, with a badge and seeds of its own."""
    words, picture = st.columns([0.3, 0.7], gap="medium")
    with words:
        st.markdown("##### On a language model")
        badge(name)
        claim = CLAIMS[name]
        st.markdown(f"{note} {claim.sentence} :small[(On {claim.model}.)]")
    with picture:
        show.chart(chart, alt)


def runs(name: str, code: str, rows: tuple[str, ...] = ()) -> None:
    """Behind a drawer: which script made the rows, when and on what; the code that runs it again; the rows.

    Args:
        name: of the claim.
        code: that runs the claim again.
        rows: the stored findings that the section draws; by default that of the claim's name.
    """
    label = "Where this comes from: the script, the seeds, the machine; the rows, and code that runs it again"
    show.folded(label, name, functools.partial(_runs, name, code, rows or (name,)))


def _runs(claim: str, code: str, rows: tuple[str, ...]) -> None:
    show.code(code, f"{claim.replace('-', '_')}.py")
    for name in (name for name in rows if name in stored_findings()):
        stored = stored_finding(name)
        made = ", ".join(f"{what} {page.escape(_told(said))}" for what, said in stored.made.items())
        st.markdown(f"**Stored runs: {name}.** {made[0].upper()}{made[1:]}.")
        show.table(list(stored.rows), f"rows-{name}", f"The stored runs of {name}")


def _told(said: object) -> str:
    """A value of `made`; the seeds as their ends."""
    if isinstance(said, list) and len(said) > 2:
        return f"{said[0]} to {said[-1]}"
    return str(said)
