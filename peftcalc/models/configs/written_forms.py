"""Numbers and labels as other programs write them, in the form that transformers reads.

A dimension may be a float without a fraction (JavaScript has no other numbers), and labels may be a list, or empty, or
null, where transformers wants a mapping or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peftcalc.models.limits import is_dimension

_LABELS = ("id2label", "label2id", "num_labels")


def as_transformers_reads(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration, its parts too, with whole dimensions and labels as a mapping.

    >>> as_transformers_reads({"hidden_size": 64.0, "rope_theta": 1e4, "id2label": ["no", "yes"], "num_labels": None})
    {'hidden_size': 64, 'rope_theta': 10000.0, 'id2label': {0: 'no', 1: 'yes'}}
    """
    read: dict[str, Any] = {}
    for name, value in config.items():
        if name in _LABELS:
            if isinstance(value, list | tuple):
                value = dict(enumerate(value)) if name == "id2label" else None
            if value is not None and value != {}:
                read[name] = value
        elif isinstance(value, Mapping):
            read[name] = as_transformers_reads(value)
        else:
            read[name] = _whole(value) if is_dimension(str(name)) else value
    return read


def label_count(config: Mapping[str, Any]) -> int | None:
    """How many labels a configuration says that its head has; None when it does not.

    >>> label_count({"id2label": {"0": "no", "1": "yes", "2": "perhaps"}}), label_count({})
    (3, None)
    """
    names, number = config.get("id2label"), config.get("num_labels")
    if (
        isinstance(number, int) and number >= 0
    ):  # transformers takes it for the truth where the names are another number
        return number
    return len(names) if isinstance(names, Mapping | list | tuple) and names else None


def _whole(value: Any) -> Any:
    """A float without a fraction as the integer that it is, in lists too."""
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
