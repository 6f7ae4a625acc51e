"""What a configuration says that its class does not know, and what its class assumes that the configuration leaves out.

Both mean that the model that is counted may not be the one that was meant: a flat or foreign configuration is read as
the class's defaults, and nothing fails.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from peftcalc.models.configs.towers import STAND_IN
from peftcalc.models.configs.without_parameters import has_no_parameters
from peftcalc.models.limits import is_dimension
from peftcalc.models.shapes import ModelShapes

_LISTED = 12
"""How many fields a sentence lists."""

_HARMLESS = frozenset(
    (
        *("architectures", "model_type", "id2label", "label2id", "num_labels", "use_return_dict", "is_decoder"),
        *("is_encoder_decoder", "add_cross_attention", "cross_attention_hidden_size", "chunk_size_feed_forward"),
        *("tie_encoder_decoder", "tie_word_embeddings", "tie_weights_", "name_or_path", "tf_legacy_loss", "ep_size"),
    )
)
"""Known to every class, or without parameters, or for another framework."""

_WEAK = re.compile(
    r"act(ivation)?(_fn|_function)?$|sliding|window|_pattern$|_freq$|_every_n_layers$|_method$|_func$|experts_per_tok|"
    r"position|n_ctx$|seq_length$|summary_|norm|scale|scaling"
)
"""Fields that old configurations carry along; by themselves they say nothing about another model."""


def field_notes(raw: Mapping[str, Any], module: Any, shapes: ModelShapes) -> Iterator[str]:
    """A sentence for the fields that the class does not know, and one for those that it fills in.

    Args:
        raw: the content of a `config.json`.
        module: the model that transformers built of it.
        shapes: the record of that model; a default that is no size in it is not mentioned.
    """
    config = module.config
    name = type(config).__name__
    unknown = list(_unknown(raw, config, module))
    if any(not _WEAK.search(field) for field in unknown):
        yield f"{name} does not know these fields of the config, which are not counted: {_listed(unknown)}"
    sizes = {side for group in shapes.groups for tensor in group.tensors for side in tensor.shape}
    missing = [f"{field} = {value}" for field, value in _missing(raw, config, sizes)]
    if missing:
        yield f"the config leaves out fields, for which {name}'s defaults are taken: {_listed(missing)}"


def _unknown(
    raw: Mapping[str, Any], config: Any, module: Any, path: str = "", holders: tuple[Any, ...] = ()
) -> Iterator[str]:
    """Fields that became an attribute of the object that nobody reads, those of parts included.

    Args:
        raw: the content of a `config.json`, or of a part of it.
        config: what transformers made of it.
        module: the model.
        path: the names of the parts around it.
        holders: the objects whose part it is.
    """
    code = "\n".join({_source(type(part).__module__) for part in module.modules() if _config_of(part) is config})
    known = (
        {field.name for field in dataclasses.fields(config)}
        | set(config.attribute_map)
        | set(config.attribute_map.values())
    )
    for name, value in raw.items():
        part = _value_of(config, name)
        if _is_config(part) and isinstance(value, Mapping):
            yield from _unknown(value, part, module, f"{path}{name}.", (*holders, config))
        elif name in known or hasattr(type(config), name) or name not in vars(config):
            continue  # what is no attribute was read under an older name
        elif value not in (None, False, [], {}, "") and not (
            name in _HARMLESS or has_no_parameters(name) or _is_read(name, code) or _is_made(name, config, holders)
        ):
            yield f"{path}{name}"


def _missing(raw: Mapping[str, Any], config: Any, sizes: set[int], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dimensions that the configuration leaves out, with the value that its class takes."""
    said = {name for pair in config.attribute_map.items() if not set(raw).isdisjoint(pair) for name in pair} | set(raw)
    for field in dataclasses.fields(config):
        value: Any = _value_of(config, field.name)
        full = f"{path}{field.name}"
        if _is_config(value):
            given = raw.get(field.name)
            if isinstance(given, Mapping) and given.get("model_type", value.model_type) != value.model_type:
                continue  # another tower stands for it (`towers`)
            if isinstance(given, Mapping):
                yield from _missing(given, value, sizes, f"{full}.")
            elif not _is_config(given) and type(value).model_type != STAND_IN:
                yield full, type(value).__name__
        elif field.name in said or not is_dimension(field.name) or field.name in _HARMLESS:
            continue
        elif isinstance(value, int) and value == field.default and _matters(field.name, value, sizes):
            yield full, f"{value:,}"


def left_empty(config: Any) -> str:
    """The sizes and lists of layers that have no value, as the end of a sentence; empty when all have one."""
    fields = (field.name for field in dataclasses.fields(config))
    empty = [name for name in fields if _is_needed(name) and _value_of(config, name) is None]
    return f"; these fields have no value: {_listed(empty)}" if empty else ""


def _is_needed(name: str) -> bool:
    return is_dimension(name) or name.endswith(("_types", "_layers", "_config"))


def _matters(name: str, value: int, sizes: set[int]) -> bool:
    """True for a number of layers, heads or experts, and for a width that some weight of the model has."""
    if name == "num_channels":  # an image has three
        return False
    return value > 0 and (name.startswith(("num_", "n_")) or name.endswith(("_layers", "_heads")) or value in sizes)


def _is_read(field: str, code: str) -> bool:
    """True when the model's own code asks for a field that its configuration class does not declare."""
    name = re.escape(field)
    return re.search(rf"(?<!\w)config\.{name}\b|(?<!\w)config, [\"']{name}[\"']", code) is not None


def _is_made(field: str, config: Any, holders: Iterable[Any]) -> bool:
    """True when the classes make the field of others themselves, so that every file that they save has it.

    DeepSeek's class sets `qk_head_dim`, PaliGemma's hands `projection_dim` to its tower.
    """
    name = re.escape(field)
    made = re.compile(rf"self\.{name}\s*=(?!=)")
    handed = re.compile(rf"\.{name}\s*=(?!=)|^\s+{name}=(?!=)", re.MULTILINE)
    own, above = _code_of(type(config)), (_code_of(type(holder)) for holder in holders)
    return made.search(own) is not None or any(handed.search(code) for code in above)


@cache
def _code_of(kind: type[Any]) -> str:
    """What defines a configuration's class and those of its architecture that it is derived from."""
    places = {base.__module__ for base in kind.__mro__ if base.__module__.startswith("transformers.models.")}
    try:
        return "\n".join(inspect.getsource(sys.modules[place]) for place in sorted(places))
    except (OSError, TypeError, KeyError):  # a build without sources
        return ""


@cache
def _source(place: str) -> str:
    """The lines of a module that name a configuration."""
    try:
        lines = inspect.getsource(sys.modules[place]).splitlines()
    except (OSError, TypeError, KeyError):  # a build without sources
        return ""
    return "\n".join(line for line in lines if "config" in line)


def _value_of(config: Any, name: str) -> Any:
    """A field of a configuration; None where there is none, or one for each layer, which its object refuses to name."""
    try:
        return getattr(config, name, None)
    except Exception:  # of every configuration class its own
        return None


def _config_of(part: Any) -> Any:
    return getattr(part, "config", None)


def _is_config(value: Any) -> bool:
    from transformers import PreTrainedConfig

    return isinstance(value, PreTrainedConfig)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + rest
