"""The formats in which numbers are stored, and what each costs a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from peftcalc.checks import one_of, whole_number

Per = Literal["tensor", "row", "block"]
Scheme = Literal["absmax", "zeropoint", "affine", "table", "mx"]

SMALLEST_BLOCK, LARGEST_BLOCK, DEFAULT_BLOCK = 16, 4096, 64
MX_BLOCK = 32
"""Of OCP's Microscaling formats; another is their rule with other blocks, and not theirs."""
NESTED_BLOCK = 256


@dataclass(frozen=True)
class Format:
    """One format.

    Args:
        name: as in `quantize(x, name)`.
        label: as people write it.
        bits: of one code.
        scheme: how codes are chosen: "absmax", "zeropoint" or "affine" (see `peftcalc.quant.absmax`), or "table": the
            nearest of sixteen values that are not evenly spaced (see `peftcalc.quant.blockwise`), or "mx": the nearest
            small floating-point number, and scales that are powers of two (see `peftcalc.quant.mxfp4`).
    """

    name: str
    label: str
    bits: int
    scheme: Scheme

    @property
    def scale_bits(self) -> int:
        """Bits of one group's scale, and of its zero point where it has one: float32 each; in mxfp4 one byte."""
        if self.scheme == "mx":
            return 8
        return 64 if self.scheme in ("zeropoint", "affine") else 32

    @property
    def in_blocks(self) -> bool:
        """Whether scales are always per block."""
        return self.scheme in ("table", "mx")

    @property
    def default_block(self) -> int:
        """The block size when none is given."""
        return MX_BLOCK if self.scheme == "mx" else DEFAULT_BLOCK


_SUFFIXES: dict[Scheme, tuple[str, str]] = {
    "absmax": ("", " absmax"),
    "zeropoint": ("_zeropoint", " zero-point (tutorials)"),
    "affine": ("_affine", " zero-point (torch.ao)"),
}
FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        *(
            Format(f"int{bits}{suffix}", f"int{bits}{label}", bits, scheme)
            for scheme, (suffix, label) in _SUFFIXES.items()
            for bits in (8, 4, 2)
        ),
        Format("nf4", "NF4", 4, "table"),
        Format("fp4", "FP4 (bitsandbytes' table)", 4, "table"),
        Format("mxfp4", "MXFP4 (OCP Microscaling)", 4, "mx"),
    )
}


@dataclass(frozen=True)
class Layout:
    """A format with everything that a tensor's storage depends on.

    Args:
        form: the format.
        per: which numbers share a scale: all of the "tensor", a "row" (the last dimension), or a "block" of neighbours.
        block_size: numbers in a block; None unless `per` is "block".
        double_quant: the block scales are stored in 8 bits.
    """

    form: Format
    per: Per
    block_size: int | None
    double_quant: bool

    def group_size(self, shape: tuple[int, ...], count: int) -> int:
        """How many of the `count` numbers of a tensor share a scale."""
        if self.block_size is not None:
            return self.block_size
        return count if self.per == "tensor" or not shape else shape[-1]

    def bits_per_value(self, group_size: int) -> float:
        """`bits + scale_bits / group`; with double quantization `bits + 8 / block + 32 / (256 · block)`.

        A last, shorter block counts as a full one, and the one mean of double quantization is left out, as in the
        published figures (QLoRA paper, section 3); `Quantized.nbytes` counts every byte.

        >>> make_layout("nf4").bits_per_value(64), make_layout("nf4", double_quant=True).bits_per_value(64)
        (4.5, 4.126953125)
        """
        if self.double_quant:
            return self.form.bits + 8 / group_size + 32 / (NESTED_BLOCK * group_size)
        return self.form.bits + self.form.scale_bits / group_size


def make_layout(name: str, block_size: int | None = None, double_quant: bool = False, per: Per | None = None) -> Layout:
    """The layout that these choices describe.

    Args:
        name: a key of `FORMATS`.
        block_size: 16 to 4,096; when not given for a format in blocks 64, for mxfp4 32.
        double_quant: nf4 and fp4 only.
        per: "tensor" (for integer formats the default without a block size), "row" or "block"; nf4, fp4
            and mxfp4 have blocks.

    Raises:
        ValueError: when the choices contradict each other, or a value is outside its range.
    """
    form = FORMATS[one_of("format", name, FORMATS)]
    if per is None:
        per = "block" if form.in_blocks or block_size is not None else "tensor"
    one_of("per", per, ("tensor", "row", "block"))
    if form.in_blocks and per != "block":
        raise ValueError(f"per must be 'block' for {name}, got {per!r}")
    if per != "block" and block_size is not None:
        raise ValueError(f"block_size must be left out when scales are per {per}, got {block_size!r}")
    if not isinstance(double_quant, bool):
        raise ValueError(f"double_quant must be True or False, got {double_quant!r}")
    if double_quant and form.scheme != "table":
        raise ValueError(f"double_quant must be False for {name}; it is defined for nf4 and fp4")
    if per == "block":
        block_size = form.default_block if block_size is None else block_size
        block_size = whole_number("block_size", block_size, SMALLEST_BLOCK, LARGEST_BLOCK)
    return Layout(form, per, block_size, double_quant)
