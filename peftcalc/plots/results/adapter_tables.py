"""What an adapter's files say and hold, as a sentence and a table for Jupyter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peftcalc import units
from peftcalc.plots.results.tables import as_html

if TYPE_CHECKING:
    from peftcalc.counting.adapter_file import AdapterReport
    from peftcalc.doctor.cut import CutAdapter
    from peftcalc.doctor.report import AdapterInspection


def adapter_config_table(report: AdapterReport) -> str:
    """What the file means, sentence by sentence, and a row for each module name."""
    sentence = (
        f"{report.method!r} on {report.base} trains {report.trainable:,} of {report.total:,} parameters, "
        f"{units.percent(report.percent)}."
    )
    rows = [(row["name"], row["how"], f"{row['trainable']:,}") for row in report.count.kind_rows()]
    return as_html(sentence, rows, ("module", "how", "trained"), [*report.explanation, *report.count.notes])


def inspection_table(inspection: AdapterInspection) -> str:
    """What takes the file's bytes, the rank that would do, every fault and note."""
    health = "sound" if inspection.sound else f"{len(inspection.faults)} faults"
    sentence = (
        f"{inspection.name}: {inspection.method or 'no config'} on {inspection.base or 'an unknown base'}, "
        f"{units.gb(inspection.file_bytes)}, {health}; rank {inspection.rank_for()} of {inspection.largest_rank} keeps "
        "99 % of the updates' energy."
    )
    rows = [(one.part, one.dtype, f"{one.tensors:,}", f"{one.parameters:,}") for one in inspection.stored]
    return as_html(sentence, rows, ("part", "type", "tensors", "numbers"), [*inspection.faults, *inspection.notes])


def cut_table(cut: CutAdapter) -> str:
    """Bytes before and after, and what each module loses, the most first."""
    sentence = (
        f"Cut to rank {cut.rank}: {units.gb(cut.file_bytes)} of {units.gb(cut.file_bytes_before)}, "
        f"{units.percent(cut.energy_lost_percent)} of the updates' energy lost."
    )
    layers = sorted(cut.layers, key=lambda one: -one.energy_lost)
    rows = [(one.module, f"{one.rank_before} → {one.rank}", f"{one.energy_lost:.3g}") for one in layers]
    return as_html(sentence, rows, ("module", "rank", "energy lost"), cut.notes)
