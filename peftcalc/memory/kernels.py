"""Which attention kernel torch runs, and what its matrix products keep for themselves, on which card.

torch tries its fused kernels in order and takes the first whose conditions hold; where none does, its MATH kernel is
left, which writes attention out in float32 and keeps the probabilities, sequence × sequence for each head. The
conditions stand in `RULES`, read in aten/src/ATen/native/transformers/cuda/sdp_utils.cpp of torch 2.5 to 2.13
(`can_use_flash_attention`, `can_use_mem_efficient_attention`). transformers decides before torch whether keys and
values are repeated for every query head: without a mask it leaves that to the kernel (`use_gqa_in_sdpa`, transformers
4.56 to 5.23), which only flash can do.

Left open by the sources:

- Compute capability 9 and 10 ask cuDNN first (from cuDNN 9.15.1 on). It keeps what flash keeps; the workspace of its
  backward pass is not published and is taken to be that of flash.
- torch after 2.13 lets the efficient kernel share keys and values as well (pytorch#191085, July 2026), and a change of
  transformers that repeats them on cards before 8.0 is proposed (transformers#48635): with either, no MATH there.
- AMD's fused kernels are aotriton's; for gfx90a and gfx942 they are taken to have the conditions of 8.0.
"""

from __future__ import annotations

from dataclasses import dataclass

from peftcalc.memory.cards import Gpu

KERNELS = ("flash", "efficient", "math")

FLASH_WIDTH = 256
"""Widest head that the flash kernel takes."""

_TRAINED_FLASH_WIDTH = 192
"""Widest head that flash takes in training on 8.6 to 8.9 and 12.x; heads above 224 pass, unless they are dropped."""

_MODERN = (8, 0)
"""Compute capability that is meant where no card is given, and that stands for AMD's cards."""

SOURCE = "torch 2.5 to 2.13, sdp_utils.cpp; transformers 4.56 to 5.23, integrations/sdpa_attention.py"


@dataclass(frozen=True)
class KernelRule:
    """When torch can run a fused kernel.

    >>> [rule.kernel for rule in RULES]
    ['flash', 'efficient']
    """

    kernel: str
    since: tuple[int, int]
    """Lowest compute capability."""
    dtypes: tuple[str, ...]
    """Types of queries, keys and values from compute capability 8.0 on; before it bfloat16 is not among them."""
    shares_heads: bool
    """True when a head of keys and values may serve several query heads (`enable_gqa`)."""
    takes_mask: bool
    source: str


RULES = (
    KernelRule("flash", (8, 0), ("float16", "bfloat16"), True, False, "sdp_utils.cpp, can_use_flash_attention"),
    KernelRule(
        "efficient",
        (5, 0),
        ("float16", "bfloat16", "float32"),
        False,
        True,
        "sdp_utils.cpp, can_use_mem_efficient_attention; reported for a T4 in transformers#48633 and #45776",
    ),
)
"""torch's fused kernels in the order in which it tries them."""


def attention_kernel(
    card: Gpu | None, dtype: str, grouped: bool, masked: bool, width: int, value_width: int = 0
) -> str:
    """The kernel that `scaled_dot_product_attention` runs while training.

    Args:
        card: None for a card of compute capability 8.0.
        dtype: of queries, keys and values.
        grouped: whether it is given fewer heads of keys than of queries (`shares_heads`).
        masked: whether there is a mask beside the causal one.
        width: of one head of queries and keys.
        value_width: of one head of values; 0 for the same.

    >>> from peftcalc.memory.cards import gpu
    >>> attention_kernel(gpu("A100 80GB"), "bfloat16", True, False, 128)
    'flash'
    >>> [attention_kernel(gpu("T4"), "float16", grouped, False, 128) for grouped in (True, False)]
    ['math', 'efficient']
    """
    capability = compute_capability(card)
    for rule in RULES:
        has_type = dtype in rule.dtypes and (dtype != "bfloat16" or capability >= (8, 0))
        has_heads = (rule.shares_heads or not grouped) and (rule.takes_mask or not masked)
        has_width = rule.kernel != "flash" or (value_width in (0, width) and _flash_trains(capability, width))
        if capability >= rule.since and has_type and has_heads and has_width:
            return rule.kernel
    return "math"


def shares_heads(masked: bool, width: int, value_width: int = 0) -> bool:
    """Whether transformers leaves shared heads to the kernel; it repeats them before a mask and for wide heads.

    (transformers 5.23, integrations/sdpa_attention.py, `use_gqa_in_sdpa`.)
    """
    return not masked and value_width in (0, width) and width <= FLASH_WIDTH


def _flash_trains(capability: tuple[int, int], width: int) -> bool:
    small = (8, 6) <= capability <= (8, 9) or capability[0] == 12
    return width <= FLASH_WIDTH and not (small and _TRAINED_FLASH_WIDTH < width <= 224)


def alike(first: Gpu | None, second: Gpu | None) -> bool:
    """Whether torch decides alike on two cards, whatever the model: the rules know no more of a card than this.

    >>> from peftcalc.memory.cards import gpu
    >>> alike(gpu("T4"), gpu("V100 16GB")), alike(gpu("T4"), None)
    (True, False)
    """
    one, other = compute_capability(first), compute_capability(second)
    widths = all(_flash_trains(one, width) == _flash_trains(other, width) for width in (FLASH_WIDTH, 224))
    return widths and all((one >= rule.since) == (other >= rule.since) for rule in RULES)


def compute_capability(card: Gpu | None) -> tuple[int, int]:
    """Major and minor number.

    >>> from peftcalc.memory.cards import gpu
    >>> compute_capability(gpu("T4")), compute_capability(None)
    ((7, 5), (8, 0))
    """
    if card is None or card.architecture.startswith("gfx"):
        return _MODERN
    major, _, minor = card.architecture.partition(".")
    return int(major), int(minor or 0)


def matrix_workspaces(card: Gpu | None) -> int:
    """Bytes that cuBLAS keeps for its own: torch gives a workspace to the handle of each thread that multiplies.

    The thread of the forward pass and autograd's own have one each: 8 MiB + 128 KiB; 32 MiB on compute capability 9 and
    later and on AMD's cards, 128 MiB on gfx942. (torch, aten/src/ATen/cuda/CublasHandlePool.cpp,
    `parseChosenWorkspaceSize`; torch before 2.8 gives 32 MiB to 9.0 alone.)

    >>> matrix_workspaces(None)
    17039360
    """
    if card is not None and card.architecture.startswith("gfx"):
        return 2 * (128 if card.architecture == "gfx942" else 32) * 2**20
    return 2 * (32 * 2**20 if compute_capability(card) >= (9, 0) else 8 * 2**20 + 128 * 2**10)
