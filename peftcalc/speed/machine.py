"""A card as the estimate of time sees it: peaks from data sheets, and the shares of them that programs reach.

The peaks are dense (without sparsity) and with float32 accumulation, as torch multiplies; on GeForce cards that is half
of the figure that is usually printed. Matrix products of float32 operands run on the float32 units, since torch leaves
TF32 off (`torch.backends.cuda.matmul.allow_tf32`).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from peftcalc.memory.cards import Gpu

TABLE = Path(__file__).parent / "data" / "peaks.csv"


@dataclass(frozen=True)
class Peak:
    """Highest rates of one card, in floating-point operations a second, dense, with float32 accumulation.

    >>> peak_of("A100 80GB").half / 1e12
    312.0
    """

    half: float
    """Of bfloat16 or float16 operands."""
    float32: float
    """Of float32 operands without TF32."""
    cache: float
    """Bytes of the last cache before the card's memory; 0 where its maker does not say."""
    basis: str
    """"data sheet", or how the figure follows from one."""
    source: str


@dataclass(frozen=True)
class Constants:
    """What programs reach of the peaks.

    `half` and `launch` are fitted by `benchmarks/speed_fit.py`, to rows of A100 and L40S. The others were set once.
    `bandwidth` and `float32` are what copies and float32 products commonly reach. FlashAttention-2 states 0.5 to 0.73
    of the A100's peak forward and up to 0.63 backward (arXiv:2307.08691, section 4.1). `dequantize` was read from how
    the seconds of rows with 4-bit weights grow with the batch (fms-acceleration): making them dense is the part that
    does not grow. `overlap` was read from how smaller models fall behind larger ones in the same rows.

    That reads of what the cache holds do not wait (`Machine.traffic`) has no constant. It was found in the L40S' rows:
    their 840 tokens took 8 to 18 % less time than with all bytes going through the card's memory.
    """

    half: float = 0.79
    """Share of the half-precision peak that large matrix products reach."""
    launch: float = 18e-6
    """Seconds of the host for one kernel, Python included."""
    float32: float = 0.7
    """Share of the float32 peak that float32 products reach."""
    bandwidth: float = 0.82
    """Share of the memory's bandwidth that elementwise kernels reach."""
    overlap: float = 0.8
    """Share of a matrix product's bytes that do not pass while it multiplies."""
    dequantize: float = 0.28
    """Share of the bandwidth that bitsandbytes' dequantization reaches."""
    attention_forward: float = 0.66
    """Share of the half-precision peak that fused attention reaches over long sequences, forward."""
    attention_backward: float = 0.58
    """The same backward."""


SET = Constants()
"""The constants in use."""


@dataclass(frozen=True)
class Machine:
    """Rates that are reached: operations and bytes a second, and the host's seconds for one kernel."""

    half: float
    float32: float
    bandwidth: float
    overlap: float
    dequantize: float
    attention_forward: float
    attention_backward: float
    launch: float
    cache: float = 0

    def traffic(self, size: float, tensor: float = math.inf) -> float:
        """Seconds of elementwise operators that move `size` bytes, in tensors of `tensor` bytes each.

        An operator reads what the one before has just written. Where the cache holds both, what is read and what is
        written, the reads, half of the bytes, do not wait for the card's memory; larger ones find a share of theirs.

        >>> from peftcalc.memory.cards import gpu
        >>> card = machine(gpu("L40S"))
        >>> round(card.traffic(1e9, tensor=1) / card.traffic(1e9), 3)
        0.5
        """
        found = max(0.0, 1 - 2 * tensor / self.cache) if self.cache else 0.0
        return size / self.bandwidth * (1 - found / 2)

    def product(self, flops: float, size: float, float32: bool = False) -> float:
        """Seconds of a matrix product: its operations, and of its bytes what does not pass meanwhile."""
        return flops / (self.float32 if float32 else self.half) + self.overlap * size / self.bandwidth


@cache
def _peaks() -> dict[str, Peak]:
    rows = csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines())
    return {
        row["name"]: Peak(
            float(row["half_tflops"]) * 1e12,
            float(row["float32_tflops"]) * 1e12,
            float(row["cache_mb"] or 0) * 2**20,
            row["basis"],
            row["source"],
        )
        for row in rows
    }


def peak_of(name: str) -> Peak:
    """The peaks of the card that `peftcalc.memory.cards` calls `name`.

    Raises:
        ValueError: a card without figures.
    """
    if name not in _peaks():
        raise ValueError(f"no peak rates are known for {name!r}; known are {', '.join(_peaks())}")
    return _peaks()[name]


def machine(card: Gpu, constants: Constants = SET) -> Machine:
    """The rates that a card reaches under these constants."""
    peak = peak_of(card.name)
    return Machine(
        half=constants.half * peak.half,
        float32=constants.float32 * peak.float32,
        bandwidth=constants.bandwidth * card.bandwidth,
        overlap=constants.overlap,
        dequantize=constants.dequantize * card.bandwidth,
        attention_forward=constants.attention_forward * peak.half,
        attention_backward=constants.attention_backward * peak.half,
        launch=constants.launch,
        cache=peak.cache,
    )
