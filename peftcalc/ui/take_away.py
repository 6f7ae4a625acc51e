"""What leaves a page for a model and a method: the count as code, a whole training script, the same for Axolotl."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from peftcalc.methods import Method
from peftcalc.models.shapes import ModelShapes
from peftcalc.recipes.axolotl_yaml import axolotl_yaml
from peftcalc.recipes.training_script import TrainingSettings, training_script
from peftcalc.ui import page, show


def scripts(shapes: ModelShapes, method: Method, settings: TrainingSettings) -> None:
    """Three forms of one choice, each in its tab."""
    count, script, axolotl = st.tabs(["Count it", "Train it", "Axolotl"])
    with count:
        show.code(method.to_code(settings.task_type, shapes, settings.dtype, settings.num_labels), "lora_config.py")
    with script:
        st.caption("The whole run with transformers' Trainer: put your data in the place of the example.")
        _or_why_not(lambda: training_script(method, shapes, settings), "finetune.py", "python")
    with axolotl:
        st.caption("Checked against Axolotl's schema; not run here.")
        _or_why_not(lambda: axolotl_yaml(method, shapes, settings), "axolotl.yaml", "yaml")


def _or_why_not(make: Callable[[], str], name: str, language: str) -> None:
    """The code, or the sentence that says why there is none."""
    try:
        text = make()
    except ValueError as error:
        st.caption(page.escape(str(error)))
        return
    show.code(text, name, language)
