"""Results as a sentence and a small table, for Jupyter; what the text holds is escaped, nothing is drawn."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from peftcalc import units
from peftcalc.counting.counts import Count
from peftcalc.memory.records import PARTS, MemoryBreakdown, MemoryTrace
from peftcalc.plots.results.counting import shape_bars

if TYPE_CHECKING:
    from peftcalc.counting.one_matrix import Square
    from peftcalc.geometry.direction import Decomposition
    from peftcalc.geometry.spectrum import Spectrum
    from peftcalc.lab.comparison import Comparison
    from peftcalc.lab.run_settings import RunSettings
    from peftcalc.lab.sweeps.finished import FinishedRun
    from peftcalc.lab.sweeps.results import SweepResults
    from peftcalc.lab.sweeps.sweep import Sweep
    from peftcalc.lab.training import Run
    from peftcalc.models.shapes import ModelShapes
    from peftcalc.quant.errors import QuantizationError
    from peftcalc.quant.quantized import Quantized

MOST_ROWS = 20


def as_html(sentence: str, rows: Iterable[Sequence[str]], header: Sequence[str] = (), notes: Sequence[str] = ()) -> str:
    """A paragraph, a table of at most `MOST_ROWS` rows, and notes.

    >>> as_html("1 < 2", [("a", "b")])
    '<p>1 &lt; 2</p><table><tr><td>a</td><td>b</td></tr></table>'
    """
    listed = list(rows)
    shown = "".join(f"<tr>{_cells('td', row)}</tr>" for row in listed[:MOST_ROWS])
    more = f"<p>… and {len(listed) - MOST_ROWS} more</p>" if len(listed) > MOST_ROWS else ""
    head = f"<tr>{_cells('th', header)}</tr>" if header else ""
    told = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<p>{html.escape(sentence)}</p><table>{head}{shown}</table>{more}{told}"


def _cells(tag: str, row: Sequence[str]) -> str:
    return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)


def count_table(count: Count) -> str:
    """What is trained, and a row for each module name."""
    sentence = (
        f"{count.method.name} on {count.model} trains {count.trainable:,} of {count.total:,} parameters, "
        f"{units.percent(count.percent)}; its file has {units.gb(count.adapter_bytes_fp16)} in 16 bits."
    )
    rows = [
        (row["name"], row["how"], str(row["rank"] or ""), f"{row['modules']:,}", f"{row['trainable']:,}")
        for row in count.kind_rows()
    ]
    return as_html(sentence, rows, ("module", "how", "rank", "modules", "trained"), count.notes)


def shapes_table(shapes: ModelShapes) -> str:
    """A model's parameters by module name."""
    sentence = f"{shapes.id}, {shapes.architecture}: {shapes.total:,} parameters."
    rows = [(name, f"{size:,}", units.percent(100 * size / shapes.total)) for name, size in shape_bars(shapes).items()]
    return as_html(sentence, rows, ("module", "parameters", "share"), shapes.notes)


def square_table(square: Square) -> str:
    """The one matrix and its two factors."""
    sentence = (
        f"{square.total_parameters:,} parameters as one matrix: rank {square.rank:,} trains {square.trainable:,}."
    )
    rows = [
        ("side D", f"{square.dimension:,}"),
        ("share", units.percent(square.percent)),
        ("as many as the whole matrix at rank", f"{square.break_even:,g}"),
    ]
    return as_html(sentence, rows)


def breakdown_table(breakdown: MemoryBreakdown) -> str:
    """The bytes at the peak, and a row for each part that holds some."""
    phase = getattr(breakdown, "phase", "")
    sentence = f"{units.gib(breakdown.total)} allocated at the peak{f', in the {phase}' if phase else ''}."
    return as_html(sentence, _parts(breakdown), ("part", "size", "bytes"), getattr(breakdown, "notes", ()))


def trace_table(trace: MemoryTrace) -> str:
    """The simulated peak, and a row for each part that holds some of it."""
    sentence = (
        f"{units.gib(trace.peak)} allocated at the peak, in the {trace.phase}, at {trace.operator}; "
        f"{trace.operators:,} operators; about {units.gib(trace.reserved)} with what the allocator keeps."
    )
    return as_html(sentence, _parts(trace.breakdown), ("part", "size", "bytes"), trace.notes)


