"""A configuration made into a model on the meta device, by transformers' own classes, and read.

Only classes that transformers ships are used: code that a configuration points to (`auto_map`) is never fetched or run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from peftcalc.checks import nearest
from peftcalc.models.bounded.building import bounded
from peftcalc.models.limits import MAX_PARAMETERS, check_config
from peftcalc.models.shapes import ModelShapes
from peftcalc.models.transformers_classes import class_called, config_object, quiet

_FALLBACKS = (
    "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
    "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_MAPPING_NAMES",
)
"""Which task a model is built for when its configuration names no class, the first that exists."""


def build_shapes(config: Mapping[str, Any], name: str | None = None) -> ModelShapes:
    """The record of the model that a raw configuration describes.

    Args:
        config: the content of a `config.json`.
        name: the name by which the model is shown; default what the configuration calls itself, or its class.

    Raises:
        ValueError: no `model_type`, an unknown architecture (the nearest is offered), code from outside the library,
            a dimension that no model can have, or settings that contradict each other.
    """
    check_config(config)
    model_type = _model_type(config)
    with quiet(), bounded("the model of this config"):
        class_name = _class_name(config, model_type)
        module = _build(config, class_name)
        from peftcalc.models.read import read_module

        shown = name or str(config.get("_name_or_path") or "") or class_name
        shapes = read_module(module, shown, dict(config))
    if shapes.total > MAX_PARAMETERS:
        raise ValueError(f"this config describes {shapes.total:,} parameters; the limit is {MAX_PARAMETERS:,}")
    return shapes


def _model_type(config: Mapping[str, Any]) -> str:
    """The configuration's `model_type`, if transformers knows it."""
    from transformers import CONFIG_MAPPING

    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise ValueError("the config has no model_type, so its architecture is not known; expected a name like 'llama'")
    if model_type in CONFIG_MAPPING:
        return model_type
    near = nearest(model_type, CONFIG_MAPPING.keys())
    hint = f"; nearest: {', '.join(near)}" if near else ""
    if config.get("auto_map"):
        raise ValueError(
            f"model_type {model_type!r} needs code from its repository (auto_map), which is never run here; "
            f"only architectures of the transformers library can be built{hint}"
        )
    raise ValueError(f"unknown architecture: transformers has no model_type {model_type!r}{hint}")


def _class_name(config: Mapping[str, Any], model_type: str) -> str:
    """The class that `architectures` names, if transformers ships it; else the usual class for this model type."""
    from transformers.models.auto import modeling_auto

    architectures = config.get("architectures") or []
    if not isinstance(architectures, list) or any(not isinstance(name, str) for name in architectures):
        raise ValueError(f"config: architectures must be a list of class names, got {architectures!r}")
    candidates = list(architectures)
    for mapping in _FALLBACKS:
        names = getattr(modeling_auto, mapping).get(model_type, ())
        candidates += [names] if isinstance(names, str) else names
    usable = (name for name in (*candidates, *_neighbours(model_type)) if _is_class_for(name, model_type))
    found = next(usable, None)
    if found is None:
        raise ValueError(f"transformers has no model class for model_type {model_type!r}")
    return found


def _neighbours(model_type: str) -> Iterator[str]:
    """Names in the module beside the configuration's own, for parts of models that no task is registered for."""
    import importlib

    from transformers import CONFIG_MAPPING

    place = CONFIG_MAPPING[model_type].__module__.replace(".configuration_", ".modeling_")
    with contextlib.suppress(ImportError):
        yield from (name for name in vars(importlib.import_module(place)) if not name.endswith("PreTrainedModel"))


def _is_class_for(name: str, model_type: str) -> bool:
    """True for a model class of the library that is built from this model type's configuration."""
    import transformers

    found = getattr(transformers, name, None) if name.isidentifier() else None
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        return False
    return found.config_class is not None and issubclass(transformers.CONFIG_MAPPING[model_type], found.config_class)


def _build(config: Mapping[str, Any], class_name: str) -> Any:
    """The model on the meta device: shapes without storage."""
    import torch

    try:
        with torch.device("meta"):
            return class_called(class_name)(config_object(config))
    except ImportError as error:
        raise ValueError(f"{class_name} needs a package that is not installed: {_sentence(error)}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError(f"the config of {class_name} is too large to build") from error
    except Exception as error:  # thousands of constructors, each with its own exceptions for settings that disagree
        raise ValueError(f"transformers cannot build {class_name} from this config: {_sentence(error)}") from error


def _sentence(error: BaseException) -> str:
    """What the error says, on one line and short; a bare key says nothing by itself."""
    text = " ".join(str(error).split())
    if " " not in text:
        text = f"{type(error).__name__} {text}".strip()
    return text if len(text) <= 300 else text[:297] + "…"
