"""The commands of `python -m peftcalc`, one module each.

A command module has `add(commands)`, which declares the command's arguments on an argparse subparser and sets `run`,
and `run(arguments)`, which prints and returns `NO` where the answer is no, else nothing. A ValueError becomes one line
and exit code 2, and so does a package that is missing (see `peftcalc.cli`).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from peftcalc.checks import one_of, whole_number
from peftcalc.memory.cards import Gpu, gpu
from peftcalc.methods import METHODS, QUANT_TYPES, Method, make_method
from peftcalc.methods.starts import STARTS
from peftcalc.units import for_json

NO = 1
"""The exit code of a command whose answer is no: it does not fit."""

_NUMBER = re.compile(r"[+-]?((\d+|\d{1,3}(,\d{3})+)(\.\d*)?|\.\d+)(e[+-]?\d{1,2})?", re.IGNORECASE)
_MOST_CHARACTERS = 80


def print_json(record: Mapping[str, Any] | Sequence[Any]) -> None:
    """JSON on standard output; what JSON cannot hold (NaN, infinity) becomes null, and what the output's encoding
    cannot is escaped."""
    text = json.dumps(for_json(record), indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(for_json(record), indent=2)
    print(text)


def print_table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Columns as wide as their longest cell; the first one left-aligned, the others right-aligned.

    >>> print_table([["q_proj", "4,096"]], ["module", "parameters"])
    module  parameters
    q_proj       4,096
    """
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [
            str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def number(text: str) -> int:
    """A whole number as people type it: 4e9, 7B, 1_000, 8; every digit counts, and commas divide thousands only.

    >>> number("4e9"), number("7B"), number("1,000"), number("8.03B")
    (4000000000, 7000000000, 1000, 8030000000)
    >>> number("1,4")
    Traceback (most recent call last):
    argparse.ArgumentTypeError: not a number: '1,4'
    """
    cleaned = text.strip().replace("_", "")
    factor = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}.get(cleaned[-1:].lower(), 1)
    said = cleaned[:-1] if factor > 1 else cleaned
    if len(said) > _MOST_CHARACTERS or not _NUMBER.fullmatch(said):
        raise argparse.ArgumentTypeError(f"not a number: {text[:_MOST_CHARACTERS]!r}")
    value = Fraction(said.replace(",", "")) * factor  # exact: 8.03 × 10⁹ is 8,029,999,999.999999 in floats
    if value.denominator != 1:
        raise argparse.ArgumentTypeError(f"not a whole number: {text!r}")
    return int(value)


def add_card(parser: argparse.ArgumentParser) -> None:
    """A card, as the second word or by name."""
    parser.add_argument("card", nargs="?", help='the card, such as "V100 16GB" or T4')
    parser.add_argument("--gpu", "--card", dest="gpu", metavar="CARD", help="the same, by name")


def card_from(arguments: argparse.Namespace) -> Gpu:
    """The card that the options of `add_card` name, once.

    Raises:
        ValueError: none, two, or an unknown one.
    """
    if bool(arguments.card) == bool(arguments.gpu):
        raise ValueError('name one card, such as "V100 16GB", after the model or by --gpu')
    return gpu(arguments.card or arguments.gpu)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_model(parser: argparse.ArgumentParser) -> None:
    known = "catalogue id; or, with peftcalc[lab], path of a config.json or its folder, or hub id"
    parser.add_argument("model", help=known)


def add_method(parser: argparse.ArgumentParser, default: str = "lora") -> None:
    """The options that describe a method."""
    parser.add_argument("--method", default=default, help=f"one of {', '.join(METHODS)} (default {default})")
    add_adapter(parser)


def add_adapter(parser: argparse.ArgumentParser, rank: int = 8) -> None:
    """The options that describe a method, but for its name."""
    parser.add_argument("--rank", type=number, default=rank, help=f"rank of the update (default {rank})")
    parser.add_argument("--alpha", type=float, default=None, help="scaling numerator (default twice the rank)")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument(
        "--targets", default="all-linear", help="all-linear, names with commas, or a regular expression"
    )
    parser.add_argument("--rslora", action="store_true", help="scale with alpha over the root of the rank")
    parser.add_argument("--init", default="default", help=f"how A and B start: {', '.join(STARTS)}")
    parser.add_argument("--freeze-a", action="store_true", help="train B alone (LoRA-FA)")
    parser.add_argument("--lr-ratio", type=float, default=1.0, help="B's learning rate over A's (LoRA+; default 1)")
    parser.add_argument("--quant", default="nf4", help="nf4 or fp4, for qlora and qdora")
    parser.add_argument("--no-double-quant", action="store_true", help="keep block scales in float32")


def method_from(arguments: argparse.Namespace, name: str | None = None) -> Method:
    """The method that the options of `add_method` describe; those of `add_adapter` describe the method `name`."""
    rank = whole_number("rank", arguments.rank, 1, 1_000_000)
    one_of("quant", arguments.quant, QUANT_TYPES)  # a name that is wrong is said, whichever method is asked for
    return make_method(
        name or arguments.method,
        rank=rank,
        alpha=2 * rank if arguments.alpha is None else arguments.alpha,
        dropout=arguments.dropout,
        targets=parse_targets(arguments.targets),
        rslora=arguments.rslora,
        init=arguments.init,
        freeze_a=arguments.freeze_a,
        lr_ratio=arguments.lr_ratio,
        quant=arguments.quant,
        double_quant=not arguments.no_double_quant,
    )


def parse_targets(text: str) -> str | tuple[str, ...]:
    """`all-linear`, a list of names divided by commas, or else a regular expression.

    >>> parse_targets("q_proj,v_proj"), parse_targets(r".*attn\\.q.*")
    (('q_proj', 'v_proj'), '.*attn\\\\.q.*')
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if text.strip().lower() == "all-linear":
        return "all-linear"
    plain = all(character.isalnum() or character in "_.-" for name in names for character in name)
    return names if names and plain else text
