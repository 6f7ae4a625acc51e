"""Give the compiled loops what they must not read: run in a process of its own, under AddressSanitizer.

    python wrong_tensors.py FOLDER          every wrapper refuses what is wrong, and takes what is right
    python wrong_tensors.py FOLDER trusted  the loop itself, without its wrapper: the sanitizer ends the process

FOLDER holds the loops of `peftcalc/` as the sanitizer's compiler made them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peftcalc import compiled

if __name__ == "__main__":  # the loops that were built with the sanitizer, in the folder that is given
    compiled.__file__ = str(Path(sys.argv[1]) / "compiled.py")

from peftcalc.adapters.layers import few_tokens
from peftcalc.quant import four_bits

TOKENS, IN, OUT, RANK = 5, 24, 40, 3


def wide(*shape: int) -> Tensor:
    return torch.ones(*shape, dtype=torch.bfloat16)


def right() -> dict[Callable[..., Any], list[Any]]:
    """Each wrapper and what it takes."""
    x, y, A, B = wide(TOKENS, IN), wide(TOKENS, OUT), torch.ones(RANK, IN), torch.ones(OUT, RANK)
    Ax = torch.ones(RANK, TOKENS)
    packed, blocks, values = torch.zeros(64, dtype=torch.uint8), torch.ones(2), torch.ones(16)
    return {
        few_tokens.low_rank_forward: [y, x, A, B, 0.5],
        few_tokens.low_rank_backward: [y, x, Ax, B, 0.5],
        few_tokens.add_low_rank: [x, Ax, A],
        few_tokens.row_norm: [wide(RANK, OUT), torch.ones(RANK, RANK), B, torch.ones(OUT), 0.5, 0.01, 1e-24],
        few_tokens.stretch_forward: [y, torch.ones(OUT), torch.ones(OUT)],
        few_tokens.stretch_backward: [y, wide(TOKENS, OUT), torch.ones(OUT), torch.ones(OUT)],
        four_bits.dequantize_blocks: [packed, blocks, values, 64, torch.empty(128)],
        four_bits.dequantize_scales: [packed, torch.ones(1), torch.ones(256), 256, torch.tensor(0.0)],
    }


def wrong(tensor: Tensor) -> Iterator[Tensor]:
    """Shorter, longer, of another type, in several pieces, elsewhere."""
    if tensor.dim():
        yield tensor.narrow(-1, 0, tensor.shape[-1] - 1).contiguous()
        yield tensor.narrow(0, 0, tensor.shape[0] - 1).contiguous()
        yield tensor[..., None].expand(*tensor.shape, 2).reshape(*tensor.shape[:-1], -1)[..., ::2]
        yield tensor.new_empty(0)
    for dtype in (torch.float32, torch.bfloat16, torch.float64, torch.uint8):
        if dtype != tensor.dtype:
            yield tensor.to(dtype)
    yield tensor.to("meta")


def answer(wrapper: Callable[..., Any], arguments: list[Any]) -> str:
    """What became of a call: "refused", "left to torch", or "taken"."""
    try:
        result = wrapper(*arguments)
    except (ValueError, IndexError, RuntimeError):
        return "refused"
    return "left to torch" if result is None or (isinstance(result, int) and result == 0) else "taken"


def main() -> None:
    assert four_bits.loops() is not None, "the sanitizer's loops are not there"
    assert few_tokens.loops() is not None, "the sanitizer's loops are not there"
    if len(sys.argv) > 2:
        short = [torch.ones(8) for _ in range(5)]
        few_tokens.loops()["stretch_forward"](*(tensor.data_ptr() for tensor in short), 64, 64)
        print("nothing was noticed")
        return
    counts = {"refused": 0, "left to torch": 0, "taken": 0}
    for wrapper, arguments in right().items():
        assert answer(wrapper, arguments) == "taken", wrapper
        for place, argument in enumerate(arguments):
            for other in wrong(argument) if isinstance(argument, Tensor) else ():
                counts[answer(wrapper, [*arguments[:place], other, *arguments[place + 1 :]])] += 1
    print(counts)


if __name__ == "__main__":
    main()
