"""`core.js` beside the Python functions that it repeats, on the same numbers: codes and float32 bit for bit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from peftcalc.counting.one_matrix import square
from peftcalc.geometry.direction import decompose
from peftcalc.geometry.spectrum import rank_of
from peftcalc.quant.absmax import unpack_integers
from peftcalc.quant.blockwise import unpack_4bit
from peftcalc.quant.errors import quantization_error
from peftcalc.quant.mxfp4 import unpack_mxfp4
from peftcalc.quant.precision import NUMBER_FORMATS, from_bits, store
from peftcalc.quant.quantizing import quantize
from peftcalc.quant.steps import steps
from peftcalc.quant.tables import E2M1_VALUES, FP4_VALUES, NF4_VALUES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FORMATS = ("int8", "int4", "nf4", "fp4", "mxfp4")
UNPACK = {"nf4": unpack_4bit, "fp4": unpack_4bit, "mxfp4": unpack_mxfp4}
AS_JSON = "(_, v) => typeof v === 'number' && !Number.isFinite(v) ? String(v) : v"
ALONE = 1e-14
"""Sums of float64 in another order differ by a few units in the last place, relative to the largest number."""


@pytest.fixture(scope="module")
def page(browser, views_url):
    page = browser.new_page()
    page.goto(views_url)
    page.evaluate("async () => { window.core = await import('./core.js'); }")
    yield page
    page.close()


def ask(page, function: str, *arguments):
    """What a function answers in the browser; a page's own way of passing numbers takes seconds for a thousand."""
    call = f"({function})(...{json.dumps(arguments)})"  # also NaN and Infinity are words of JavaScript
    return json.loads(page.evaluate(f"JSON.stringify({call}, {AS_JSON})"))


def samples() -> list[np.ndarray]:
    """Weights as they are, with outliers, tiny and huge, zeros, ties, and a last block that is shorter."""
    random = np.random.default_rng(0)
    ordinary = [random.normal(0, scale, size) for scale in (0.02, 1, 300) for size in (64, 96, 100, 17)]
    outlier = np.append(random.normal(0, 0.02, 63), 6.0)
    edges = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.5, 5.0, 7.0, 1e-38, -1e-39, 1e-45, 3e38, 1.5, 0.25, 0.75, 1.75])
    ties = np.arange(-127, 128) / 2
    return [
        *ordinary,
        outlier,
        outlier / 6,
        edges,
        edges[:8],
        ties,
        np.zeros(40),
        np.full(32, 1e-41),
        random.uniform(-1, 1, 500),
    ]


def on_the_border(top: int) -> list[np.ndarray]:
    """Groups whose numbers lie half way between two codes, or a rounding of the factor beside it."""
    random = np.random.default_rng(6)
    groups = []
    for scale in random.uniform(0.5, 2, 24).astype(np.float32):
        factor = np.float32(top) * (np.float32(1) / scale)
        groups.append(np.append(scale, (random.integers(-top, top, 63) + np.float32(0.5)) / factor))
    return groups


def codes_of(quantized, form: str, count: int) -> list[int]:
    if form == "int8":
        return quantized.codes.tolist()
    if form in UNPACK:
        return UNPACK[form](quantized.codes, count).tolist()
    return unpack_integers(quantized.codes, int(form[3:]), count).tolist()


@pytest.mark.parametrize("form", FORMATS)
def test_codes_and_what_they_stand_for_are_pythons(page, form):
    cases = [(x, size) for x in samples() for size in (16, 32, 64)]
    if form.startswith("int"):
        cases += [(x, 64) for x in on_the_border(2 ** (int(form[3:]) - 1) - 1)]
    ours = ask(
        page,
        """(form, cases) => cases.map(([x, size]) => {
             const { codes, back, scales } = core.quantize(x, form, size);
             return { codes: [...codes], back: [...new Uint32Array(back.buffer)], scales };
           })""",
        form,
        [[x.astype(np.float32).tolist(), size] for x, size in cases],
    )
    for (x, size), got in zip(cases, ours, strict=True):
        quantized = quantize(torch.tensor(x, dtype=torch.float32), form, block_size=size)
        assert got["codes"] == codes_of(quantized, form, len(x)), (form, size, x[:4])
        assert got["back"] == quantized.dequantize().view(torch.int32).numpy().view(np.uint32).tolist()
        assert got["scales"] == quantized.scales.tolist()


@pytest.mark.parametrize("form", FORMATS)
def test_bytes_and_normalised_numbers_are_pythons(page, form):
    for x in (x.astype(np.float32) for x in samples() if len(x) % 2 == 0):
        asked = quantize(torch.tensor(x), form, block_size=16)
        call = "(x, form) => [...core.packed(core.quantize(x, form, 16).codes, form)]"
        assert ask(page, call, x.tolist(), form) == asked.codes.view(torch.uint8).tolist()
        if form != "mxfp4":
            taken = steps(x[:16].tolist(), form)
            call = "(x, scale, form) => x.map(v => core.normalised(v, scale, form))"
            assert ask(page, call, x[:16].tolist(), taken.absmax, form) == list(taken.normalised)


def test_tables_and_grids_are_pythons(page):
    tables = ask(page, "() => [core.NF4, core.FP4, core.E2M1].map(table => [...table])")
    for got, table in zip(tables, (NF4_VALUES, FP4_VALUES, E2M1_VALUES), strict=True):
        assert got == np.float32(table).tolist()
    for form in ("int8", "int4", "nf4", "fp4"):
        values = np.float32(sorted(set(steps([1.0], form).grid)))
        values = values / values[-1]  # of integers the codes
        assert ask(page, "form => [...core.grid(form)]", form) == values.tolist(), form


