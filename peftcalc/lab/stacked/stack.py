"""The steps of K runs in one graph; what each of them tells is what `finetune` would."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from peftcalc.lab.records import StepRecord
from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.runs.loop import EXPLODED, divergence, learning_rate_at
from peftcalc.lab.runs.optimizer import FACTOR, set_rate
from peftcalc.lab.stacked.layers import Slices, StackedLinear, Trained
from peftcalc.lab.stacked.rows import Rows
from peftcalc.lab.student import Student
from peftcalc.lab.tasks.problem import Evaluation, StackableProblem
from peftcalc.methods import LoRA

FULL, UPDATED, DECOMPOSED = range(3)

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
        self.order = sorted(range(len(asked)), key=lambda index: _kind(asked[index]))
        self.settings = [asked[index] for index in self.order]
        self.peaks = [peaks[index] if peaks else 0 for index in self.order]
        students = [Student(one) for one in self.settings]
        self.problems = [_stackable(student) for student in students]
        self.trainable = [student.trainable for student in students]
        self.trained_bytes = [student.trained_bytes for student in students]
        self.module, self.layers = stacked_module(self.settings, students)
        self.leaves = [leaf for layer in self.layers for leaf in layer.parameters() if leaf.requires_grad]
        rows = allotted(self.layers)
        for layer in self.layers:
            layer.begin()
        self.rows, self.optimizer = _optimizer(self.settings, rows)
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
        self._compose()
        inputs = self.problems[0].held_out()
        outputs = self.module(inputs.expand(len(self.problems), *inputs.shape))
        return [problem.judged(output) for problem, output in zip(self.problems, outputs, strict=True)]

    def _train_step(self) -> list[float]:
        """Forward, backward, update of all; each model's loss before its update, which one that is not finite has not.
        """
        inputs, answers = self._batch()
        started = time.perf_counter()
        self._compose()
        losses = self.problems[0].losses(self.module(inputs), answers, self.problems)
        found = iter(torch.autograd.grad(losses.sum(), self.leaves))
        for layer in self.layers:
            layer.pull_back(*(next(found) for leaf in layer.parameters() if leaf.requires_grad))
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

    def _compose(self) -> None:
        for layer in self.layers:
            layer.compose()

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


def stacked_module(settings: Sequence[RunSettings], students: Sequence[Student]) -> tuple[nn.Module, list[StackedLinear]]:
    """The task's own module with K linear layers in the place of each, and those layers."""
    module = settings[0].record.build(settings[0].seed, **settings[0].options).module
    kinds = [_kind(one) for one in settings]
    slices = Slices(len(kinds), kinds.count(FULL), kinds.count(DECOMPOSED))
    layers = []
    for name in [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]:
        layer = StackedLinear([student.module.get_submodule(name) for student in students], slices)
        module.set_submodule(name, layer)
        layers.append(layer)
    return module, layers


def allotted(layers: Sequence[StackedLinear]) -> tuple[Rows, Rows, Rows]:
    """Rows for what is trained in full, for A, and for B and the magnitudes; each layer knows its parts of them."""
    slices = layers[0].slices
    shapes = [layer.shapes() for layer in layers]
    full = Rows(slices.full, [shape for own, _, _ in shapes for shape in own])
    a = Rows(slices.adapted, [shape for _, own, _ in shapes for shape in own])
    b = Rows(slices.adapted, [shape for _, _, own in shapes for shape in own])
    for whole in ("parts", "part_grads"):
        of_full, of_a, of_b = (iter(getattr(rows, whole)) for rows in (full, a, b))
        for layer in layers:
            weight, bias = next(of_full), next(of_full) if layer.bias is not None else None
            own = Trained(weight, bias, next(of_a), next(of_b), next(of_b))
            setattr(layer, "trained" if whole == "parts" else "gradients", own)
    return full, a, b


def _optimizer(
    settings: Sequence[RunSettings], rows: tuple[Rows, Rows, Rows]
) -> tuple[list[list[Tensor]], torch.optim.AdamW]:
    """The rows of each model that are trained, and one AdamW with a group for each rate and weight decay."""
    full, a, b = rows
    groups: dict[tuple[float, float], list[Tensor]] = defaultdict(list)
    trained: list[list[Tensor]] = []
    for place, one in enumerate(settings):
        method, rate = one.method, one.learning_rate
        if isinstance(method, LoRA):
            adapter = place - len(full.values)
            own = {rate * method.lr_ratio: [b.row(adapter)]}
            if not method.freeze_a:
                own.setdefault(rate, []).append(a.row(adapter))
        else:
            own = {rate: [full.row(place)]}
        for its_rate, parts in own.items():
            groups[its_rate, one.weight_decay] += parts
        trained.append([row for parts in own.values() for row in parts])
    given = [
        {"params": parts, "lr": rate, "weight_decay": decay, FACTOR: rate} for (rate, decay), parts in groups.items()
    ]
    return trained, torch.optim.AdamW(given, fused=True)


def _kind(settings: RunSettings) -> int:
    """The order of a stack: in full, with an update, and decomposed."""
    return DECOMPOSED if settings.method.decomposed else UPDATED if settings.method.has_adapter else FULL


def _stackable(student: Student) -> StackableProblem:
    assert isinstance(student.problem, StackableProblem)  # `which.STACKABLE_TASKS` lists those that are
    return student.problem
