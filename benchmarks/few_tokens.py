"""The compiled loops of `few_tokens.c` beside the torch operations that they stand in for, in one run.

    python benchmarks/few_tokens.py --threads 2
    python benchmarks/few_tokens.py --tokens 128 --rank 16

Both are called through the same functions of `lora.py` and `dora.py`; for the second, the loops are hidden. Calls
alternate, and the medians of the paired ratios count. Shapes are those of SmolLM2-135M, activations in bfloat16.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from unittest import mock

import torch

from peftcalc.adapters.layers import few_tokens
from peftcalc.adapters.layers.dora import row_norm, stretch_backward, stretch_forward
from peftcalc.adapters.layers.lora import low_rank_backward, low_rank_forward

SHAPES = ((576, 576), (576, 192), (576, 1536), (1536, 576))


def pieces(tokens: int, n_in: int, n_out: int, rank: int) -> dict[str, Callable[[], object]]:
    """The work of an adapter beside the frozen products, piece by piece."""
    A, B, scale = torch.randn(rank, n_in), torch.randn(n_out, rank), 2.0
    x, z, grad = (torch.randn(tokens, n).bfloat16() for n in (n_in, n_out, n_out))
    W = torch.randn(n_out, n_in).bfloat16()
    WA, squares = torch.randn(rank, n_out).bfloat16(), torch.full((n_out,), 1e9)
    magnitude, norm = torch.rand(n_out) + 1, torch.rand(n_out) + 1
    Ax, stretch = torch.zeros(rank, tokens), magnitude / norm - 1
    into = torch.zeros(tokens, n_out).bfloat16()
    return {
        "LoRA forward": lambda: low_rank_forward(into, x, A, B, 0.0, torch.bfloat16),
        "LoRA backward": lambda: low_rank_backward(grad, x, Ax, A, B, scale),
        "DoRA norm": lambda: row_norm(W, A, B, scale, squares, WA),
        "stretch forward": lambda: stretch_forward(z, magnitude, norm),
        "stretch backward": lambda: stretch_backward(grad, z, stretch, norm),
    }


def no_loops() -> None:
    """What `few_tokens.loops` says where nothing was compiled."""


def microseconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=300)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    if few_tokens.loops() is None:
        raise SystemExit("this installation has no compiled loops")
    print(f"{given.tokens} tokens, rank {given.rank}, {given.threads} threads, µs")
    print(f"{'in × out':12}{'piece':18}{'loops':>8}{'torch':>8}{'ratio':>8}{'quartiles':>16}")
    for n_in, n_out in SHAPES:
        for name, piece in pieces(given.tokens, n_in, n_out, given.rank).items():
            ours, theirs = [], []
            for _ in range(given.repeats):
                ours.append(microseconds(piece))
                with mock.patch.object(few_tokens, "loops", no_loops):
                    theirs.append(microseconds(piece))
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
            low, middle, high = statistics.quantiles(ratios)
            medians = f"{statistics.median(ours):8.1f}{statistics.median(theirs):8.1f}"
            print(f"{n_in} × {n_out:<6}{name:18}{medians}{middle:8.2f}{f'{low:.2f} to {high:.2f}':>16}", flush=True)


if __name__ == "__main__":
    main()
