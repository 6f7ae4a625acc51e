"""Serving what was trained: the base, its adapters, the users' caches, and how many of each a card has room for."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from peftcalc import units
from peftcalc.memory.serving.estimate import BITS, estimate_serving
from peftcalc.memory.serving.records import ServingEstimate
from peftcalc.memory.serving.tasks import serving_table
from peftcalc.methods import LoRA, Method
from peftcalc.plots.serving import serving_bars_chart
from peftcalc.recipes.calls import serving_code
from peftcalc.ui import page, show, state
from peftcalc.ui.memory.cards import CARDS
from peftcalc.ui.memory.setup import Setup

USERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTEXTS = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
ADAPTERS = (0, 1, 2, 5, 10, 20, 50, 100, 500)
BESIDE, MERGED = "one base, adapters beside", "a merged copy for each"


def draw(setup: Setup) -> None:
    """Two bars: adapters beside one base, and merged into copies of it."""
    with st.container(horizontal=True, gap="medium"):
        context = state.slider("Tokens of each user", CONTEXTS, "context", 4096, lambda n: f"{n:,}", width=160)
        users = state.slider("Users at once", USERS, "users", 8, width=160)
        adapters = state.slider("Adapters", ADAPTERS, "adapters", 10, width=160)
        bits = state.choice("Bits of the base", BITS, "bits", 16)
    adapter = LoRA(rank=setup.rank, alpha=2 * setup.rank)
    sizes = (context, users, adapters, bits)
    experts = setup.options["experts"]
    both = {
        words: estimate_serving(setup.shapes, adapter, setup.card, *sizes, merged=words == MERGED, experts=experts)
        for words in (BESIDE, MERGED)
    }
    one = both[BESIDE]
    _numbers(one, setup)
    spoken = "; ".join(f"{words}: {units.gib(each.total)}, {each.verdict}" for words, each in both.items())
    show.chart(
        serving_bars_chart(both),
        f"Serving {users:,} users of {context:,} tokens with {adapters:,} adapters on {setup.card.name}: {spoken}.",
    )
    page.badge("estimated", "caches as transformers allocates them")
    st.caption(
        f"One more adapter costs {units.gib(one.one_more_adapter)} beside the base and "
        f"{units.gib(both[MERGED].one_more_adapter)} merged; one more token of a user {units.gib(one.cache_per_token)}."
    )
    for note in one.notes:
        st.info(page.escape(note), icon=":material/info:")
    _more(setup, adapter, one, sizes)


def _numbers(one: ServingEstimate, setup: Setup) -> None:
    with st.container(horizontal=True, gap="large", key="answer-serving"):
        st.metric(f"Users that fit on {setup.card.name}", f"{one.most_users:,}", width="content")
        st.metric("Cache of one user", units.gib(one.cache_per_user), width="content")
        st.metric("Most adapters", f"{one.most_adapters:,}", width="content")
        st.metric("Longest context", f"{one.most_context:,}", width="content")


def _more(setup: Setup, adapter: Method, one: ServingEstimate, sizes: tuple[int, int, int, int]) -> None:
    cards = page.folded("How many users on each card", "serving-cards")
    if cards:
        with cards:
            show.table(_by_card(setup, adapter, sizes), "serving-cards", "Users that each card serves at once")
    terms = page.folded("Where each byte comes from, and the code", "serving-terms")
    if terms:
        with terms:
            rows = [(t.part, t.name, t.formula, units.gib(t.bytes), t.bytes, t.source) for t in one.terms]
            columns = ["part", "what", "formula", "size", "bytes", "source"]
            show.table(pd.DataFrame(rows, columns=columns), "serving-terms", "Terms of the estimate of serving")
            show.code(serving_code(setup.shapes, adapter, setup.card, *sizes), "serving.py")
    tasks = page.folded("One base with many adapters, or many whole models: memory and disk", key="tasks")
    if tasks:
        with tasks:
            page.badge("exact", "weights only")
            shown = serving_table(setup.shapes, LoRA(rank=setup.rank)).map(units.gb).reset_index()
            shown.columns = [
                "tasks",
                "memory: base + adapters",
                "memory: whole models",
                "disk: adapters",
                "disk: whole models",
            ]
            show.table(shown, "serving", "Memory and disk for serving many tasks")


def _by_card(setup: Setup, adapter: Method, sizes: tuple[int, int, int, int]) -> pd.DataFrame:
    names = dict.fromkeys((*CARDS, setup.card.name))
    found = {
        name: estimate_serving(setup.shapes, adapter, name, *sizes, experts=setup.options["experts"]) for name in names
    }
    rows = [
        (name, units.gib(one.usable_bytes), units.gib(one.needed.expected_bytes), one.verdict, one.most_users)
        for name, one in found.items()
    ]
    return pd.DataFrame(rows, columns=["card", "usable", "needed", "verdict", "most users"])
