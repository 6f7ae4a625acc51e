"""What a model's class sets where its configuration is silent: `{"model_type": "gpt2"}` has an activation too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peftcalc.models.shapes import ModelShapes

_OF_CALLS = ("transformers_version", "dtype", "return_dict", "output_hidden_states", "output_attentions", "use_cache")
"""Settings of how the model is loaded and answers, not of what it is; numbers of special tokens are none either."""


def unsaid(config: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a configuration object that the raw configuration does not have, as plain as JSON.

    Args:
        config: the content of a `config.json`.
        made: what transformers made of it, or of its text part for a class of that alone, as a dictionary.

    >>> unsaid({"n_layer": 2}, {"n_layer": 2, "activation_function": "gelu_new", "_private": 1, "id2label": {0: "no"}})
    {'activation_function': 'gelu_new'}
    """
    inner = config.get("text_config")
    if isinstance(inner, Mapping) and "text_config" not in made:
        return {"text_config": unsaid(inner, made)}
    found: dict[str, Any] = {}
    for key, value in made.items():
        if key.endswith("_config") and isinstance(value, Mapping):
            given = config.get(key, {})
            found[key] = unsaid(given, value) if isinstance(given, Mapping) else {}
        elif key not in config and _is_of_model(key) and _is_plain(value):
            found[key] = value
    return {key: value for key, value in found.items() if value != {}}


def _is_of_model(key: str) -> bool:
    return key not in _OF_CALLS and not key.startswith("_") and not key.endswith("_token_id")


def _is_plain(value: Any) -> bool:
    return all(isinstance(one, bool | int | float | str) for one in (value if isinstance(value, list) else [value]))


def settings(shapes: ModelShapes) -> dict[str, Any]:
    """The model's configuration, and what its class sets where that is silent."""
    return _over(shapes.config, shapes.unsaid)


def _over(config: Mapping[str, Any], otherwise: Mapping[str, Any]) -> dict[str, Any]:
    deeper = {
        key: _over(value, otherwise[key])
        for key, value in config.items()
        if isinstance(value, Mapping) and isinstance(otherwise.get(key), Mapping)
    }
    return {**otherwise, **config, **deeper}
