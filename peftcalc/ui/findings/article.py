"""The article's own experiment: what is known of it, and what this tool says about memory and time on its card."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import streamlit as st

from peftcalc import units
from peftcalc.memory.cards import gpu
from peftcalc.memory.fit import ARTICLE, Fit, fit
from peftcalc.methods import METHODS, make_method
from peftcalc.models.load import load_model
from peftcalc.plots import memory as plots
from peftcalc.plots.chart import Chart
from peftcalc.speed.estimate import estimate_speed
from peftcalc.speed.records import SpeedEstimate
from peftcalc.speed.run import RunCost, run_cost
from peftcalc.ui import page, show, state
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.findings.article import ARTICLE_LESSON, TRAININGS
from peftcalc.ui.pages import link_to

RANKS = (4, 8, 16, 32, 64)
SEQUENCES = (256, 512, 1024, 2048, 4096)
BATCHES = (1, 2, 4, 8)
TOKENS = (10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**7)
NOTHING = "nothing found"
"""What is published of a thing of which no source says anything."""


@dataclass(frozen=True)
class Computed:
    """One method on the article's card."""

    fit: Fit
    speed: SpeedEstimate
    run: RunCost
    """Of one training."""

    @property
    def label(self) -> str:
        return self.fit.method.label


@lru_cache(maxsize=64)
def computed(rank: int, batch: int, sequence: int, checkpointing: bool, tokens: int) -> tuple[Computed, ...]:
    """The five methods, as this tool estimates them."""
    model, methods = load_model(ARTICLE.model), [make_method(name, rank=rank, alpha=2 * rank) for name in METHODS]
    options = {**ARTICLE.options, "checkpointing": checkpointing}
    found = []
    for one in fit(model, ARTICLE.gpu, methods, batch, sequence, **options):
        speed = estimate_speed(model, one.method, ARTICLE.gpu, batch, sequence, **options)
        found.append(Computed(one, speed, run_cost(speed, tokens)))
    return tuple(found)


@lessons.taught(ARTICLE_LESSON, "article")
def article() -> None:
    controls, result = page.controls_and_result("article")
    with controls:
        st.markdown(
            "The article's follow-up ran **over a hundred trainings of Phi-3-mini on a V100 of 16 GB**. "
            "Of their rank, batch and length nothing is found: these are yours to choose."
        )
        rank = state.slider("Rank", RANKS, "rank", ARTICLE.methods[0].rank)  # pyright: ignore[reportAttributeAccessIssue]
        sequence = state.slider("Tokens in a sequence", SEQUENCES, "sequence", ARTICLE.sequence, lambda n: f"{n:,}")
        batch = state.slider("Sequences in a batch", BATCHES, "batch", ARTICLE.batch)
        tokens = state.slider("Tokens in one training", TOKENS, "tokens", 10**6, lambda n: f"{n:,}")
        checkpointing = state.switch("Compute activations again", "checkpointing", True)
    five = computed(rank, batch, sequence, checkpointing, tokens)
    with result:
        guessed = lessons.show_prediction(ARTICLE_LESSON, "article")
        show.chart(_bars(five, guessed), _told(five, guessed))
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            page.badge("estimated", "memory in closed form; time from data sheets")
        st.caption(five[0].speed.notes[0][0].upper() + five[0].speed.notes[0][1:] + ".")
        if guessed:
            _beside(five, tokens)


def _bars(five: tuple[Computed, ...], with_time: bool) -> Chart:
    card = gpu(ARTICLE.gpu)
    said = {one.label: _said(one, with_time) for one in five}
    first = five[0].fit.needed
    reserve = first.expected_bytes - first.peak_bytes
    return plots.bars_chart({one.label: one.fit.estimate for one in five}, card.usable_bytes, card.name, reserve, said)


def _said(one: Computed, with_time: bool) -> str:
    verdict = f"{plots.MARKS[one.fit.verdict]} {one.fit.verdict}"
    if not with_time or not one.fit.fits:
        return verdict
    return f"{verdict} · {units.seconds(one.speed.seconds_per_step)} a step"


def _told(five: tuple[Computed, ...], with_time: bool) -> str:
    spoken = ", ".join(f"{one.label} {units.gib(one.fit.estimate.total)}, {_said(one, with_time)}" for one in five)
    return f"Peak memory by part of each method on the {ARTICLE.gpu}: {spoken}."


def _beside(five: tuple[Computed, ...], tokens: int) -> None:
    """What is published of the experiment, and what is computed of it."""
    able = [one for one in five if one.fit.fits]
    card = gpu(ARTICLE.gpu)
    model = load_model(ARTICLE.model)

    def of(say) -> str:
        return ", ".join(f"{one.label} {say(one)}" for one in able) or "none fits"

    rows = [
        ("model", "Phi-3-mini", f"{model.total:,} parameters, counted"),
        ("card", "V100, 16 GB", f"{units.gib(card.usable_bytes)} usable; float16, for it has no bfloat16"),
        ("methods", "LoRA, DoRA, QLoRA, QDoRA", f"that fit: {', '.join(one.label for one in able) or 'none'}"),
        ("memory", NOTHING, of(lambda one: units.between(one.fit.needed.expected_bytes, one.fit.needed.high_bytes))),
        ("tokens a second", NOTHING, of(lambda one: f"{one.speed.tokens_per_second:,.0f}")),
        (
            f"{TRAININGS} trainings",
            "over a hundred were run; how long they took: " + NOTHING,
            of(lambda one: _hours(one.run)) + f", at {tokens:,} tokens each",
        ),
        ("rank, batch, length, data", NOTHING, "chosen beside the picture"),
        ("losses, accuracies", NOTHING, "not computed: they need the runs themselves"),
    ]
    table: list[dict[str, object]] = [
        dict(zip(("what", "published of it", "computed here"), row, strict=True)) for row in rows
    ]
    st.markdown("##### Published beside computed")
    show.table(
        table, "article-experiment", "What is published of the article's experiment beside what is computed here"
    )
    link_to("memory", "Every other choice: Memory", {"model": ARTICLE.model, "gpu": ARTICLE.gpu})


def _hours(run: RunCost) -> str:
    """Of all trainings, and the range in which they are expected."""
    low, hours, high = (TRAININGS * each for each in (run.low_hours, run.hours, run.high_hours))
    return f"{hours:,.0f} h ({low:,.0f} to {high:,.0f})"
