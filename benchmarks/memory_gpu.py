"""Predicted against measured on a real GPU: simulation and estimate against what the CUDA allocator counted.

    python benchmarks/memory_gpu.py                               every row, on a GPU of 80 GiB in 15 minutes or more
    python benchmarks/memory_gpu.py --rows sizes                  31 rows of one family, on a GPU of 24 GiB or more
    python benchmarks/memory_gpu.py --evidence rows.csv --measured-only
                                                                  rows for the table of evidence; predict elsewhere
    python benchmarks/memory_gpu.py --dry-run                     the same code at toy size on the CPU

Models of true shapes with random weights take a few training steps, all rows of one set in a process of its own; what
a row finds left on the card by the one before is reported with it, and beyond cuBLAS's workspaces it is taken off the
allocated bytes; reserved and process are then not taken down. `max_memory_allocated` and `max_memory_reserved` are
those of the third step, seconds the mean of the three after it. A row that does not fit on the card, or fails, is
reported as such and left out of the errors.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

import peftcalc as pc
from peftcalc.evidence.measuring.device import find_device
from peftcalc.evidence.measuring.readings import measure_memory, row_of
from peftcalc.memory.kernels import matrix_workspaces
from peftcalc.memory.options import MemoryOptions
from peftcalc.methods import METHODS, Method, make_method

IDS = {"1B": "meta-llama/Llama-3.2-1B", "3B": "meta-llama/Llama-3.2-3B", "8B": "meta-llama/Llama-3.1-8B"}
"""Short names of the sizes."""

TOY: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 384,
    "tie_word_embeddings": False,
}

SMALL = 2 * 2**20
"""Bytes of the allocator's smallest segment: what lies in one of them, tables and constants, is let be."""

SET_SECONDS = 900
"""The rows of one set together may take this long."""

# fmt: off
FIELDS: tuple[str, ...] = (
    "model", "method", "batch", "sequence", "checkpointing", "changes", "measured_allocated", "measured_reserved",
    "measured_process", "simulated", "estimated", "simulated_error_percent", "estimated_error_percent", "seconds",
    "predicted_seconds", "left_before", "device", "torch", "note",
)
# fmt: on


@dataclass(frozen=True)
class Row:
    """One set-up to measure."""

    model: str
    """A catalogue id or a short name of one."""
    method: str
    batch: int
    sequence: int
    checkpointing: bool = False
    changes: str = "{}"
    """What differs from `options_of`'s own, as JSON."""


def sizes() -> list[Row]:
    """Five methods on three sizes of Llama, batch, sequence and checkpointing varied."""
    names = tuple(METHODS)
    chosen = [Row("1B", name, batch, length) for name in names for batch, length in ((1, 1024), (4, 512))]
    chosen += [Row("1B", name, 4, 2048, True) for name in names]
    chosen += [Row("3B", name, 2, 512) for name in names if name != "full"]
    chosen += [Row("3B", name, 1, 2048, True) for name in names]
    chosen += [Row("8B", name, 1, 512) for name in ("lora", "dora", "qlora")]
    chosen += [Row("8B", name, 1, 2048, True) for name in ("lora", "qlora", "qdora")]
    return chosen


def choices() -> list[Row]:
    """One choice of the step changed at a time, on the smallest size."""
    changes: dict[str, list[dict[str, Any]]] = {
        "lora": [
            {"attention": "eager"},
            {"autocast": False},
            {"dtype": "float16"},
            {"dtype": "float32"},
            {"padding": True},
            {"keep_outputs": False},
            {"loss": "chunked"},
            {"loss": "fused"},
            {"loss": "shifted"},
            {"accumulation": 4},
            {"adapters_float32": False},
            {"optimizer": "adamw_fused"},
        ],
        "dora": [{"attention": "eager"}, {"autocast": False}, {"padding": True}, {"autocast_scope": "step"}],
        "full": [
            {"float32_masters": True},
            *({"optimizer": name} for name in ("adamw_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit")),
            *({"optimizer": name} for name in ("adafactor", "sgd", "sgd_momentum")),
            {"optimizer_in_backward": True},
            {"autocast_scope": "step"},
        ],
        "qlora": [
            {"base_format": "int8"},
            {"kbit_upcast": False},
            {"preparation": "trl"},
            {"preparation": "trl_norms"},
            {"autocast": False, "kbit_upcast": False},
        ],
    }
    rows = [Row("1B", name, 2, 1024, changes=json.dumps(some)) for name, each in changes.items() for some in each]
    scope = json.dumps({"autocast_scope": "step"})
    rows += [Row("1B", name, 2, 1024, True, scope) for name in ("lora", "dora")]
    return [*rows, Row("1B", "lora", 2, 1024, True, json.dumps({"attention": "eager"}))]


