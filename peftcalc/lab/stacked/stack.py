"""The steps of K runs in one graph; what each of them tells is what `finetune` would."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from peftcalc.lab.records import StepRecord
from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.runs.loop import EXPLODED, divergence, learning_rate_at
from peftcalc.lab.runs.optimizer import set_rate
from peftcalc.lab.stacked.building import stacked
from peftcalc.lab.student import Student
from peftcalc.lab.tasks.problem import Evaluation, StackableProblem

Told = list[tuple[int, StepRecord]]
"""Records of one step, each with the place of its run among those asked for."""


class Stack(Iterator[Told]):
    """K runs that go on together as far as they are iterated, and end apart: one that diverges stops alone.

    The records are those of `finetune` without samples and matrices' changes; `seconds` is a K-th of the stack's time.
    Losses are the same numbers up to float32's rounding, which training at a rate that converges does not enlarge
    beyond 1e-5 in its first 50 steps.

    Args:
        asked: settings of one group of `peftcalc.lab.stacked.which.stacks`.
        peaks: the highest bytes of tensors of each run by itself, for its records.

    Attributes:
        order: where in `asked` the run is that stands at each place of the stack.
    """

    def __init__(self, asked: Sequence[RunSettings], peaks: Sequence[int] | None = None) -> None:
        students = [Student(one) for one in asked]
        self.module = asked[0].record.build(asked[0].seed, **asked[0].options).module
        self.order, parts = stacked(self.module, students, [one.method for one in asked])
        self.settings = [asked[index] for index in self.order]
        self.peaks = [peaks[index] if peaks else 0 for index in self.order]
        self.problems = [_stackable(students[index]) for index in self.order]
        self.trainable = [students[index].trainable for index in self.order]
        self.trained_bytes = [students[index].trained_bytes for index in self.order]
        self.layers = parts.layers
        self.rows, self.optimizer = parts.optimizer(self.settings)
        self.tokens = self.problems[0].tokens(self.problems[0].batch(self.settings[0].batch, torch.Generator()))
        self.draws = {one.seed: torch.Generator().manual_seed(one.seed) for one in self.settings}
        count = self.settings[0].evaluations
        self.checkpoints = {round(self.settings[0].steps * i / count) for i in range(1, count + 1)}
        self.limits = [math.inf] * len(asked)
        self.going = set(range(len(asked)))
        self.seconds, self.step = 0.0, -1

    def __next__(self) -> Told:
        if self.step == self.settings[0].steps or not self.going:
            raise StopIteration
        self.step += 1
        if not self.step:
            found = self.evaluate()
            self.limits = [EXPLODED * max(1.0, one.validation) for one in found]
            return [self._record(place, one.validation, one) for place, one in enumerate(found)]
        losses = self._train_step()
        found = self.evaluate() if self.step in self.checkpoints else None
        return [self._record(place, losses[place], found[place] if found else None) for place in sorted(self.going)]

    @torch.no_grad()
    def evaluate(self) -> list[Evaluation]:
        """What each model comes to on data that training never sees."""
        self._refresh()
        inputs = self.problems[0].held_out()
        outputs = self.module(inputs.expand(len(self.problems), *inputs.shape))
        return [problem.judged(output) for problem, output in zip(self.problems, outputs, strict=True)]

    def _train_step(self) -> list[float]:
        """Forward, backward, update of all; each model's loss before it. One that is not finite changes nothing."""
        inputs, answers = self._batch()
        started = time.perf_counter()
        self._refresh()
        losses = self.problems[0].losses(self.module(inputs), answers, self.problems)
        losses.sum().backward()
        values = losses.tolist()
        for place, loss in enumerate(values):
            if not math.isfinite(loss):
                self._stop(place)
        one = self.settings[0]
        set_rate(self.optimizer, learning_rate_at(self.step, one.steps, 1.0))
        self.optimizer.step()
        self.seconds += time.perf_counter() - started
        return values

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and answers of every model, (K, rows, …); runs with the same seed see the same batches."""
        first = {one.seed: problem for problem, one in zip(self.problems, self.settings, strict=True)}
        drawn = {seed: problem.batch(self.settings[0].batch, self.draws[seed]) for seed, problem in first.items()}
        inputs, answers = (torch.stack([drawn[one.seed][part] for one in self.settings]) for part in (0, 1))
        return inputs, answers

    @torch.no_grad()
    def _refresh(self) -> None:
        for layer in self.layers:
            layer.refresh()

    def _stop(self, place: int) -> None:
        """This model is trained no further."""
        for row in self.rows[place]:
            row.grad = None

    def _record(self, place: int, loss: float, found: Evaluation | None) -> tuple[int, StepRecord]:
        """What a run tells; one that has diverged goes no further."""
        settings, seconds = self.settings[place], self.seconds / len(self.settings)
        stopped = self._trouble(place, loss)
        if found is not None and not stopped:
            stopped = self._trouble(place, found.validation)
        elif stopped:
            found = None
        if stopped:
            self._stop(place)
            self.going.discard(place)
        record = StepRecord(
            step=self.step,
            steps=settings.steps,
            loss=loss,
            validation=found.validation if found else None,
            metrics=found.metrics if found else {},
            seconds=seconds,
            tokens_per_second=self.step * self.tokens / seconds if seconds else 0.0,
            peak_bytes=self.peaks[place] if self.step > 1 or self.step == settings.steps else 0,
            trainable=self.trainable[place],
            adapter_bytes=self.trained_bytes[place],
            learning_rate=learning_rate_at(self.step, settings.steps, settings.learning_rate) if self.step else 0.0,
            stopped=stopped,
        )
        return self.order[place], record

    def _trouble(self, place: int, loss: float) -> str | None:
        return divergence(loss, self.limits[place], self.step, self.settings[place].learning_rate)


def _stackable(student: Student) -> StackableProblem:
    assert isinstance(student.problem, StackableProblem)  # `which.STACKABLE_TASKS` lists those that are
    return student.problem
