"""Results draw themselves with matplotlib and tell themselves as HTML, through the one door."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sample_charts import a_trace

import peftcalc as pc
from peftcalc.counting.counts import Count
from peftcalc.doctor.cut import CutAdapter, CutLayer
from peftcalc.doctor.report import AdapterInspection, LayerUpdate, Stored
from peftcalc.lab.comparison import Comparison, RunResult
from peftcalc.lazy import UPSTAIRS, Drawn, MissingExtra
from peftcalc.memory.records import MemoryBreakdown
from peftcalc.plots.results.counting import bars_of
from peftcalc.plots.results.tables import MOST_ROWS, as_html
from peftcalc.plots.style import METHOD_STYLES
from peftcalc.units import GIB, gib

MODEL = "meta-llama/Llama-3.2-1B"
GENERATOR = np.random.default_rng(0)
WEIGHT = GENERATOR.standard_normal((16, 64)).astype(np.float32)
QLORA = pc.QLoRA(rank=8)
CRAFTED = '<img src=x onerror="a()">&amp; $\\frac$ $'


def a_comparison(*losses: float) -> Comparison:
    runs = [
        RunResult(method, seed, 2.0, loss + seed / 10, {}, 1.0, 100, 1234, None)
        for method, loss in zip((pc.Full(), pc.LoRA(rank=4)), losses, strict=True)
        for seed in range(3)
    ]
    return Comparison("digits", "nats", tuple(runs))


def an_inspection() -> AdapterInspection:
    values = (4.0, 3.0, 0.1, 0.0)
    layer = LayerUpdate("layers.0.q_proj", "linear", 4, 2.0, 64, 64, 5.0, 4.0, 1.9, values)
    stored = (Stored("low-rank factors", "float32", 4, 1024, 4096),)
    none: tuple[str, ...] = ()
    return AdapterInspection(
        "mine", "LORA", "LoRA", "base", None, 4200, stored, (layer, layer), none, none, none, ("a fault",), ("a note",)
    )


def a_run() -> Any:
    run = pc.finetune("rank", pc.LoRA(rank=1), steps=60)
    for _ in run:
        pass
    return run


def a_sweep(**grid: Any) -> Any:
    sweep = pc.sweep("rank", {"methods": ["full", "lora"], **grid}, seeds=2, steps=3)
    for _ in sweep:
        pass
    return sweep


SPEED = pc.estimate_speed(MODEL, QLORA, "T4", batch=2, sequence=512)
SWEEP = a_sweep(rank=[1, 2])
CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["c_attn"]}
RESULTS = {
    "shapes": pc.load_model(MODEL),
    "square": pc.square(4_000_000_000, 8),
    "adapter config": pc.read_adapter_config(CONFIG, base="openai-community/gpt2"),
    "inspection": an_inspection(),
    "cut": CutAdapter(Path("there"), 2, (CutLayer("q_proj", 4, 2, 4.0, 25.0, 0.01),), 4200, 2100),
    "fits": pc.fit(MODEL, "T4", sequence=512),
    "fit": pc.fit(MODEL, "T4", [QLORA], sequence=512)[0],
    "no fits": pc.fit(MODEL, "T4", []),
    "advice": pc.advise(MODEL, "T4", sequence=512),
    "serving": pc.estimate_serving(MODEL, pc.LoRA(rank=8), "T4", users=2),
    "speed": SPEED,
    "cost": pc.run_cost(SPEED, examples=1000, price=2),
    "run": a_run(),
    "a run that has not begun": pc.finetune("rank", pc.LoRA(rank=1), steps=3),
    "finished run": SWEEP.results.runs[0],
    "asked sweep": SWEEP,
    "rates": a_sweep(learning_rate=[1e-3, 3e-3, 1e-2]),
    "count": pc.count(MODEL, pc.DoRA(rank=8)),
    "estimate": pc.estimate_memory(MODEL, pc.QLoRA(rank=8), 1, 512),
    "breakdown": MemoryBreakdown(base_weights=GIB),
    "trace": a_trace(200),
    "quantized": pc.quantize(WEIGHT, "nf4", block_size=64),
    "error": pc.quantization_error(WEIGHT, "int8", block_size=64),
    "comparison": a_comparison(1.0, 1.5),
    "decomposition": pc.decompose(WEIGHT, WEIGHT * 1.1 + GENERATOR.standard_normal((16, 64)) / 10),
    "spectrum": pc.rank_of(WEIGHT),
    "sweep": SWEEP.results,
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_draws_itself_on_given_axes_and_on_its_own(name):
    own = RESULTS[name].plot()
    given = Figure().subplots()
    assert RESULTS[name].plot(ax=given) is given
    assert given.get_title(loc="left") == own.get_title(loc="left") != ""


@pytest.mark.parametrize("name", ["fits", "rates"])
def test_a_notebook_shows_a_small_picture(name):
    picture = RESULTS[name].plot()._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert 2_000 < len(picture) < 40_000


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_told_in_a_sentence_and_a_table(name):
    told = RESULTS[name]._repr_html_()
    assert told.startswith("<p>")
    assert told.count("<table>") == told.count("</table>") == 1
    assert tags_of(told) <= PLAIN_TAGS


CRAFTED_RESULTS = [name for name, result in RESULTS.items() if dataclasses.is_dataclass(result)]


@pytest.mark.parametrize("name", CRAFTED_RESULTS)
def test_a_name_is_neither_html_nor_a_formula(name):
    crafted = with_crafted_text(RESULTS[name])
    assert tags_of(crafted._repr_html_()) <= PLAIN_TAGS
    figure = crafted.plot().get_figure()
    figure.set_layout_engine("none")  # text is read when it is drawn; where it stands does not matter here
    figure.draw_without_rendering()


FREE_TEXT = {
    "id",
    "model",
    "architecture",
    "base",
    "name",
    "module",
    "card",
    "formula",
    "source",
    "notes",
    "faults",
    "explanation",
    "question",
    "answer",
    "evidence",
    "stopped",
    "operator",
    "suffix",
}


def with_crafted_text(result: Any) -> Any:
    """The same with `CRAFTED` for every name, note or word in it that may come from anywhere."""
    changed: dict[str, Any] = {}
    for one in dataclasses.fields(result):
        value = getattr(result, one.name)
        if one.name in FREE_TEXT and isinstance(value, str | tuple | None):
            changed[one.name] = (CRAFTED,) if isinstance(value, tuple) else CRAFTED
        elif dataclasses.is_dataclass(value) and one.name in ("count", "gpu"):
            changed[one.name] = with_crafted_text(value)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            changed[one.name] = tuple(map(with_crafted_text, value))
    return dataclasses.replace(result, **changed)


PLAIN_TAGS = {"p", "table", "tr", "td", "th"}


def tags_of(text: str) -> set[str]:
    """Names of the tags; each that is opened is closed in its turn, and none has attributes."""
    waiting: list[str] = []
    seen: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
            assert not attrs
            waiting.append(tag)
            seen.add(tag)

        def handle_endtag(self, tag: str) -> None:
            assert waiting.pop() == tag

    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not waiting
    return seen


NO_RESULTS = {"Any", "DataFrame", "Iterator", "Module", "None", "Path", "dict", "nn", "str"}
"""Words of what public functions return that are no results of ours: tables that pandas draws, modules, places."""


def test_whatever_a_public_function_answers_draws_itself():
    public = [getattr(pc, name) for name in pc.__all__]
    answers = [str(inspect.signature(one).return_annotation) for one in public if not isinstance(one, type)]
    named = {word for answer in answers for word in re.findall(r"[A-Za-z]\w*", answer)} - NO_RESULTS
    shown = {type(result).__name__ for result in RESULTS.values()}
    assert "Fits" in named
    assert named <= shown
    assert all(isinstance(result, Drawn) for result in RESULTS.values())


def test_axes_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="ax must be matplotlib's Axes or None, got 3"):
        RESULTS["spectrum"].plot(ax=3)


def test_every_class_that_draws_itself_stands_in_the_door():
    named = {kind.__name__ for kind in Drawn.__subclasses__()}
    assert named >= {type(result).__name__ for result in RESULTS.values()} - {"MemoryEstimate"}
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


def test_rates_are_a_line_for_each_method_and_two_runs_share_axes():
    ax = RESULTS["rates"].plot()
    assert ax.get_xlabel() == "learning rate"
    assert [len(line.get_xdata()) for line in (c.lines[0] for c in ax.containers)] == [3, 3]
    both = RESULTS["finished run"].plot(RESULTS["run"].plot())
    assert [text.get_text() for text in both.get_legend().get_texts()] == ["LoRA(rank=1)", "Full()"]
    held_out = both.lines[1].get_xydata()
    assert held_out.tolist() == [[s, loss] for s, _, loss in RESULTS["run"].told if loss is not None]


def test_the_methods_on_a_card_reach_their_expected_bytes():
    fits, ax = RESULTS["fits"], RESULTS["fits"].plot()
    ends = [max(bar.get_x() + bar.get_width() for bar in ax.patches if round(bar.get_y() + 0.4) == i) for i in range(5)]
    assert ends == pytest.approx([one.needed.expected_bytes / GIB for one in fits])
    assert ax.lines[-1].get_xdata()[0] == pytest.approx(fits[0].gpu.usable_bytes / GIB)


def test_the_seconds_of_a_step_are_all_shown():
    assert sum(bar.get_width() for bar in SPEED.plot().patches) == pytest.approx(SPEED.seconds_per_step)
