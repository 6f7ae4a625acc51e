"""Published quality: PEFT's own comparison of 63 runs, and what the DoRA paper's table says of the same two methods.

The runs tune Llama-3.2-3B on MetaMathQA for 5,000 steps of four sequences on one L40S and test it on GSM8K
(huggingface/peft, method_comparison/MetaMathQA). Each is one seed.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from peftcalc.evidence.accuracy import COMMONSENSE
from peftcalc.methods import DoRA, Full, LoRA, Method

TABLE = Path(__file__).parent / "data" / "peft_metamathqa.csv"
MODEL, BATCH, SEQUENCE = "meta-llama/Llama-3.2-3B", 4, 768
"""What the runs tuned, with at most that many tokens a sequence."""

DISAGREEMENT = (
    "Here DoRA (46.9 %) stands below LoRA (47.8 %) at rank 32 on queries and values, one run each; in the DoRA paper's "
    "table 1 (arXiv:2402.09353) it stands 1.0 to 4.4 points above LoRA at rank 32, on eight commonsense tasks. Other "
    "models, other tasks, other targets: neither settles yours."
)


@dataclass(frozen=True)
class QualityRun:
    """One run of the comparison."""

    name: str
    """Of the experiment, such as "lora/llama-3.2-3B-rank32-dora"."""
    kind: str
    """What peft calls the method."""
    label: str
    """One of our five methods' labels, or "another of peft's"."""
    rank: int
    targets: str
    accuracy_percent: float
    forgetting: float
    """How much worse the tuned model predicts ordinary text than before: the rise of its loss, in nats a token."""
    reserved_bytes: int
    """torch.cuda.max_memory_reserved."""
    step_seconds: float
    """Of all training steps, evaluations left out."""
    trainable: int
    card: str
    source: str
    method: Method | None
    """Ours with the same settings; None for what this project does not have."""


OTHER = "another of peft's"


@cache
def quality_runs() -> tuple[QualityRun, ...]:
    """Every run, the most accurate first.

    >>> best = quality_runs()[0]
    >>> best.kind, round(best.accuracy_percent, 1)
    ('LILY', 52.6)
    """
    rows = csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines())
    return tuple(sorted(map(_run, rows), key=lambda run: -run.accuracy_percent))


@cache
def lora_against_dora() -> tuple[dict[str, Any], ...]:
    """What two published tables say of the same two methods at rank 32, in per cent right; they disagree.

    >>> [(row["model"], row["DoRA minus LoRA"]) for row in lora_against_dora()][-2:]
    [('Llama-3-8B', 4.4), ('Llama-3.2-3B', -0.9)]
    """
    paper = [("eight commonsense tasks", model, lora, dora) for model, (lora, dora, _) in COMMONSENSE.items()]
    found = {run.name: run.accuracy_percent for run in quality_runs()}
    lora, dora = (round(found[f"lora/llama-3.2-3B-rank32{kind}"], 1) for kind in ("", "-dora"))
    rows = [*paper, ("GSM8K after MetaMathQA", MODEL.rpartition("/")[2], lora, dora)]
    columns = ("tested on", "model", "LoRA", "DoRA", "DoRA minus LoRA", "source")
    sources = ["arXiv:2402.09353, table 1"] * len(paper) + ["huggingface/peft@5d602fd"]
    values = [(*row, round(row[3] - row[2], 1), source) for row, source in zip(rows, sources, strict=True)]
    return tuple(dict(zip(columns, row, strict=True)) for row in values)


def _run(row: dict[str, str]) -> QualityRun:
    method = _method(row)
    return QualityRun(
        name=row["experiment"],
        kind=row["peft_type"],
        label=method.label if method else OTHER,
        rank=int(row["rank"] or 0),
        targets=row["targets"],
        accuracy_percent=100 * float(row["test_accuracy"]),
        forgetting=float(row["forgetting"]),
        reserved_bytes=int(row["memory_max_reserved"]),
        step_seconds=float(row["step_seconds"]),
        trainable=int(row["trainable"]),
        card=row["card"].removeprefix("NVIDIA "),
        source=row["source"],
        method=method,
    )


def _method(row: dict[str, str]) -> Method | None:
    """Full, LoRA or DoRA with the run's settings; variants that peft keeps under LoRA are none of ours."""
    name = row["experiment"].rpartition("/")[2]
    if row["peft_type"] == "FULL":
        return Full()
    if row["peft_type"] != "LORA" or any(word in name for word in ("bdlora", "mica")):
        return None
    kind = DoRA if row["use_dora"] == "True" else LoRA
    return kind(
        rank=int(row["rank"]),
        alpha=float(row["alpha"]),
        targets=tuple(row["targets"].split()),
        rslora=row["use_rslora"] == "True",
        freeze_a="lorafa" in name,
    )


def pareto(runs: tuple[QualityRun, ...], cost: str) -> set[str]:
    """Names of the runs that no other beats in both accuracy and `cost` ("reserved_bytes" or "step_seconds").

    >>> "lora/llama-3.2-3B-rank64-rslora" in pareto(quality_runs(), "step_seconds")
    True
    """
    front: set[str] = set()
    highest = -1.0
    for run in sorted(runs, key=lambda run: (getattr(run, cost), -run.accuracy_percent)):
        if run.accuracy_percent > highest:
            front.add(run.name)
            highest = run.accuracy_percent
    return front
