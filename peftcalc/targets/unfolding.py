"""How many parts a pattern has once its counted repeats are written out, as the engine with a time limit does it."""

from __future__ import annotations

from re import _parser  # pyright: ignore[reportAttributeAccessIssue]  the only reader of Python's own patterns
from typing import Any


def unfolded_parts(expression: str) -> int:
    """The parts of a pattern, each repeat `{m,n}` counted m times: so often the package `regex` builds what it repeats.

    Nothing is unfolded to count it. A pattern of eleven characters can take gigabytes there, and more can end the
    process.

    Args:
        expression: a pattern that `re.compile` has accepted.

    >>> unfolded_parts("q_proj"), unfolded_parts("(?:a{1000}b){1000}"), unfolded_parts(".*a{0,9}")
    (6, 1001000, 2)
    """
    return _parts(_parser.parse(expression))


def _parts(pattern: Any) -> int:
    """Of a piece of the parsed pattern: a list of pieces, or what one of them is made of."""
    total = 0
    for operator, argument in pattern:
        if str(operator).endswith("REPEAT"):
            least, _, repeated = argument
            total += max(int(least), 1) * _parts(repeated)
        else:
            total += 1 + _inside(argument)
    return total


def _inside(argument: Any) -> int:
    """Of the patterns that an operator holds, such as a group's, or a choice's several."""
    if isinstance(argument, _parser.SubPattern):
        return _parts(argument)
    if isinstance(argument, tuple | list):
        return sum(_inside(one) for one in argument)
    return 0
