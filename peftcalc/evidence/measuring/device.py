"""The device to measure on: a card of this machine that is free, known or not; or the processor, for a dry run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from peftcalc.memory.cards import Gpu, gpu
from peftcalc.units import GIB, gib

BUSY = 3 * GIB // 2
"""Bytes in use before we begin that are more than a context of our own."""

_FORM = re.compile(r"[- ](SXM\d*|PCIe?|NVL|HBM\d\w*)\b", re.IGNORECASE)
"""How a card is mounted, which our table does not tell apart."""


@dataclass(frozen=True)
class Device:
    """Where a step is measured."""

    name: str
    """"cuda" or "cpu"."""
    label: str
    """As torch calls it."""
    card: Gpu | None
    """From the table of cards, or made of what torch reports; None on the processor."""
    notes: tuple[str, ...] = ()


def find_device(name: str = "cuda", dry_run: bool = False, busy: bool = False) -> Device:
    """The device called `name`, if a step can be measured on it.

    Args:
        name: "cuda" or "cpu".
        dry_run: whether nothing is to be measured, which the processor is for.
        busy: go on where other processes hold a part of the card's memory.

    Raises:
        ValueError: no card, one that others use, or a measurement on the processor; the sentence says which.
    """
    import torch

    if name not in ("cuda", "cpu"):
        raise ValueError(f"device must be cuda or cpu, got {name!r}")
    if name == "cpu":
        if not dry_run:
            raise ValueError("bytes are counted on a card alone: on the processor only a dry run is made (--dry-run)")
        return Device("cpu", "cpu", None)
    if not torch.cuda.is_available():
        raise ValueError(
            f"torch {torch.__version__} finds no CUDA device here; --device cpu --dry-run tries the same step on the "
            "processor, without bytes"
        )
    label, notes = torch.cuda.get_device_name(), []
    free, total = torch.cuda.mem_get_info()
    held = total - free - torch.cuda.memory_reserved()
    if held > BUSY and not busy:
        raise ValueError(
            f"{gib(held)} of {label} are in use before the step begins: measure when the card is free, or say --busy; "
            "the bytes counted are this process's own, but it may run out of memory sooner"
        )
    if held > BUSY:
        notes.append(f"{gib(held)} of the card were in use by others")
    card = known_card(label, total)
    if card is None:
        notes.append(f"{label} is not in the table of cards: its memory and architecture are as torch reports them")
        card = _foreign(label, total)
    return Device("cuda", label, card, tuple(notes))


def known_card(label: str, total: int) -> Gpu | None:
    """The card that torch calls `label`, by its name and, where there are several of that name, by its memory.

    >>> known_card("NVIDIA A100-SXM4-80GB", 85_000_000_000).name, known_card("Tesla V100-PCIE-16GB", 0).name
    ('A100 80GB', 'V100 16GB')
    >>> known_card("NVIDIA GeForce RTX 3060", 12_600_000_000).name, known_card("Tesla K80", 12 * 2**30)
    ('RTX 3060 12GB', None)
    """
    plain = _FORM.sub("", label).replace("-", " ")
    for name in (plain, f"{plain} {round(total / GIB)}GB"):
        try:
            return gpu(name)
        except ValueError:
            continue
    return None


def _foreign(label: str, total: int) -> Gpu:
    import torch

    major, minor = torch.cuda.get_device_capability()
    source = "torch.cuda.get_device_properties"
    return Gpu(label, "unknown", total, total, 0, "", source, "", f"{major}.{minor}", (major, minor) >= (8, 0))
