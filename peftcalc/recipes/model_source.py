"""Where a script finds its model: by the id or folder that was chosen, or from a configuration without weights."""

from __future__ import annotations

import math
import pprint
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftcalc.models.catalogue import catalogue_id, catalogue_shapes
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes

EXAMPLE_MODEL = "HuggingFaceTB/SmolLM2-135M"
"""Small and open: what a script loads that was asked for without a model."""

_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_NOT_BUILT = ("auto_map", "quantization_config", "_attn_implementation", "attn_implementation")
"""Settings of a configuration that say nothing about its weights' shapes; they are not counted either."""


@dataclass(frozen=True)
class ModelSource:
    """A model, and the name under which its weights can be loaded.

    Args:
        shapes: what it is made of.
        name: hub id or folder; None when only a configuration is known.
    """

    shapes: ModelShapes
    name: str | None


def model_source(model: ModelShapes | Any = None) -> ModelSource:
    """Where the weights of a model are; `model` is what `load_model` returns or accepts, None for a small example.

    A configuration that calls itself by a hub id is taken to have its weights there, unless the catalogue has that id
    with other shapes.

    >>> model_source("smollm2-135m").name, model_source({"model_type": "gpt2"}).name
    ('HuggingFaceTB/SmolLM2-135M', None)
    """
    shapes = load_model(EXAMPLE_MODEL if model is None else model)
    if isinstance(model, str | Path) and catalogue_id(str(model)) is None:
        return ModelSource(shapes, str(model))
    if catalogue_id(shapes.id) == shapes.id:
        released = is_bundled(shapes) and _HUB_ID.fullmatch(shapes.id)
        return ModelSource(shapes, shapes.id if released else None)
    return ModelSource(shapes, shapes.id if _HUB_ID.fullmatch(shapes.id) else None)


def is_bundled(shapes: ModelShapes) -> bool:
    """True for a model of the catalogue; False for one that only has its name.

    >>> is_bundled(load_model("smollm2-135m")), is_bundled(load_model({"model_type": "gpt2"}))
    (True, False)
    """
    return catalogue_id(shapes.id) == shapes.id and shapes == catalogue_shapes(shapes.id)


def configuration(shapes: ModelShapes) -> dict[str, Any]:
    """The model's configuration as it is built from."""
    given = {key: value for key, value in shapes.config.items() if key not in _NOT_BUILT}
    if "architectures" in given and not given["architectures"]:  # Auto classes of several classes go by it
        given["architectures"] = [shapes.architecture]
    return given


def for_peftcalc(shapes: ModelShapes) -> str:
    """Python for the `model` argument of peftcalc's functions: the catalogue's id, else the whole configuration.

    >>> for_peftcalc(load_model("smollm2-135m"))
    '"HuggingFaceTB/SmolLM2-135M"'
    """
    return f'"{shapes.id}"' if is_bundled(shapes) else literal(dict(shapes.config))


def literal(value: Any) -> str:
    """A Python literal, on several lines where it is long; strings in double quotes, as formatters write them."""
    if isinstance(value, Mapping):
        return pprint.pformat(_written(dict(value)), width=110, sort_dicts=False)
    text = repr(value)
    return text.replace("'", '"') if '"' not in text and "\\" not in text else text


class _NoNumber(float):
    """Infinity and NaN, which JSON has and Python's literals have not."""

    def __repr__(self) -> str:
        return f'float("{float(self)}")'


def _written(value: Any) -> Any:
    """The same value with every infinity and NaN as Python writes them."""
    if isinstance(value, Mapping):
        return {key: _written(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_written(item) for item in value]
    return _NoNumber(value) if isinstance(value, float) and not math.isfinite(value) else value
