"""What the page steps through is what `quantize` returned; a model's bytes are those of its tensors."""

from __future__ import annotations

import pytest
import torch

import peftcalc as pc
from peftcalc.quant.model_bytes import model_bytes
from peftcalc.quant.steps import steps
from peftcalc.quant.tables import NF4_VALUES

WEIGHTS = (0.31, -1.3, 0.04, 0.77, -0.5, 2.4, -0.08, 0.0)


@pytest.mark.parametrize("name", ["nf4", "fp4", "int8", "int4", "int2"])
def test_every_step_follows_from_the_one_before(name: str) -> None:
    taken = steps(WEIGHTS, name)
    assert taken.absmax == pytest.approx(2.4)
    top = {"int8": 127, "int4": 7, "int2": 1}.get(name, 1)
    for at, weight in enumerate(taken.weights):
        assert taken.normalised[at] == pytest.approx(weight / taken.absmax * top, rel=1e-6)
        nearest = min(taken.grid, key=lambda value: abs(value - taken.normalised[at]))
        assert taken.code_values[at] == pytest.approx(nearest)
        assert taken.dequantized[at] == pytest.approx(taken.code_values[at] / top * taken.absmax, rel=1e-6)
        assert taken.errors[at] == pytest.approx(taken.dequantized[at] - weight, abs=1e-7)
    quantized = pc.quantize(torch.tensor(WEIGHTS), name, block_size=16)
    assert list(taken.packed) == quantized.codes.view(torch.uint8).tolist()


def test_two_codes_share_a_byte_with_the_first_on_top() -> None:
    taken = steps(WEIGHTS, "nf4")
    pairs = zip(taken.codes[::2], taken.codes[1::2], strict=True)
    assert list(taken.packed) == [16 * first + second for first, second in pairs]
    assert taken.grid == NF4_VALUES


def test_zeros_stay_zeros() -> None:
    assert steps([0.0, 0.0], "nf4").packed == (0x77,)
    assert steps([0.0, 0.0], "int8").errors == (0.0, 0.0)


@pytest.mark.parametrize("weights", [[], [1.0] * 17, [float("nan")]])
def test_bad_weights_are_answered(weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"weights must be 1 to 16|finite"):
        steps(weights, "nf4")
    with pytest.raises(ValueError, match="format must be an absmax format"):
        steps([1.0], "int8_affine")


LAYOUTS = [(name, False) for name in ("nf4", "fp4", "int8", "int4", "int2", "int8_affine")] + [
    ("nf4", True),
    ("fp4", True),
]


@pytest.mark.parametrize(("name", "double_quant"), LAYOUTS)
@pytest.mark.parametrize("block_size", [None, 64, 100])
def test_a_models_bytes_are_those_of_its_quantized_tensors(
    name: str, double_quant: bool, block_size: int | None
) -> None:
    shapes = [(96, 130, 3), (77, 41, 2)]
    made = [
        pc.quantize(torch.zeros(rows, columns), name, block_size=block_size, double_quant=double_quant).nbytes * repeats
        for rows, columns, repeats in shapes
    ]
    counted = model_bytes(
        [(rows * columns, repeats) for rows, columns, repeats in shapes], 1000, name, block_size, double_quant
    )
    assert counted.code_bytes + counted.scale_bytes == sum(made)
    assert counted.total_bytes == sum(made) + 2000


def test_double_quantization_saves_three_gigabits_of_a_seven_billion_model() -> None:
    """QLoRA paper, section 3: 0.373 bits a parameter, about 3 GB for a 65B model."""
    matrices = [(4096 * 4096, 4 * 966)]  # 65 billion numbers
    plain, nested = (model_bytes(matrices, 0, "nf4", double_quant=double).total_bytes for double in (False, True))
    assert (plain - nested) * 8 / (4096 * 4096 * 4 * 966) == pytest.approx(0.373, abs=0.0005)
    assert (plain - nested) / 1e9 == pytest.approx(3.0, abs=0.1)
