"""A configuration made into a model on the meta device, by transformers' own classes, and read.

Only classes that transformers ships are used: code that a configuration points to (`auto_map`) is never fetched or run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from peftcalc.models.bounded.building import bounded
from peftcalc.models.configs.classes import ModelClass, has_labels, known_model_type, named_class
from peftcalc.models.configs.fields import field_notes, left_empty
from peftcalc.models.configs.other_files import refuse_other_json
from peftcalc.models.configs.towers import with_backbone, without_timm
from peftcalc.models.configs.transformers_classes import class_called, config_object, quiet
from peftcalc.models.configs.unsaid import unsaid
from peftcalc.models.configs.without_parameters import left_out_note, readings
from peftcalc.models.configs.written_forms import as_transformers_reads, label_count
from peftcalc.models.limits import MAX_PARAMETERS, check_config
from peftcalc.models.shapes import ModelShapes
from peftcalc.outside_files import shown

LABELS = 2
"""How many labels a head has when nobody says: transformers' own default."""

NO_LABELS = f"the head has {LABELS} labels, because the config says no number; give it as num_labels"


def build_shapes(
    config: Mapping[str, Any], name: str | None = None, chosen: ModelClass | None = None, num_labels: int | None = None
) -> ModelShapes:
    """The record of the model that a raw configuration describes.

    Args:
        config: the content of a `config.json`.
        name: the name by which the model is shown; default what the configuration calls itself, or its class.
        chosen: the class to build; default the one that the configuration names, or else the usual one.
        num_labels: outputs of the head, where the class has one; default what the configuration says, or else 2.

    Raises:
        ValueError: another file than a model's configuration, no `model_type`, an unknown architecture (the nearest is
            offered), code from outside the library, a dimension that no model can have, or settings that contradict
            each other.
    """
    refuse_other_json(config)
    check_config(config)
    model_type = known_model_type(config)
    with quiet(), bounded("the model of this config"):
        built = chosen or named_class(config, model_type)
        from peftcalc.models.read import read_module

        module, left_out = _build(config, model_type, built.name, num_labels)
        called = shown(name or str(config.get("_name_or_path") or "")) or built.name
        shapes = read_module(module, called, dict(config))
        silent = unsaid(config, module.config.to_dict())
        notes = [built.note, *left_out, *field_notes(config, module, shapes)]
        if num_labels is None and label_count(config) is None and has_labels(built.name):
            notes.append(NO_LABELS)
    if shapes.total > MAX_PARAMETERS:
        raise ValueError(f"this config describes {shapes.total:,} parameters; the limit is {MAX_PARAMETERS:,}")
    return replace(shapes, notes=tuple(note for note in notes if note), whole=False, unsaid=silent)


def _build(
    config: Mapping[str, Any], model_type: str, class_name: str, num_labels: int | None
) -> tuple[Any, tuple[str, ...]]:
    """The model on the meta device, shapes without storage, and what to say of settings that could not be read."""
    first: ValueError | None = None
    for reading, left_out in readings(with_backbone(as_transformers_reads(config), model_type)):
        try:
            module, lost = _built({**reading, "model_type": model_type}, class_name, num_labels)
        except ValueError as error:
            first = first or error  # the plainer readings complain of what was taken out of them
        else:
            return module, (*([left_out_note(left_out)] if left_out else []), *lost)
    assert first is not None
    raise first


def _built(config: Mapping[str, Any], class_name: str, num_labels: int | None) -> tuple[Any, tuple[str, ...]]:
    """The model of one reading of a configuration, and what is not in it."""
    from transformers.utils.import_utils import is_timm_available

    from peftcalc.models.bounded.without_storage import without_storage

    model_class, made = class_called(class_name), None
    try:
        made = config_object(config)
        if num_labels is not None:
            made.num_labels = num_labels
        made = _own_part(made, model_class)
        lost = () if is_timm_available() else without_timm(made)
        with without_storage():
            return model_class(made), lost
    except ImportError as error:
        raise ValueError(f"{class_name} needs a package that is not installed: {_sentence(error)}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError(f"the config of {class_name} is too large to build") from error
    except Exception as error:  # thousands of constructors, each with its own exceptions for settings that disagree
        empty = left_empty(made) if made is not None and "NoneType" in str(error) else ""
        raise ValueError(
            f"transformers cannot build {class_name} from this config: {_sentence(error)}{empty}"
        ) from error


def _own_part(config: Any, model_class: Any) -> Any:
    """The configuration, or its text part for a class that is made of that alone, as `AutoModelFor…` gives it."""
    text = config.sub_configs.get("text_config")
    of_text = text is not None and model_class.config_class is text and not isinstance(config, text)
    return config.get_text_config() if of_text else config


def _sentence(error: BaseException) -> str:
    """What the error says, on one line and short; a bare key says nothing by itself."""
    text = " ".join(str(error).split())
    if " " not in text:
        text = f"{type(error).__name__} {text}".strip()
    return text if len(text) <= 300 else text[:297] + "…"
