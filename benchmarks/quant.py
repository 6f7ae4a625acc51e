"""Four-bit quantization beside bitsandbytes: speed, memory, and the matrix product of a dequantized weight.

    python benchmarks/quant.py [--side 4096] [--rounds 9] [--threads 1 2]

Each number of threads is a process of its own. The two sides take turns, and a ratio is the median of the rounds'
ratios, so that a busy machine disturbs both alike; on a very busy machine processor time tells more than wall time, and
both are printed. With a CUDA device the same is measured there.

Bars: quantize at least 3 × bitsandbytes, dequantize at least 0.9 ×, peak extra memory below 2 × the input (quantize)
and 1.2 × the output (dequantize), dequantize + product at most 1.1 × the time of `matmul_4bit`.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS = (64, 1024)


@dataclass(frozen=True)
class Paired:
    """Medians of paired rounds; seconds."""

    ours: float
    theirs: float
    ratio: float
    """theirs / ours: above 1 we are faster."""
    processor_ratio: float
    """The same in processor time."""


def paired(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, wait: Callable[[], None]) -> Paired:
    """Both in turns, the first round of each not counted."""
    wall: list[tuple[float, float]] = []
    processor: list[tuple[float, float]] = []
    for turn in range(rounds + 1):
        pair = [_timed(ours, wait), _timed(theirs, wait)]
        if turn:
            wall.append((pair[0][0], pair[1][0]))
            processor.append((pair[0][1], pair[1][1]))
    return Paired(
        statistics.median(first for first, _ in wall),
        statistics.median(second for _, second in wall),
        statistics.median(second / first for first, second in wall),
        statistics.median(second / max(first, 1e-9) for first, second in processor),
    )


def _timed(work: Callable[[], Any], wait: Callable[[], None]) -> tuple[float, float]:
    wait()
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wait()
    return time.perf_counter() - wall, time.process_time() - processor


def peak_extra_bytes(work: Callable[[], Any]) -> int | None:
    """How far resident memory rises while `work` runs, its result included; None where the system does not tell."""
    work()  # tables that stay
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed before does not hide what is used now
        reset.write_text("5")
        before = _status_bytes(status, "VmRSS:")
        result = work()
        after = _status_bytes(status, "VmHWM:")
    except OSError:
        return None
    del result
    return after - before


def _status_bytes(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def measure(side: int, rounds: int, device: str) -> None:
    """Every line for one number of threads, or for the GPU."""
    import bitsandbytes.functional as bnb
    import torch

    from peftcalc.quant.blockwise import dequantize_4bit, quantize_4bit

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(side, side, generator=generator)
    for dtype in (torch.float32, torch.bfloat16):
        x = W.to(device, dtype)
        name = str(dtype).removeprefix("torch.")
        packed, scales = quantize_4bit(x)
        theirs, state = bnb.quantize_4bit(x, blocksize=64, quant_type="nf4")
        assert torch.equal(packed, theirs.view(-1)), "the two sides must do the same work"

        def quantize(x=x):
            return quantize_4bit(x)

        def dequantize(packed=packed, scales=scales, x=x):
            return dequantize_4bit(packed, scales, x.numel(), dtype=x.dtype)

        def copy(x=x):
            return x.clone()

        def quantize_theirs(x=x):
            return bnb.quantize_4bit(x, blocksize=64, quant_type="nf4")

        def dequantize_theirs(theirs=theirs, state=state):
            return bnb.dequantize_4bit(theirs, state)

        for label, one, other, limit in (
            ("quantize", quantize, quantize_theirs, x.nbytes),
            ("dequantize", dequantize, dequantize_theirs, x.nbytes),
        ):
            result, of_copy = paired(one, other, rounds, wait), paired(one, copy, rounds, wait)
            extra = peak_extra_bytes(one) if device == "cpu" else None
            _line(f"{label} {name}", result, of_copy.ratio, None if extra is None else extra / limit)
        _products(x, packed, scales, theirs, state, rounds, wait)


def _products(x: Any, packed: Any, scales: Any, theirs: Any, state: Any, rounds: int, wait: Callable[[], None]) -> None:
    import torch
    from bitsandbytes.autograd._functions import matmul_4bit

    from peftcalc.quant.blockwise import dequantize_4bit

    name = str(x.dtype).removeprefix("torch.")
    for rows in ROWS:
        inputs = torch.randn(rows, x.shape[1], generator=torch.Generator().manual_seed(1)).to(x.device, x.dtype)

        def product(inputs=inputs):
            weight = dequantize_4bit(packed, scales, x.numel(), dtype=x.dtype).view(x.shape)
            return torch.nn.functional.linear(inputs, weight)

        def product_theirs(inputs=inputs):
            return matmul_4bit(inputs, theirs.t(), quant_state=state)

        with torch.no_grad():
            _line(f"product of {rows} rows {name}", paired(product, product_theirs, rounds, wait), None, None)


def _line(label: str, result: Paired, of_copy: float | None, extra: float | None) -> None:
    parts = [
        f"{label:<28}",
        f"ours {1e3 * result.ours:8.2f} ms",
        f"bitsandbytes {1e3 * result.theirs:8.2f} ms",
        f"{result.ratio:5.2f} × as fast ({result.processor_ratio:.2f} × in processor time)",
    ]
    if of_copy is not None:
        parts.append(f"{100 * of_copy:5.1f} % of a copy's speed")
    if extra is not None:
        parts.append(f"peak extra memory {extra:.2f} ×")
    print("  ".join(parts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--here", choices=["cpu", "cuda"], help="measure in this process")
    arguments = parser.parse_args()
    if arguments.here:
        measure(arguments.side, arguments.rounds, arguments.here)
        return
    import torch

    runs = [("cpu", threads) for threads in arguments.threads]
    if torch.cuda.is_available():
        runs.append(("cuda", 1))
    for device, threads in runs:
        print(f"== {device}, {threads} thread{'s' * (threads > 1)}, {arguments.side} × {arguments.side}", flush=True)
        options = ["--here", device, "--side", str(arguments.side), "--rounds", str(arguments.rounds)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
        subprocess.run([sys.executable, __file__, *options], env=environment, check=True)


if __name__ == "__main__":
    main()
