"""Results draw themselves with matplotlib and tell themselves as HTML, through the one door."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sample_charts import a_trace

import peftcalc as pc
from peftcalc.counting.counts import Count
from peftcalc.lab.comparison import Comparison, RunResult
from peftcalc.lab.sweeps.results import SweepResults
from peftcalc.lazy import UPSTAIRS, Drawn, MissingExtra
from peftcalc.memory.records import MemoryBreakdown
from peftcalc.plots.results.counting import bars_of
from peftcalc.plots.results.tables import MOST_ROWS, as_html
from peftcalc.plots.style import METHOD_STYLES
from peftcalc.units import GIB, gib

MODEL = "meta-llama/Llama-3.2-1B"
GENERATOR = np.random.default_rng(0)
WEIGHT = GENERATOR.standard_normal((16, 64)).astype(np.float32)


def a_comparison(*losses: float) -> Comparison:
    runs = [
        RunResult(method, seed, 2.0, loss + seed / 10, {}, 1.0, 100, 1234, None)
        for method, loss in zip((pc.Full(), pc.LoRA(rank=4)), losses, strict=True)
        for seed in range(3)
    ]
    return Comparison("digits", "nats", tuple(runs))


RESULTS = {
    "count": pc.count(MODEL, pc.DoRA(rank=8)),
    "estimate": pc.estimate_memory(MODEL, pc.QLoRA(rank=8), 1, 512),
    "breakdown": MemoryBreakdown(base_weights=GIB),
    "trace": a_trace(200),
    "quantized": pc.quantize(WEIGHT, "nf4", block_size=64),
    "error": pc.quantization_error(WEIGHT, "int8", block_size=64),
    "comparison": a_comparison(1.0, 1.5),
    "decomposition": pc.decompose(WEIGHT, WEIGHT * 1.1 + GENERATOR.standard_normal((16, 64)) / 10),
    "spectrum": pc.rank_of(WEIGHT),
    "sweep": SweepResults.of(pc.sweep("rank", {"methods": ["full", "lora"], "rank": [1, 2]}, seeds=2, steps=3)),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_draws_itself_on_given_axes_and_on_its_own(name):
    own = RESULTS[name].plot()
    assert own._repr_png_().startswith(b"\x89PNG")
    given = Figure().subplots()
    assert RESULTS[name].plot(ax=given) is given
    assert given.get_title(loc="left") == own.get_title(loc="left") != ""


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_told_in_a_sentence_and_a_table(name):
    told = RESULTS[name]._repr_html_()
    assert told.startswith("<p>")
    assert told.count("<table>") == told.count("</table>") == 1


def test_axes_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="ax must be matplotlib's Axes or None, got 3"):
        RESULTS["spectrum"].plot(ax=3)


def test_every_class_that_draws_itself_stands_in_the_door():
    named = {kind.__name__ for kind in Drawn.__subclasses__()}
    for method in ("plot", "_repr_html_"):
        assert {name.partition(".")[0] for name in UPSTAIRS if name.endswith(f".{method}")} == named


def test_a_count_has_a_bar_for_each_name_and_none_is_lost():
    count = RESULTS["count"]
    assert isinstance(count, Count)
    assert sum(bars_of(count).values()) == count.trainable
    ax = count.plot()
    assert [bar.get_width() for bar in ax.patches] == list(bars_of(count).values())
    many = dataclasses.replace(
        count, parts=tuple(dataclasses.replace(count.parts[0], suffix=f"m{i}") for i in range(30))
    )
    assert sum(bars_of(many).values()) == sum(part.trainable for part in many.parts)
    assert list(bars_of(many))[-1] == "16 others"


def test_the_parts_of_an_estimate_are_stacked_to_its_total():
    estimate = RESULTS["estimate"]
    ends = [bar.get_x() + bar.get_width() for bar in estimate.plot().patches]
    assert max(ends) == pytest.approx(estimate.total / GIB)
    assert gib(estimate.total) in estimate._repr_html_()


def test_the_peak_of_a_trace_is_marked():
    trace = RESULTS["trace"]
    marked = [line for line in trace.plot().lines if line.get_marker() == "o"]
    assert marked[0].get_ydata() == pytest.approx([trace.peak / GIB])


def test_a_quantized_tensor_shows_the_share_of_each_code():
    ax = RESULTS["quantized"].plot()
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(100)
    assert len(ax.patches) == 16


def test_the_groups_of_an_error_are_all_counted():
    error = RESULTS["error"]
    assert sum(bar.get_height() for bar in error.plot().patches) == len(error.block_rmse)


def test_a_comparison_marks_means_in_the_methods_colours_and_leaves_out_what_diverged():
    ax = a_comparison(1.0, math.inf).plot()
    means = [c.lines[0] for c in ax.containers]
    assert [line.get_color() for line in means] == [METHOD_STYLES["full"].color]
    assert means[0].get_xdata() == pytest.approx([1.1])


def test_a_spectrum_draws_its_energy():
    spectrum = RESULTS["spectrum"]
    ax = spectrum.plot()
    assert ax.lines[0].get_ydata() == pytest.approx(spectrum.energy)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx(np.diff(spectrum.energy, prepend=0))


def test_what_is_told_is_escaped_and_short():
    told = as_html("a < b", [("<script>", "1")] * (MOST_ROWS + 2), ("&",), ("<b>",))
    assert "<script>" not in told
    assert "a &lt; b" in told
    assert "<th>&amp;</th>" in told
    assert "and 2 more" in told
    assert "<p>&lt;b&gt;</p>" in told


def test_a_models_name_is_escaped():
    count = dataclasses.replace(RESULTS["count"], model="<img src=x>")
    assert "<img" not in count._repr_html_()


def test_axes_are_matplotlibs():
    assert isinstance(RESULTS["count"].plot(), Axes)
    assert issubclass(MissingExtra, ValueError)
