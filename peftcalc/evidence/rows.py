"""Every measured row of memory beside our answer: `pc.evidence()`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from peftcalc.evidence.measured import Measured, measured
from peftcalc.evidence.models import row_model
from peftcalc.evidence.published import Measurement, published
from peftcalc.lazy import explained
from peftcalc.memory.cards import gpu
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.needed import needed_by
from peftcalc.methods import LoRA, Method

if TYPE_CHECKING:
    from pandas import DataFrame

OWN = "peftcalc:"
"""How the ids of this project's own runs begin."""

ALLOCATED = "allocated"
RESERVED = "reserved"
RESERVE = "how much of its blocks the allocator shares was fitted to these reserves, each left out in turn 3 to 4 % off"
NCCL = "what NCCL holds beside the tensors was read from the processes of these three runs on two cards"
CALIBRATED = "the share that is added for the allocator in serving was set with these five runs of PEFT"


@dataclass(frozen=True)
class EvidenceRow:
    """One measurement and our answer to the same question, in bytes."""

    id: str
    card: str
    gpus: int
    model: str
    method: str
    rank: int
    targets: str
    batch: int
    sequence: int
    attention: str
    checkpointing: bool
    quantity: str
    """What was measured: "allocated", "reserved", or as the source calls it."""
    measured_bytes: int
    estimated_bytes: int
    error_percent: float
    """estimated / measured − 1; 0 within the digits that were printed."""
    setup: str
    """"known", or how much of the set-up is."""
    used_for_calibration: bool
    used_for: str
    """What was set or found with this row in sight."""
    options: str
    """Keyword arguments of `estimate_memory`, as JSON."""
    source: str
    note: str
    reserved_bytes: int = 0
    process_bytes: int = 0
    """Measured beside: torch's reserve, and what nvidia-smi showed; 0 where they were not."""
    estimated_reserved_bytes: int = 0
    estimated_process_bytes: int = 0
    """Our answers to these, in closed form; 0 where nothing was measured."""
    verdict: str = ""
    """Ours for this run, which did run, on its own card."""
    reserve_used_for: str = ""
    """What was set with the row's reserve in sight; empty where it judges."""


@cache
def evidence_rows() -> tuple[EvidenceRow, ...]:
    """All rows, those with a fully known set-up first; computed once a process."""
    return (*map(_of_measured, measured()), *map(_of_published, published()))


def evidence() -> DataFrame:
    """Every measured row of memory beside our answer: one row each, index = id, sizes in bytes.

    Rows with which something was calibrated are marked (`used_for_calibration`) and must be left out of a score.

    >>> table = evidence()
    >>> judges = table[(table["setup"] == "known") & ~table["used_for_calibration"]]
    >>> len(judges) > 40, list(judges["quantity"].unique())
    (True, ['allocated'])
    """
    with explained("the evidence as a table"):
        import pandas as pd

    return pd.DataFrame([asdict(row) for row in evidence_rows()]).set_index("id")


def _of_measured(row: Measured) -> EvidenceRow:
    answer = estimate_memory(row_model(row.model), row.method, row.batch, row.sequence, **row.options)
    estimate, card = answer.total, gpu(row.card)
    needs = needed_by(answer, card)
    return EvidenceRow(
        **_about(row, row.method),
        card=row.card,
        gpus=row.gpus,
        quantity=ALLOCATED,
        measured_bytes=row.allocated,
        estimated_bytes=estimate,
        error_percent=100 * (estimate / row.allocated - 1),
        used_for_calibration=bool(row.used_for),
        used_for=row.used_for,
        note="",
        reserved_bytes=row.reserved,
        process_bytes=row.process,
        estimated_reserved_bytes=needs.reserved_bytes if row.reserved else 0,
        estimated_process_bytes=needs.shown_bytes if row.process else 0,
        verdict=needs.verdict(card.usable_bytes),
        reserve_used_for=_reserve_used_for(row),
    )


def _reserve_used_for(row: Measured) -> str:
    if row.setup != "known" or not (row.reserved or row.process) or row.id.startswith(OWN):
        return ""
    return RESERVE if row.gpus == 1 else NCCL


def _of_published(row: Measurement) -> EvidenceRow:
    answer = estimate_memory(row_model(row.model), row.method, row.batch, row.sequence, **row.options)
    used = CALIBRATED if row.id.startswith("peft-") else ""
    return EvidenceRow(
        **_about(row, row.method),
        card=_card(row.hardware),
        gpus=1,
        quantity=RESERVED if row.quantity == "max_memory_reserved" else row.quantity,
        measured_bytes=row.measured_bytes,
        estimated_bytes=row.predict(answer),
        error_percent=100 * row.error(answer),
        used_for_calibration=bool(used),
        used_for=used,
        note=row.note,
    )


def _about(row: Measured | Measurement, method: Method) -> dict[str, Any]:
    adapter = method if isinstance(method, LoRA) else None
    targets = "" if adapter is None else adapter.targets
    return {
        "id": row.id,
        "model": row.model if isinstance(row.model, str) else row_model(row.model).architecture,
        "method": method.label,
        "rank": adapter.rank if adapter else 0,
        "targets": targets if isinstance(targets, str) else " ".join(targets),
        "batch": row.batch,
        "sequence": row.sequence,
        "attention": row.options.get("attention", "sdpa"),
        "checkpointing": bool(row.options.get("checkpointing")),
        "setup": row.setup,
        "options": json.dumps({name: value for name, value in row.options.items() if name != "card"}),
        "source": row.source,
    }


def _card(printed: str) -> str:
    """The card's name in our table; as it was printed where the table does not have it."""
    try:
        return gpu(printed.replace("-SXM4-", " ")).name
    except ValueError:
        return printed
