"""`python -m peftcalc train`: fine-tune a task's model, with a progress bar, samples before and after."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.commands import add_json, add_method, method_from, number, print_json, print_table
from peftcalc.lab.records import StepRecord, plain
from peftcalc.methods import LoRA
from peftcalc.units import count, gib, seconds

if TYPE_CHECKING:
    from peftcalc.lab.training import Run

BAR = 24
RECORDS = "records.jsonl"


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
    parser.add_argument("--out", type=Path, default=None, help="folder for records.jsonl and the adapter")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Train, and print what came of it."""
    out = _writable(arguments.out)
    from peftcalc.lab.training import finetune

    training = finetune(
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
    records = _iterate(training, quiet=arguments.json)
    if out is not None:
        _write(out, training, records)
    if arguments.json:
        print_json(_report(training, records, out))
    else:
        _print(training, records, out)
    if records[-1].stopped:
        raise ValueError(records[-1].stopped)


def _iterate(training: Run, quiet: bool) -> list[StepRecord]:
    """All records, with a progress bar on standard error where a person is looking."""
    records = []
    started, shown = time.perf_counter(), 0.0
    for record in training:
        records.append(record)
        now = time.perf_counter()
        if not quiet and sys.stderr.isatty() and (now - shown > 0.1 or record.step == record.steps):
            shown = now
            print(f"\r{_bar(record, now - started)}", end="", file=sys.stderr, flush=True)
    if shown:
        print(file=sys.stderr)
    return records


def _bar(record: StepRecord, elapsed: float) -> str:
    """One line: how far, the loss, and how long it will take."""
    filled = round(BAR * record.step / record.steps)
    left = elapsed / record.step * (record.steps - record.step) if record.step else 0.0
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


def _writable(out: Path | None) -> Path | None:
    """The folder, made if need be; a file in its place is an error before anything is trained."""
    if out is None:
        return None
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / RECORDS).touch()
    except OSError as error:
        raise ValueError(f"--out must be a folder that can be written, got {str(out)!r} ({error.strerror})") from None
    return out


def _write(out: Path, training: Run, records: list[StepRecord]) -> None:
    """`records.jsonl`, one record a line, and the adapter in peft's format; full fine-tuning has no adapter."""
    lines = [json.dumps(plain(record), ensure_ascii=False) for record in records]
    (out / RECORDS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if training.settings.method.has_adapter:
        from peftcalc.adapters.files.adapter_folder import save_adapter

        save_adapter(training.module, out)
