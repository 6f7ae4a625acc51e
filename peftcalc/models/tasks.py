"""The model that a user of peft loads for a task: another head than the config's own, and so other parameters."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import Any

from peftcalc.checks import nearest, whole_number
from peftcalc.models.build import LABELS, NO_LABELS, build_shapes
from peftcalc.models.configs.classes import (
    LABELLED,
    TASK_TYPES,
    ModelClass,
    has_labels,
    head_class,
    is_class_for,
    refuse_task,
    task_class,
)
from peftcalc.models.configs.written_forms import label_count
from peftcalc.models.limits import MAX_LABELS
from peftcalc.models.shapes import ModelShapes

KEPT_MODELS = 64
"""How many models with another head are remembered; each is a record of some kilobytes."""


def task_shapes(
    shapes: ModelShapes, task_type: str | None = None, num_labels: int | None = None, class_name: str | None = None
) -> ModelShapes:
    """The model of the class that a task loads: for "SEQ_CLS" `AutoModelForSequenceClassification` of the config.

    Args:
        shapes: the model as its configuration names it. A module that was given whole is what it is.
        task_type: peft's; None leaves the class as it is, unless `num_labels` asks for a head.
        num_labels: outputs of the head; default what the configuration says, or else 2, which is then noted.
        class_name: the class itself, where it is known (an adapter's file may name it), in place of the task's.

    Raises:
        ValueError: no such task type, a number of labels below 1, or a model that cannot be built.

    >>> task_shapes(build_shapes({"model_type": "bert"}), "SEQ_CLS").architecture
    'BertForSequenceClassification'
    """
    task_type = known_task_type(task_type)
    labels = None if num_labels is None else whole_number("num_labels", num_labels, 1, MAX_LABELS)
    model_type = shapes.config.get("model_type")
    if shapes.whole and shapes.pretrained:
        refuse_task(shapes.architecture, task_type)
    if shapes.whole or not isinstance(model_type, str) or _is_as_it_should_be(shapes, task_type, labels, class_name):
        return shapes
    from transformers import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:  # a record made by hand
        return shapes
    chosen = _chosen(shapes, model_type, task_type, labels, class_name)
    if chosen.name == shapes.architecture and labels in (None, label_count(shapes.config)):
        return replace(shapes, notes=_joined(shapes, [chosen.note, *_labels(shapes, chosen, task_type, labels)]))
    config = json.dumps(shapes.config, sort_keys=True, default=repr)
    built = _built(config, chosen.name, labels)
    notes = [chosen.note, *_labels(shapes, chosen, task_type, labels)]
    if labels is not None and chosen.name == shapes.architecture and built.total == shapes.total:
        notes.append(f"num_labels changes nothing: {chosen.name} has no head with one output a label")
    return replace(built, id=shapes.id, config=_with_labels(shapes.config, labels), notes=_joined(shapes, notes))


def known_task_type(task_type: Any) -> str | None:
    """peft's name of a task type.

    Raises:
        ValueError: peft has no such task type.
    """
    if task_type is None or task_type == "":
        return None
    name = str(getattr(task_type, "value", task_type))
    if name not in TASK_TYPES:
        near = nearest(name.upper(), TASK_TYPES)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise ValueError(f"task_type must be one of {', '.join(TASK_TYPES)}, got {name!r}{hint}")
    return name


def _is_as_it_should_be(shapes: ModelShapes, task_type: str | None, labels: int | None, class_name: str | None) -> bool:
    """True where transformers need not even be asked: nothing is wanted, or text of a model that writes text."""
    if class_name is not None or labels is not None:
        return class_name == shapes.architecture and labels is None
    if task_type == "CAUSAL_LM":
        return shapes.architecture.endswith(("ForCausalLM", "LMHeadModel"))
    return task_type is None


def _chosen(
    shapes: ModelShapes, model_type: str, task_type: str | None, labels: int | None, class_name: str | None
) -> ModelClass:
    """The class that is loaded."""
    own = shapes.architecture
    if class_name is not None:
        if is_class_for(class_name, model_type):
            return ModelClass(class_name)
        return ModelClass(own, f"the adapter was trained on {class_name}, which is no class of {model_type} here")
    if task_type is not None:
        return task_class(shapes.config, model_type, task_type, own)
    found = head_class(model_type, own) if labels is not None else own
    return ModelClass(
        found, "" if found == own else f"{found} is counted, which has a head with {labels:,} labels, and not {own}"
    )


def _labels(shapes: ModelShapes, chosen: ModelClass, task_type: str | None, labels: int | None) -> list[str]:
    """What to say when nobody says how many labels there are."""
    if labels is not None or label_count(shapes.config) is not None:
        return []
    if task_type == "QUESTION_ANS":
        return [f"the head has {LABELS} outputs, where an answer begins and where it ends"]
    return [NO_LABELS] if task_type in LABELLED or has_labels(chosen.name) else []


def _with_labels(config: dict[str, Any], labels: int | None) -> dict[str, Any]:
    """The configuration of the model with that head, so that it says itself how many labels it has."""
    if labels is None:
        return config
    return {name: value for name, value in config.items() if name not in ("id2label", "label2id")} | {
        "num_labels": labels
    }


def _joined(shapes: ModelShapes, notes: list[str]) -> tuple[str, ...]:
    """The model's own notes, but for those on its former head, and new ones, each once."""
    own = (note for note in shapes.notes if note != NO_LABELS)
    return tuple(dict.fromkeys((*own, *(note for note in notes if note))))


@lru_cache(KEPT_MODELS)
def _built(config: str, class_name: str, labels: int | None) -> ModelShapes:
    """The record by the content of its configuration, so that a page that asks again does not build again."""
    return build_shapes(json.loads(config), None, ModelClass(class_name), labels)
