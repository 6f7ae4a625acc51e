"""What the Quantization page teaches with."""

from __future__ import annotations

from functools import cache

import peftcalc as pc
from peftcalc.ui.lessons.lesson import Lesson, Prediction, Preset, TryThis

DEFAULT_VARIANTS = ["int8 per tensor", "int4 per tensor", "int4 blocks", "NF4"]
CALM = {"data": "Gaussian", "count": 65_536, "noise": 0, "block": 64}
SPIKE = {**CALM, "data": "Gaussian with outliers", "outlier": 100, "share": "one number"}

OUTLIER = {"format": "nf4", "moved": [20, 8]}
"""Weight 21 of the sixty-four, pulled out."""

BITS = Lesson(
    presets=(
        Preset("0.1 in every format", {"bits": {}}),
        Preset("70,000 in float16", {"bits": {"x": "70000"}}),
        Preset("1e-7 in float16", {"bits": {"x": "1e-7"}}),
        Preset("257 in bfloat16", {"bits": {"x": "257"}}),
        Preset("500 in float8", {"bits": {"x": "500"}}),
    ),
    prediction=Prediction(
        "In the last row int4 makes 0 of 0.1: it counts in sevenths of the largest weight, which is 3. Now the largest "
        "is 0.5. What does int4 keep of 0.1?",
        ("Still 0", "0.0714", "0.1"),
        lambda: f"{_whole(0.1, 'int4', 0.5):.3g}",
        "A seventh of 0.5 is 0.0714, and 0.1 is nearest to one such step. So one large weight makes the steps of all "
        "the others coarse: the next section is about that.",
        {"bits": {"absmax": 0.5}},
    ),
    try_this=(
        TryThis(
            "Store 70,000 in float16, which has 5 exponent bits.",
            {"bits": {"x": "70000"}},
            "What is left of it?",
            "Infinity: float16 ends at 65,504. bfloat16, with float32's 8 exponent bits, stores 70,144: coarser, but "
            "finite.",
            lambda: _stored(70_000, "float16") == float("inf") and _stored(70_000, "bfloat16") == 70_144,
        ),
        TryThis(
            "Store 257, which has nine significant bits, in bfloat16.",
            {"bits": {"x": "257"}},
            "bfloat16 reaches as far as float32. Does it hold this small whole number?",
            "No: it keeps 256. The range is float32's, but with 7 fraction bits only 8 significant bits are left.",
            lambda: _stored(257, "bfloat16") == 256 and _stored(257, "float16") == 257,
        ),
        TryThis(
            "Store 1e-7 in float16.",
            {"bits": {"x": "1e-7"}},
            "It is below the smallest normal number, 6.1e-5. How large is the error?",
            "A fifth of it: the nearest subnormal is 1.19e-7, with one significant bit left. bfloat16 is off by 0.1 %.",
            lambda: (
                0.19 < _stored(1e-7, "float16") / 1e-7 - 1 < 0.2 and abs(_stored(1e-7, "bfloat16") / 1e-7 - 1) < 2e-3
            ),
        ),
    ),
)

WEIGHTS = Lesson(
    notebook="02_quantize",
    presets=(
        Preset("64 ordinary weights", {"codes": {}}),
        Preset("One of them an outlier", {"codes": OUTLIER}),
        Preset("The outlier, and blocks of 16", {"codes": {**OUTLIER, "size": 16}}),
        Preset("All equal", {"codes": {"moved": [number for place in range(64) for number in (place, 0.3)]}}),
    ),
    prediction=Prediction(
        "In NF4 with one scale, 7 of the 64 weights become zero. Now weight 21 is pulled out to 8. How many of the "
        "others are zero then?",
        ("Still 7", "About 15", "About 40", "All 63"),
        lambda: _nearest_count(_zeros("nf4", 64)),
        "The largest weight sets the scale of all that share it. The levels move apart, and what lies nearer to zero "
        "than half of the first one is lost. The outlier itself loses nothing.",
        {"codes": OUTLIER},
    ),
    try_this=(
        TryThis(
            "Keep the outlier, and give every 16 weights a scale of their own.",
            {"codes": {**OUTLIER, "size": 16}},
            "Who still pays for it?",
            "Its own block alone: the other 48 keep their levels. It costs bits: 32 a scale, 6 a weight, not 4.5.",
            lambda: _zeros("nf4", 16) < 20 and _zeros("nf4", 64) > 40 and _bits(16) == 6 and _bits(64) == 4.5,
        ),
        TryThis(
            "Take int4, whose levels are evenly spaced, with the outlier.",
            {"codes": {**OUTLIER, "format": "int4"}},
            "NF4 has more levels near zero. Do more or fewer weights become zero in int4?",
            "More: the first level above zero is 8 / 7, nearly twice as far out as NF4's.",
            lambda: _zeros("int4", 64) > _zeros("nf4", 64),
        ),
    ),
)

EXPLORER = Lesson(
    notebook="02_quantize",
    presets=(
        Preset("A calm Gaussian", {**CALM, "formats": DEFAULT_VARIANTS}),
        Preset("One outlier of 100 σ", {**SPIKE, "formats": DEFAULT_VARIANTS}),
        Preset(
            "1 % outliers of 10 σ",
            {**SPIKE, "outlier": 10, "share": "1 %", "formats": DEFAULT_VARIANTS},
        ),
        Preset("A real trained matrix", {"data": "Trained matrix", "block": 64, "formats": DEFAULT_VARIANTS}),
        Preset(
            "Four bits, five ways",
            {
                **CALM,
                "formats": ["int4 per tensor", "int4 blocks", "NF4", "FP4 (bitsandbytes)", "MXFP4 (OCP), blocks of 32"],
            },
        ),
    ),
    prediction=Prediction(
        "One of 65,536 Gaussian weights becomes 100 standard deviations large. By which factor does the typical error "
        "(RMSE) of int8 grow, with one scale for the tensor?",
        ("It hardly changes", "About 5", "About 20", "About 1,000"),
        lambda: _nearest_factor(_rmse("int8", 100) / _rmse("int8", 0)),
        "The step of the code is the largest magnitude / 127. It grows from about 4 σ / 127 to 100 σ / 127, and all "
        "the other numbers pay for it.",
        {**SPIKE, "formats": DEFAULT_VARIANTS},
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


def _whole(number: float, name: str, largest: float) -> float:
    """What a format of whole numbers keeps, its step a share of the largest weight."""
    from peftcalc.quant import NUMBER_FORMATS, store

    return store(number, name, step=largest / NUMBER_FORMATS[name].largest).value


def _stored(number: float, name: str) -> float:
    from peftcalc.quant import store

    return store(number, name).value


@cache
def _pulled() -> list[float]:
    from peftcalc.ui.components.codes import codes_data, weights_of

    return weights_of(codes_data(), OUTLIER)


def _zeros(name: str, size: int) -> int:
    """How many of the sixty-four become zero, the outlier pulled out."""
    import numpy as np

    weights = np.array(_pulled(), np.float32)
    return int((pc.quantize(weights, name, block_size=size).dequantize() == 0).sum())


def _bits(size: int) -> float:
    import numpy as np

    return pc.quantize(np.array(_pulled(), np.float32), "nf4", block_size=size).bits_per_value


def _nearest_count(count: int) -> str:
    counts = {"Still 7": 7, "About 15": 15, "About 40": 40, "All 63": 63}
    return min(counts, key=lambda option: abs(counts[option] - count))