def _parts(breakdown: MemoryBreakdown) -> list[tuple[str, str, str]]:
    sizes = [(words, getattr(breakdown, part)) for part, words in PARTS.items()]
    return [(words, units.gib(size), f"{size:,}") for words, size in sizes if size]


def quantized_table(quantized: Quantized) -> str:
    """Format, shape, scales and bytes of a quantized tensor."""
    sentence = f"{quantized.count:,} numbers in {quantized.format}, {quantized.bits_per_value:.6g} bits each."
    rows = [
        ("shape", " × ".join(f"{side:,}" for side in quantized.shape) or "one number"),
        ("numbers that share a scale", f"{quantized.group_size:,}"),
        ("double quantization", "yes" if quantized.double_quant else "no"),
        ("bytes", f"{quantized.nbytes:,}"),
    ]
    return as_html(sentence, rows)


def error_table(error: QuantizationError) -> str:
    """What a format lost, by each measure."""
    sentence = f"{error.format} keeps {error.sqnr_db:.1f} dB of signal above noise at {error.bits_per_value:.6g} bits."
    rows = [
        ("RMSE", error.rmse),
        ("mean of |e|", error.mean_abs),
        ("mean of e", error.mean),
        ("max |e|", error.max_abs),
    ]
    of_output = [] if error.output_error is None else [("error of the output", error.output_error)]
    return as_html(sentence, [(words, f"{value:.6g}") for words, value in [*rows, *of_output]])


def comparison_table(comparison: Comparison) -> str:
    """Held-out loss of each method over its seeds."""
    seeds = len({run.seed for run in comparison.runs})
    rows = []
    for method in comparison.methods:
        first = comparison.of(method)[0]
        rows.append((repr(method), f"{first.trainable:,}", str(comparison.validation(method))))
    sentence = f"Held-out loss on {comparison.task} in {comparison.unit}: mean and 95 % interval over {seeds} seeds."
    return as_html(sentence, rows, ("method", "trained", "held-out loss"))


def run_table(run: Run) -> str:
    """The looks that a run has taken so far."""
    return _looks(run.settings, [(step, loss) for step, _, loss in run.told if loss is not None])


def finished_run_table(run: FinishedRun) -> str:
    """Held-out loss before and after."""
    notes = [run.stopped] if run.stopped else []
    return _looks(run.settings, [(0, run.before), (len(run.losses), run.validation)], notes)


def _looks(settings: RunSettings, looks: Sequence[tuple[int, float]], notes: Sequence[str] = ()) -> str:
    sentence = f"{settings.method!r} on {settings.task}, seed {settings.seed}: held-out loss in {settings.record.unit}."
    return as_html(sentence, [(f"{step:,}", f"{loss:.4f}") for step, loss in looks], ("step", "held-out loss"), notes)


def asked_table(sweep: Sweep) -> str:
    """What has finished so far."""
    return sweep_table(sweep.results)


def sweep_table(results: SweepResults) -> str:
    """Held-out loss of each combination over its seeds, the best first."""
    cells = results.cells()
    rows = [(cell.label, f"{cell.trainable:,}", str(cell.validation)) for cell in cells]
    sentence = f"{len(results.runs):,} runs of {len(cells):,} combinations: held-out loss, mean and 95 % interval."
    return as_html(sentence, rows, ("combination", "trained", "held-out loss"))


def decomposition_table(change: Decomposition) -> str:
    """ΔM and ΔD, and the neurons that moved farthest."""
    sentence = (
        f"ΔM = {change.magnitude_change:.6g} and ΔD = {change.direction_change:.6g} over {len(change.turns):,} rows."
    )
    rows = [
        ("largest turn, 1 − cos θ", f"{change.turns.max():.4g}"),
        ("lengths, Δm / m", f"{change.relative_lengths.min():+.4g} to {change.relative_lengths.max():+.4g}"),
    ]
    return as_html(sentence, rows)


def spectrum_table(spectrum: Spectrum) -> str:
    """The effective rank, and the rank that holds most of the energy."""
    count = len(spectrum.singular_values)
    sentence = f"Effective rank {spectrum.effective_rank:.4g} of {count}."
    rows = [(f"{share:.0%} of the energy", f"rank {spectrum.rank_for(share)}") for share in (0.5, 0.9, 0.99)]
    return as_html(sentence, [("largest singular value", f"{spectrum.singular_values[0]:.4g}"), *rows])
