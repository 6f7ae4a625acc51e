"""The Quantization page: what its controls show is what the core returns, and files of visitors are only numbers."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from streamlit.testing.v1 import AppTest

import peftcalc as pc
from peftcalc.quant.compared.formats import VARIANTS, picture, window
from peftcalc.quant.compared.upload import read_upload
from peftcalc.quant.precision import store
from peftcalc.quant.samples import gaussian
from peftcalc.ui.quantization import numbers as data

pytestmark = pytest.mark.usefixtures("work_at_once")

PAGE = Path(__file__).parents[2] / "pages" / "quantization.py"


SECTIONS = ("one number", "sixty-four weights", "a matrix", "a model")
PICTURES = ("the codes used", "error against bits", "where the error lies", "table and code")


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(str(PAGE), default_timeout=120)


def sent(page: AppTest) -> dict:
    """What the page's view was given."""
    return json.loads(next(e for e in page.main if e.type == "bidi_component").proto.bytes)


def at_section(page: AppTest, section: str, **query: str) -> AppTest:
    for key, value in {"section": section, **query}.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    assert not page.error
    return page


@pytest.mark.parametrize("section", SECTIONS)
def test_presets_and_prompts_move_what_they_name(page, section):
    at_section(page, section)
    assert page.session_state["_sections"] == list(SECTIONS)
    for key in [b.key for b in page.button if b.key and re.search(r"-(preset|try)-\d+$", b.key)]:
        page.button(key=key).click().run()
        assert not page.exception, key
        assert not page.error, key


def test_a_guess_moves_the_weights_of_the_view(page):
    at_section(page, "sixty-four weights")
    assert "codes" not in page.query_params
    page.button_group(key="codes-guess").set_value("About 40").run()
    assert page.query_params["codes"] == "format:nf4;moved:20,8"
    assert any("The largest weight sets the scale" in text.value for text in page.markdown)


def test_a_number_of_the_link_is_told_in_every_format(page):
    page.session_state["bits-table"] = page.session_state["bits-code"] = True
    for number in ("-0.3", "inf", "-inf", "nan", "1e400", "-0", "1e-45"):
        at_section(page, "one number", bits=f"x:{number}")
        table = page.dataframe[0].value.set_index("format")["stored"]
        assert table["bfloat16"] == f"{store(float(number), 'bfloat16').value:.9g}"


@pytest.mark.parametrize("link", ["x:two", "x:" + "1" * 50, "y:1", "absmax:-1", "<script>"])
def test_a_link_that_a_view_does_not_have_is_answered_by_a_note(page, link):
    at_section(page, "one number", bits=link)
    assert len(page.info) == 1
    assert "bits is not shown" in page.info[0].value


@pytest.mark.parametrize("picture", PICTURES)
def test_each_picture_of_a_matrix_is_drawn(page, picture):
    at_section(page, "a matrix", picture=picture)
    charts = len(page.get("vega_lite_chart"))
    assert charts == {"the codes used": 5, "table and code": 1}.get(picture, 2)


def test_one_outlier_ruins_one_scale_for_all_and_hardly_touches_blocks(page):
    """The lesson that one slider must make visible, in the numbers behind the picture."""
    calm = data.Choice("Gaussian with outliers", 65_536, 1.0, 1)
    loud = data.Choice("Gaussian with outliers", 65_536, 100.0, 1)
    used = {}
    for name, choice in (("calm", calm), ("loud", loud)):
        values = data.gaussian_values.__wrapped__(choice)
        for label in ("int8 per tensor", "int8 blocks"):
            used[name, label] = picture(window(values), VARIANTS[label], 64).used
    assert used["calm", "int8 per tensor"] > 200
    assert used["loud", "int8 per tensor"] < 20
    assert used["loud", "int8 blocks"] > 250


def test_the_ranking_is_measured_by_the_core(page):
    at_section(page, "a matrix", noise="2", picture="table and code")
    expected = pc.quantization_error(gaussian(65_536, seed=2).reshape(256, 256), "nf4", block_size=64)
    table = next(frame.value for frame in page.dataframe if "SQNR, dB" in frame.value.columns)
    row = table[table["format"] == "NF4"].iloc[0]
    assert row["RMSE"] == expected.rmse
    assert row["bits a number"] == 4.5


def test_a_trained_matrix_is_measured_on_its_real_inputs(page):
    at_section(page, "a matrix", data="Trained matrix", picture="table and code")
    table = next(frame.value for frame in page.dataframe if "SQNR, dB" in frame.value.columns)
    weight, inputs = data.trained_layers.__wrapped__()["layers.0.self_attn.q_proj"]
    restored = pc.quantize(weight, "nf4").dequantize()
    change = np.linalg.norm(inputs @ (restored - weight).T) / np.linalg.norm(inputs @ weight.T)
    shown = table[table["format"] == "NF4"]["layer's output changes by, %"].iloc[0]
    assert shown == pytest.approx(100 * change, rel=1e-4)  # float32 products against float64


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def test_uploads_are_read_without_pickle():
    assert read_upload("a.npy", npy(np.ones((2, 3), np.float16)))["a.npy"].shape == (2, 3)
    tensors = {"w": torch.ones(4, 4, dtype=torch.bfloat16), "ids": torch.ones(3, dtype=torch.int64)}
    assert list(read_upload("a.safetensors", save(tensors))) == ["w"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", npy(np.array([{"a": 1}], dtype=object))),
        ("a.npy", npy(np.arange(4))),
        ("a.npy", npy(np.ones(100))[:-8]),
        ("a.npy", b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (10**15,)}"),
        ("a.npy", b""),
        ("a.safetensors", b"not one"),
        ("a.safetensors", b"\xff" * 64),
        ("a.safetensors", save({"ids": torch.ones(3, dtype=torch.int64)})),
    ],
)
def test_bad_uploads_are_refused_in_a_sentence(name, content):
    with pytest.raises(ValueError, match=name):
        read_upload(name, content)


def test_the_whole_model_saves_0_373_bits_a_parameter(page):
    at_section(page, "a model")
    saved = next(metric for metric in page.metric if metric.label.startswith("Saved"))
    assert saved.value == "325 MB"  # 6,979,321,856 · 0.373046875 / 8
