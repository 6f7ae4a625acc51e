"""Counting against transformers and peft on the meta device, in one run.

    python benchmarks/count.py            every table
    python benchmarks/count.py --quick    fewer repetitions

The machine is noisy, so both sides are timed in turn and the median of the ratios is given. "peft" builds the model
from its config on the meta device, calls `get_peft_model` and asks it for its count; imports are paid beforehand.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

MODELS = (
    "meta-llama/Llama-3.2-1B",
    "meta-llama/Llama-3.1-8B",
    "meta-llama/Llama-3.1-70B",
    "meta-llama/Llama-3.1-405B",
)
DEPTHS = (2, 8, 32, 126, 512)


def seconds(work: Callable[[], Any], repeats: int = 1) -> float:
    """Wall-clock seconds of one call, the mean over `repeats`."""
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def ratios(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, repeats: int) -> tuple[float, float, float]:
    """Medians over interleaved rounds: our seconds, their seconds, theirs / ours."""
    pairs = [(seconds(ours, repeats), seconds(theirs)) for _ in range(rounds)]
    return (
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[1] / pair[0] for pair in pairs),
    )


def meta_module(config: dict[str, Any]) -> Any:
    """The model as transformers builds it from a config on the meta device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **settings))


def peft_count(config: dict[str, Any], method: Any) -> tuple[int, int]:
    """(trainable, all) by the whole way through transformers and peft."""
    from peft import get_peft_model

    return get_peft_model(meta_module(config), method.to_peft(), low_cpu_mem_usage=True).get_nb_trainable_parameters()


def against_peft(rounds: int) -> None:
    """A catalogue model by its id, against transformers + get_peft_model."""
    import peftcalc as pc

    print("| model | parameters | peftcalc | transformers + peft | times faster |\n|---|---:|---:|---:|---:|")
    for model in MODELS:
        method = pc.DoRA(rank=16, alpha=32)
        shapes = pc.load_model(model)
        result = pc.count(model, method)
        assert (result.trainable, result.total) == peft_count(shapes.config, method)
        ours, theirs, ratio = ratios(
            lambda model=model, method=method: pc.count(model, method),
            lambda shapes=shapes, method=method: peft_count(shapes.config, method),
            rounds,
            repeats=200,
        )
        print(f"| {model} | {shapes.total:,} | {ours * 1e6:.0f} µs | {theirs:.2f} s | {ratio:,.0f} |", flush=True)


def first_answer(model: str = MODELS[-1]) -> None:
    """What one answer costs in a fresh process, imports and reading the catalogue included."""
    code = f"import peftcalc as pc; pc.count({model!r}, pc.DoRA(rank=16))"
    taken = statistics.median(
        seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True)) for _ in range(5)
    )
    print(f"\nA fresh process, import to answer, {model}: {taken * 1e3:.0f} ms")


def against_depth(rounds: int) -> None:
    """The same layer, more often: by list of names (decided once) and by regular expression (every name is matched)."""
    import peftcalc as pc

    base = pc.load_model(MODELS[1]).config
    print("\n| layers | names | regular expression |\n|---:|---:|---:|")
    records = {depth: pc.load_model({**base, "num_hidden_layers": depth}) for depth in DEPTHS}
    names = pc.DoRA(rank=16, targets=("q_proj", "v_proj"))
    pattern = pc.DoRA(rank=16, targets=r".*\.(q|v)_proj")
    for depth, shapes in records.items():
        by_names = statistics.median(seconds(lambda s=shapes: pc.count(s, names), 200) for _ in range(rounds))
        by_pattern = statistics.median(seconds(lambda s=shapes: pc.count(s, pattern), 5) for _ in range(rounds))
        print(f"| {depth} | {by_names * 1e6:.0f} µs | {by_pattern * 1e3:.2f} ms |", flush=True)


def unknown_config(rounds: int) -> None:
    """A config that the catalogue does not have, against the meta build that it rests on."""
    import peftcalc as pc

    print("\n| unknown config | load_model | transformers meta build | ratio |\n|---|---:|---:|---:|")
    for model in MODELS[:3]:
        config = pc.load_model(model).config
        ours, theirs, ratio = ratios(
            lambda config=config: pc.load_model(config), lambda config=config: meta_module(config), rounds, repeats=1
        )
        print(f"| {model}'s | {ours * 1e3:.0f} ms | {theirs * 1e3:.0f} ms | {1 / ratio:.2f} |", flush=True)


def import_time(rounds: int) -> None:
    """`import peftcalc` beside `import pandas`, each in its own process, in turn."""

    def fresh(code: str) -> float:
        return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    for module in ("peftcalc", "pandas"):
        fresh(f"import {module}")  # byte code and disk cache
    triples = [(fresh("import peftcalc"), fresh("import pandas"), fresh("pass")) for _ in range(rounds)]
    ours, pandas, nothing = (statistics.median(column) * 1e3 for column in zip(*triples, strict=True))
    ratio = statistics.median(first / second for first, second, _ in triples)
    print(
        f"\nimport peftcalc {ours:.0f} ms, import pandas {pandas:.0f} ms, an empty process {nothing:.0f} ms; "
        f"peftcalc / pandas = {ratio:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    rounds = 3 if parser.parse_args().quick else 9
    warnings.simplefilter("ignore")
    against_peft(rounds)
    first_answer()
    against_depth(rounds)
    unknown_config(3 * rounds)
    import_time(3 * rounds)


if __name__ == "__main__":
    main()
