"""What is kept of a run while it goes on: records as they come; adapter and the run's state, whole or not at all.

Room for the last writing is taken from the disk before anything is trained, and given back when the disk is full.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from peftcalc.adapters.files.adapter_folder import save_adapter
from peftcalc.lab.record_json import record_from_json
from peftcalc.lab.records import StepRecord, plain
from peftcalc.lab.runs.training_state import save_state

if TYPE_CHECKING:
    from peftcalc.lab.training import Run

RECORDS, STATE, RESERVE = "records.jsonl", "training_state.safetensors", "peftcalc.reserve"
RESERVED = 1 << 16
"""Bytes beside those of the tensors: the JSON files, headers, a record."""
_COPIES = 4
"""What is trained, in an adapter's file, and in a state with two moments."""


class NotWrittenError(ValueError):
    """A file of the run could not be written; the sentence is the reason."""


class RunFolder:
    """The folder of a run.

    Args:
        path: of the folder; made if need be.
        arguments: what builds the run anew, for who resumes it.

    Raises:
        ValueError: it cannot be a folder that is written to.
    """

    def __init__(self, path: Path, arguments: Mapping[str, Any]) -> None:
        self.path, self.arguments = path, arguments
        self.adapter_step: int | None = None
        self.state_step: int | None = None
        self.record_step: int | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._records = os.open(path / RECORDS, os.O_WRONLY | os.O_CREAT, 0o666)
        except OSError as error:
            raise ValueError(
                f"--out must be a folder that can be written, got {str(path)!r} ({error.strerror})"
            ) from None

    def begin(self, training: Run) -> None:
        """Forget an earlier run's records and state, and take room for the last writing.

        Raises:
            NotWrittenError: there is no room.
        """
        (self.path / STATE).unlink(missing_ok=True)
        self._cut(0)
        self._reserve(training)

    def resume(self, training: Run) -> list[StepRecord]:
        """The records up to the step of the run, which goes on; those after it are cut off, for they come again.

        Raises:
            ValueError: the records do not go up to that step, or are none.
        """
        records, end = [], 0
        with (self.path / RECORDS).open("rb") as file:
            for line in file:
                record = _record(line, len(records))
                records.append(record)
                end += len(line)
                if record.step == training.step:
                    break
        if not records or records[-1].step != training.step:
            raise ValueError(f"{RECORDS} must go up to step {training.step}, where {STATE} goes on")
        self._cut(end)
        self._reserve(training)
        self.record_step = self.state_step = training.step
        return records

    def add(self, record: StepRecord) -> None:
        """Write one record as a line; where it does not go in whole, it does not stay in part.

        Raises:
            NotWrittenError: the disk is full, or the like.
        """
        line = (json.dumps(plain(record), ensure_ascii=False) + "\n").encode()
        try:
            _append(self._records, line)
        except OSError as error:
            self._cut(self._end)
            raise NotWrittenError(f"the records cannot be written ({error.strerror})") from None
        self._end += len(line)
        self.record_step = record.step

    def keep(self, training: Run, with_state: bool = True) -> None:
        """The adapter as it is now (full fine-tuning has none), and what the steps to come depend on.

        Raises:
            NotWrittenError: the disk is full, or the like. What was kept before is there as it was.
        """
        try:
            if with_state:
                save_state(training.state(), self.path / STATE, self.arguments)
                self.state_step = training.step
            if training.settings.method.has_adapter:
                save_adapter(training.module, self.path)
                self.adapter_step = training.step
        except (OSError, SafetensorError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise NotWrittenError(f"the adapter cannot be written ({reason})") from None

    def make_room(self) -> None:
        """Give back the room that was taken at the beginning."""
        (self.path / RESERVE).unlink(missing_ok=True)

    def finish(self, training: Run) -> None:
        """The adapter of the last step, or of the last good one; nothing is left to go on with.

        Of full fine-tuning that has diverged the last state is left, for it is all that there is.
        """
        self.make_room()
        self.keep(training, with_state=False)
        if training.settings.method.has_adapter or training.step == training.settings.steps:
            (self.path / STATE).unlink(missing_ok=True)
            self.state_step = None

    def close(self) -> None:
        """Bring the records to the disk."""
        self.make_room()
        with contextlib.suppress(OSError):  # what cannot be synchronised (a device) is as written as it gets
            os.fsync(self._records)
        os.close(self._records)

    def kept(self) -> str:
        """What is there now, in half a sentence."""
        parts = []
        if self.record_step is not None:
            parts.append(f"the records to step {self.record_step}")
        if self.adapter_step is not None:
            parts.append(f"the adapter of step {self.adapter_step}")
        if self.state_step is not None:
            parts.append(f"the run at step {self.state_step}, which --resume goes on with")
        if not parts:
            return f"nothing was kept in {self.path}"
        return f"kept in {self.path}: {', '.join(parts[:-1])}{' and ' if parts[:-1] else ''}{parts[-1]}"

    def _reserve(self, training: Run) -> None:
        """Room for one more adapter and state. Where the file system takes no reservations, there is none."""
        size = _COPIES * training.student.trained_bytes + RESERVED
        try:
            number = os.open(self.path / RESERVE, os.O_WRONLY | os.O_CREAT, 0o666)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(number, 0, size)
            finally:
                os.close(number)
        except OSError as error:
            self.make_room()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                where = f"{self.path} has no room for the {size:,} bytes that the run will keep"
                raise NotWrittenError(f"{where} ({error.strerror})") from None

    def _cut(self, end: int) -> None:
        """The records end here."""
        self._end = end
        with contextlib.suppress(OSError):  # a device keeps what it was given
            os.ftruncate(self._records, end)
            os.lseek(self._records, end, os.SEEK_SET)


def _append(number: int, line: bytes) -> None:
    """All of `line`, at once for whoever reads along."""
    while line:
        line = line[os.write(number, line) :]


def _record(line: bytes, step: int) -> StepRecord:
    try:
        record = record_from_json(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f"{RECORDS}: line {step + 1} is not a record") from None
    if record.step != step:
        raise ValueError(f"{RECORDS}: line {step + 1} must be step {step}, got {record.step!r}")
    return record
