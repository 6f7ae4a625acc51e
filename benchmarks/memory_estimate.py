"""The closed-form estimate against the traced simulation, over a grid of models, methods, sizes and checkpointing.

    python benchmarks/memory_estimate.py [--every N] [--csv FILE] [--models A,B]
    python benchmarks/memory_estimate.py --rare [--models A,B]
    python benchmarks/memory_estimate.py --time [--models A,B]

With `--time`: processor time of what the pages Memory, Choose and Parameters ask of the core in a rerun, beside that of
a loop of a million empty turns in the same minute, because machines and their load differ.

With `--rare`, instead of the grid: one of several GPUs, pictures in the sequence, models with two lengths, encoders.

Without either, prints every row, then the median and the worst of |estimate − simulation| / simulation, in all and by
model and method.
The bars of the project: median at most 5 %, worst at most 15 %.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import operator
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

from peftcalc.advice.advise import advise
from peftcalc.counting.count import count
from peftcalc.counting.one_matrix_gap import one_matrix_gap
from peftcalc.memory.cards import gpu, gpus
from peftcalc.memory.estimate.closed_form import MemoryEstimate, estimate_memory
from peftcalc.memory.fit import FIVE_METHODS, fit, largest_models, refusals
from peftcalc.memory.largest import MOST_BATCH, MOST_SEQUENCE, searched
from peftcalc.memory.needed import room
from peftcalc.memory.serving.tasks import serving_table
from peftcalc.memory.simulate.simulate import simulate_memory
from peftcalc.methods import DoRA, Full, LoRA, Method, QDoRA, QLoRA
from peftcalc.models.load import load_model

MODELS = (
    "HuggingFaceTB/SmolLM2-135M",
    "meta-llama/Llama-3.2-1B",
    "microsoft/Phi-3-mini-4k-instruct",
    "Qwen/Qwen2.5-7B",
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen3-4B",
    "openai-community/gpt2",
    "EleutherAI/pythia-1.4b",
    "facebook/opt-1.3b",
    "stabilityai/stablelm-2-1_6b",
    "bigcode/starcoder2-15b",
    "allenai/OLMo-2-1124-7B",
)
SIZES = ((1, 512), (4, 1024), (1, 4096))
"""Batch and sequence."""


@dataclass(frozen=True)
class Row:
    """One comparison; bytes."""

    model: str
    method: str
    batch: int
    sequence: int
    checkpointing: bool
    options: str
    estimated: int
    simulated: int

    @property
    def error(self) -> float:
        """Relative error of the estimate."""
        return (self.estimated - self.simulated) / self.simulated


def methods() -> Iterator[tuple[Method, dict]]:
    """The five methods with the options under which they are compared."""
    yield Full(), {}
    yield Full(), {"float32_masters": True}
    yield LoRA(rank=16, alpha=32, targets=["q_proj", "v_proj", "c_attn", "qkv_proj", "query_key_value"]), {}
    yield LoRA(rank=16, alpha=32, dropout=0.05), {"autocast": False}
    yield DoRA(rank=16, alpha=32), {}
    yield QLoRA(rank=16, alpha=32), {}
    yield QLoRA(rank=16, alpha=32, double_quant=False), {"kbit_upcast": False}
    yield QDoRA(rank=16, alpha=32), {"autocast": False}


def compare(name: str | dict, method: Method, batch: int, sequence: int, options: dict) -> Row:
    """One row; a model's configuration is called by its kind."""
    shapes = load_model(name)
    estimate = estimate_memory(shapes, method, batch, sequence, **options)
    trace = simulate_memory(shapes, method, batch, sequence, limit_seconds=900, **options)
    shown = ", ".join(f"{key}={value}" for key, value in options.items() if key != "checkpointing")
    called = name if isinstance(name, str) else f"a {'small' if len(name) > 1 else 'bare'} {name['model_type']}"
    return Row(called, repr(method), batch, sequence, options["checkpointing"], shown, estimate.total, trace.peak)


def grid(names: tuple[str, ...], every: int) -> Iterator[Row]:
    """Rows, one after the other; of the combinations, each model takes another share of one in `every`.

    A model that cannot be traced is named and left out.
    """
    combinations = list(itertools.product(methods(), SIZES, (False, True)))
    for place, name in enumerate(names):
        for index, ((method, options), (batch, sequence), checkpointing) in enumerate(combinations):
            if (index * 5 + place * 7) % every:
                continue
            try:
                yield compare(name, method, batch, sequence, {**options, "checkpointing": checkpointing})
            except ValueError as error:
                print(f"left out: {name}, {method!r}: {error}", file=sys.stderr)


