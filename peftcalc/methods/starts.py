"""How an adapter starts, as data: the names, what peft calls them, and whether the base keeps its weight.

What a start computes stands in `peftcalc.adapters.layers.starts`, under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peftcalc.checks import one_of, whole_number

MAX_ITERATIONS = 1_000
"""Of `pissa_niter_N`; sixteen are many."""

_NUMBERED = "_niter_"


@dataclass(frozen=True)
class Start:
    """One way to give A and B their first values.

    Args:
        peft: the value of peft's `init_lora_weights`.
        changes_base: B A is not zero at the start; the base gives `s · B A` away, so that the sum stays what it was.
        numbered: `NAME_niter_N` is a start too: the same with N iterations.
        rounds: what B A begins with is what 4 bits lose of W, and the base is W in 4 bits.
    """

    peft: bool | str
    changes_base: bool = False
    numbered: bool = False
    rounds: bool = False


STARTS = {
    "default": Start(peft=True),
    "gaussian": Start(peft="gaussian"),
    "pissa": Start(peft="pissa", changes_base=True, numbered=True),
    "olora": Start(peft="olora", changes_base=True),
    "loftq": Start(peft="loftq", changes_base=True, numbered=True, rounds=True),
}
"""Kaiming-uniform A and B = 0 (LoRA's own code); A normal with a standard deviation of 1/r and B = 0 (LoRA paper,
section 4.1); the principal singular values and vectors of W (Meng et al. 2024, arXiv:2404.02948, eq. 2–4);
its first orthonormal directions and their parts of W, from the QR decomposition (Büyükakyüz 2024, arXiv:2406.01775);
the best approximation of what 4 bits lose of W, from N turns of quantizing and decomposing, of which peft's default is
one (Li et al. 2023, LoftQ, arXiv:2310.08659, algorithm 1)."""

_KEPT_BY = (True, False, None, "eva", "orthogonal")
"""What else peft's `init_lora_weights` may say of an adapter whose base is the original one."""


def checked_start(name: Any) -> str:
    """`name` if it is a start, or a ValueError that names the nearest.

    >>> checked_start("pissa_niter_16")
    'pissa_niter_16'
    """
    kind, steps = split_start(name)
    if steps is not None:
        whole_number("the number of iterations in init", steps, int(STARTS[kind].rounds), MAX_ITERATIONS)
    one_of("init", kind, STARTS)
    return name


def split_start(name: Any) -> tuple[str, int | None]:
    """The start's name in the table, and its number of iterations if it has one.

    >>> split_start("pissa_niter_16"), split_start("gaussian")
    (('pissa', 16), ('gaussian', None))
    """
    kind, numbered, steps = name.partition(_NUMBERED) if isinstance(name, str) else (name, "", "")
    if numbered and kind in STARTS and STARTS[kind].numbered and steps.isascii() and steps.isdigit():
        return kind, int(steps[:9])
    return name, None


def changes_base(name: str) -> bool:
    """True where the base gives away what the adapter starts with."""
    return STARTS[split_start(name)[0]].changes_base


def rounds(name: str) -> bool:
    """True where B A begins with what 4 bits lose of the weight.

    >>> rounds("loftq"), rounds("loftq_niter_5"), rounds("pissa")
    (True, True, False)
    """
    return STARTS[split_start(name)[0]].rounds


def start_rank(name: str, rank: int, sides: tuple[int, int]) -> int:
    """The rank with which an adapter of a weight begins: a start that takes its vectors from W finds no more of them
    than W's smaller side has, and peft leaves it at that; s stays that of the rank asked for.

    >>> start_rank("pissa", 8, (1, 64)), start_rank("default", 8, (1, 64))
    (1, 8)
    """
    return min(rank, *sides) if changes_base(name) else rank


def to_peft(name: str) -> bool | str:
    """The value of `init_lora_weights` for a start."""
    kind, steps = split_start(name)
    return STARTS[kind].peft if steps is None or STARTS[kind].rounds else name


def loftq_config(name: str) -> dict[str, int]:
    """peft's `loftq_config` of a start; empty for one that does not round.

    >>> loftq_config("loftq_niter_5"), loftq_config("pissa")
    ({'loftq_bits': 4, 'loftq_iter': 5}, {})
    """
    return {"loftq_bits": 4, "loftq_iter": split_start(name)[1] or 1} if rounds(name) else {}


def from_peft(value: Any, loftq: Any = None) -> str:
    """The start that a value of `init_lora_weights` means; how A and B began is forgotten where the base kept its
    weight. `loftq` is the file's `loftq_config`.

    Raises:
        ValueError: a start that is not known here and may have changed the base.

    >>> from_peft(True), from_peft("orthogonal"), from_peft("pissa")
    ('default', 'default', 'pissa')
    """
    if value in _KEPT_BY:
        return "default"
    if value == "loftq":
        given = loftq if isinstance(loftq, Mapping) else {}
        if given.get("loftq_bits", 4) != 4:
            raise ValueError(f"loftq_bits must be 4 to be read here, got {given['loftq_bits']!r}")
        turns = whole_number("loftq_iter", given.get("loftq_iter", 1), 1, MAX_ITERATIONS)
        return "loftq" if turns == 1 else f"loftq{_NUMBERED}{turns}"
    try:
        return checked_start(value)
    except ValueError:
        raise ValueError(f"this adapter belongs to a changed base: init_lora_weights is {value!r}") from None
