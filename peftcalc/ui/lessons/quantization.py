"""What the Quantization page teaches with."""

from __future__ import annotations

from functools import cache

import peftcalc as pc
from peftcalc.ui.lessons.lesson import Lesson, Prediction, Preset, TryThis

DEFAULT_VARIANTS = ["int8 per tensor", "int4 per tensor", "int4 blocks", "NF4"]
CALM = {"data": "Gaussian", "count": 65_536, "noise": 0, "block": 64}
SPIKE = {**CALM, "data": "Gaussian with outliers", "outlier": 100, "share": "one number"}

BITS = Lesson(
    presets=(
        Preset("0.1, which no format holds", {"x": "0.1", "edit": "float16"}),
        Preset("70,000 overflows float16", {"x": "70000", "edit": "float16"}),
        Preset("1e-7 is subnormal in float16", {"x": "1e-7", "edit": "float16"}),
        Preset("257 in bfloat16", {"x": "257", "edit": "bfloat16"}),
        Preset("500 in float8", {"x": "500", "edit": "float8_e4m3fn"}),
    ),
    try_this=(
        TryThis(
            "Store 257, which has nine significant bits, in bfloat16.",
            {"x": "257", "edit": "bfloat16"},
            "bfloat16 reaches as far as float32. Does it hold this small whole number?",
            "No: it keeps 256. The range is float32's, but with 7 fraction bits only 8 significant bits are left.",
            lambda: _stored(257, "bfloat16") == 256 and _stored(257, "float16") == 257,
        ),
        TryThis(
            "Store 70,000 in float16.",
            {"x": "70000", "edit": "float16"},
            "What is left of it, and in bfloat16?",
            "Infinity: float16 ends at 65,504. bfloat16 stores 70,144: far less precise, but finite.",
            lambda: _stored(70_000, "float16") == float("inf") and _stored(70_000, "bfloat16") == 70_144,
        ),
    ),
)

STEPS = Lesson(
    presets=(
        Preset("Eight ordinary weights", {"weights": "0.42, -0.13, 0.05, -0.71, 0.28, 0.9, -0.36, 0.01"}),
        Preset("One of them an outlier", {"weights": "0.42, -0.13, 0.05, -0.71, 0.28, 9, -0.36, 0.01"}),
        Preset("All equal", {"weights": "0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3"}),
    ),
    try_this=(
        TryThis(
            "Make the largest of the eight weights ten times larger, in int4.",
            {"weights": "0.42, -0.13, 0.05, -0.71, 0.28, 9, -0.36, 0.01", "scheme": "int4", "step": "Nearest code"},
            "How many of the other seven keep a code that is not zero?",
            "One: −0.71 is −0.55 steps of 9/7 and becomes −1. The rest share the code 0, and are lost.",
            lambda: _nonzero_codes("0.42, -0.13, 0.05, -0.71, 0.28, 9, -0.36, 0.01", "int4") == 2,
        ),
    ),
)

EXPLORER = Lesson(
    presets=(
        Preset("A calm Gaussian", {**CALM, "formats": DEFAULT_VARIANTS}),
        Preset("One outlier of 100 σ", {**SPIKE, "formats": DEFAULT_VARIANTS}),
        Preset(
            "1 % outliers of 10 σ",
            {**SPIKE, "outlier": 10, "share": "1 %", "formats": DEFAULT_VARIANTS},
        ),
        Preset("A real trained matrix", {"data": "Trained matrix", "block": 64, "formats": DEFAULT_VARIANTS}),
        Preset(
            "Four bits, five ways", {**CALM, "formats": ["int4 per tensor", "int4 blocks", "NF4", "FP4 (bitsandbytes)"]}
        ),
    ),
    prediction=Prediction(
        "Of 65,536 Gaussian weights a single one is made 100 standard deviations large. By which factor does the "
        "typical error (RMSE) of int8 with one scale for the tensor grow?",
        ("It hardly changes", "About 5", "About 20", "About 1,000"),
        lambda: _nearest_factor(_rmse("int8", 100) / _rmse("int8", 0)),
        "The step of the code is the largest magnitude / 127. It grows from about 4 σ / 127 to 100 σ / 127, and all "
        "the other numbers pay for it.",
    ),
    try_this=(
        TryThis(
            "Keep that one outlier, and give every block of 64 its own scale.",
            {**SPIKE, "formats": ["int8 per tensor", "int8 blocks"]},
            "One scale for the tensor made the RMSE grow more than twentyfold. And now?",
            "It does not even double: 1,023 of 1,024 blocks know nothing of the outlier.",
            lambda: _rmse("int8", 100, 64) / _rmse("int8", 0, 64) < 2 and _rmse("int8", 100) / _rmse("int8", 0) > 20,
        ),
        TryThis(
            "Compare int4 in blocks with NF4, which has as many bits, on a Gaussian.",
            {**CALM, "formats": ["int4 blocks", "NF4"]},
            "Do code points that are placed by the normal curve help?",
            "Yes: more than 1 dB of signal-to-noise ratio, for no bits at all.",
            lambda: _sqnr("nf4") - _sqnr("int4") > 1,
        ),
        TryThis(
            "Double quantize the scales of NF4.",
            {**CALM, "formats": ["NF4", "NF4, double quantized"]},
            "It saves 0.373 bits a number. What does it cost?",
            "Less than 0.05 dB: the scales are so alike that 8 bits hold them well.",
            lambda: 0 <= _sqnr("nf4") - _sqnr("nf4", double_quant=True) < 0.05,
        ),
        TryThis(
            "Move the block size of int4 from 64 to 4096.",
            {**CALM, "block": 4096, "formats": ["int4 blocks", "NF4"]},
            "Half a bit a number is saved. What happens to the error?",
            "It grows by more than a quarter: a larger block has a larger maximum, and so a wider step.",
            lambda: _rmse("int4", 0, 4096) / _rmse("int4", 0, 64) > 1.25,
        ),
    ),
)

MODEL = Lesson(
    presets=(
        Preset("Llama-2-7B, as in the QLoRA paper", {"model": "meta-llama/Llama-2-7b-hf", "model-block": 64}),
        Preset("Llama-3.1-8B", {"model": "meta-llama/Llama-3.1-8B", "model-block": 64}),
        Preset("Phi-3-mini", {"model": "microsoft/Phi-3-mini-4k-instruct", "model-block": 64}),
    ),
)


@cache
def _numbers(outlier: float):
    from peftcalc.quant.samples import gaussian

    return gaussian(65_536, outlier, 1 if outlier else 0)


def _rmse(name: str, outlier: float, block_size: int | None = None) -> float:
    return pc.quantization_error(_numbers(outlier), name, block_size=block_size).rmse


def _sqnr(name: str, double_quant: bool = False) -> float:
    return pc.quantization_error(_numbers(0), name, block_size=64, double_quant=double_quant).sqnr_db


def _nearest_factor(ratio: float) -> str:
    factors = {"It hardly changes": 1, "About 5": 5, "About 20": 20, "About 1,000": 1000}
    return min(factors, key=lambda option: abs(ratio / factors[option] - 1))


def _stored(number: float, name: str) -> float:
    from peftcalc.quant import store

    return store(number, name).value


def _nonzero_codes(weights: str, name: str) -> int:
    from peftcalc.quant.steps import steps

    return sum(code != 0 for code in steps([float(part) for part in weights.split(",")], name).codes)
