"""Which class of transformers a configuration is counted as: the one it names, the usual one, or the one a task loads.

The tables are the library's own (`transformers.models.auto.modeling_auto`), so every architecture that it ships has its
classes here, and none is listed by hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from peftcalc.checks import nearest

_WHOLE = (
    *("IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM", "SPEECH_SEQ_2_SEQ", "SEQ_TO_SEQ_CAUSAL_LM"),
    *("TEXT_TO_WAVEFORM", "TEXT_TO_SPECTROGRAM"),
)
"""The tasks of models of several parts; a decoder that is registered for text alone would be a part of them."""

_USUAL = ("CAUSAL_LM", "MASKED_LM", "IMAGE_CLASSIFICATION")
"""Which task any other model is built for when its configuration names no class, the first that exists."""

_OF_TASK = {
    "CAUSAL_LM": ("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT"),
    "SEQ_2_SEQ_LM": ("SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "IMAGE_TEXT_TO_TEXT"),
    "SEQ_CLS": ("SEQUENCE_CLASSIFICATION", "IMAGE_CLASSIFICATION", "AUDIO_CLASSIFICATION", "VIDEO_CLASSIFICATION"),
    "TOKEN_CLS": ("TOKEN_CLASSIFICATION", "AUDIO_FRAME_CLASSIFICATION"),
    "QUESTION_ANS": (
        "QUESTION_ANSWERING",
        "DOCUMENT_QUESTION_ANSWERING",
        "VISUAL_QUESTION_ANSWERING",
        "TABLE_QUESTION_ANSWERING",
    ),
    "FEATURE_EXTRACTION": ("",),
}
"""The tables in which a task type's class is looked up: first that of the `AutoModelFor…` whose name is nearest to the
task (`AutoModel` for features), then those of the same task on other inputs."""

TASK_TYPES = tuple(_OF_TASK)
"""peft's task types."""

_WRITING = ("CAUSAL_LM", "SEQ_2_SEQ_LM")
_WRITES = "prepare_inputs_for_generation"
"""The method that peft asks a model for that is to write text."""

LABELLED = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")
"""The task types whose class has a head with one output a label."""


@dataclass(frozen=True)
class ModelClass:
    """A class of transformers, and why it is not the one that was named.

    Args:
        name: of the class.
        note: a sentence when the configuration names another class than this one; empty when it does not.
    """

    name: str
    note: str = ""


def known_model_type(config: Mapping[str, Any]) -> str:
    """The configuration's `model_type`; files of 2019 have none and are known by the class that they name.

    Raises:
        ValueError: there is none, or transformers does not know it; the nearest are offered.
    """
    from transformers import CONFIG_MAPPING

    model_type = config.get("model_type")
    if "model_type" not in config:
        classes = (_shipped(name) for name in _named(config))
        model_type = next((c.config_class.model_type for c in classes if c is not None and c.config_class), None)
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


def named_class(config: Mapping[str, Any], model_type: str) -> ModelClass:
    """The class that `architectures` names, if transformers ships it for this model type; else the usual one."""
    named = _named(config)
    tables = (*_WHOLE, "", *_USUAL) if _has_parts(model_type) else (*_WHOLE, *_USUAL, "")
    usual = [name for table in tables for name in _registered(table, model_type)]
    usable = (name for name in (*named, *usual, *_neighbours(model_type)) if is_class_for(name, model_type))
    found = next(usable, None)
    if found is None:
        raise ValueError(f"transformers has no model class for model_type {model_type!r}")
    return ModelClass(found, _swapped(named, found, model_type))


def task_class(config: Mapping[str, Any], model_type: str, task_type: str, own: str) -> ModelClass:
    """The class that a user of peft loads for a task.

    It is the class of the `AutoModelFor…` of the task. The class `own`, as which the configuration is counted without
    a task, stays where it does that task already, and where the library has no other.

    Raises:
        ValueError: the task is to write text, and neither class can; peft refuses it.
    """
    tables = _OF_TASK[task_type]
    registered = [list(_registered(table, model_type)) for table in tables]
    if any(own in names for names in registered):
        return ModelClass(own)
    candidates = [name for names in registered for name in names]
    found = next((name for name in [*_named(config), *candidates] if name in candidates), None)
    if found is None and task_type in _WRITING and not hasattr(_shipped(own), _WRITES):
        raise ValueError(
            f"peft refuses {task_type} on {own}, which cannot generate text (it has no {_WRITES}), and transformers "
            f"has no class of {model_type} that does"
        )
    if found is None:
        return ModelClass(own, f"transformers has no class of {model_type} for {task_type}, so {own} is counted")
    return ModelClass(found, f"{found} is counted, the class that is loaded for {task_type}, and not {own}")


