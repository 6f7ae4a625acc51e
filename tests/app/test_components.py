"""Views as the server sees them: what goes out, what comes back, what a link may say; and their files as a whole."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

import peftcalc.ui.components
from peftcalc.counting.worked_example import worked_example
from peftcalc.plots.style import METHOD_STYLES, SIGNED, THEMES
from peftcalc.ui.components.arrow import arrow_data, arrow_parts
from peftcalc.ui.components.bits import bits_data, written
from peftcalc.ui.components.codes import COUNT, STAGES, codes_data, weights_of
from peftcalc.ui.components.mount import COLORS, known, payload
from peftcalc.ui.components.parts import Choice, Number, Numbers, Written, as_text, checked, from_text
from peftcalc.ui.components.product import product_data, product_parts

FOLDER = Path(peftcalc.ui.components.__file__).parent
SCRIPTS = sorted(FOLDER.glob("*.js"))
MOST_BYTES = 60_000
MARKUP = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
VIEWS_APP = Path(__file__).parents[1] / "support" / "views_app.py"
EXAMPLE = worked_example(rank=3)
PARTS = {"rank": Number(1, 8, whole=True), "x": Number(-2, 2), "row": Numbers(3, -9, 9), "form": Choice(("nf4", "fp4"))}


def test_all_scripts_are_light_enough_for_a_class():
    assert sum(len(gzip.compress(path.read_bytes())) for path in SCRIPTS) <= MOST_BYTES


def test_scripts_load_nothing_from_elsewhere_and_read_no_markup():
    for path in [*SCRIPTS, *FOLDER.glob("*.css"), *FOLDER.glob("*.html")]:
        text = path.read_text()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path.name
        assert not re.search(MARKUP, text), path.name
        for module in re.findall(r'(?:\bfrom |\bimport\()"([^"]+)"', text):
            assert module.startswith("./"), path.name


def test_every_view_of_python_has_its_script():
    text = (FOLDER / "explorable.js").read_text()
    views = re.findall(r'^  (\w+): async \(\) => \(await import\("\./(\w+)\.js"\)\)\.(\w+),$', text, re.M)
    assert all(f"export class {view} " in (FOLDER / f"{file}.js").read_text() for _, file, view in views)
    machinery = {"__init__", "mount", "parts"}
    assert {path.stem for path in FOLDER.glob("*.py")} - machinery == {name for name, _, _ in views}


def test_colours_have_one_source():
    written = "".join(path.read_text().lower() for path in [*SCRIPTS, FOLDER / "explorable.css"])
    assert {name: style.color for name, style in METHOD_STYLES.items()}.items() <= COLORS.items()
    assert [color for color in COLORS.values() if color.lower() in written] == []
    used = set(re.findall(r"--x-(below|above|full|lora|dora|qlora|qdora)\b", written))
    assert used <= COLORS.keys()


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("sign", SIGNED)
def test_numbers_are_read_on_the_deepest_colour_of_a_sign(theme, sign):
    depth = int(re.search(r"Math\.round\((\d+) \* depth\)", (FOLDER / "shell.js").read_text())[1]) / 100
    hue, ground = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (SIGNED[sign], theme.background))
    text = [int(theme.text[i : i + 2], 16) for i in (1, 3, 5)]
    low, high = sorted(luminance(color) for color in (depth * hue + (1 - depth) * ground, text))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def luminance(color) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.asarray(color) / 255]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "rank": st.integers(1, 8),
            "x": st.floats(-2, 2).map(lambda v: round(v, 6)),
            "row": st.lists(st.floats(-9, 9).map(lambda v: round(v, 6)), max_size=3),
            "form": st.sampled_from(["nf4", "fp4"]),
        },
    )
)
def test_a_state_comes_back_from_its_link(state):
    assert from_text(PARTS, as_text(state)) == checked(PARTS, json.loads(json.dumps(state))) == state


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"rank": 9}, "rank must be a whole number from 1 to 8, got 9"),
        ({"rank": True}, "rank must be"),
        ({"rank": "4"}, "rank must be"),
        ({"rank": 1.5}, "rank must be"),
        ({"x": float("nan")}, "x must be a number"),
        ({"row": [1, 2, 3, 4]}, "row must be a list of at most 3"),
        ({"row": [1, "2"]}, r"row\[1\] must be"),
        ({"row": {"0": 1}}, "row must be a list"),
        ({"form": "nf5"}, "form must be one of"),
        ({"form": ["nf4"]}, "form must be one of"),
        ({"other": 1}, "part must be one of"),
        ({5: 1}, "part must be one of"),
        ([1], "a state must be a mapping"),
    ],
)
def test_what_a_browser_may_not_send_is_a_sentence(state, said):
    with pytest.raises(ValueError, match=said):
        checked(PARTS, state)


@pytest.mark.parametrize(
    "text", ["rank:9", "rank:1e999", "rank:", "row:1,2,3,4", "row:1,,2", "form:", "other:1", "x" * 5000]
)
def test_what_a_link_may_not_say_is_a_sentence(text):
    with pytest.raises(ValueError, match="must"):
        from_text(PARTS, text)


def test_a_product_goes_out_as_plain_numbers():
    data = product_data(EXAMPLE.W, EXAMPLE.B, EXAMPLE.A, rank=2, alpha=1)
    assert json.loads(json.dumps(payload("product", data)))["B"] == EXAMPLE.B.tolist()
    assert (data["step"], data["most"]) == (1, 9.0)
    assert checked(product_parts(data), {"cells": [0, 4, 1, -9]}) == {"cells": [0, 4, 1, -9]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((EXAMPLE.W, EXAMPLE.B[:4], EXAMPLE.A), "must be n × m, n × r and r × m"),
        ((np.ones((65, 5)), np.ones((65, 1)), np.ones((1, 5))), "at most 64"),
        ((EXAMPLE.W, EXAMPLE.B, EXAMPLE.A, 4), "rank must be a whole number from 1 to 3"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        product_data(*arguments[:3], rank=(arguments[3:] or (1,))[0])


def test_a_row_without_a_direction_is_refused():
    with pytest.raises(ValueError, match="not both zero"):
        arrow_data((0, 0))
    with pytest.raises(ValueError, match="two numbers"):
        arrow_data((1,))
    data = arrow_data((3, 4), (0, 10))
    assert (data["tip"], data["reach"]) == ([0, 10], 12)
    assert checked(arrow_parts(data), {"x": -12, "climb": 1}) == {"x": -12, "climb": 1}


def test_a_link_reaches_the_browser_and_the_page_and_a_broken_one_is_a_sentence():
    page = AppTest.from_file(str(VIEWS_APP), default_timeout=60)
    page.query_params["product"] = "rank:3;cells:0,0,0,7"
    page.query_params["arrow"] = "x:<b>far</b>"
    page.run()
    assert not page.exception
    views = [json.loads(one.proto.bytes) for one in page.main if one.type == "bidi_component"]
    assert [one["view"] for one in views] == ["product", "product", "arrow"]
    assert [one["state"] for one in views] == [{"rank": 3, "cells": [0, 0, 0, 7]}, {}, {}]
    assert all(one["colors"] == COLORS for one in views)
    assert json.loads(page.code[0].value)["product"] == {"rank": 3, "cells": [0, 0, 0, 7]}
    assert [note.value for note in page.info] == [
        "The link's arrow is not shown\\: x must be a number from \\-3\\.56786 to 3\\.56786, got nan\\."
    ]


@pytest.mark.parametrize("message", [{"rank": 99}, {"elsewhere": 1}, "<script>", [], 5, {"rank": {"$": 1}}])
def test_a_message_that_is_none_of_ours_moves_nothing(message):
    assert known(PARTS, message, "as it was") == "as it was"


def test_the_steps_of_the_rail_are_named_once_more_in_the_browser():
    text = (FOLDER / "codes.js").read_text()
    assert json.loads(re.search(r"STAGES = (\[.*?\]);", text)[1]) == list(STAGES)


@pytest.mark.parametrize("weights", [[1.0] * 63, [0.0] * 64, [float("nan")] * 64])
def test_weights_that_cannot_be_shown_are_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        codes_data(weights)


def test_moved_weights_stand_where_the_browser_says():
    data = codes_data([0.5] * COUNT)
    assert weights_of(data, {"moved": [3, -2.0, 99, 1.0]}) == [0.5, 0.5, 0.5, -2.0, *[0.5] * 60]


@given(st.floats())
def test_any_number_goes_to_the_browser_and_comes_back_in_a_link(number):
    state = {"x": written(number)}
    came = float(from_text({"x": Written()}, as_text(state))["x"])
    assert came == number or (came != came and number != number)
    assert bits_data(number)["x"] == state["x"]


@pytest.mark.parametrize("text", ["", "two", "1" * 41, "١"])
def test_text_that_is_no_number_is_not_taken(text):
    with pytest.raises(ValueError, match="x must be a number as text"):
        Written().checked("x", text)


def test_a_block_goes_out_as_its_matrices_and_names_come_back_by_their_places():
    import peftcalc as pc
    from peftcalc.ui.components.block import block_data, block_parts

    shapes, names = pc.load_model("openai-community/gpt2"), ["c_attn", "c_proj", "c_fc"]
    data = block_data(shapes, pc.count(shapes, pc.DoRA(rank=8)), names)
    assert [box["name"] for box in data["boxes"]] == ["c_attn", "c_proj", "c_fc", "c_proj"]
    assert [(box["wide"], box["tall"], box["pick"]) for box in data["boxes"][:3]] == [
        (768, 2304, 0),
        (768, 768, 1),
        (768, 3072, 2),
    ]
    assert sum(box["adds"] * box["blocks"] for box in data["boxes"]) == pc.count(shapes, pc.DoRA(rank=8)).trainable
    assert checked(block_parts(), {"chosen": [0, 2]}) == {"chosen": [0, 2]}
    with pytest.raises(ValueError, match="chosen"):
        checked(block_parts(), {"chosen": [-1]})


def test_a_block_of_experts_trains_what_is_counted():
    import peftcalc as pc
    from peftcalc.ui.components.block import block_data

    shapes = pc.load_model("mistralai/Mixtral-8x7B-v0.1")
    counted = pc.count(shapes, pc.LoRA(rank=8))
    data = block_data(shapes, counted, ["q_proj", "k_proj", "v_proj", "o_proj"])
    lit = {box["name"]: box for box in data["boxes"] if box["lit"]}
    assert {"experts", "gate"} < lit.keys()
    assert sum(box["adds"] * box["blocks"] for box in lit.values()) == counted.trainable
    four = pc.count(shapes, pc.LoRA(rank=8, targets=["q_proj", "k_proj", "v_proj", "o_proj"]))
    dark = {box["name"] for box in block_data(shapes, four, [])["boxes"] if not box["lit"]}
    assert "experts" in dark
