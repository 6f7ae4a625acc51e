"""What a task offers to the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Batch = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Evaluation:
    """What is measured on data that training never sees."""

    validation: float
    metrics: dict[str, float] = field(default_factory=dict)
    samples: tuple[Any, ...] = ()


class Problem(ABC):
    """A base model in `module`, batches to train it on, and a way to tell how well it does.

    Methods are attached to `module` after it is built. Everything random comes from a generator that is handed in or
    made from a fixed seed, never from torch's global one: runs in several threads do not disturb each other.
    """

    module: nn.Module
    targets_left_out: tuple[str, ...] = ()
    """Linear layers that no adapter is attached to."""

    @abstractmethod
    def batch(self, size: int, generator: torch.Generator) -> Batch:
        """Random training data, on the CPU."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Training loss of the module, a scalar in the task's unit."""

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Held-out loss, other figures and samples; always on the same data and with the same random numbers."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """How large the base and the data are; what the task's record says."""

    def target(self, matrix: str) -> Tensor | None:
        """What the matrix of this name should become, (out, in), where the task knows that."""
        return None

    def tokens(self, batch: Batch) -> int:
        """How many items (characters, images, inputs) a batch teaches."""
        return len(batch[0] if isinstance(batch, tuple) else batch)

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return next(self.module.parameters()).device


class StackableProblem(Problem):
    """A problem whose module is made of linear layers and of what treats every number or every row alike.

    So it computes K models at once when K linear layers stand in the place of each (`peftcalc.lab.stacked`), its
    inputs then being (K, rows, in). A batch is inputs and answers.
    """

    @abstractmethod
    def losses(self, outputs: Tensor, answers: Tensor, problems: Sequence[Any]) -> Tensor:
        """Training loss of each model, (K,), of outputs (K, rows, out) and answers (K, rows, …); `problems` are theirs,
        this one's kind."""

    @abstractmethod
    def held_out(self) -> Tensor:
        """The inputs on which models are judged, (rows, in); the same for every problem of the kind."""

    @abstractmethod
    def judged(self, outputs: Tensor) -> Evaluation:
        """What the module's outputs for `held_out` come to, without samples."""


def parameters_of(module: nn.Module) -> int:
    """How many parameters a module has."""
    return sum(parameter.numel() for parameter in module.parameters())
