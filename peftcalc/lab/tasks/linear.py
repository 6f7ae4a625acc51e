"""Linear teachers, of which everything is known: `rank`, `magnitude` and `direction`.

The base is one random matrix `W0`; the teacher `W*` differs from it in a chosen way; the student must become the
teacher. Its inputs are the unit vectors, each once a step, so that the loss is exact and not sampled:

    loss = ‖W − W*‖² / ‖W* − W0‖²        (Frobenius norms; 1 before training, 0 when the teacher is met)

No update of rank r can go below the energy of `W* − W0` outside its r largest singular values (Eckart & Young 1936).
That bound is known before training: `LinearTeacher.bounds`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from peftcalc.checks import one_of, whole_number
from peftcalc.geometry.spectrum import rank_of
from peftcalc.lab.tasks.problem import Batch, Evaluation, StackableProblem

SPECTRA = ("equal", "decaying")


class LinearTeacher(StackableProblem):
    """A matrix that learns to be another one. Subclasses say how the other one differs."""

    def __init__(self, seed: int, width: int) -> None:
        width = whole_number("width", width, 4, 1024)
        self.generator = torch.Generator().manual_seed(seed)
        self.module = nn.Sequential(OrderedDict(linear=nn.Linear(width, width, bias=False)))
        base = self.random(width, width) / width**0.5  # rows of length about 1
        self.teacher = self.different(base)
        self.scale = (self.teacher - base).square().sum()
        self.base = base
        with torch.no_grad():
            self.module.get_parameter("linear.weight").copy_(base)

    def different(self, base: Tensor) -> Tensor:
        """The teacher's matrix."""
        raise NotImplementedError

    def random(self, *shape: int) -> Tensor:
        """Standard normal numbers from the task's own generator."""
        return torch.randn(*shape, generator=self.generator)

    def bounds(self) -> np.ndarray:
        """Lowest loss that an update of rank 0, 1, 2, …, width can reach (Eckart–Young), shape `(width + 1,)`."""
        return 1.0 - np.concatenate([[0.0], rank_of(self.teacher - self.base).energy])

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        """Every unit vector with the teacher's answer: this loss has no noise, whatever the batch size."""
        return torch.eye(len(self.teacher)), self.teacher.T

    def loss(self, batch: Batch) -> Tensor:
        inputs, answers = batch
        weight = next(self.module.parameters())
        return (self.module(inputs.to(weight.dtype)).float() - answers).square().sum() / self.scale.to(answers.device)

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """The same loss: all inputs are known, so nothing can be held out."""
        inputs, answers = torch.eye(len(self.teacher), device=self.device), self.teacher.T.to(self.device)
        return Evaluation(self.loss((inputs, answers)).item())

    def held_out(self) -> Tensor:
        return torch.eye(len(self.teacher))

    def judged(self, outputs: Tensor) -> Evaluation:
        return Evaluation(((outputs - self.teacher.T).square().sum() / self.scale).item())

    def losses(self, outputs: Tensor, answers: Tensor, problems: Sequence[LinearTeacher]) -> Tensor:
        return (outputs - answers).square().sum(dim=(1, 2)) / torch.stack([problem.scale for problem in problems])

    def target(self, matrix: str) -> Tensor:
        """The teacher."""
        return self.teacher

    def sizes(self) -> dict[str, int]:
        return {"base parameters": self.base.numel(), "inputs": len(self.base)}


class Rank(LinearTeacher):
    """`W* = W0 + ΔW` with ΔW of known rank and spectrum."""

    def __init__(self, seed: int, teacher_rank: int, spectrum: str, width: int) -> None:
        self.teacher_rank = whole_number("teacher_rank", teacher_rank, 1, whole_number("width", width, 4, 1024))
        self.spectrum = one_of("spectrum", spectrum, SPECTRA)
        super().__init__(seed, width)

    def different(self, base: Tensor) -> Tensor:
        """Singular values all 1, or 1, 1/√2, 1/√3, …: the energies are then 1, 1/2, 1/3, …"""
        left, right = (torch.linalg.qr(self.random(len(base), self.teacher_rank)).Q for _ in range(2))
        values = torch.ones(self.teacher_rank)
        if self.spectrum == "decaying":
            values = torch.arange(1, self.teacher_rank + 1).rsqrt()
        return base + (left * values) @ right.T


class Magnitude(LinearTeacher):
    """The teacher's rows have the directions of the base's and other lengths: between half and one and a half times
    as long.
    """

    def __init__(self, seed: int, width: int) -> None:
        super().__init__(seed, width)

    def different(self, base: Tensor) -> Tensor:
        return base * (0.5 + torch.rand(len(base), 1, generator=self.generator))


class Direction(LinearTeacher):
    """The teacher's rows have the lengths of the base's and other directions, turned by an update of known rank."""

    def __init__(self, seed: int, teacher_rank: int, width: int) -> None:
        self.teacher_rank = whole_number("teacher_rank", teacher_rank, 1, whole_number("width", width, 4, 1024))
        super().__init__(seed, width)

    def different(self, base: Tensor) -> Tensor:
        turned = base + self.random(len(base), self.teacher_rank) @ self.random(self.teacher_rank, len(base)) / len(
            base
        )
        return turned * base.norm(dim=1, keepdim=True) / turned.norm(dim=1, keepdim=True)
