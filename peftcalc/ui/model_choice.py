"""Choosing a model: from the catalogue, by hub id, or from a `config.json` that is pasted or uploaded."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import streamlit as st

from peftcalc.ui import building, page, state
from peftcalc.ui.drawer import Drawer

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from peftcalc.models.shapes import ModelShapes

DEFAULT_MODEL = "meta-llama/Llama-3.1-8B"
KEPT_CONFIGS = 16
NO_TASK = "none"
_UPLOADED = "_uploaded_config"
_SAID = "_said_models"
_SHOWN = {"file": "your uploaded config.json", "text": "your pasted config.json", "hub": "{}"}
_LEAVE = "Choose here, or an example, to leave it. Links and other visitors do not get what you paste or upload."


def choose_model(
    key: str = "model", default: str = DEFAULT_MODEL, places: tuple[DeltaGenerator, DeltaGenerator] | None = None
) -> ModelShapes:
    """A menu of the catalogue, and beside it the way to any other model; the catalogue's id is in the link.

    What was said last counts: a model that is brought stands before the menu's, until the menu, an example or a link
    asks for another one.

    Args:
        key: of the menu.
        default: its first value.
        places: for the menu and for the other way, where they are not to stand one below the other.

    Raises:
        ValueError: the sentence for a config or an id that cannot be used; show it with `errors_as_sentences`.
    """
    from peftcalc.models.catalogue import catalogue_ids, catalogue_shapes

    ids = catalogue_ids()
    menu, other = places or (nullcontext(), nullcontext())
    _forget_the_earlier(key)
    brought = _brought(key)
    leave = None if brought is None else _LEAVE
    with menu:
        label = "Model" if brought is None else f"Shown is {page.escape(brought)}, not:"
        chosen = state.menu(label, ids, key, default if default in ids else ids[0], help=leave)
    with other:
        drawer = Drawer("Another model …", key, width="stretch")
    trouble = None
    if drawer.open:
        with drawer.box:
            trouble = _own_config(key, brought is not None)
    hub_id = drawer.text("or an id on the hub", f"{key}-hub", placeholder="organisation/model").strip()
    said = st.session_state[_SAID] = {**_said(key), "hub": hub_id, "menu": chosen}
    try:
        if said["file"] or said["text"]:
            return _from_config(said["file"] or said["text"])
        return _from_name(hub_id) if hub_id else catalogue_shapes(chosen)
    except ValueError as error:
        if trouble is not None:  # the open box hides what the page says
            trouble.error(page.escape(str(error)), icon=":material/error:")
        raise


def _said(key: str) -> dict[str, Any]:
    """Which model each way asks for before it is drawn, in the order in which they count."""
    held, before = st.session_state, st.session_state.get(_SAID, {})
    link = st.query_params
    return {
        "file": held.get(_UPLOADED),
        "text": held.get(f"{key}-pasted", "").strip(),
        "hub": str(held.get(f"{key}-hub", before.get("hub", link.get(f"{key}-hub", "")))).strip(),
        "menu": held.get(key, link.get(key, before.get("menu"))),
    }


def _brought(key: str) -> str | None:
    """What is shown instead of the menu's model, in words."""
    said = _said(key)
    return next((words.format(said["hub"]) for name, words in _SHOWN.items() if said[name]), None)


def _forget_the_earlier(key: str) -> None:
    """Before anything is drawn: where one way has just asked for a model, the others do so no more."""
    before = st.session_state.get(_SAID)
    if before is None:
        return
    now = _said(key)
    latest = next((name for name in now if now[name] and now[name] != before[name]), None)
    if latest is not None:
        _forget(key, *(name for name in _SHOWN if name != latest))


def _forget(key: str, *sources: str) -> None:
    """The models of these sources are asked for no more."""
    if "file" in sources:
        st.session_state[_UPLOADED] = None
    for source, control in (("text", f"{key}-pasted"), ("hub", f"{key}-hub")):
        if source in sources:
            st.session_state[control] = ""


def _own_config(key: str, brought: bool) -> DeltaGenerator:
    """What can be brought; returns the place where a refusal is said."""
    st.markdown("Paste or upload its `config.json`, or name it on the hub.")
    st.caption("Nothing of it is executed: its weights are counted from its configuration alone. " + building.WHERE)
    trouble = st.empty()
    st.text_area("Paste a config.json", key=f"{key}-pasted", height=120, max_chars=200_000, persist_state="session")
    st.file_uploader("or upload it", type="json", key=f"{key}-file", on_change=_keep_upload, args=(key,))
    if brought:
        st.button("Back to the menu's model", key=f"{key}-forget", on_click=_forget, args=(key, *_SHOWN))
    return trouble


def _keep_upload(key: str) -> None:
    """The file's bytes go along to the other pages, which the control itself does not."""
    file = st.session_state.get(f"{key}-file")
    st.session_state[_UPLOADED] = file.getvalue() if file else None


def choose_task(shapes: ModelShapes) -> tuple[ModelShapes, str | None]:
    """peft's task type and, for a classifier, its labels; with the model of the class that this task loads.

    Raises:
        ValueError: the sentence for a task that the model cannot do; show it with `errors_as_sentences`.
    """
    from peftcalc.models.configs.classes import LABELLED, TASK_TYPES
    from peftcalc.models.tasks import task_shapes
    from peftcalc.recipes.model_source import is_bundled

    task = state.menu(
        "Task", (NO_TASK, *TASK_TYPES), "task", NO_TASK, help="peft's task_type: the model gets that task's head"
    )
    labels = 0
    if task in LABELLED:
        labels = int(state.number("Labels (0: as the config says)", "labels", 0, 0, 10_000))
    chosen = None if task == NO_TASK else task
    if chosen is not None and not is_bundled(shapes):
        return building.for_task(shapes, chosen, labels or None), chosen
    return task_shapes(shapes, chosen, labels or None), chosen


def _from_config(text: str | bytes) -> ModelShapes:
    from peftcalc.models.files import parse_json

    return building.built(parse_json(text))


def _from_name(name: str) -> ModelShapes:
    from pathlib import Path

    from peftcalc.models.catalogue import catalogue_id, catalogue_shapes

    if Path(name).exists() or name.startswith((".", "/", "~")):
        raise ValueError("give a hub id such as organisation/model: files on the server are not read")
    if catalogue_id(name):
        return catalogue_shapes(name)
    return building.built(_hub_config(name), name)


@st.cache_data(max_entries=KEPT_CONFIGS, ttl="1h", show_spinner="Looking the model up …")
def _hub_config(name: str) -> dict[str, Any]:
    """By name, for an hour, and only for the hub: what is built goes by what it says."""
    from peftcalc.models.load import hub_config

    return hub_config(name)


def target_names(shapes: ModelShapes) -> list[str]:
    """The names by which this model's linear layers are chosen, in the model's order."""
    kinds = ("linear", "conv1d")
    names = dict.fromkeys(g.suffix for g in shapes.groups if g.kind in kinds and g.template != shapes.output_embedding)
    return [name for name in names if not name.isdigit()]
