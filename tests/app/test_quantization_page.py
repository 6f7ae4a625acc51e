"""The Quantization page: what its controls show is what the core returns, and files of visitors are only numbers."""

from __future__ import annotations

import io
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


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(str(PAGE), default_timeout=120)


def test_a_click_on_a_bit_flips_it_and_a_second_click_flips_it_back(page):
    page.query_params["x"] = "1.5"
    page.run()
    page.button(key="bit-float16-15").click().run()
    assert float(page.text_input(key="x").value) == -1.5
    page.button(key="bit-float16-0").click().run()
    assert float(page.text_input(key="x").value) == -(1.5 + 2**-10)
    page.button(key="bit-float16-0").click().run()
    page.button(key="bit-float16-15").click().run()
    assert float(page.text_input(key="x").value) == 1.5


def test_the_bits_shown_are_those_that_are_stored(page):
    page.query_params["x"] = "-0.3"
    page.run()
    for name in ("float32", "bfloat16", "float8_e4m3fn"):
        page.selectbox(key="edit").set_value(name).run()
        shown = "".join(button.label for button in page.button if str(button.key).startswith(f"bit-{name}-"))
        assert shown == store(-0.3, name).bit_string


@pytest.mark.parametrize("number", ["inf", "-inf", "nan", "1e400", "-0.0", "1e-45"])
def test_numbers_at_the_edge_are_shown(page, number):
    page.query_params["x"] = number
    page.run()
    assert not page.exception
    assert not page.error


def test_steps_go_forward_and_back_one_at_a_time(page):
    page.run()
    seen = [page.select_slider(key="step").value]
    while not page.button(key="step-Next").disabled:
        page.button(key="step-Next").click().run()
        seen.append(page.select_slider(key="step").value)
    assert seen == list(page.select_slider(key="step").options)
    page.button(key="step-Back").click().run()
    assert page.select_slider(key="step").value == seen[-2]


def test_the_last_step_shows_the_errors_that_quantize_makes(page):
    page.query_params["step"] = "Error"
    page.run()
    weights = [float(part) for part in page.text_input(key="weights").value.split(",")]
    x = torch.tensor(weights)
    expected = [f"{error:+.2g}" for error in (pc.quantize(x, "nf4").dequantize() - x).tolist()]
    spoken = [chart.proto.alt for chart in page.get("vega_lite_chart")]
    assert f"Error: {', '.join(expected)}." in spoken


@pytest.mark.parametrize("text", ["", "1, two", "nan, 1", ", ".join(["1"] * 17)])
def test_weights_that_cannot_be_used_are_refused_in_a_sentence(page, text):
    page.run()
    page.text_input(key="weights").set_value(text).run()
    assert not page.exception
    assert len(page.error) == 1


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
    page.query_params["noise"] = "2"
    page.run()
    expected = pc.quantization_error(gaussian(65_536, seed=2).reshape(256, 256), "nf4", block_size=64)
    table = next(frame.value for frame in page.dataframe if "SQNR, dB" in frame.value.columns)
    row = table[table["format"] == "NF4"].iloc[0]
    assert row["RMSE"] == expected.rmse
    assert row["bits a number"] == 4.5


def test_a_trained_matrix_is_measured_on_its_real_inputs(page):
    page.query_params["data"] = "Trained matrix"
    page.run()
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
    page.run()
    saved = next(metric for metric in page.metric if metric.label.startswith("Saved"))
    assert saved.value == "325 MB"  # 6,979,321,856 · 0.373046875 / 8
