"""The models of measured rows: the catalogue's, and the few that no catalogue has, whose shapes are stored."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes

TABLE = Path(__file__).parent / "data" / "shapes.json"


def row_model(model: str | dict[str, Any]) -> ModelShapes:
    """The shapes of a row's model, given by its catalogue id or its configuration, without building anything stored.

    >>> row_model("meta-llama/Llama-3.2-3B").total
    3212749824
    """
    return _loaded(model if isinstance(model, str) else json.dumps(model, sort_keys=True))


@cache
def _loaded(text: str) -> ModelShapes:
    if not text.startswith("{"):
        return load_model(text)
    return _stored().get(text) or load_model(json.loads(text))


@cache
def _stored() -> dict[str, ModelShapes]:
    records = json.loads(TABLE.read_text(encoding="utf-8"))
    return {json.dumps(one["config"], sort_keys=True): ModelShapes.from_dict(one["shapes"]) for one in records}
