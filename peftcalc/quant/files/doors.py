"""What the methods `save` and `load` of `Quantized` do: which layout a file is written in, or has."""

from __future__ import annotations

from pathlib import Path

from peftcalc.checks import one_of
from peftcalc.quant.files import own_layout
from peftcalc.quant.files.bitsandbytes_layout import (
    StoredWeight,
    belongs_to,
    four_bit_names,
    read_description,
    read_quantized,
)
from peftcalc.quant.files.checkpoint import write_checkpoint
from peftcalc.quant.files.sources import InFile, opened
from peftcalc.quant.quantized import Quantized

LAYOUTS = ("peftcalc", "bitsandbytes")


def save_quantized(quantized: Quantized, path: str | Path, layout: str = "peftcalc") -> None:
    """Write `quantized` to `path`; see `Quantized.save`."""
    if one_of("layout", layout, LAYOUTS) == "bitsandbytes":
        write_checkpoint(path, {"weight": quantized})
    else:
        own_layout.save(quantized, path)


def load_quantized(path: str | Path) -> Quantized:
    """Read `path`; see `Quantized.load`.

    Raises:
        ValueError: the file is missing, is not safetensors, or is not one quantized tensor that is whole and
            consistent.
    """
    file_name = Path(path).name
    with opened(path) as file:
        source = InFile(file)
        weights = four_bit_names(source.names())
        if not weights:
            return own_layout.load(file_name, file)
        others = [name for name in source.names() if not belongs_to(name, set(weights))]
        if len(weights) > 1 or others:
            raise ValueError(
                f"{file_name} holds {len(weights)} 4-bit weights and {len(others)} other tensors in bitsandbytes' "
                "layout; peftcalc.quant.read_checkpoint reads them by name"
            )
        return read_quantized(source, weights[0])


def describe(path: str | Path) -> list[StoredWeight]:
    """What the quantized tensors of a file are, in bitsandbytes' layout or ours; empty where there are none.

    Raises:
        ValueError: the file is missing, is not safetensors, or what belongs to a quantized tensor is not consistent.
    """
    file_name = Path(path).name
    with opened(path) as file:
        source = InFile(file)
        if own_layout.is_own(file):
            whole = own_layout.load(file_name, file)
            return [StoredWeight(Path(path).stem, whole.layout, whole.shape, whole.dtype, whole.nbytes)]
        return [read_description(source, name) for name in four_bit_names(source.names())]
