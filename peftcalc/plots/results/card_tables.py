"""What fits, serves and takes how long, as a sentence and a table for Jupyter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peftcalc.plots.results.tables import as_html
from peftcalc.plots.serving import SERVED
from peftcalc.units import GIB, gib, short_count

if TYPE_CHECKING:
    from peftcalc.advice.advise import Advice
    from peftcalc.memory.fit import Fit
    from peftcalc.memory.serving.records import ServingEstimate
    from peftcalc.speed.records import SpeedEstimate
    from peftcalc.speed.run import RunCost


def fit_table(fit: Fit) -> str:
    """One method on a card."""
    return fits_table([fit])


def fits_table(fits: Sequence[Fit]) -> str:
    """What each method needs of the card; the largest sizes are not solved for, since that takes a while."""
    rows = [(repr(one.method), gib(one.needed.expected_bytes), _range(one), one.verdict) for one in fits]
    if not fits:
        return as_html("No method was asked for.", rows)
    card = fits[0].gpu
    sentence = f"{card.name}: {gib(card.usable_bytes)} to use, for a step with the allocator's reserve and the context."
    return as_html(sentence, rows, ("method", "needs", "range", "verdict"))


def _range(fit: Fit) -> str:
    return f"{fit.needed.low_bytes / GIB:.3g} to {fit.needed.high_bytes / GIB:.3g} GiB"


def advice_table(advice: Advice) -> str:
    """The method, and its reasons in order."""
    how = " with checkpointing" if advice.checkpointing else ""
    needed = gib(advice.fit.needed.expected_bytes)
    sentence = f"{advice.method!r}{how}: {needed} on the {advice.fit.gpu.name}: {advice.fit.verdict}."
    rows = [(one.question, one.answer, one.evidence, f"{one.kind}: {one.source}") for one in advice.reasons]
    return as_html(sentence, rows, ("question", "answer", "evidence", "source"))


def serving_table(estimate: ServingEstimate) -> str:
    """What serving takes by part, and the most that the card serves."""
    needed = estimate.needed
    sentence = (
        f"{gib(needed.expected_bytes)} of {gib(estimate.usable_bytes)} on the {estimate.card}: {estimate.verdict}; "
        f"at most {estimate.most_users:,} users, {estimate.most_adapters:,} adapters or {estimate.most_context:,} "
        "tokens each."
    )
    parts = [(words, getattr(estimate, part)) for part, words in SERVED.items()]
    around = ("allocator and CUDA context", needed.expected_bytes - needed.peak_bytes)
    rows = [(words, gib(size), f"{size:,}") for words, size in [*parts, around]]
    return as_html(sentence, rows, ("part", "size", "bytes"), estimate.notes)


def speed_table(speed: SpeedEstimate) -> str:
    """Tokens a second with their range, and the seconds of a step by what they go to."""
    sentence = (
        f"{speed.tokens_per_second:,.0f} tokens a second on the {speed.card} ({speed.low_tokens_per_second:,.0f} to "
        f"{speed.high_tokens_per_second:,.0f}), {speed.seconds_per_step:.3g} s a step; bound by {speed.bound}."
    )
    terms = sorted(speed.terms, key=lambda term: -term.seconds)
    rows = [(term.name, f"{term.seconds:.3g}", term.formula, term.source) for term in terms]
    return as_html(sentence, rows, ("what", "seconds", "formula", "source"), speed.notes)


def run_cost_table(cost: RunCost) -> str:
    """Hours and money from the fast end of the range to the slow one."""
    sentence = f"{cost.steps:,} steps over {short_count(cost.tokens)} tokens."
    rows = [("hours", f"{cost.low_hours:,.3g}", f"{cost.hours:,.3g}", f"{cost.high_hours:,.3g}")]
    if cost.money is not None:
        rows.append(("money", f"{cost.low_money:,.2f}", f"{cost.money:,.2f}", f"{cost.high_money:,.2f}"))
    return as_html(sentence, rows, ("", "low", "expected", "high"))
