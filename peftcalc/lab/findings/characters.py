"""Trials on the character model of the task names: which layers to adapt, and what LoftQ does to NF4's error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from peftcalc.adapters.attach import adapted, attach
from peftcalc.lab.run_settings import run_settings
from peftcalc.lab.runs.loop import Loop, learning_rate_at
from peftcalc.lab.runs.optimizer import set_rate
from peftcalc.lab.student import Student
from peftcalc.methods import LoRA, QLoRA

Row = dict[str, Any]

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
LAYERS = {"attention": (ATTENTION, 17), "mlp": (MLP, 12), "all": (ATTENTION + MLP, 7)}
"""Which modules, and a rank at which each choice trains about as many parameters."""
STEPS = 50
RATE = 1e-2
LOFTQ_RANK = 8
TURNS = (0, 1, 2, 5)
"""Of LoftQ; 0 is NF4 alone."""


def layer_jobs(seed: int) -> Iterator[Row]:
    """A run for each choice of layers."""
    return ({"seed": seed, "targets": name} for name in LAYERS)


def layer_rows(job: Mapping[str, Any]) -> list[Row]:
    """Held-out loss before and after a run that adapts some of the layers."""
    targets, rank = LAYERS[job["targets"]]
    method = LoRA(rank=rank, targets=targets)
    settings = run_settings("names", method, steps=STEPS, seed=job["seed"], learning_rate=RATE, evaluations=1)
    student = Student(settings)
    problem: Any = student.problem
    problem.module.eval()
    before = problem.held_out_loss()
    train_plainly(student, Loop(settings, student))
    problem.module.eval()
    figures = {"parameters": student.trainable, "before": before, "validation": problem.held_out_loss()}
    return [{**job, "rank": rank, "learning_rate": RATE, "steps": STEPS, **figures}]


def train_plainly(student: Student, loop: Loop) -> float:
    """The steps of a run, as `finetune` makes them, without a look at the held-out data; the last step's loss."""
    loss = 0.0
    for step in range(1, loop.settings.steps + 1):
        set_rate(loop.optimizer, learning_rate_at(step, loop.settings.steps, loop.settings.learning_rate))
        loss = loop.train_step(student.problem.batch(loop.settings.batch, loop.batches))
    loop.release()
    return loss


@torch.no_grad()
def loftq_rows(job: Mapping[str, Any]) -> list[Row]:
    """Of every matrix `‖W − (Q + s · B A)‖ / ‖W‖` after so many turns of LoftQ over NF4."""
    settings = run_settings("names", LoRA(rank=1), seed=job["seed"])
    rows = []
    for turns in TURNS:
        problem = settings.record.build(job["seed"])
        before = {name: part.weight.clone() for name, part in problem.module.named_modules() if _is_linear(part)}
        init = {0: "default", 1: "loftq"}.get(turns, f"loftq_niter_{turns}")
        attach(problem.module, QLoRA(rank=LOFTQ_RANK, double_quant=False, init=init), seed=job["seed"])
        for name, layer in adapted(problem.module):
            W = before[name]
            error = float((layer.weight_now() - W).norm() / W.norm())
            rows.append({**job, "layer": name, "rank": LOFTQ_RANK, "turns": turns, "error": error})
    return rows


def _is_linear(part: Any) -> bool:
    return isinstance(part, torch.nn.Linear)
