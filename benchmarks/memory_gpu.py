"""Predicted against measured on a real GPU: simulation and estimate against what the CUDA allocator counted.

    python benchmarks/memory_gpu.py --out memory_gpu.csv          every row, on a GPU of 24 GiB or more, under 8 minutes
    python benchmarks/memory_gpu.py --dry-run                     the same code at toy size on the CPU

Models of real shapes with random weights take three training steps, all rows of one model in a process of its own; what
a row finds left on the card by the one before is reported with it. `max_memory_allocated` and `max_memory_reserved` are
those of the last step. A row that does not fit on the card, or fails, is reported as such and left out of the errors.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

import peftcalc as pc
from peftcalc.evidence.measuring.readings import measure_memory
from peftcalc.memory.options import MemoryOptions
from peftcalc.methods import METHODS, Method, make_method

SHAPES: dict[str, dict[str, Any]] = {
    "1B": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32},
    "3B": {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24},
    "8B": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
    "toy": {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4},
}
"""Shapes of Llama-3.2-1B, Llama-3.2-3B and Llama-3.1-8B."""

GROUP_SECONDS = 200
"""The rows of one model together may take this long."""

# fmt: off
FIELDS: tuple[str, ...] = (
    "model", "method", "batch", "sequence", "checkpointing", "measured_allocated", "measured_reserved", "simulated",
    "estimated", "simulated_error_percent", "estimated_error_percent", "left_before", "device", "torch", "note",
)
# fmt: on


@dataclass(frozen=True)
class Row:
    """One set-up to measure."""

    model: str
    method: str
    batch: int
    sequence: int
    checkpointing: bool


def config_of(model: str) -> dict[str, Any]:
    """The configuration of a Llama of these sizes."""
    small = model == "toy"
    return SHAPES[model] | {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "num_key_value_heads": 2 if small else 8,
        "vocab_size": 384 if small else 128256,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": model in ("1B", "3B"),
    }


def rows() -> list[Row]:
    """Thirty rows: five methods on three sizes, batch, sequence and checkpointing varied."""
    names = tuple(METHODS)
    chosen = [Row("1B", name, batch, length, False) for name in names for batch, length in ((1, 1024), (4, 512))]
    chosen += [Row("1B", name, 4, 2048, True) for name in names]
    chosen += [Row("3B", name, 2, 512, False) for name in names if name != "full"]
    chosen += [Row("3B", name, 1, 2048, True) for name in names]
    chosen += [Row("8B", name, 1, 512, False) for name in ("lora", "dora", "qlora")]
    chosen += [Row("8B", name, 1, 2048, True) for name in ("lora", "qlora", "qdora")]
    return chosen


def method_of(row: Row) -> Method:
    """The row's method, rank 16 on every linear layer."""
    return make_method(row.method, rank=16, alpha=32)


def options_of(row: Row, device: str) -> MemoryOptions:
    """The row's options; on a CPU in the plain loop that the dry run takes."""
    return MemoryOptions(
        batch=row.batch,
        sequence=row.sequence,
        checkpointing=row.checkpointing,
        padding=False,
        keep_outputs=True,  # `output` is alive while `output.loss.backward()` runs
        attention="sdpa",
        autocast=device == "cuda",
    )


def measure_all(chosen: list[Row], device: str) -> None:
    """Measure row after row and print one line of JSON for each, with a note where a row cannot be measured."""
    import torch

    for row in chosen:
        gc.collect()
        left = 0
        if device == "cuda":
            torch.cuda.empty_cache()
            left = torch.cuda.memory_allocated()
        try:
            result = measure(row, device)
        except Exception as error:  # one row's failure is that row's affair
            result = {"note": f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"}
        print(json.dumps(asdict(row) | result | {"left_before": left}), flush=True)


def measure(row: Row, device: str) -> dict[str, Any]:
    """The row's step as `python -m peftcalc measure` takes it; bytes of the third one."""
    import torch

    options = asdict(options_of(row, device))
    options = {name: value for name, value in options.items() if name not in ("batch", "sequence", "card")}
    step = measure_memory(
        pc.load_model(config_of(row.model)),
        method_of(row),
        row.batch,
        row.sequence,
        device,
        dry_run=device == "cpu",
        busy=True,  # what the row before left is reported beside
        **options,
    )
    found = {"device": step.device.label if step.device.card else "cpu (dry run)", "torch": torch.__version__}
    if step.ran_out:
        return found | {"note": "out of memory"}
    return found | {
        "measured_allocated": step.allocated_bytes or None,
        "measured_reserved": step.reserved_bytes or None,
    }


def predict(row: Row, device: str) -> dict[str, Any]:
    """Simulated and estimated bytes of the same step."""
    config, method = config_of(row.model), method_of(row)
    options = {k: v for k, v in asdict(options_of(row, device)).items() if k not in ("batch", "sequence")}
    trace = pc.simulate_memory(config, method, row.batch, row.sequence, **options)
    estimated: Any = pc.estimate_memory(pc.load_model(config), method, row.batch, row.sequence, **options)
    return {"simulated": trace.peak, "estimated": estimated.total}


def in_a_process(chosen: list[Row], device: str) -> list[dict[str, Any]]:
    """`measure_all` in a fresh interpreter; rows that it did not reach are noted."""
    rows_as_json = json.dumps([asdict(row) for row in chosen])
    command = [sys.executable, __file__, "--measure", rows_as_json, "--device", device]
    reason = "the process ended early"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GROUP_SECONDS)
        lines, reason = done.stdout, (done.stderr.strip().splitlines() or [reason])[-1][:150]
    except subprocess.TimeoutExpired as error:
        raw = error.stdout or b""
        lines = raw.decode() if isinstance(raw, bytes) else raw
        reason = f"stopped after {GROUP_SECONDS} seconds"
    found = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    return found + [asdict(row) | {"note": reason} for row in chosen[len(found) :]]


def percent(predicted: Any, measured: Any) -> float | None:
    """Signed error in per cent; None without a measurement."""
    return round(100 * (predicted / measured - 1), 3) if predicted and measured else None


def run(chosen: list[Row], device: str) -> list[dict[str, Any]]:
    """Measure the rows, one process for each model, while other processes predict them; print each as it comes."""
    table: list[dict[str, Any]] = []
    with ProcessPoolExecutor(max(1, min(6, (os.cpu_count() or 2) // 2)), get_context("spawn")) as pool:
        predictions = {row: pool.submit(predict, row, device) for row in chosen}
        for model in dict.fromkeys(row.model for row in chosen):
            group = [row for row in chosen if row.model == model]
            for row, result in zip(group, in_a_process(group, device), strict=True):
                result |= predictions[row].result()
                for kind in ("simulated", "estimated"):
                    result[f"{kind}_error_percent"] = percent(result[kind], result.get("measured_allocated"))
                print(json.dumps(result), flush=True)
                table.append(result)
    return table


def summary(table: list[dict[str, Any]], key: str) -> str:
    """Mean absolute and worst error of one column."""
    errors = [abs(row[key]) for row in table if row.get(key) is not None]
    if not errors:
        return f"{key}: no rows measured"
    return f"{key}: {len(errors)} rows, mean {statistics.mean(errors):.2f} %, worst {max(errors):.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="CSV file for the table")
    parser.add_argument("--dry-run", action="store_true", help="every method at toy size on the CPU")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure_all([Row(**row) for row in json.loads(arguments.measure)], arguments.device)
        return
    chosen = rows()
    device = "cpu" if arguments.dry_run else arguments.device
    if arguments.dry_run:
        chosen = [Row("toy", name, 2, 32, again) for name in METHODS for again in (False, True)]
    table = run(chosen, device)
    print(summary(table, "simulated_error_percent"), summary(table, "estimated_error_percent"), sep="\n")
    if arguments.out:
        with open(arguments.out, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