def families() -> list[Row]:
    """One or two rows of every family of models."""
    decoders = {
        "openai-community/gpt2": 1024,
        "facebook/opt-1.3b": 1024,
        "EleutherAI/pythia-1.4b": 1024,
        "bigscience/bloom-560m": 1024,
        "Qwen/Qwen2.5-0.5B": 2048,
        "Qwen/Qwen3-1.7B": 1024,
        "google/gemma-3-1b-pt": 1024,
        "microsoft/phi-1_5": 1024,
        "microsoft/Phi-3-mini-4k-instruct": 1024,
        "allenai/OLMo-2-0425-1B": 1024,
        "ibm-granite/granite-3.1-2b-instruct": 1024,
        "stabilityai/stablelm-2-1_6b": 1024,
        "tiiuae/falcon-rw-1b": 1024,
        "HuggingFaceTB/SmolLM2-135M": 2048,
    }
    encoders = {
        "google-bert/bert-base-uncased": 512,
        "FacebookAI/roberta-base": 512,
        "answerdotai/ModernBERT-base": 512,
    }
    rows = [Row(model, name, 2, length) for model, length in decoders.items() for name in ("full", "lora")]
    rows += [Row(model, name, 8, length) for model, length in encoders.items() for name in ("full", "lora")]
    rows += [Row("google/flan-t5-base", name, 8, 512) for name in ("full", "lora")]
    rows += [Row("openai/whisper-small", name, 4, 128) for name in ("full", "lora")]
    rows += [Row("google/vit-base-patch16-224", name, 32, 197) for name in ("full", "lora")]
    rows += [Row("google/gemma-2-2b", "lora", 1, 1024, changes='{"attention": "eager"}')]
    for model in ("mistralai/Mistral-7B-v0.1", "Qwen/Qwen2.5-7B", "tiiuae/falcon-7b", "google/gemma-2-9b"):
        rows += [Row(model, "qlora", 1, 1024), Row(model, "lora", 1, 1024, True)]
    experts = ("allenai/OLMoE-1B-7B-0924", "ibm-granite/granite-3.1-1b-a400m-instruct", "Qwen/Qwen1.5-MoE-A2.7B")
    return rows + [Row(model, "lora", 1, 1024, again) for model in experts for again in (False, True)]


SETS = {"sizes": sizes, "choices": choices, "families": families}


def model_of(row: Row) -> Any:
    """A catalogue id, or the toy's configuration."""
    return TOY if row.model == "toy" else IDS.get(row.model, row.model)


def method_of(row: Row) -> Method:
    """The row's method, rank 16 on every linear layer."""
    return make_method(row.method, rank=16, alpha=32)


def options_of(row: Row, device: str) -> MemoryOptions:
    """The row's options; on a CPU in the plain loop that the dry run takes."""
    own: dict[str, Any] = {"attention": "sdpa", "autocast": device == "cuda", "checkpointing": row.checkpointing}
    own |= {"padding": False, "keep_outputs": True}  # `output` is alive while `output.loss.backward()` runs
    return MemoryOptions(batch=row.batch, sequence=row.sequence, **own | json.loads(row.changes))


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
        if left:  # cuBLAS's workspaces stay with the process, and each row counts them as its own
            result = without_left(result, left - matrix_workspaces(find_device(device, busy=True).card))
        print(json.dumps(asdict(row) | result | {"left_before": left}), flush=True)


def without_left(result: dict[str, Any], extra: int) -> dict[str, Any]:
    """The result of a row that found so many bytes of an earlier one on the card; its reserve says nothing then.

    >>> found = {"measured_allocated": 300, "measured_reserved": 400, "measured_process": 500}
    >>> without_left(found | {"measured_allocated": 2**30}, 2**29)["measured_allocated"] == 2**29
    True
    >>> without_left(found, SMALL - 1) == found
    True
    """
    if extra < SMALL or not result.get("measured_allocated"):
        return result
    taken = {"measured_allocated": result["measured_allocated"] - extra, "measured_reserved": None}
    taken |= {"measured_process": None}
    said = f"{extra} bytes that an earlier row left are taken off"
    row = result.get("evidence")
    if row is not None:
        texts = {name: "" if size is None else str(size) for name, size in taken.items()}
        row = row | texts | {"source": f"{row['source']}; {said}"}
    return result | taken | {"note": said} | ({"evidence": row} if row is not None else {})


