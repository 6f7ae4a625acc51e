"""Which modules a method's `targets` name, decided as peft 0.21 decides it.

A string is a regular expression that must match the whole module name; a collection matches a name that equals an entry
or ends with `.entry`. Patterns come from visitors, so they run under a time limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import regex  # the one engine with a time limit: a visitor's pattern must not hang the server

from peftcalc.checks import nearest
from peftcalc.methods import LoRA, Targets

PATTERN_SECONDS = 0.5


def is_target(name: str, method: LoRA) -> bool:
    """True when `targets` name this module and nothing takes it out again.

    `all-linear` names every module here: the caller first asks whether the module is a linear layer.

    >>> is_target("model.layers.0.self_attn.q_proj", LoRA(targets=["q_proj"]))
    True
    >>> is_target("model.layers.3.self_attn.q_proj", LoRA(targets=["q_proj"], layers_to_transform=(0, 1)))
    False
    """
    if is_excluded(name, method):
        return False
    if method.targets == "all-linear":
        return _in_chosen_layers(name, method)
    if not isinstance(method.targets, str) and name in method.targets:
        return True  # a full name is meant whatever its layer
    return _named(name, method.targets) and _in_chosen_layers(name, method)


def is_excluded(name: str, method: LoRA) -> bool:
    """True when `exclude` names the module or `modules_to_save` contains it: peft adapts neither."""
    if method.exclude and _named(name, method.exclude):
        return True
    return any(_match(rf"(^|.*\.){saved}($|\..*)", name) for saved in method.modules_to_save)


def pattern_value(patterns: Mapping[str, Any], name: str, default: Any) -> Any:
    """The value of the first pattern that matches the end of `name` (`rank_pattern`, `alpha_pattern`), or the default.

    >>> pattern_value({"q_proj": 4}, "layers.0.q_proj", 8), pattern_value({"q_proj": 4}, "layers.0.v_proj", 8)
    (4, 8)
    """
    for pattern, value in patterns.items():
        if _match(rf"(.*\.)?({pattern})$", name):
            return value
    return default


def no_match_error(targets: Targets, names: Iterable[str]) -> ValueError:
    """The sentence for targets that match nothing: the names that exist, and the nearest ones."""
    suffixes = list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in names))
    suffixes = [suffix for suffix in suffixes if not suffix.isdigit()]
    wanted = [targets] if isinstance(targets, str) else list(targets)
    near = list(dict.fromkeys(match for want in wanted for match in nearest(want.rsplit(".", 1)[-1], suffixes, 1)))
    shown = ", ".join(suffixes[:24]) + (", …" if len(suffixes) > 24 else "")
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return ValueError(f"targets {', '.join(map(repr, wanted))} match no module; this model has {shown}{hint}")


def _named(name: str, targets: Targets) -> bool:
    if isinstance(targets, str):
        return _match(rf"(?:{targets})\Z", name)
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _in_chosen_layers(name: str, method: LoRA) -> bool:
    """The first numbered segment of the name is the layer index (peft takes the first, not an expert's number)."""
    if method.layers_to_transform is None or len(method.layers_to_transform) == 0:
        return True
    patterns = method.layers_pattern or ()
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    expressions = [rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\." for pattern in patterns] or [r".*?\.[^.]*\.(?P<idx>\d+)\."]
    for expression in expressions:
        found = _search_start(expression, name)
        if found:
            return int(found.group("idx")) in method.layers_to_transform
    return False


def _match(expression: str, name: str) -> bool:
    return _search_start(expression, name) is not None


def _search_start(expression: str, name: str) -> Any:
    """`re.match` with a time limit."""
    try:
        return regex.match(expression, name, timeout=PATTERN_SECONDS)
    except regex.error as error:
        raise ValueError(f"not a regular expression: {error}, in {expression!r}") from None
    except TimeoutError:
        raise ValueError(f"the regular expression {expression!r} takes too long to match; write it simpler") from None
