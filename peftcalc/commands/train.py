"""`python -m peftcalc train`: fine-tune a task's model, with a progress bar, samples before and after."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.commands import add_json, add_method, method_from, number, print_json, print_table
from peftcalc.commands.running.interruption import Interruption, interruptions
from peftcalc.commands.running.keeping import add_history, keeping
from peftcalc.jobs.history.kept_run import new_run
from peftcalc.lab.record_json import record_to_json
from peftcalc.lab.records import StepRecord
from peftcalc.lab.runs.kept_race import KeepableRace, race_of
from peftcalc.methods import LoRA
from peftcalc.units import count, gib, seconds

if TYPE_CHECKING:
    from peftcalc.lab.runs.run_folder import RunFolder
    from peftcalc.lab.runs.training_state import TrainingState
    from peftcalc.lab.training import Run

BAR = 24


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("train", help="fine-tune a small model and see what changes")
    parser.add_argument(
        "--task", default="names", help="names, rank, magnitude, direction, digits, text, llm; names:Finland"
    )
    add_method(parser)
    parser.add_argument("--steps", type=number, default=None, help="default: the task's")
    parser.add_argument("--seed", type=number, default=0)
    parser.add_argument("--learning-rate", type=float, default=None, help="default: the task's, for this method")
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--batch", type=number, default=None, help="default: the task's")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--dtype", default=None, help="float32 or bfloat16; default: the task's")
    deciding = {name: parser.get_default(name) for name in vars(parser.parse_args([]))}
    parser.add_argument("--out", type=Path, default=None, help="folder for records.jsonl and the adapter")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out where it ended")
    add_history(parser)
    add_json(parser)
    parser.set_defaults(run=run, deciding=deciding)


def run(arguments: argparse.Namespace) -> int | None:
    """Train, and print what came of it; `OUT` has what was trained, however the run ends."""
    from peftcalc.lab.runs.run_folder import RunFolder

    state = _stored(arguments) if arguments.resume else None
    folder = RunFolder(arguments.out, _begun_with(arguments)) if arguments.out is not None else None
    try:
        training = _training(arguments)
        records: list[StepRecord] = []
        if folder is not None and state is not None:
            training.restore(state)
            records = folder.resume(training)
        elif folder is not None:
            folder.begin(training)
        return _train(arguments, training, folder, records)
    finally:
        if folder is not None:
            folder.close()


def _train(arguments: argparse.Namespace, training: Run, folder: RunFolder | None, records: list[StepRecord]) -> int:
    """The steps, and then the answer: 0, or the exit code of an interruption after one line."""
    if folder is not None:
        training.keep_last_good()
    broken_off = False
    with interruptions() as interruption:
        try:
            _iterate(training, folder, records, interruption, quiet=arguments.json)
        except KeyboardInterrupt:
            broken_off = True
            training.restore_last_good()
        except ValueError as error:
            raise ValueError(f"{error}; {folder.kept()}" if folder is not None else str(error)) from None
        ended = bool(records) and (records[-1].step == records[-1].steps or records[-1].stopped is not None)
        if folder is not None:
            _keep_the_last(training, folder, ended, with_state=not broken_off)
    _into_history(arguments, training, records, ended)
    if arguments.json and records:
        print_json(_report(training, records, arguments.out))
    if not ended:
        step = f"at step {records[-1].step} of {records[-1].steps}" if records else "before the first step"
        kept = folder.kept() if folder is not None else "nothing is kept without --out"
        print(f"peftcalc train: interrupted {step}; {kept}", file=sys.stderr)
        return interruption.exit_code
    if not arguments.json:
        _print(training, records, arguments.out)
    if stopped := records[-1].stopped:
        raise ValueError(f"{stopped}; {folder.kept()}" if folder is not None else stopped)
    return 0


def _into_history(arguments: argparse.Namespace, training: Run, records: list[StepRecord], ended: bool) -> None:
    """The run with its records, as the app keeps a race."""
    if not records:
        return
    race = race_of(training.settings)
    name, what = race.runs()[0]["run"], KeepableRace(race)
    told = what.keepable([record_to_json(record, name) for record in records])
    kept = keeping(arguments, new_run(what.kind, "train", what.title, what.settings, what.link))
    kept.begin()
    kept.add(told)
    kept.end("done" if ended else "stopped", what.results(told))


def _keep_the_last(training: Run, folder: RunFolder, ended: bool, with_state: bool) -> None:
    """The adapter of the last step, or of the last good one; of a run that is to go on its state too."""
    try:
        if ended:
            folder.finish(training)
        else:
            folder.make_room()
            folder.keep(training, with_state)
    except ValueError as error:
        raise ValueError(f"{error}; {folder.kept()}") from None


def _training(arguments: argparse.Namespace) -> Run:
    from peftcalc.lab.training import finetune

    return finetune(
        task=arguments.task,
        method=method_from(arguments),
        steps=arguments.steps,
        seed=arguments.seed,
        learning_rate=arguments.learning_rate,
        weight_decay=arguments.weight_decay,
        batch=arguments.batch,
        device=arguments.device,
        dtype=arguments.dtype,
    )


def _begun_with(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments that decide a run."""
    return {name: getattr(arguments, name) for name in sorted(arguments.deciding)}