def sees_pictures(text: dict, **seen: int | str) -> dict:
    """A small configuration of a model that sees pictures of 224 × 224 in pieces of 14."""
    language = {"hidden_size": 512, "intermediate_size": 1280, "num_hidden_layers": 4, "num_attention_heads": 8,
                "num_key_value_heads": 4, "vocab_size": 2048}  # fmt: skip
    tower = {"hidden_size": 384, "image_size": 224, "patch_size": 14, "intermediate_size": 1024,
             "num_attention_heads": 6, "num_hidden_layers": 6}  # fmt: skip
    return {"text_config": language | text, "vision_config": tower | seen}


PICTURES = (
    {"model_type": "llava"} | sees_pictures({"model_type": "llama"}, model_type="clip_vision_model", projection_dim=64),
    {"model_type": "paligemma", "projection_dim": 512}
    | sees_pictures({"model_type": "gemma", "head_dim": 64}, model_type="siglip_vision_model", projection_dim=512),
    {"model_type": "gemma3", "mm_tokens_per_image": 64}
    | sees_pictures({"model_type": "gemma3_text", "head_dim": 64}, model_type="siglip_vision_model"),
)
TWO_LENGTHS = ("google/flan-t5-base", "google-t5/t5-small", "google/mt5-small", "facebook/bart-base")
ENCODERS = (
    *("google-bert/bert-base-uncased", "FacebookAI/roberta-base", "distilbert/distilbert-base-uncased"),
    *("microsoft/deberta-v3-base", "answerdotai/ModernBERT-base", "bigscience/bloom-560m", "facebook/opt-350m"),
    *({"model_type": kind} for kind in ("electra", "marian", "mbart", "megatron-bert", "roformer", "gpt2")),
)
"""Norms behind the layers or the embeddings, or attention of their own kind; some say nothing but what they are."""
DIVIDED = (("ddp", 2), ("zero1", 8), ("zero2", 2), ("zero3", 8), ("fsdp2", 2), ("fsdp2", 8))
"""How a step is divided, and over how many GPUs."""


def rare(only: tuple[str, ...]) -> Iterator[Row]:
    """What the grid does not have, of these models where any are named; what is not counted is named and left out."""
    asked: list[tuple[str | dict, Method, int, int, dict]] = []
    for name, (sharding, gpus_), checkpointing in itertools.product(
        ("meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-7B"), DIVIDED, (False, True)
    ):
        for method in (Full(), LoRA(rank=16, alpha=32), QLoRA(rank=16, alpha=32)):
            divided = {"sharding": sharding, "gpus": gpus_, "checkpointing": checkpointing}
            asked.append((name, method, 1, 2048, divided))
    for config, checkpointing, method in itertools.product(PICTURES, (False, True), (Full(), LoRA(rank=8, alpha=16))):
        asked.append((config, method, 2, 1024, {"images": 3, "checkpointing": checkpointing}))
    small = (Full(), LoRA(rank=8, alpha=16), QLoRA(rank=8, alpha=16))
    for name, checkpointing, method, batch in itertools.product(TWO_LENGTHS, (False, True), small, (1, 2)):
        asked.append((name, method, batch, 512, {"checkpointing": checkpointing}))
    for model, checkpointing, method, batch in itertools.product(ENCODERS, (False, True), small[:2], (2, 8)):
        asked.append((model, method, batch, 512, {"checkpointing": checkpointing}))
    for name, method, batch, sequence, options in asked:
        if only and name not in only:
            continue
        try:
            yield compare(name, method, batch, sequence, options)
        except ValueError as error:
            print(f"left out: {name}, {method!r}, {options}: {error}", file=sys.stderr)


