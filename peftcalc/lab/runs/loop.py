"""The steps of a fine-tuning run, and what it is between two of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from peftcalc.lab.footprint import Footprint, tensors_of
from peftcalc.lab.records import MatrixChange, StepRecord
from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.runs.last_good import LastGood
from peftcalc.lab.runs.optimizer import optimizer_of, set_rate
from peftcalc.lab.runs.training_state import TrainingState
from peftcalc.lab.student import Student, own_randomness
from peftcalc.lab.tasks.problem import Batch, Evaluation

EXPLODED = 10.0
"""A loss this many times the base model's (or this much, if the base's is below 1) has diverged."""
WARM_UP = 0.05
"""Share of the steps over which the learning rate rises; from there it falls linearly to zero."""


class Loop:
    """The state of a training run between two steps."""

    def __init__(self, settings: RunSettings, student: Student) -> None:
        self.settings, self.student, self.problem = settings, student, student.problem
        self.batches = torch.Generator().manual_seed(settings.seed)
        self.optimizer = optimizer_of(student.module, settings.method, settings.learning_rate, settings.weight_decay)
        self.seconds, self.tokens, self.peak_bytes = 0.0, 0, 0
        self.limit = math.inf
        self.step = 0
        self.good: LastGood | None = None
        count = settings.evaluations
        self.checkpoints = {round(settings.steps * i / count) for i in range(1, count + 1)}
        if student.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(student.device)

    def first(self) -> StepRecord:
        """Step 0: the base model, and the loss of the first batch on it."""
        found = self.evaluate()
        self.limit = EXPLODED * max(1.0, found.validation)
        return self.record(0, found.validation, found)

    def next(self, step: int) -> StepRecord:
        """Train one step, and look at the result if it is a checkpoint."""
        rate = learning_rate_at(step, self.settings.steps, self.settings.learning_rate)
        set_rate(self.optimizer, rate)
        batch = self.problem.batch(self.settings.batch, self.batches)
        self.tokens += self.problem.tokens(batch)
        if self.good is not None:
            self.good.before(step)
        started = time.perf_counter()
        with _seeded(self.settings, self.student.device, step):
            loss = self.measured_step(batch) if step == min(2, self.settings.steps) else self.train_step(batch)
        self.seconds += time.perf_counter() - started
        stopped = self.trouble(loss, step)
        self.step = step
        if self.good is not None and not stopped:
            self.good.proven()
        found = self.evaluate() if step in self.checkpoints and not stopped else None
        if found is not None:
            stopped = self.trouble(found.validation, step)
        record = self.record(step, loss, found, rate=rate, stopped=stopped)
        if self.good is not None and stopped:
            self.step = self.good.restore()
        return record

    def train_step(self, batch: Batch) -> float:
        """Forward, backward, update; the loss before the update. A loss that is not finite changes nothing."""
        self.problem.module.train()
        self.optimizer.zero_grad()
        loss = self.problem.loss(_to(batch, self.student.device))
        value = loss.item()
        if math.isfinite(value):
            loss.backward()
            self.optimizer.step()
        return value

    def measured_step(self, batch: Batch) -> float:
        """A step whose tensors are counted: the second one, when the optimizer's states exist already."""
        states = [
            value for state in self.optimizer.state.values() for value in state.values() if isinstance(value, Tensor)
        ]
        with Footprint([*tensors_of(self.problem.module), *states]) as footprint:
            value = self.train_step(batch)
        self.peak_bytes = footprint.peak_bytes
        return value

    def evaluate(self) -> Evaluation:
        self.problem.module.eval()
        return self.problem.evaluate()

    def trouble(self, loss: float, step: int) -> str | None:
        """The sentence for a run that has diverged, or None."""
        return divergence(loss, self.limit, step, self.settings.learning_rate)

    def record(
        self, step: int, loss: float, found: Evaluation | None, rate: float = 0.0, stopped: str | None = None
    ) -> StepRecord:
        if self.student.device.type == "cuda":
            self.peak_bytes = torch.cuda.max_memory_allocated(self.student.device)
        changes: tuple[MatrixChange, ...] = ()
        if found is not None and step and not stopped:
            changes = self.student.changes(rows=step == self.settings.steps)
        return StepRecord(
            step=step,
            steps=self.settings.steps,
            loss=loss,
            validation=found.validation if found else None,
            metrics=found.metrics if found else {},
            seconds=self.seconds,
            tokens_per_second=self.tokens / self.seconds if self.seconds else 0.0,
            peak_bytes=self.peak_bytes,
            changes=changes,
            samples=found.samples if found else (),
            trainable=self.student.trainable,
            adapter_bytes=self.student.trained_bytes,
            learning_rate=rate,
            stopped=stopped,
        )

    def state(self) -> TrainingState:
        """Everything that the steps to come depend on; the tensors are those of the run, not copies."""
        tensors: dict[str, Tensor] = {"batches": self.batches.get_state()}
        for name, parameter in self._named():
            tensors[f"trained.{name}"] = parameter.detach()
            for part, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{part}.{name}"] = value
        figures = {"limit": self.limit, "seconds": self.seconds}
        counts = {"tokens": self.tokens, "peak_bytes": self.peak_bytes}
        return TrainingState(self.step, tensors, figures | counts, self.settings.to_code())

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`, which has been checked to be of this run."""
        tensors = state.checked(self.settings, dict(self._named()), self.batches.get_state())
        with torch.no_grad():
            for name, parameter in self._named():
                parameter.copy_(tensors[f"trained.{name}"])
                parts = ("step", "exp_avg", "exp_avg_sq") if state.step else ()
                kept = {part: tensors[f"optimizer.{part}.{name}"].to(parameter.device) for part in parts}
                if kept:
                    self.optimizer.state[parameter] = kept
        self.batches.set_state(tensors["batches"].cpu())
        self.step, self.limit = state.step, float(state.figures["limit"])
        self.seconds, self.tokens = float(state.figures["seconds"]), int(state.figures["tokens"])
        self.peak_bytes = int(state.figures["peak_bytes"])

    def _named(self) -> list[tuple[str, Tensor]]:
        """What is trained, by name, in the order of the optimizer."""
        return [(name, part) for name, part in self.student.module.named_parameters() if part.requires_grad]

    def release(self) -> None:
        """Free the optimizer's states and the gradients."""
        self.optimizer.zero_grad()
        self.optimizer.state.clear()


def divergence(loss: float, limit: float, step: int, rate: float) -> str | None:
    """The sentence for a loss that is not finite or above the limit, or None.

    >>> divergence(12.0, 10.0, 7, 0.1)
    'diverged: the loss is 12 at step 7; try a learning rate below 0.1'
    """
    if math.isfinite(loss) and loss <= limit:
        return None
    return f"diverged: the loss is {loss:.4g} at step {step}; try a learning rate below {rate:g}"


def learning_rate_at(step: int, steps: int, highest: float) -> float:
    """The learning rate of a step: it rises over the first 5 % of them and falls linearly towards zero.

    >>> [round(learning_rate_at(step, 100, 1.0), 2) for step in (1, 5, 6, 50, 100)]
    [0.2, 1.0, 0.99, 0.53, 0.0]
    """
    warm_up = max(1, round(WARM_UP * steps))
    if step <= warm_up:
        return highest * step / warm_up
    return highest * (steps - step) / max(1, steps - warm_up)


@contextmanager
def _seeded(settings: RunSettings, device: torch.device, step: int) -> Iterator[None]:
    """Dropout draws from torch's global generator: give it this step's seed, and then its own state back."""
    if not getattr(settings.method, "dropout", 0.0):
        yield
        return
    with own_randomness(device):
        torch.manual_seed(settings.seed * 1_000_003 + step)
        yield


def _to(batch: Batch, device: torch.device) -> Batch:
    return tuple(part.to(device) for part in batch) if isinstance(batch, tuple) else batch.to(device)
