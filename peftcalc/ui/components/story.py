"""The story: nine scenes, one at a time, and the doors in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlencode

from peftcalc.ui.components.mount import mount
from peftcalc.ui.components.parts import Number, Part, Parts, Scenes, State
from peftcalc.ui.story.pictures import STORY_CARD
from peftcalc.ui.story.presets import CARDS, MODELS, STORY_MODEL
from peftcalc.ui.story.scenes import SCENES, Face, Scene


@dataclass(frozen=True)
class Passage:
    """Where a door leads: a page's address, and what its link says."""

    path: str
    query: dict[str, str]


def story(
    model: str = STORY_MODEL,
    card: str = STORY_CARD,
    *,
    key: str = "scene",
    on_door: Callable[[Any], None] | None = None,
) -> State:
    """Show the story.

    Args:
        model, card: what the last two scenes begin with, where they have it.
        key: as for `mount`; the link says `scene=5`.
        on_door: takes what `passage` makes a way of.

    Returns:
        What the visitor moved: "scene", and the parts of its picture.
    """
    return mount("story", _story_json(model, card), story_parts(), key, on_door=on_door)


@lru_cache(maxsize=64)
def _story_json(model: str, card: str) -> str:
    return json.dumps(story_data(model, card), separators=(",", ":"))


def story_data(model: str = STORY_MODEL, card: str = STORY_CARD) -> dict[str, Any]:
    """What the view shows; also for a page without a server (`mount.payload`)."""
    return {"scenes": [_scene(scene, model, card) for scene in SCENES]}


@lru_cache(maxsize=1)
def story_parts() -> Parts:
    """What can be moved in each scene."""
    return Scenes(tuple(_parts(scene.faces) for scene in SCENES))


def passage(message: Any) -> Passage | None:
    """The way that a browser's message asks for: a scene's door, with the model and the card that were chosen there.

    >>> passage({"scene": 1, "model": None, "card": None})
    Passage(path='parameters', query={'section': 'a real model'})
    >>> passage({"scene": "parameters"}) is None
    True
    """
    if not isinstance(message, dict):
        return None
    try:
        scene = SCENES[int(Number(1, len(SCENES), whole=True).checked("scene", message.get("scene"))) - 1]
        chosen = {
            name: options[int(Number(0, len(options) - 1, whole=True).checked(name, message[part]))]
            for name, part, options in (("model", "model", tuple(MODELS)), ("gpu", "card", CARDS))
            if message.get(part) is not None
        }
    except ValueError:
        return None
    return Passage(scene.door.path, {**scene.door.query, **chosen})


def _scene(scene: Scene, model: str, card: str) -> dict[str, Any]:
    query = f"?{urlencode(scene.door.query)}" if scene.door.query else ""
    return {
        "title": scene.title,
        "words": scene.words,
        "question": scene.question,
        "options": list(scene.options),
        "right": scene.options.index(scene.right()),
        "answer": scene.answer(),
        "then": dict(scene.then),
        "door": {"label": scene.door.label, "href": scene.door.path + query},
        "faces": [{"name": face.name, "view": face.view, "data": _data(face, model, card)} for face in scene.faces],
    }


def _data(face: Face, model: str, card: str) -> dict[str, Any]:
    return face.data(model, card) if face.of_the_visitor else face.data()


def _parts(faces: Sequence[Face]) -> dict[str, Any]:
    several = {"face": Number(0, len(faces) - 1, whole=True)} if len(faces) > 1 else {}
    return several | {name: part for face in faces for name, part in _plain(face).items()}


def _plain(face: Face) -> Mapping[str, Part]:
    return cast("Mapping[str, Part]", face.parts(_data(face, "", "")))