def summary(rows: list[Row], key: str = "") -> None:
    """Median and worst error, in all or by a column."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(getattr(row, key) if key else "all rows", []).append(row)
    for label, members in groups.items():
        errors = [abs(row.error) for row in members]
        worst = max(members, key=lambda row: abs(row.error))
        print(f"{label:48} {len(members):4} rows  median {statistics.median(errors):6.2%}  worst {worst.error:+7.2%}")


CARDS = ("T4", "V100 16GB", "RTX 3060 12GB", "RTX 4090", "RTX 5090", "L40S", "A100 80GB", "H100 80GB", "H200")
TIMED = ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-405B", "Qwen/Qwen3-30B-A3B")


def calls(name: str) -> Iterator[tuple[str, Callable[[int], object]]]:
    """What the pages ask of the core, by name; each takes the turn's number, so that no turn repeats another."""
    model = load_model(name)
    methods = [method for method in FIVE_METHODS if method.name not in refusals(model, FIVE_METHODS)]
    chosen = methods[-1]

    def nine(sequence: int) -> list[int]:
        rows = [row for card in CARDS for row in fit(model, card, methods, 1, sequence, checkpointing=True)]
        return [row.largest_batch + row.largest_sequence for row in rows]

    def nine_searched(sequence: int) -> None:
        for method, card in itertools.product(methods, CARDS):
            peak = partial(estimate_memory, model, method, checkpointing=True)
            fits = partial(operator.ge, room(gpu(card)))
            searched(lambda n, peak=peak, fits=fits: fits(_blocks(peak(n, sequence))), MOST_BATCH)
            searched(lambda n, peak=peak, fits=fits: fits(_blocks(peak(1, n))), MOST_SEQUENCE)

    yield "an estimate, another sequence", lambda turn: estimate_memory(model, chosen, 1, 1000 + turn)
    yield "an estimate, another rank", lambda turn: estimate_memory(model, LoRA(rank=1 + turn), 1, 2048)
    yield "an estimate, asked again", lambda turn: estimate_memory(model, chosen)
    yield "nine cards, five methods, solved", lambda turn: nine(2000 + turn)
    yield "the same, searched", lambda turn: nine_searched(1500 + turn)
    yield "the same, asked again", lambda turn: nine(2048)
    yield "advice, another sequence", lambda turn: advise(model, "RTX 4090", sequence=3000 + turn)
    yield "a count, another rank", lambda turn: count(model, LoRA(rank=2 + turn))
    yield "the count by name, as a table", lambda turn: count(model, LoRA(rank=2 + turn)).by_kind
    yield "the count by module, as a table", lambda turn: count(model, LoRA(rank=2 + turn)).by_module
    yield "why one matrix differs", lambda turn: one_matrix_gap(model, LoRA(rank=2 + turn))
    yield "serving, as a table", lambda turn: serving_table(model, LoRA(rank=2 + turn))
    yield "the cards, as a table", lambda turn: gpus()
    yield "largest models, another sequence", lambda turn: largest_models(CARDS, FIVE_METHODS, sequence=700 + turn)


def _blocks(estimate: MemoryEstimate) -> int:
    """What a step needs at most, beside the context."""
    return estimate.apart_bytes + estimate.upcast_bytes


def timed(names: tuple[str, ...], turns: int = 5) -> None:
    """Print the lowest processor time of each call, and as a share of the empty loop's."""

    def lowest(call: Callable[[int], object]) -> float:
        times = []
        for turn in range(turns):
            started = time.process_time()
            call(turn)
            times.append(time.process_time() - started)
        return 1000 * min(times)

    def empty(turn: int) -> None:
        for _ in range(1_000_000):
            pass

    for name in names:
        print(f"\n{name:36} {'ms':>9}   of a million empty turns")
        for label, call in calls(name):
            loop, spent = lowest(empty), lowest(call)
            print(f"{label:36} {spent:9.3f}   {spent / loop:8.2%}", flush=True)


def main() -> None:
    """Run the grid and print it."""
    parser = argparse.ArgumentParser(description="The estimate against the simulation, over a grid.")
    parser.add_argument("--every", type=int, default=6, help="one in so many combinations for each model (default 6)")
    parser.add_argument("--models", help="catalogue ids with commas")
    parser.add_argument("--rare", action="store_true", help="several GPUs, pictures, two lengths")
    parser.add_argument("--csv", help="write the rows to this file")
    parser.add_argument("--time", action="store_true", help="processor time of what pages ask of the core")
    arguments = parser.parse_args()
    named = tuple(arguments.models.split(",")) if arguments.models else ()
    if arguments.time:
        timed(named or TIMED)
        return
    names = named or MODELS
    started, rows = time.monotonic(), []
    for row in rare(named) if arguments.rare else grid(names, arguments.every):
        rows.append(row)
        gib = f"{row.estimated / 2**30:8.2f} {row.simulated / 2**30:8.2f} GiB"
        size = f"{row.batch} × {row.sequence}{' checkpointing' if row.checkpointing else ''}"
        print(f"{row.error:+7.2%} {gib}  {row.model}  {row.method}  {size}  {row.options}", flush=True)
    for key in ("model", "method", "checkpointing", ""):
        print()
        summary(rows, key)
    print(f"\n{time.monotonic() - started:.0f} s")
    if arguments.csv:
        with open(arguments.csv, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])))
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()
