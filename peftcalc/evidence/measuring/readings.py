"""One step measured beside its prediction, and the row of evidence that can be sent in."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from peftcalc.evidence.measured import TABLE
from peftcalc.evidence.measuring.device import Device, find_device
from peftcalc.lazy import explained
from peftcalc.memory.estimate.closed_form import MemoryEstimate, estimate_memory
from peftcalc.memory.options import MemoryOptions, make_options
from peftcalc.methods import LoRA, Method
from peftcalc.models.catalogue import catalogue_ids
from peftcalc.models.shapes import ModelShapes
from peftcalc.speed.estimate import estimate_speed

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")
"""What decides the bytes; their releases stand in the row's source."""


@dataclass(frozen=True)
class MeasuredStep:
    """A measured step and our answers to the same question."""

    shapes: ModelShapes
    method: Method
    options: MemoryOptions
    device: Device
    estimate: MemoryEstimate
    allocated_bytes: int
    """torch.cuda.max_memory_allocated of one step; 0 in a dry run or where memory ran out."""
    reserved_bytes: int
    process_bytes: int
    seconds: float
    predicted_seconds: float
    """0 where the card's rates are not known."""
    ran_out: str
    """The allocator's sentence where it found no memory; empty where the step ran."""

    @property
    def error_percent(self) -> float | None:
        """How far the estimate is from the measured bytes; None without them."""
        return 100 * (self.estimate.total / self.allocated_bytes - 1) if self.allocated_bytes else None


def measure_memory(
    shapes: ModelShapes,
    method: Method,
    batch: int = 1,
    sequence: int = 2048,
    device: str = "cuda",
    dry_run: bool = False,
    busy: bool = False,
    **options: Any,
) -> MeasuredStep:
    """One training step of transformers, peft and bitsandbytes on this machine's card, beside the estimate.

    Args:
        shapes: a model of the transformers library; its weights are random.
        method: one of the five.
        batch, sequence, options: as for `estimate_memory`.
        device: "cuda", or "cpu" for a dry run.
        dry_run: two layers, whose bytes are not counted: does the set-up run at all?
        busy: measure although others use the card.

    Raises:
        ValueError: no card, a busy one, or a choice that is not measured.
    """
    with explained("a measurement"):
        from peftcalc.evidence.measuring import real_model, real_step
    found = find_device(device, dry_run, busy)
    chosen = make_options(batch=batch, sequence=sequence, **options | {"card": found.card})
    real_step.check_measurable(chosen)
    named = {f.name: getattr(chosen, f.name) for f in fields(chosen)}
    estimate = estimate_memory(shapes, method, **named)
    layers = real_model.LAYERS_OF_A_DRY_RUN if dry_run else None
    ran_out, reading = "", None
    try:
        with explained("a measurement"):
            model, settings = real_model.real_model(shapes, method, chosen, found.name, layers)
            reading = real_step.measure_step(model, settings, chosen, found.name)
    except real_step.OUT_OF_MEMORY as error:
        ran_out = str(error).partition("\n")[0]
    counted = (
        (reading.allocated_bytes, reading.reserved_bytes, reading.process_bytes, reading.seconds)
        if reading
        else (0, 0, 0, 0.0)
    )
    expected = 0.0 if dry_run else _seconds(shapes, method, named)
    return MeasuredStep(shapes, method, chosen, found, estimate, *counted, expected, ran_out)


def _seconds(shapes: ModelShapes, method: Method, named: dict[str, Any]) -> float:
    try:
        return estimate_speed(shapes, method, **named).seconds_per_step
    except ValueError:  # a card whose rates are not known
        return 0.0


def row_of(step: MeasuredStep) -> dict[str, str]:
    """The step as a row of `peftcalc/evidence/data/memory_measured.csv`, every cell as text."""
    method, options = step.method, step.options
    adapter = method if isinstance(method, LoRA) else None
    default = asdict(MemoryOptions())
    changed = {
        f.name: getattr(options, f.name)
        for f in fields(options)
        if f.name not in ("batch", "sequence", "card") and getattr(options, f.name) != default[f.name]
    }
    model = step.shapes.id if step.shapes.id in catalogue_ids() else json.dumps(step.shapes.config, sort_keys=True)
    card = step.device.card.name if step.device.card else step.device.label
    targets = () if adapter is None else (adapter.targets,) if isinstance(adapter.targets, str) else adapter.targets
    cells = {
        "id": f"sent in: {step.shapes.id} {method.name} b{options.batch} s{options.sequence} on {card}",
        "card": card,
        "model": model,
        "method": method.name,
        "rank": adapter.rank if adapter else "",
        "alpha": adapter.alpha if adapter else "",
        "dropout": adapter.dropout if adapter else "",
        "targets": " ".join(targets),
        "double_quant": getattr(method, "double_quant", ""),
        "batch": options.batch,
        "sequence": options.sequence,
        "options": json.dumps(changed),
        "stack": "",
        "measured_allocated": step.allocated_bytes or "",
        "measured_reserved": step.reserved_bytes or "",
        "measured_process": step.process_bytes or "",
        "setup": "known" if not step.ran_out else "known; ran out of memory",
        "used_for": "",
        "source": f"sent in; python -m peftcalc measure; {_releases()}; {step.device.label}",
    }
    return {name: str(value) for name, value in cells.items()}


def as_csv(step: MeasuredStep) -> str:
    """Header and row."""
    text = io.StringIO()
    with TABLE.open(encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(text, next(csv.reader(file)), lineterminator="\n")
    writer.writeheader()
    writer.writerow(row_of(step))
    return text.getvalue()


def _releases() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
