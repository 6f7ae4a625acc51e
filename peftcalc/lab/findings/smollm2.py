"""Trials on SmolLM2-135M, which is optional: a run each, small, since a step takes about a second of a thread."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import nn

from peftcalc.adapters.attach import adapted
from peftcalc.adapters.slots import slot_at
from peftcalc.geometry.intruders import intruder_dimensions
from peftcalc.lab.findings.characters import train_plainly
from peftcalc.lab.run_settings import RunSettings, run_settings
from peftcalc.lab.runs.loop import Loop
from peftcalc.lab.student import Student
from peftcalc.methods import make_method
from peftcalc.quant.quantizing import quantize

STEPS = 10
BATCH = 1
SENTENCES = 8
"""Held out, in one batch."""
BLOCK = 20
"""Of thirty: the one whose matrices are searched for intruders."""
SEARCHED = ("q_proj", "v_proj", "up_proj", "down_proj")
RATES = {"full": (3e-5, 1e-4, 3e-4, 1e-3), "lora": (1e-3, 3e-3, 1e-2, 3e-2)}
ALPHA = 16
QLORA_RATE = 3e-3

Row = dict[str, Any]


def rate_jobs(seed: int) -> Iterator[Row]:
    """One run each: full and LoRA of rank 8 at four rates."""
    for method, rates in RATES.items():
        for rate in rates:
            yield {"method": method, "rank": 8 if method == "lora" else 0, "learning_rate": rate, "seed": seed}


def merging_jobs(seed: int) -> Iterator[Row]:
    """One run of QLoRA."""
    yield {"method": "qlora", "rank": 8, "learning_rate": QLORA_RATE, "seed": seed}


def rate_rows(job: Mapping[str, Any]) -> list[Row]:
    """Held-out loss before and after a run, and the intruders among the ten strongest directions of a matrix."""
    student = Student(_settings(job))
    before = _floats_before() if job["method"] in RATES else _held_out(student)
    after = _trained(student, _settings(job))
    found = 0.0
    if math.isfinite(after):
        counts = [intruder_dimensions(*pair).count for pair in _searched(student)]
        found = sum(counts) / len(counts)
    return [{**job, "steps": STEPS, "before": before, "validation": after, "intruders": found}]


def merging_rows(job: Mapping[str, Any]) -> list[Row]:
    """Held-out loss of a trained QLoRA beside that of three ways to merge it, and its start in floats and 4 bits."""
    settings = _settings(job)
    student = Student(settings)
    before, start = _held_out(student), _floats_before()
    trained = _trained(student, settings)
    original = {name: layer.weight_before() for name, layer in adapted(_floats().module)}
    row = {**job, "steps": STEPS, "quant": "nf4", "floats_before": start, "before": before, "trained": trained}
    layers = dict(adapted(student.module))
    for way in ("requantized", "dequantized", "original"):
        for name, layer in layers.items():
            update = layer.weight_now() - layer.weight_before()
            weight = (original[name] if way == "original" else layer.weight_before()) + update
            if way == "requantized":
                weight = quantize(weight, "nf4", block_size=64, double_quant=True).dequantize()
            slot_at(student.module, name, _linear(weight, layer.bias)).fill()
        row[way] = _held_out(student)
    return [row]


def _settings(job: Mapping[str, Any]) -> RunSettings:
    options = {"rank": job["rank"], "alpha": ALPHA} if job["method"] != "full" else {}
    method = make_method(job["method"], **options)
    rate = {"learning_rate": job["learning_rate"]}
    return run_settings("llm", method, steps=STEPS, batch=BATCH, seed=job["seed"], evaluations=1, **rate)


def _floats() -> Student:
    """The model as it comes, in floats."""
    return Student(_settings({"method": "lora", "rank": 1, "learning_rate": 1e-3, "seed": 0}))


@cache
def _floats_before() -> float:
    """Its held-out loss, which is that of every run in floats at step 0."""
    return _held_out(_floats())


def _trained(student: Student, settings: RunSettings) -> float:
    """The held-out loss after the run's steps, which are those of `finetune`; infinite where it diverged.

    No text is written on the way, which would take longer than the steps.
    """
    if not math.isfinite(train_plainly(student, Loop(settings, student))):
        return math.inf
    after = _held_out(student)
    return after if math.isfinite(after) else math.inf


@torch.no_grad()
def _held_out(student: Student) -> float:
    problem: Any = student.problem
    problem.module.eval()
    return problem.held_out([problem.rows(problem.test[:SENTENCES])])


def _searched(student: Student) -> list[Any]:
    """Some matrices of one block, before and after."""
    names = [name for name in student.watched() if f"layers.{BLOCK}." in name and name.endswith(SEARCHED)]
    return [student.watch(name)[1:] for name in names]


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, "meta", weight.dtype)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer
