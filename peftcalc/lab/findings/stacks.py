"""Runs of one seed trained stacked to their ends, and what can be asked of the trained models."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.stacked.layers import StackedLinear
from peftcalc.lab.stacked.stack import Stack
from peftcalc.lab.stacked.which import stacks
from peftcalc.lab.tasks.problem import Evaluation

INFINITE = math.inf
"""The loss of a run that has diverged."""


class TrainedStack:
    """A stack at its end.

    Attributes:
        settings: of each model, in the stack's order.
        held_out: of each model its held-out loss by step, infinite from the step at which it diverged.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack, self.settings = stack, stack.settings
        place_of = {index: place for place, index in enumerate(stack.order)}
        self.held_out: list[dict[int, float]] = [{} for _ in self.settings]
        self.metrics: list[dict[str, float]] = [{} for _ in self.settings]
        for told in stack:
            for index, record in told:
                place = place_of[index]
                if record.stopped:
                    self.held_out[place].update(dict.fromkeys((record.step, record.steps), INFINITE))
                elif record.validation is not None:
                    self.held_out[place][record.step] = record.validation
                    self.metrics[place] = record.metrics

    def before(self, place: int) -> float:
        """Held-out loss at step 0."""
        return self.held_out[place][0]

    def after(self, place: int) -> float:
        """Held-out loss at the end."""
        return self.held_out[place][self.settings[place].steps]


@torch.no_grad()
def judged_on(stack: Stack, inputs: Tensor) -> list[Evaluation]:
    """What each model's outputs come to for other inputs, (rows, in), with the same answers."""
    for layer in stack.layers:
        layer.refresh()
    outputs = stack.module(inputs.expand(len(stack.problems), *inputs.shape))
    return [problem.judged(output) for problem, output in zip(stack.problems, outputs, strict=True)]


def trained_stacks(asked: Sequence[RunSettings]) -> Iterator[TrainedStack]:
    """All of these runs, stack by stack."""
    for group in stacks(asked):
        yield TrainedStack(Stack([asked[index] for index in group]))


@torch.no_grad()
def weight_of(layer: StackedLinear) -> Tensor:
    """What K layers multiply with, updates included, (K, out, in): their answers to the unit vectors."""
    layer.refresh()
    models, _, into = layer.weight.shape
    answers = layer(torch.eye(into).expand(models, into, into))  # (K, in, out)
    return (answers if layer.bias is None else answers - layer.bias).mT
