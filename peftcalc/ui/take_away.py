"""What leaves a page for a model and a method: a whole training script, the same for Axolotl, the count as code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import streamlit as st

from peftcalc.methods import Method
from peftcalc.models.shapes import ModelShapes
from peftcalc.outside_files import said
from peftcalc.recipes.axolotl_yaml import axolotl_yaml
from peftcalc.recipes.training_script import TrainingSettings, training_script
from peftcalc.ui import page, show

TABS = "scripts"
"""The session's name for which of them is open."""
TRAIN, AXOLOTL, COUNT = "Fine-tune with Transformers", "Fine-tune with Axolotl", "Only count what it trains"
"""What one does with each."""


def scripts(
    shapes: ModelShapes,
    method: Method,
    settings: TrainingSettings,
    height: int | Literal["content"] = "content",
    more: Mapping[str, tuple[str, str]] | None = None,
    count_first: bool = False,
) -> None:
    """The forms of one choice, each in its tab; the open one is written.

    Args:
        shapes, method, settings: what is trained, how, with which batch and precision.
        height: pixels of the code, which scrolls where it is longer; "content" shows all of it.
        more: further tabs, a text and the name to save it under by label.
        count_first: for a page that counts; others begin with the training.
    """

    def count() -> None:
        text = method.to_code(settings.task_type, shapes, settings.dtype, settings.num_labels)
        show.code(text, "lora_config.py", height=height)

    def train() -> None:
        _or_why_not(lambda: training_script(method, shapes, settings), "finetune.py", "python", height)
        st.caption("The whole run with transformers' Trainer: put your data in the place of the example.")

    def axolotl() -> None:
        _or_why_not(lambda: axolotl_yaml(method, shapes, settings), "axolotl.yaml", "yaml", height)
        st.caption("Checked against Axolotl's schema; not run here.")

    drawn: dict[str, Callable[[], None]] = {TRAIN: train, AXOLOTL: axolotl, COUNT: count}
    if count_first:
        drawn = {COUNT: count, **drawn}
    for label, (text, name) in (more or {}).items():
        drawn[label] = partial(show.code, text, name, height=height)
    for tab, draw in zip(st.tabs(list(drawn), key=TABS, on_change="rerun"), drawn.values(), strict=True):
        if tab.open:
            with tab:
                draw()


def _or_why_not(make: Callable[[], str], name: str, language: str, height: int | Literal["content"]) -> None:
    """The code, or the sentence that says why there is none."""
    try:
        text = make()
    except ValueError as error:
        st.caption(page.escape(said(error)))
        return
    show.code(text, name, language, height)
