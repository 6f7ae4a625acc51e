"""`python -m peftcalc quantize`: the core's numbers in a terminal, and one line on bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import peftcalc as pc
from peftcalc.cli import main
from peftcalc.quant import write_checkpoint


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(1)
    tensors = {
        "a": torch.randn(40, 70, generator=generator),
        "b": torch.randn(33, generator=generator).bfloat16() * 3,
        "ids": torch.arange(5),
        "empty": torch.empty(0, 4),
    }
    save_file(tensors, str(tmp_path / "model.safetensors"))
    return tmp_path / "model.safetensors"


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["quantize", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_gaussian_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    record = answer(capsys, "--normal", "64x96", "--format", "nf4", "--double-quant")
    x = torch.randn(64, 96, generator=torch.Generator().manual_seed(0))
    expected = pc.quantization_error(x, "nf4", double_quant=True)
    assert record["bits_per_value"] == 4.126953125
    assert record["nbytes"] == expected.nbytes
    assert record["rmse"] == pytest.approx(expected.rmse)
    assert record["sqnr_db"] == pytest.approx(expected.sqnr_db)
    assert (record["format"], record["block_size"], record["double_quant"]) == ("nf4", 64, True)


def test_a_row_for_every_floating_tensor_and_a_total(capsys: pytest.CaptureFixture[str], weights: Path) -> None:
    record = answer(capsys, str(weights), "--format", "int4", "--block-size", "32")
    rows = {row["name"]: row for row in record["tensors"]}
    assert set(rows) == {"a", "b"}
    with_everything = torch.cat([torch.zeros(0)])
    for row in rows.values():
        assert row["bits_per_value"] == 5.0
        with_everything = torch.cat([with_everything, torch.tensor([row["rmse"] ** 2 * row["count"]])])
    assert record["total"]["count"] == 40 * 70 + 33
    assert record["total"]["nbytes"] == sum(row["nbytes"] for row in rows.values())
    assert record["total"]["rmse"] == pytest.approx(math.sqrt(float(with_everything.sum()) / 2833), rel=1e-6)
    assert record["total"]["original_nbytes"] == 4 * 2800 + 2 * 33


def test_the_table_names_every_tensor(capsys: pytest.CaptureFixture[str], weights: Path) -> None:
    assert main(["quantize", str(weights)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["tensor", "a", "b", "total"]
    assert lines[1].rstrip().endswith("dB")


def _pickled(path: Path, zipped: bool) -> Path:
    torch.save({"weight": torch.ones(3)}, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["absent.safetensors"], "absent.safetensors: no such file"),
        (["--normal", "axb"], "--normal must be sides such as 4096x4096"),
        (["--normal", "0x4"], "side must be between 1"),
        (["--normal", "10000000x10000000"], "of memory, but only"),
        (["--normal", "8x8", "--format", "nf5"], "did you mean 'nf4'"),
        (["--normal", "8x8", "--block-size", "8"], "block_size must be between 16 and 4,096"),
        (["--normal", "8x8", "--format", "int8", "--double-quant"], "double_quant must be False"),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    assert main(["quantize", *arguments]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_are_not_read(capsys: pytest.CaptureFixture[str], tmp_path: Path, zipped: bool) -> None:
    assert main(["quantize", str(_pickled(tmp_path / "model.pt", zipped))]) == 2
    assert "model.pt is a pickle, which can run code, and is not read" in capsys.readouterr().err


def test_files_that_are_something_else(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("not tensors at all, but long enough to look like a header")
    assert main(["quantize", str(path)]) == 2
    assert "is not a safetensors file" in capsys.readouterr().err
    save_file({"ids": torch.arange(3)}, str(path))
    assert main(["quantize", str(path)]) == 2
    assert "holds no floating-point tensor" in capsys.readouterr().err
    save_file({"w": torch.tensor([1.0, float("nan")])}, str(path))
    assert main(["quantize", str(path)]) == 2
    assert "tensor w: x must hold finite numbers, got nan" in capsys.readouterr().err


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A checkpoint in bitsandbytes' layout: two weights and a norm."""
    x = torch.randn(48, 128, generator=torch.Generator().manual_seed(1)).bfloat16()
    weights = {"up.weight": pc.quantize(x, "nf4", double_quant=True), "down.weight": pc.quantize(x.T, "fp4")}
    write_checkpoint(tmp_path / "model.safetensors", {**weights, "norm.weight": torch.ones(128)})
    return tmp_path / "model.safetensors"


def test_a_checkpoint_of_bitsandbytes_is_described_and_not_quantized_again(
    capsys: pytest.CaptureFixture[str], stored: Path
) -> None:
    record = answer(capsys, str(stored))
    rows = {row["name"]: row for row in record["tensors"]}
    assert record["quantized"] is True
    assert set(rows) == {"up.weight", "down.weight"}
    assert (rows["up.weight"]["format"], rows["down.weight"]["format"]) == ("nf4", "fp4")
    assert (rows["up.weight"]["bits_per_value"], rows["down.weight"]["bits_per_value"]) == (4.126953125, 4.5)
    assert (rows["up.weight"]["shape"], rows["down.weight"]["shape"]) == ([48, 128], [128, 48])
    assert rows["up.weight"]["block_size"] == 64
    assert rows["up.weight"]["double_quant"] is True
    assert rows["up.weight"]["dtype"] == "bfloat16"
    assert rows["up.weight"]["original_nbytes"] == 2 * 48 * 128
    assert (record["format"], record["block_size"]) == (None, 64)  # they differ in one and agree in the other
    assert record["total"]["nbytes"] == sum(row["nbytes"] for row in rows.values())


def test_the_table_of_a_checkpoint(capsys: pytest.CaptureFixture[str], stored: Path) -> None:
    assert main(["quantize", str(stored), "--format", "int8"]) == 0
    first, header, *lines = capsys.readouterr().out.splitlines()
    assert first == "model.safetensors is quantized already; it is not quantized again"
    assert header.split() == ["tensor", "shape", "numbers", "format", "scales", "dtype", "before", "now", "bits"]
    rows = {line.split()[0]: line for line in lines}
    assert set(rows) == {"up.weight", "down.weight", "total"}
    assert "blocks of 64, double quantized" in rows["up.weight"]
    assert rows["up.weight"].endswith("4.12695")


def test_our_own_file_is_described_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pc.quantize(torch.ones(4, 8), "int4", per="row").save(tmp_path / "w.safetensors")
    (row,) = answer(capsys, str(tmp_path / "w.safetensors"))["tensors"]
    assert (row["name"], row["format"], row["per"], row["block_size"]) == ("w", "int4", "row", None)
    assert row["bits_per_value"] == 8.0


def test_a_damaged_checkpoint_is_one_line(capsys: pytest.CaptureFixture[str], stored: Path) -> None:
    tensors = load_file(stored)
    tensors["up.weight.absmax"] = tensors["up.weight.absmax"][:-1].clone()
    save_file(tensors, str(stored))
    assert main(["quantize", str(stored)]) == 2
    assert "up.weight.absmax must be U8 of shape (96,), got U8 of shape (95,)" in capsys.readouterr().err
