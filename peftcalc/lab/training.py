"""Fine-tuning as a generator: a notebook iterates it, the terminal draws a progress bar on it, the app's worker sends
it on.

Stopping is ceasing to iterate. Nothing here is random but through generators made from the seed, so a seed gives the
same curve again on the same machine, whatever else runs in the process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from peftcalc.lab.footprint import Footprint, tensors_of
from peftcalc.lab.records import MatrixChange, StepRecord
from peftcalc.lab.run_settings import RunSettings, run_settings
from peftcalc.lab.student import Student, own_randomness
from peftcalc.lab.tasks.problem import Batch, Evaluation
from peftcalc.methods import Method

EXPLODED = 10.0
"""A loss this many times the base model's (or this much, if the base's is below 1) has diverged."""
WARM_UP = 0.05
"""Share of the steps over which the learning rate rises; from there it falls linearly to zero."""


def finetune(
    task: str = "names",
    method: Method | str = "lora",
    steps: int | None = None,
    seed: int = 0,
    learning_rate: float | None = None,
    weight_decay: float = 0.0,
    batch: int | None = None,
    device: str = "auto",
    dtype: str | None = None,
    evaluations: int | None = None,
    **options: Any,
) -> Run:
    """Fine-tune a task's base model with a method; iterate the result for its records.

    Args:
        task: "names", "rank", "magnitude", "direction", "digits", "text" or "llm"; `names:Finland` sets
            the first option.
        method: `LoRA(rank=4)` and the like, or a name.
        steps, batch, learning_rate: None for the task's default (`peftcalc.lab.tasks.catalogue.TASKS`).
        seed: decides the adapter's start, the batches and the dropout.
        weight_decay: of AdamW, on everything that is trained.
        device: "auto" (CUDA if there is one), "cpu" or "cuda".
        dtype: of the base: "float32", "bfloat16" or "auto" (bfloat16 where the device computes in it); None for the
            task's.
        evaluations: how often the held-out loss, samples, magnitudes and directions are looked at after step 0;
            None for the task's default.
        options: the task's own, such as `country="Finland"`.

    Yields:
        A `StepRecord` for step 0, before training, and for each step.

    Raises:
        ValueError: bad input, at the call and not only when iterated.

    >>> from peftcalc import LoRA
    >>> *_, last = finetune("rank", LoRA(rank=4, alpha=8), steps=200)
    >>> last.step, last.loss < 1e-3
    (200, True)
    """
    asked = {
        "steps": steps,
        "seed": seed,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "batch": batch,
        "device": device,
        "dtype": dtype,
        "evaluations": evaluations,
    }
    return Run(run_settings(task, method, **asked, **options))


class Run(Iterator[StepRecord]):
    """A fine-tuning that goes on as far as it is iterated.

    Attributes:
        settings: what was asked for; `settings.to_code()` repeats the run.
        module: the model, with the adapter attached; still there when the run is closed or has ended.
        student: the same with its changes since step 0: `student.changes()`, `student.updates()`.
    """

    def __init__(self, settings: RunSettings) -> None:
        self.settings = settings
        self.student = Student(settings)
        self._records = self._train()

    @property
    def module(self) -> nn.Module:
        return self.student.module

    def __next__(self) -> StepRecord:
        return next(self._records)

    def close(self) -> None:
        """End the run: optimizer states and gradients are freed, the module stays."""
        self._records.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def _train(self) -> Generator[StepRecord, None, None]:
        loop = _Loop(self.settings, self.student)
        try:
            with _no_room():
                yield loop.first()
                for step in range(1, self.settings.steps + 1):
                    record = loop.next(step)
                    yield record
                    if record.stopped:
                        return
        finally:
            loop.release()


class _Loop:
    """The state of a training run between two steps."""

    def __init__(self, settings: RunSettings, student: Student) -> None:
        self.settings, self.student, self.problem = settings, student, student.problem
        self.batches = torch.Generator().manual_seed(settings.seed)
        self.optimizer = torch.optim.AdamW(
            student.trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.seconds, self.tokens, self.peak_bytes = 0.0, 0, 0
        self.limit = math.inf
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
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.problem.batch(self.settings.batch, self.batches)
        self.tokens += self.problem.tokens(batch)
        started = time.perf_counter()
        with _seeded(self.settings, self.student.device, step):
            loss = self.measured_step(batch) if step == min(2, self.settings.steps) else self.train_step(batch)
        self.seconds += time.perf_counter() - started
        stopped = self.trouble(loss, step)
        found = self.evaluate() if step in self.checkpoints and not stopped else None
        if found is not None:
            stopped = self.trouble(found.validation, step)
        return self.record(step, loss, found, rate=rate, stopped=stopped)

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
        if math.isfinite(loss) and loss <= self.limit:
            return None
        return (
            f"diverged: the loss is {loss:.4g} at step {step}; "
            f"try a learning rate below {self.settings.learning_rate:g}"
        )

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

    def release(self) -> None:
        """Free the optimizer's states and the gradients."""
        self.optimizer.zero_grad()
        self.optimizer.state.clear()


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


@contextmanager
def _no_room() -> Iterator[None]:
    """Running out of memory is answered by one sentence."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ValueError(f"no room for the run: {str(error).splitlines()[0]}; try a smaller batch") from None
    except RuntimeError as error:
        if "not enough memory" not in str(error):
            raise
        raise ValueError("no room for the run: this machine has not enough memory; try a smaller batch") from None


def _to(batch: Batch, device: torch.device) -> Batch:
    return tuple(part.to(device) for part in batch) if isinstance(batch, tuple) else batch.to(device)
