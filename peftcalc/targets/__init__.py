"""Which modules a method's `targets` name, decided as peft 0.21 decides it.

A string is a regular expression that must match the whole module name; a collection matches a name that equals an entry
or ends with `.entry`. Patterns come from visitors, so they run under a time limit, which Python's `re` does not have;
they mean what they mean to `re`, which peft uses (`as_python_reads`).
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import regex  # the one engine with a time limit: a visitor's pattern must not hang the server

from peftcalc.checks import nearest
from peftcalc.methods import LoRA, Targets
from peftcalc.targets.unfolding import unfolded_parts

PATTERN_SECONDS = 0.5
"""For one name."""
ALL_PATTERNS_SECONDS = 5.0
"""For all names of a model together, within `pattern_deadline`."""
MAX_PATTERN = 50_000
"""Characters; the longest that programs write list every module of a large model."""
MORE_UNFOLDED = 1_000
"""Parts that a pattern may have beyond its characters; no module's name is so long."""
_SHORT = 1_000
"""Characters of a pattern of which many are kept."""

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def pattern_deadline(seconds: float = ALL_PATTERNS_SECONDS) -> Iterator[None]:
    """Within it, all patterns together may take so long, however many names they are held against."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


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
    return is_named(name, method.targets) and _in_chosen_layers(name, method)


def is_excluded(name: str, method: LoRA) -> bool:
    """True when `exclude` names the module or `modules_to_save` contains it: peft adapts neither."""
    if method.exclude and is_named(name, method.exclude):
        return True
    return any(_matches(rf"(^|.*\.){saved}($|\..*)", name) for saved in method.modules_to_save)


def pattern_value(patterns: Mapping[str, Any], name: str, default: Any) -> Any:
    """The value of the first pattern that matches the end of `name` (`rank_pattern`, `alpha_pattern`), or the default.

    >>> pattern_value({"q_proj": 4}, "layers.0.q_proj", 8), pattern_value({"q_proj": 4}, "layers.0.v_proj", 8)
    (4, 8)
    """
    for pattern, value in patterns.items():
        if _ends_with(pattern, name):
            return value
    return default


def _ends_with(pattern: str, name: str) -> bool:
    """`re.match` of `(.*\\.)?(pattern)$`; files name hundreds of modules in full, for which no engine is needed."""
    if not _is_plain(pattern):
        return _matches(rf"(.*\.)?({pattern})$", name)
    tail, before = name[-len(pattern) :], name[: -len(pattern)]
    if len(tail) < len(pattern) or (before and before[-1] != "."):
        return False
    return tail == pattern or all(wanted in (letter, ".") for wanted, letter in zip(pattern, tail, strict=True))


@lru_cache(maxsize=4096)
def _is_plain(pattern: str) -> bool:
    """Letters, digits and dots: as a pattern it differs from a name only in what a dot may be."""
    return re.fullmatch(r"[\w.]+", pattern) is not None


def no_match_error(targets: Targets, names: Iterable[str]) -> ValueError:
    """The sentence for targets that match nothing: the names that exist, and the nearest ones."""
    suffixes = list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in names))
    suffixes = [suffix for suffix in suffixes if not suffix.isdigit()]
    wanted = [targets] if isinstance(targets, str) else list(targets)
    near = list(dict.fromkeys(match for want in wanted for match in nearest(want.rsplit(".", 1)[-1], suffixes, 1)))
    shown = ", ".join(suffixes[:24]) + (", …" if len(suffixes) > 24 else "")
    hint = f"; nearest: {', '.join(near)}" if near else ""
    if isinstance(targets, str) and as_python_reads(targets) != targets:
        hint += "; Python's re, which peft uses, has no classes like [[:alpha:]] and no approximate {e<=1}"
    return ValueError(f"targets {', '.join(map(repr, wanted))} match no module; this model has {shown}{hint}")


def is_named(name: str, targets: Targets) -> bool:
    """True when one of the names, or the regular expression, means this module.

    >>> is_named("layers.0.q_proj", ["q_proj"]), is_named("layers.0.xq_proj", ["q_proj"])
    (True, False)
    """
    if isinstance(targets, str):
        return _matches(targets, name, whole=True)
    return any(name == target or name.endswith(f".{target}") for target in targets)


def layer_of(name: str, layers_pattern: str | Iterable[str] | None) -> int | None:
    """The number of the layer that a module lies in, as `layers_to_transform` counts them; None outside every layer.

    It is the first numbered segment (peft takes the first, not an expert's number) after a name that one of the
    patterns describes, or after any name.

    >>> layer_of("model.layers.3.mlp.experts.5.up", None), layer_of("model.layers.3.mlp.up", "h")
    (3, None)
    """
    patterns = layers_pattern or ()
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    expressions = [rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\." for pattern in patterns] or [r".*?\.[^.]*\.(?P<idx>\d+)\."]
    for expression in expressions:
        found = _search(expression, name)
        if found:
            return int(found.group("idx"))
    return None


def _in_chosen_layers(name: str, method: LoRA) -> bool:
    if method.layers_to_transform is None or len(method.layers_to_transform) == 0:
        return True
    return layer_of(name, method.layers_pattern) in method.layers_to_transform


def _matches(expression: str, name: str, whole: bool = False) -> bool:
    return _search(expression, name, whole) is not None


def _search(expression: str, name: str, whole: bool = False) -> Any:
    """`re.match`, or `re.fullmatch` for the whole name, with a time limit."""
    compiled = (_compiled if len(expression) <= _SHORT else _compiled_long)(expression)
    end = _deadline.get()
    seconds = PATTERN_SECONDS if end is None else min(PATTERN_SECONDS, end - time.monotonic())
    try:
        if seconds <= 0:
            raise TimeoutError
        return (compiled.fullmatch if whole else compiled.match)(name, timeout=seconds)
    except TimeoutError:
        raise ValueError(
            f"the regular expression {_short(expression)} takes too long to match; write it simpler"
        ) from None


def _compile(expression: str) -> Any:
    """The expression for the engine with a time limit, if Python's `re` accepts it."""
    if len(expression) > MAX_PATTERN:
        raise ValueError(f"a regular expression has at most {MAX_PATTERN:,} characters, got {len(expression):,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "possible nested set": such a bracket is read as the letter that it is
            verbose = bool(re.compile(expression).flags & re.VERBOSE)
            parts, most = unfolded_parts(expression), len(expression) + MORE_UNFOLDED
            if parts > most:
                raise ValueError(
                    f"the regular expression {_short(expression)} has {parts:,} parts when its repeats are written "
                    f"out; at most {most:,} are held against a name"
                )
            return regex.compile(as_python_reads(expression, verbose), cache_pattern=False)  # kept here, within bounds
    except (RecursionError, MemoryError):
        raise ValueError(f"the regular expression {_short(expression)} is nested too deeply") from None
    except (re.error, regex.error, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}, in {_short(expression)}") from None


_compiled, _compiled_long = lru_cache(maxsize=512)(_compile), lru_cache(maxsize=16)(_compile)
"""A part takes some 300 bytes: of long patterns only few are kept."""


_PIECE = re.compile(
    r"""
    (?P<escape> \\N\{ [^}]* \} | \\. )
    | (?P<remark> \(\?\# [^)]* \) )
    | (?P<set> \[ \^? \]? (?: \\. | [^\]\\] )* \] )
    | (?P<repeat> \{ (?: \d+ (?: , \d* )? | , \d* ) \} )
    | (?P<brace> \{ )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_VERBOSE_PIECE = re.compile(rf"(?P<line> \# [^\n]* ) | {_PIECE.pattern}", re.VERBOSE | re.DOTALL)


def as_python_reads(expression: str, verbose: bool = False) -> str:
    """A pattern that Python's `re` accepts, such that the `regex` package reads it as `re` does.

    The package knows more: `[[:alpha:]]` is a class of letters to it, where `re` sees the set of `[`, `:` and five
    letters and then a bracket; `{e<=1}` allows one mistake, where `re` sees these five characters. So brackets within
    sets and braces that count nothing are marked as the characters that they are.

    Args:
        expression: a pattern that `re.compile` has accepted.
        verbose: the pattern sets the flag `x`: what stands behind `#` is a remark.

    >>> print(as_python_reads("[[:alpha:]]_(?:q){e<=1}a{2}"))
    [\\[:alpha:]]_(?:q)\\{e<=1}a{2}
    """
    pieces = []
    for found in (_VERBOSE_PIECE if verbose else _PIECE).finditer(expression):
        text = found.group()
        if found.lastgroup == "set":
            text = "[" + re.sub(r"(\\.)|\[", lambda part: part.group(1) or r"\[", text[1:], flags=re.DOTALL)
        elif found.lastgroup == "brace":
            text = r"\{"
        pieces.append(text)
    return "".join(pieces)


def _short(expression: str) -> str:
    return repr(expression if len(expression) <= 200 else expression[:199] + "…")
