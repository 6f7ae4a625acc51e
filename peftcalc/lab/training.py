"""Fine-tuning as a generator: a notebook iterates it, the terminal draws a progress bar on it, the app's worker sends
it on.

Stopping is ceasing to iterate. Nothing here is random but through generators made from the seed, so a seed gives the
same curve again on the same machine, whatever else runs in the process.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from peftcalc.lab.records import StepRecord
from peftcalc.lab.run_settings import RunSettings, run_settings
from peftcalc.lab.runs.last_good import LastGood
from peftcalc.lab.runs.loop import Loop
from peftcalc.lab.runs.loop import learning_rate_at as learning_rate_at
from peftcalc.lab.runs.training_state import TrainingState
from peftcalc.lab.student import Student
from peftcalc.lazy import Drawn
from peftcalc.methods import Method


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


class Run(Drawn, Iterator[StepRecord]):
    """A fine-tuning that goes on as far as it is iterated.

    Attributes:
        settings: what was asked for; `settings.to_code()` repeats the run.
        module: the model, with the adapter attached; still there when the run is closed or has ended.
        student: the same with its changes since step 0: `student.changes()`, `student.updates()`.
        told: step, loss and held-out loss (None between looks) of the records so far, which `plot` draws.
    """

    _goes_on = False

    def __init__(self, settings: RunSettings) -> None:
        self.settings = settings
        self.told: list[tuple[int, float, float | None]] = []
        self.student = Student(settings)
        self._loop = Loop(settings, self.student)
        self._records = self._train()

    @property
    def module(self) -> nn.Module:
        return self.student.module

    @property
    def step(self) -> int:
        """After how many steps the module is as it is now."""
        return self._loop.step

    def keep_last_good(self) -> None:
        """When the run diverges, the module goes back to the last step whose loss is known to be good; see `step`.

        Costs two copies of what is trained. Call it before iterating.
        """
        self._loop.good = LastGood(self.student.trained, self._loop.step)

    def restore_last_good(self) -> None:
        """Go back to the last step whose loss is known to be good, after a step that was broken off."""
        if self._loop.good is not None:
            self._loop.step = self._loop.good.restore()

    def state(self) -> TrainingState:
        """What the steps to come depend on: what is trained, the optimizer's moments, the batches' generator, figures.

        Another run with the same settings that takes it (`restore`) goes on as this one would have.
        """
        return self._loop.state()

    def restore(self, state: TrainingState) -> None:
        """Go on after `state.step` instead of beginning: the next record is that of the step after it.

        Raises:
            ValueError: the state is not of a run with these settings, or does not hold together.
        """
        self._loop.restore(state)
        self._goes_on = True

    def __next__(self) -> StepRecord:
        record = next(self._records)
        self.told.append((record.step, record.loss, record.validation))
        return record

    def close(self) -> None:
        """End the run: optimizer states and gradients are freed, the module stays."""
        self._records.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    def _train(self) -> Generator[StepRecord, None, None]:
        loop = self._loop
        try:
            with _no_room():
                if not self._goes_on:
                    yield loop.first()
                for step in range(loop.step + 1, self.settings.steps + 1):
                    record = loop.next(step)
                    yield record
                    if record.stopped:
                        return
        finally:
            loop.release()


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