def measure(row: Row, device: str) -> dict[str, Any]:
    """The row's step as `python -m peftcalc measure` takes it; bytes of the third one."""
    import torch

    options = asdict(options_of(row, device))
    options = {name: value for name, value in options.items() if name not in ("batch", "sequence", "card")}
    step = measure_memory(
        pc.load_model(model_of(row)),
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
        "measured_process": step.process_bytes or None,
        "seconds": step.seconds,
        "predicted_seconds": step.predicted_seconds or None,
        "evidence": row_of(step),
    }


def predict(row: Row, device: str) -> dict[str, Any]:
    """Simulated and estimated bytes of the same step."""
    model, method = model_of(row), method_of(row)
    options = {k: v for k, v in asdict(options_of(row, device)).items() if k not in ("batch", "sequence")}
    trace = pc.simulate_memory(model, method, row.batch, row.sequence, **options)
    estimated: Any = pc.estimate_memory(pc.load_model(model), method, row.batch, row.sequence, **options)
    return {"simulated": trace.peak, "estimated": estimated.total}


def in_a_process(chosen: list[Row], device: str) -> Iterator[dict[str, Any]]:
    """`measure_all` in a fresh interpreter, row by row as it comes; rows that it did not reach are noted."""
    rows_as_json = json.dumps([asdict(row) for row in chosen])
    command = [sys.executable, __file__, "--measure", rows_as_json, "--device", device]
    found, late = 0, threading.Event()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(SET_SECONDS, stop)
        timer.start()
        with process, process.stdout or contextlib.nullcontext([]) as lines:
            for line in lines:
                if line.startswith("{"):
                    found += 1
                    yield json.loads(line)
        timer.cancel()
        said.seek(0)
        reason = (said.read().strip().splitlines() or ["the process ended early"])[-1][:150]
    for row in chosen[found:]:
        yield asdict(row) | {"note": f"stopped after {SET_SECONDS} seconds" if late.is_set() else reason}


def percent(predicted: Any, measured: Any) -> float | None:
    """Signed error in per cent; None without a measurement."""
    return round(100 * (predicted / measured - 1), 3) if predicted and measured else None


def shown(result: dict[str, Any]) -> str:
    """One line of JSON, without what goes into the table of evidence."""
    return json.dumps({name: value for name, value in result.items() if name != "evidence"})


def run(sets: dict[str, list[Row]], device: str, measured_only: bool) -> list[dict[str, Any]]:
    """Measure the rows, one process for each set, then predict them in several; print each as it comes."""
    table: list[dict[str, Any]] = []
    for chosen in sets.values():  # nothing runs beside: the steps are timed too
        for result in in_a_process(chosen, device):
            print(shown(result), flush=True)
            table.append(result)
    if measured_only:
        return table
    rows = [row for chosen in sets.values() for row in chosen]
    with ProcessPoolExecutor(max(1, (os.cpu_count() or 2) // 2), get_context("spawn")) as pool:
        for result, predicted in zip(table, pool.map(predict, rows, [device] * len(rows)), strict=True):
            result |= predicted
            for kind in ("simulated", "estimated"):
                result[f"{kind}_error_percent"] = percent(result[kind], result.get("measured_allocated"))
            print(shown(result), flush=True)
    return table


def summary(table: list[dict[str, Any]], key: str) -> str:
    """Mean absolute and worst error of one column."""
    errors = [abs(row[key]) for row in table if row.get(key) is not None]
    if not errors:
        return f"{key}: no rows measured"
    return f"{key}: {len(errors)} rows, mean {statistics.mean(errors):.2f} %, worst {max(errors):.2f} %"


def write(path: str, fields: Any, rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(fields), extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=SETS, default=list(SETS), help="which sets of rows")
    parser.add_argument("--out", help="CSV file for the table")
    parser.add_argument(
        "--evidence", help="CSV file for the rows as `peftcalc/evidence/data/memory_measured.csv` has them"
    )
    parser.add_argument("--measured-only", action="store_true", help="no predictions on this machine")
    parser.add_argument("--dry-run", action="store_true", help="every method at toy size on the CPU")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure_all([Row(**row) for row in json.loads(arguments.measure)], arguments.device)
        return
    sets = {name: SETS[name]() for name in arguments.rows}
    device = "cpu" if arguments.dry_run else arguments.device
    if arguments.dry_run:
        sets = {"toy": [Row("toy", name, 2, 32, again) for name in METHODS for again in (False, True)]}
    table = run(sets, device, arguments.measured_only)
    print(summary(table, "simulated_error_percent"), summary(table, "estimated_error_percent"), sep="\n")
    if arguments.out:
        write(arguments.out, FIELDS, table)
    found = [row["evidence"] for row in table if "evidence" in row]
    if arguments.evidence and found:
        write(arguments.evidence, found[0], found)


if __name__ == "__main__":
    main()
