"""An example of every chart of `peftcalc.plots` by its function's name, for the table of times and for the tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from peftcalc import DoRA, LoRA, QLoRA
from peftcalc.evidence.quality import OTHER, pareto, quality_runs
from peftcalc.evidence.rows import evidence_rows
from peftcalc.geometry.spectrum import rank_of
from peftcalc.lab.run_settings import run_settings
from peftcalc.lab.sweeps.finished import FinishedRun
from peftcalc.lab.sweeps.results import SweepResults
from peftcalc.memory.allowances import context_allowance, reserved_allowance
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.records import MemoryBreakdown, MemoryTrace, TimelinePoint
from peftcalc.memory.serving.estimate import estimate_serving
from peftcalc.memory.serving.tasks import serving_table
from peftcalc.plots import (
    adapter,
    board,
    direction,
    memory,
    parameters,
    quantization,
    rank,
    serving,
)
from peftcalc.plots.chart import Chart
from peftcalc.plots.evidence import accuracy, errors, quality
from peftcalc.plots.findings import alpha, curves, intervals, plane, spectrum
from peftcalc.plots.findings import errors as merge_errors
from peftcalc.units import GIB

METHODS = ["Full", "LoRA", "DoRA", "QLoRA", "QDoRA"]
MODEL = "meta-llama/Llama-3.2-1B"
RANKS = [1, 2, 4, 8, 16, 32, 64]


def sample_charts() -> dict[str, Callable[[], Chart]]:
    """What makes each chart anew, with the rows of a real page."""
    generator = np.random.default_rng(0)
    return {
        **_of_counting(),
        **_of_memory(),
        **_of_ranks(generator),
        **_of_bits(generator),
        **_of_learning(generator),
        **_of_findings(),
    } | _of_boards()


def _of_findings() -> dict[str, Callable[[], Chart]]:
    spread = {"low": 0.2, "mean": 0.3, "high": 0.45, "seeds": 10}
    names = ("full fine-tuning", *(f"LoRA rank {r}" for r in (1, 4, 16, 64)))
    over_rates = [{"series": name, "x": rate, **spread} for name in names for rate in (1e-3, 3e-3, 1e-2)]
    over_ranks = [{"series": f"{n} images", "x": r, **spread} for n in (160, 640) for r in (1, 8, 64)]
    cells = [{"series": f"{alpha}", "x": rate, **spread} for alpha in (1, 16) for rate in (1e-3, 1e-2)]
    ways = [{"name": way, "kind": kind, **spread} for way in ("again", "floats") for kind in ("NF4", "int4")]
    layers = [{"layer": "first.0", "kind": kind, "update": 0.3, "error": 0.1, "seeds": 10} for kind in ("NF4", "int4")]
    curve = [
        {"series": name, "rate": rate, "new": 0.3, "old": 9.0, "usual": rate == 1e-2, "seeds": 10}
        for name in ("full fine-tuning", "LoRA rank 1", "LoRA")
        for rate in (1e-3, 1e-2)
    ]
    kinds = (spectrum.NEW, spectrum.KNOWN)
    bars = [{"place": p, "before": 2.0, "after": 2.5, "cosine": 0.4, "what": kinds[p % 2]} for p in range(1, 25)]
    return {
        "rates_chart": lambda: curves.rates_chart(over_rates, "cross-entropy"),
        "capacity_chart": lambda: curves.capacity_chart(over_ranks, 64),
        "counts_chart": lambda: curves.counts_chart(over_rates, over_rates[:1]),
        "alpha_chart": lambda: alpha.alpha_chart(cells, "cross-entropy"),
        "intervals_chart": lambda: intervals.intervals_chart(ways, "change", "as before"),
        "findings.errors_chart": lambda: merge_errors.errors_chart(layers),
        "plane_chart": lambda: plane.plane_chart(curve, "cross-entropy", {"new": 6.0, "old": 0.3}),
        "spectrum_chart": lambda: spectrum.spectrum_chart(bars, 3.0),
    }


def _of_boards() -> dict[str, Callable[[], Chart]]:
    runs = [
        FinishedRun(
            run_settings("rank", method, seed=seed), (), 1.0, 0.5 - 0.1 * seed, {}, 128 * (seed + 1), 2**21, 0.1
        )
        for method in (LoRA(rank=1), DoRA(rank=4))
        for seed in (0, 1)
    ]
    results = SweepResults(tuple(runs))
    return {
        "board_front_chart": lambda: board.board_front_chart(results, "trainable", "nats"),
        "board_methods_chart": lambda: board.board_methods_chart(results, "nats"),
        "answers_chart": lambda: board.answers_chart({"half": 3, "double": 1}, "half"),
    }


def _of_counting() -> dict[str, Callable[[], Chart]]:
    curves = pd.DataFrame(
        [(10**k, r, 10**k, 2 * r * 10**k, 100 * r / 10**k) for k in range(1, 12) for r in RANKS],
        columns=["total", "rank", "dimension", "trainable", "percent"],
    )
    points = curves.to_dict("records")
    counts = pd.DataFrame(
        {"method": METHODS, "trainable": [8e9, 4e7, 4.2e7, 4e7, 4.2e7], "percent": 1.0, "text": "41.9 M · 0.52 %"}
    )
    gap = pd.DataFrame({"step": ["one square matrix", "its blocks", "all of them"], "percent": [0.1, 0.3, 0.5]})
    return {
        "curve_chart": lambda: parameters.curve_chart(points, {**points[-1], "text": "rank 8"}, points[:3]),
        "methods_chart": lambda: parameters.methods_chart(counts.to_dict("records")),
        "gap_chart": lambda: parameters.gap_chart(gap.assign(text="0.1 %")),
    }


def _of_memory() -> dict[str, Callable[[], Chart]]:
    bars = {m.label: estimate_memory(MODEL, m, 1, 512) for m in (LoRA(rank=8), DoRA(rank=8), QLoRA(rank=8))}
    measured = pd.DataFrame({"id": ["a", "b"], "source": "https://example.org", "method": ["LoRA", "QLoRA"]})
    measured = measured.assign(measured=[10 * GIB, 20 * GIB], predicted=[11 * GIB, 19 * GIB], error=[0.1, -0.05])
    table = serving_table(MODEL, LoRA(rank=8), (1, 10, 100))
    trace, runs = a_trace(400), quality_runs()
    return {
        "bars_chart": lambda: memory.bars_chart(
            bars, usable=24 * GIB, card="RTX 4090", reserve=GIB, below={"LoRA": "✓ fits · 2 h"}
        ),
        "timeline_chart": lambda: memory.timeline_chart(trace),
        "accuracy_chart": lambda: accuracy.accuracy_chart(measured.assign(by="estimated")),
        "serving_chart": lambda: serving.serving_chart(table),
        "serving_bars_chart": lambda: serving.serving_bars_chart(
            {"beside": estimate_serving(MODEL, LoRA(rank=8), "T4")}
        ),
        "errors_chart": lambda: errors.errors_chart(evidence_rows()[:8]),
        "quality_chart": lambda: quality.quality_chart(runs, pareto(runs, "reserved_bytes"), "memory", OTHER),
    }


def a_trace(points: int) -> MemoryTrace:
    """A step whose bytes rise to the middle and fall again."""
    phases = ("load", "forward", "backward", "optimizer")
    breakdowns = [MemoryBreakdown(base_weights=GIB, saved_activations=(50 - abs(i - 50)) << 20) for i in range(points)]
    timeline = tuple(TimelinePoint(phases[4 * i // points], "aten.mm", b) for i, b in enumerate(breakdowns))
    top = max(breakdowns, key=lambda breakdown: breakdown.total)
    allowances = (reserved_allowance(top.total), context_allowance())
    return MemoryTrace(top.total, "backward", "aten.mm", top, timeline, points, *allowances, (2,), 2)


def _of_ranks(generator: np.random.Generator) -> dict[str, Callable[[], Chart]]:
    energy = rank_of(generator.standard_normal((64, 64))).energy
    kinds = [("a", "trained"), ("b", "trained"), ("median", "median"), ("random", "random")]
    energies = pd.DataFrame(
        [(*kind, k + 1, float(share)) for kind in kinds for k, share in enumerate(energy)],
        columns=["matrix", "kind", "rank", "share"],
    )
    floor = pd.DataFrame({"rank": RANKS, "floor": np.linspace(0.8, 0, len(RANKS))})
    trained = pd.DataFrame({"rank": RANKS[:3], "loss": [0.8, 0.7, 0.55]})
    rules = pd.DataFrame(
        [(rule, r, 16 / r) for rule in ("α / r", "α / √r", "α = 2r") for r in RANKS],
        columns=["rule", "rank", "scaling"],
    )
    losses = pd.DataFrame({"rank": RANKS, "mean": 0.3, "low": 0.2, "high": 0.4})
    dropout = pd.DataFrame(
        [(curve, s, 2 + s / 100) for curve in ("training", "held out") for s in range(0, 150, 25)],
        columns=["curve", "step", "loss"],
    )
    return {
        "floor_chart": lambda: rank.floor_chart(floor, trained),
        "rank.energy_chart": lambda: rank.energy_chart(energies, 8),
        "scaling_chart": lambda: rank.scaling_chart(rules, 8),
        "loss_chart": lambda: rank.loss_chart(losses, 0.1, "nats"),
        "dropout_chart": lambda: rank.dropout_chart(dropout, 4.0),
    }


def _of_bits(generator: np.random.Generator) -> dict[str, Callable[[], Chart]]:
    variants = [("NF4", "nf4"), ("int4 blocks", "int4"), ("int8 per tensor", "int8")]
    curve = pd.DataFrame(
        [(v, f, str(b), 4 + 32 / b, 0.1 + 1 / b) for v, f in variants for b in (16, 64, 256)],
        columns=["variant", "format", "block", "bits", "rmse"],
    )
    ranking = pd.DataFrame(variants, columns=["variant", "format"]).assign(rmse=[0.01, 0.02, 0.03], text="20 dB")
    places = np.linspace(-4, 4, 101)
    line = pd.concat([pd.DataFrame({"variant": v, "format": f, "place": places, "share": 1.0}) for v, f in variants])
    held = pd.DataFrame({"format": ["NF4", "NF4"], "part": ["codes", "scales"], "order": [0, 1]})
    codes = np.linspace(-1, 1, 16)
    return {
        "normalised_chart": lambda: quantization.normalised_chart(places / 4, np.abs(places), codes, "nf4", 4.0),
        "trade_off_chart": lambda: quantization.trade_off_chart(curve, curve[curve["block"] == "64"]),
        "ranking_chart": lambda: quantization.ranking_chart(ranking),
        "error_line_chart": lambda: quantization.error_line_chart(line),
        "model_chart": lambda: quantization.model_chart(held.assign(gigabytes=[4.0, 0.5], total=4.5, text=["4.5", ""])),
    }


def _of_learning(generator: np.random.Generator) -> dict[str, Callable[[], Chart]]:
    moves = pd.DataFrame({"matrix": "first.0", "kind": "first", "checkpoint": np.linspace(0, 1, 40)})
    moves = moves.assign(turn=generator.random(40), length=generator.random(40))
    neurons = pd.DataFrame({"turn": generator.random(700), "length": generator.random(700)})
    knock_out = pd.DataFrame(
        [(m, r, 1 / r) for m in ("LoRA", "DoRA") for r in RANKS], columns=["method", "rank", "loss"]
    )
    kept = pd.DataFrame([(r, n, 10.0 * r) for r in RANKS for n in ("q_proj", "v_proj")])
    updates = pd.DataFrame({"layer": range(32), "name": "q_proj", "module": "q_proj", "norm": 1.0})
    return {
        "moves_chart": lambda: direction.moves_chart(moves, "dora", (1.0, 1.0), ("ΔD", "ΔM")),
        "neurons_chart": lambda: direction.neurons_chart(neurons, "lora", (0.5, -0.1, 1.0)),
        "knock_out_chart": lambda: direction.knock_out_chart(knock_out),
        "updates_chart": lambda: adapter.updates_chart(updates.assign(effective_rank=2.5, rank=8)),
        "adapter.energy_chart": lambda: adapter.energy_chart(kept.set_axis(["rank", "name", "percent"], axis=1), 4),
    }