def loaded_by_auto(task_type: str, model_type: str) -> tuple[str, ...]:
    """The classes that the `AutoModelFor…` of a task loads for a model type; none for many."""
    return tuple(_registered(_OF_TASK[task_type][0], model_type))


def refuse_task(own: str, task_type: str | None) -> None:
    """A ValueError where peft refuses the task on a module that is what it is: text of a class that writes none.

    >>> refuse_task("LEDModel", "CAUSAL_LM")
    Traceback (most recent call last):
    ValueError: peft refuses CAUSAL_LM on LEDModel, which cannot generate text (it has no prepare_inputs_for_generation)
    """
    shipped = _shipped(own) if task_type in _WRITING else None
    if shipped is not None and not hasattr(shipped, _WRITES):
        raise ValueError(f"peft refuses {task_type} on {own}, which cannot generate text (it has no {_WRITES})")


def head_class(model_type: str, own: str) -> str:
    """The class with one output a label: `own` when it has such a head, else the first one that does."""
    tables = [table for task_type in LABELLED for table in _OF_TASK[task_type]]
    names = [name for table in tables for name in _registered(table, model_type)]
    return own if own in names or not names else names[0]


def has_labels(name: str) -> bool:
    """True for a class that is registered for a task with labels, on any input."""
    from transformers.models.auto import modeling_auto

    tables = (n for n in vars(modeling_auto) if n.endswith("_MAPPING_NAMES") and "CLASSIFICATION" in n)
    return any(name in _flat(getattr(modeling_auto, table).values()) for table in tables)


def is_class_for(name: str, model_type: str) -> bool:
    """True for a model class of the library that is built from this model type's configuration, or registered for it.

    Some model types have no classes of their own: `internlm3` is built as Llama.
    """
    import transformers

    found = _shipped(name)
    if found is None or found.config_class is None:
        return False
    return issubclass(transformers.CONFIG_MAPPING[model_type], found.config_class) or is_registered(name, model_type)


def is_registered(name: str, model_type: str) -> bool:
    """True for a class that the library registers for this model type, whatever the task."""
    from transformers.models.auto import modeling_auto

    tables = (value for table, value in vars(modeling_auto).items() if table.endswith("_MAPPING_NAMES"))
    return any(name in _flat([table.get(model_type, ())]) for table in tables if table is not None)


def _shipped(name: str) -> Any:
    """The model class of that name that transformers ships, or None."""
    import transformers

    found = getattr(transformers, name, None) if name.isidentifier() else None
    return found if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel) else None


def _named(config: Mapping[str, Any]) -> list[str]:
    """The content of `architectures`."""
    named = config.get("architectures") or []
    if not isinstance(named, list) or any(not isinstance(name, str) for name in named):
        raise ValueError(f"config: architectures must be a list of class names, got {named!r}")
    return named


def _swapped(named: list[str], found: str, model_type: str) -> str:
    """What to say when the class that is counted is not the one that was named."""
    if not named or named[0] == found:
        return ""
    asked = named[0] if len(named[0]) <= 80 else f"{named[0][:79]}…"
    why = f"no class of model_type {model_type!r}" if _shipped(asked) else "no class of transformers"
    return f"architectures names {asked}, {why}: what is counted is {found}, which may be another model"


def _registered(table: str, model_type: str) -> Iterator[str]:
    """The classes that the library registers for a task and a model type; the empty task is the bare model."""
    from transformers.models.auto import modeling_auto

    name = f"MODEL_FOR_{table}_MAPPING_NAMES" if table else "MODEL_MAPPING_NAMES"
    yield from _flat([getattr(modeling_auto, name, {}).get(model_type, ())])


def _flat(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        yield from ((value,) if isinstance(value, str) else value)


def _has_parts(model_type: str) -> bool:
    """True for a configuration that is made of several: the bare model has them all, a classifier perhaps one."""
    from transformers import CONFIG_MAPPING

    config_class: Any = CONFIG_MAPPING[model_type]
    return len(config_class.sub_configs) > 1


def _neighbours(model_type: str) -> Iterator[str]:
    """Names in the module beside the configuration's own, for parts of models that no task is registered for."""
    import importlib

    from transformers import CONFIG_MAPPING

    place = CONFIG_MAPPING[model_type].__module__.replace(".configuration_", ".modeling_")
    with contextlib.suppress(ImportError):
        yield from (name for name in vars(importlib.import_module(place)) if "PreTrainedModel" not in name)