def _stored(arguments: argparse.Namespace) -> TrainingState:
    """The state of the run in `--out`, whose arguments `arguments` then has.

    Raises:
        ValueError: there is none, or the command line asks for something else than it began with.
    """
    from peftcalc.lab.runs.run_folder import STATE
    from peftcalc.lab.runs.training_state import load_state

    if arguments.out is None:
        raise ValueError("--resume needs --out, the folder of the run that goes on")
    state = load_state(arguments.out / STATE)
    stored = dict(state.arguments or {})
    if stored.keys() != arguments.deciding.keys():
        raise ValueError(f"{STATE} must hold the arguments of a run of this version, got {', '.join(sorted(stored))}")
    for name, default in arguments.deciding.items():
        asked, begun = getattr(arguments, name), stored[name]
        if not isinstance(begun, str | int | float | bool | None):
            raise ValueError(f"{STATE}: {name} must be a number or a text, got {begun!r}")
        if asked not in (default, begun):
            option = name.replace("_", "-")
            raise ValueError(f"--{option} must be left out or as the run began, {begun!r}, got {asked!r}")
        setattr(arguments, name, begun)
    return state


def _iterate(
    training: Run, folder: RunFolder | None, records: list[StepRecord], interruption: Interruption, quiet: bool
) -> None:
    """All records into `records` and the folder, with a progress bar on standard error where a person is looking."""
    started, shown, first = time.perf_counter(), 0.0, len(records)
    for record in training:
        records.append(record)
        if folder is not None:
            _keep(training, folder, record)
        now = time.perf_counter()
        if not quiet and sys.stderr.isatty() and (now - shown > 0.1 or record.step == record.steps):
            shown = now
            print(f"\r{_bar(record, now - started, len(records) - first)}", end="", file=sys.stderr, flush=True)
        if interruption.signal is not None:
            break
    if shown:
        print(file=sys.stderr)


def _keep(training: Run, folder: RunFolder, record: StepRecord) -> None:
    """The record, and where the held-out loss was looked at the adapter and the state.

    When that does not go in, the room that was set aside is given back for them, and the run ends here.
    """
    try:
        folder.add(record)
        if record.validation is not None and 0 < record.step < record.steps and not record.stopped:
            folder.keep(training)
    except ValueError:
        folder.make_room()
        folder.keep(training, with_state=not record.stopped)
        if folder.record_step != record.step:
            folder.add(record)
        raise


def _bar(record: StepRecord, elapsed: float, made: int) -> str:
    """One line: how far, the loss, and how long it will take."""
    filled = round(BAR * record.step / record.steps)
    left = elapsed / made * (record.steps - record.step) if record.step else 0.0
    bar = "█" * filled + "·" * (BAR - filled)
    return f"{bar} {record.step:>5}/{record.steps}  loss {record.loss:<8.4g} {seconds(left)} left   "


def _report(training: Run, records: list[StepRecord], out: Path | None) -> dict[str, Any]:
    """The last record's figures with the settings, the record before training, and all of them."""
    settings = training.settings
    return {
        "task": settings.task,
        "options": dict(settings.options),
        "unit": settings.record.unit,
        "method": settings.method.name,
        "method_options": settings.method.as_dict() if isinstance(settings.method, LoRA) else {},
        "seed": settings.seed,
        "batch": settings.batch,
        "weight_decay": settings.weight_decay,
        "device": str(training.student.device),
        "dtype": settings.dtype,
        **dataclasses.asdict(records[-1]),
        "learning_rate": settings.learning_rate,
        "before": dataclasses.asdict(records[0]),
        "records": [dataclasses.asdict(record) for record in records],
        "code": settings.to_code(),
        "out": str(out) if out is not None else None,
    }


def _print(training: Run, records: list[StepRecord], out: Path | None) -> None:
    """Samples before and after, and the figures beside each other."""
    before, after = records[0], [record for record in records if record.validation is not None][-1]
    settings = training.settings
    print(f"{settings.record.title}: {settings.method!r}, {after.step} steps, seed {settings.seed}")
    print(f"trained {count(after.trainable)} parameters in {seconds(after.seconds)}, peak {gib(after.peak_bytes)}\n")
    names = ["validation", *after.metrics]
    values = [(record.validation, *record.metrics.values()) for record in (before, after)]
    rows = [[name, *(f"{value[i]:.4f}" for value in values)] for i, name in enumerate(names)]
    print_table(rows, [settings.record.unit, "before", "after"])
    for title, record in (("before", before), ("after", after)):
        if record.samples:
            print(f"\n{title}:\n" + _samples(record.samples))
    if out is not None:
        print(f"\nrecords and adapter in {out}")


def _samples(samples: tuple[Any, ...]) -> str:
    """Short texts on one line, long ones one below the other, images as the guess for each."""
    if all(isinstance(sample, dict) for sample in samples):
        return "  ".join(f"{sample['truth']}→{sample['guess']}" for sample in samples if "guess" in sample)
    texts = [str(sample) for sample in samples]
    if all(len(text) < 30 for text in texts):
        return ", ".join(texts)
    return "\n---\n".join(texts)