def test_errors_are_pythons(page):
    for form in FORMATS:
        x = np.random.default_rng(1).normal(0, 0.02, 640).astype(np.float32)
        asked = quantization_error(torch.tensor(x), form, block_size=64)
        got = ask(page, "(x, form) => core.quantizationError(x, core.quantize(x, form, 64).back)", x.tolist(), form)
        assert got["rmse"] == pytest.approx(asked.rmse, rel=1e-12)
        assert got["maxAbs"] == pytest.approx(asked.max_abs, rel=1e-6)


@pytest.mark.parametrize("form", NUMBER_FORMATS)
def test_bits_are_pythons(page, form):
    random = np.random.default_rng(2)
    numbers = [
        *random.normal(0, 1, 300),
        *(10.0 ** random.uniform(-46, 39, 600)),
        0.0,
        -0.0,
        0.1,
        1.37,
        65519.9,
        65520,
        448,
        465,
    ]
    numbers += [-x for x in numbers] + [2.5, 3.5, -2.5, 126.5, 127.5]
    step = 3 / 127 if NUMBER_FORMATS[form].is_integer else None
    if step is None:
        numbers += [math.inf, -math.inf, math.nan]
    stored = [store(x, form, step) for x in numbers]
    got = ask(
        page,
        """(form, step, numbers) => numbers.map(x => {
             const bits = core.pattern(x, form, step ?? 1);
             return [bits, core.fields(bits, form)];
           })""",
        form,
        step,
        numbers,
    )
    assert [bits for bits, _ in got] == [one.pattern for one in stored]
    assert [fields for _, fields in got] == [
        {"sign": one.sign, "exponent": one.exponent, "fraction": one.fraction} for one in stored
    ]


@pytest.mark.parametrize("form", NUMBER_FORMATS)
def test_patterns_stand_for_pythons_numbers(page, form):
    width = NUMBER_FORMATS[form].bits
    patterns = range(2**width) if width <= 8 else np.random.default_rng(3).integers(0, 2**width, 500).tolist()
    got = ask(page, "(form, patterns) => patterns.map(bits => core.fromBits(bits, form))", form, list(patterns))
    np.testing.assert_array_equal(np.array(got, float), [from_bits(bits, form).value for bits in patterns])


def test_products_and_spectra_are_pythons(page):
    random = np.random.default_rng(4)
    for n, r, m in [(5, 1, 5), (5, 2, 5), (7, 5, 4), (16, 3, 20), (64, 8, 64), (6, 6, 6), (9, 2, 1)]:
        B, A, scale = random.normal(size=(n, r)), random.normal(size=(r, m)), 0.75
        got = ask(
            page,
            """(B, A, n, r, m, s) => {
                 const D = core.product(B, A, n, r, m, s);
                 const values = core.singularValues(D, n, m), few = core.spectrumOfProduct(B, A, n, r, m, s);
                 return { D: [...D], values, few, norm: core.norm(D) };
               }""",
            B.ravel().tolist(),
            A.ravel().tolist(),
            *(n, r, m, scale),
        )
        update = scale * (B @ A)
        values = rank_of(update).singular_values
        np.testing.assert_allclose(np.reshape(got["D"], (n, m)), update, rtol=0, atol=ALONE * np.abs(update).max())
        np.testing.assert_allclose(got["values"], values, rtol=0, atol=ALONE * values[0] * min(n, m))
        np.testing.assert_allclose(got["few"], values[: len(got["few"])], rtol=0, atol=ALONE * values[0] * min(n, m))
        assert len(got["few"]) == min(n, r, m)
        assert got["norm"] == pytest.approx(np.linalg.norm(update), rel=ALONE)


def test_direction_and_magnitude_are_pythons(page):
    random = np.random.default_rng(5)
    cases = [
        (w := random.normal(size=(n, m)), w + random.normal(0, size, (n, m)))
        for n, m in [(1, 2), (5, 5), (8, 64)]
        for size in (0, 1e-6, 1, 30)
    ]
    cases.append((np.array([[0.0, 0.0], [3, 4], [1, 0]]), np.array([[1.0, 0.0], [0, 0], [-2, 0]])))
    for before, after in cases:
        n, m = before.shape
        got = page.evaluate(
            "([a, b, n, m]) => core.decompose(a, b, n, m)", [before.ravel().tolist(), after.ravel().tolist(), n, m]
        )
        asked = decompose(before, after)
        assert got["magnitude"] == pytest.approx(asked.magnitude_change, abs=ALONE * max(1, np.abs(after).max()))
        assert got["direction"] == pytest.approx(asked.direction_change, abs=ALONE)
        np.testing.assert_allclose(got["turns"], asked.turns, rtol=0, atol=ALONE)
        np.testing.assert_allclose(np.array(got["lengths"], float), asked.relative_lengths, rtol=ALONE, atol=ALONE)


def test_rounding_and_counts_are_pythons(page):
    numbers = [0.5, 1.5, 2.5, -0.5, -1.5, 0.49999999999999994, 2.0, -3.2, 1e15 + 0.5]
    assert ask(page, "numbers => numbers.map(core.roundEven)", numbers) == [round(x) for x in numbers]
    counted = square(total_parameters=4096, rank=8)
    assert ask(page, "() => core.trained(64, 64, 8)") == counted.trainable
