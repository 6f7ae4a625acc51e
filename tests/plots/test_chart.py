"""Every chart goes through one mechanism: written once, shared unchanged, told when pointed at, valid, legible."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sample_charts import sample_charts

from peftcalc import plots
from peftcalc.plots import chart as mechanism
from peftcalc.plots.channels import picked, zoom
from peftcalc.plots.chart import Chart, specification
from peftcalc.plots.style import DARK, LIGHT

ROOT = Path(plots.__file__).parents[2]
SHORTHAND = re.compile(r"(\w+|\w+\(\w*\)):[QNOTG]")
CHARTS = {name: make() for name, make in sample_charts().items()}


def parts(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value within a specification with its key, outer ones first."""
    yield key, value
    inner = (
        value.items() if isinstance(value, dict) else (("", each) for each in value) if isinstance(value, list) else ()
    )
    for name, each in inner:
        yield from parts(each, name)


def of_key(spec: dict[str, Any], key: str) -> list[Any]:
    return [value for name, value in parts(spec) if name == key]


def shorthands(source: str) -> list[str]:
    """String channels of Altair's kind: each hashes the whole schema when it is read."""
    found = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [text for text in found if isinstance(text, str) and SHORTHAND.fullmatch(text)]


def test_no_channel_is_a_plain_string():
    files = [*(ROOT / "peftcalc").rglob("*.py"), *(ROOT / "pages").glob("*.py")]
    assert len(files) > 100
    assert {file.name: found for file in files if (found := shorthands(file.read_text()))} == {}


@pytest.mark.parametrize("text", ["rank:Q", "sum(gib):Q", "name:N"])
def test_a_plain_string_would_be_found(text):
    assert shorthands(f"x = alt.X('{text}')") == [text]


def test_every_plot_function_has_an_example():
    named = [
        name
        for file in (ROOT / "peftcalc/plots").rglob("*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and (name := node.name).endswith("_chart")
    ]
    assert sorted(named) == sorted(name.rpartition(".")[2] for name in CHARTS)


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_valid_vega_lite(name):
    altair = pytest.importorskip("altair")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the schema's version stands in the specification
        assert isinstance(CHARTS[name].to_altair(), altair.TopLevelMixin)


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_says_what_it_shows_and_what_is_pointed_at(name):
    spec = CHARTS[name].specification()
    assert spec["description"].endswith(".")
    told = [one for channel in of_key(spec, "tooltip") for one in (channel if isinstance(channel, list) else [channel])]
    assert told
    assert all(one["title"] for one in told)


@pytest.mark.parametrize("name", CHARTS)
def test_every_table_is_drawn_and_has_the_columns_that_are_asked_for(name):
    chart = CHARTS[name]
    assert {data["name"] for data in of_key(chart.specification(), "data")} <= chart.data.keys()
    columns = {column for rows in chart.to_dict()["datasets"].values() for row in rows for column in row}
    assert set(of_key(chart.specification(), "field")) <= columns


@pytest.mark.parametrize("name", CHARTS)
def test_what_is_picked_is_a_column_of_the_legend(name):
    spec = CHARTS[name].specification()
    clicks = [param for params in of_key(spec, "params") for param in params if param.get("bind") == "legend"]
    conditions = [one for one in of_key(spec, "condition") if isinstance(one, dict)]
    faint = [one for one in conditions if one.get("param") == "picked"]
    assert bool(clicks) == bool(faint)
    colored = [
        channel["field"] for channel in of_key(spec, "color") if isinstance(channel, dict) and "field" in channel
    ]
    assert all(field in colored for click in clicks for field in click["select"]["fields"])


@pytest.mark.parametrize("name", CHARTS)
def test_a_legend_is_not_taken_away_by_a_layer_without_one(name):
    spec = CHARTS[name].specification()
    legends = {channel["legend"] is None for channel in of_key(spec, "color") if "legend" in channel}
    independent = "resolve" in spec
    assert independent == (legends == {True, False})


@pytest.mark.parametrize("name", CHARTS)
def test_text_has_sixteen_points_in_projector_mode(name):
    spec = CHARTS[name].specification(projector=True)
    for key in ("fontSize", "labelFontSize", "titleFontSize"):
        for size in of_key(spec, key):
            assert size["expr"].startswith("max(16,") if isinstance(size, dict) else size >= 16
    assert spec["config"]["axis"]["labelFontSize"] >= 16
    assert spec["config"]["text"]["fontSize"] >= 16
    assert spec["config"]["legend"]["labelFontSize"] >= 16


def test_ink_follows_the_theme():
    chart = CHARTS["scaling_chart"]
    assert chart.specification(LIGHT)["config"]["rule"] == {"color": LIGHT.text}
    assert chart.specification(DARK)["config"]["rule"] == {"color": DARK.text}


def a_chart(build: Any, *choices: Any, rows: Any = ()) -> Chart:
    return Chart(build, choices, {"rows": rows})


def counted(calls: list[Any]):
    def build(*choices: Any) -> dict[str, Any]:
        calls.append(choices)
        return {"description": "A dot.", "data": {"name": "rows"}, "mark": "point", "encoding": {}}

    return build


def test_a_specification_is_built_once_for_each_choice_and_look():
    calls: list[Any] = []
    build = counted(calls)
    for rows in ([{"x": 1}], [{"x": 2}], [{"x": 3}]):
        a_chart(build, 1, rows=rows).specification()
    assert calls == [(1,)]
    a_chart(build, 2).specification()
    a_chart(build, 1).specification(DARK, projector=True)
    assert calls == [(1,), (2,), (1,)]


def test_who_draws_a_chart_cannot_change_it_for_others():
    chart = a_chart(counted([]))
    chart.specification()["encoding"]["x"] = "changed"
    assert chart.specification()["encoding"] == {}


def test_thirty_threads_draw_the_same():
    chart = CHARTS["curve_chart"]
    specification.cache_clear()
    with ThreadPoolExecutor(30) as threads:
        found = list(threads.map(lambda _: json.dumps(chart.specification()), range(60)))
    assert len(set(found)) == 1


def test_what_is_kept_is_bounded():
    assert specification.cache_info().maxsize == mechanism.MOST_KEPT <= 1000
    texts = [specification(chart.build, chart.choices, LIGHT, True) for chart in CHARTS.values()]
    assert max(len(text) for text in texts) < 12_000


def test_numbers_of_numpy_and_what_is_missing_become_plain():
    frame = pd.DataFrame({"x": np.array([1, 2]), "y": [np.nan, np.inf]})
    for rows in (frame, frame.to_dict("records")):
        drawn = json.loads(a_chart(counted([]), rows=rows).to_json())
        assert drawn["datasets"]["rows"] == [{"x": 1, "y": None}, {"x": 2, "y": None}]


def test_a_notebook_shows_the_chart_and_it_can_be_saved(tmp_path):
    chart = CHARTS["loss_chart"]
    bundle = chart._repr_mimebundle_()
    assert bundle["text/plain"] == chart.specification()["description"]
    assert bundle[mechanism.MIME_TYPE]["datasets"]["full"] == [{"mean": 0.1}]
    chart.save(tmp_path / "loss.json")
    assert json.loads((tmp_path / "loss.json").read_text()) == chart.to_dict()


def test_the_wheel_alone_and_a_finger_scroll_the_page():
    select = zoom("x")["select"]
    assert "shiftKey" in select["zoom"]
    assert "mouse" in select["translate"]
    assert picked("rank")["bind"] == "legend"
