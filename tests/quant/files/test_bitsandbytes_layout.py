"""bitsandbytes' own checkpoints, bit for bit both ways, and files that are damaged or made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import peftcalc as pc
from peftcalc.quant import Quantized, from_tensors, read_checkpoint, to_tensors, write_checkpoint
from peftcalc.quant.files.bitsandbytes_layout import BLOCK_SIZES, read_description
from peftcalc.quant.files.sources import InMemory

bnb = pytest.importorskip("bitsandbytes.functional")
nn = pytest.importorskip("bitsandbytes.nn")

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
PROPERTY = settings(deadline=None, derandomize=True, max_examples=60)
STATE = "weight.quant_state.bitsandbytes__nf4"


@pytest.fixture(autouse=True, scope="module")
def _without_a_compiler():
    """bitsandbytes compiles its dequantization for every new shape; the eager code gives the same bytes."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def theirs(x: torch.Tensor, **options: Any) -> tuple[torch.Tensor, Any, dict[str, torch.Tensor]]:
    """Codes, state, and the tensors of a checkpoint, by bitsandbytes. One row, see `four_bits`."""
    codes, state = bnb.quantize_4bit(x.reshape(-1), **options)
    state.shape = x.shape
    tensors = {f"weight.{name}": tensor for name, tensor in state.as_dict(packed=True).items()}
    return codes, state, {"weight": codes, **tensors}


def assert_same(ours: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """The same names in the same order, types, shapes and bits."""
    assert list(ours) == list(expected)
    for name, tensor in expected.items():
        assert (ours[name].dtype, ours[name].shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(ours[name].view(-1).view(torch.uint8), tensor.view(-1).view(torch.uint8)), name


@PROPERTY
@given(
    table=st.sampled_from(["nf4", "fp4"]),
    double=st.booleans(),
    dtype=st.sampled_from(DTYPES),
    block_size=st.sampled_from(BLOCK_SIZES),
    rows=st.integers(1, 40),
    columns=st.integers(1, 700),
)
def test_every_tensor_of_theirs_goes_in_and_comes_out_bit_for_bit(
    table: str, double: bool, dtype: torch.dtype, block_size: int, rows: int, columns: int
) -> None:
    options = {"blocksize": block_size, "quant_type": table, "compress_statistics": double}
    codes, state, tensors = theirs(normal(rows, columns).to(dtype), **options)
    read = from_tensors(tensors)
    assert (read.format, read.block_size, read.double_quant) == (table, block_size, double)
    assert (read.shape, read.dtype) == ((rows, columns), dtype)
    assert_same(to_tensors(read), tensors)
    state.shape = torch.Size([rows * columns])
    assert torch.equal(read.dequantize().view(-1), bnb.dequantize_4bit(codes, state).view(-1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("double", [False, True])
def test_what_we_quantize_is_written_as_they_write_it(double: bool, dtype: torch.dtype) -> None:
    x = normal(96, 80).to(dtype)
    _, _, tensors = theirs(x, quant_type="nf4", compress_statistics=double)
    assert_same(to_tensors(pc.quantize(x, "nf4", double_quant=double)), tensors)


@pytest.mark.parametrize("table", ["nf4", "fp4"])
@pytest.mark.parametrize("double", [False, True])
def test_their_state_is_made_of_our_tensors(table: str, double: bool) -> None:
    ours = pc.quantize(normal(64, 128), table, block_size=128, double_quant=double)
    parts = {name.removeprefix("weight."): part for name, part in to_tensors(ours).items() if name != "weight"}
    state = bnb.QuantState.from_dict(parts, torch.device("cpu"))
    assert torch.equal(bnb.dequantize_4bit(ours.codes.view(-1, 1), state), ours.dequantize())


@pytest.mark.parametrize("double", [False, True])
def test_params4bit_there_and_back(double: bool) -> None:
    ours = pc.quantize(normal(64, 128).bfloat16(), "nf4", double_quant=double)
    weight = ours.to_bitsandbytes()
    assert isinstance(weight, nn.Params4bit)
    assert torch.equal(bnb.dequantize_4bit(weight.data, weight.quant_state), ours.dequantize())
    assert_same(to_tensors(Quantized.from_bitsandbytes(weight)), to_tensors(ours))


def test_a_linear4bit_takes_our_weight_and_gives_its_own() -> None:
    W, x = normal(64, 128), normal(3, 128, seed=1)
    layer = nn.Linear4bit(128, 64, bias=False, quant_type="nf4", compute_dtype=torch.float32)
    layer.weight = pc.quantize(W, "nf4").to_bitsandbytes()
    expected = x @ pc.quantize(W, "nf4").dequantize().T
    torch.testing.assert_close(layer(x.clone().requires_grad_()), expected, rtol=1e-5, atol=1e-5)  # order of the sum
    own = nn.Linear4bit(128, 64, bias=False, quant_type="nf4")
    own.weight = nn.Params4bit(W, requires_grad=False, quant_type="nf4")
    own.to("cpu")
    if own.weight.quant_state is None:
        own.weight._quantize("cpu")
    assert_same(from_state(own), to_tensors(Quantized.from_bitsandbytes(own.weight)))
    assert torch.equal(from_tensors(own.state_dict()).codes, pc.quantize(W, "nf4").codes)


def from_state(layer: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in layer.state_dict().items() if name.startswith("weight")}


def test_weights_that_are_no_quantized_params4bit_are_refused() -> None:
    with pytest.raises(ValueError, match="must be a Params4bit that has been quantized"):
        Quantized.from_bitsandbytes(nn.Params4bit(normal(4, 64)))
    with pytest.raises(ValueError, match=r"must be a Params4bit.*got Tensor"):
        Quantized.from_bitsandbytes(normal(3))
    weight = pc.quantize(normal(4, 64), "nf4").to_bitsandbytes()
    weight.quant_state.packing_format_for_cpu = True
    with pytest.raises(ValueError, match="repacked for bitsandbytes' CPU kernel"):
        Quantized.from_bitsandbytes(weight)


@pytest.mark.parametrize("storage", [torch.bfloat16, torch.float16, torch.float32])
def test_codes_in_another_storage_are_read(storage: torch.dtype) -> None:
    x = normal(16, 64)
    codes, _, tensors = theirs(x, quant_type="nf4", quant_storage=storage)
    assert codes.dtype == storage
    assert torch.equal(from_tensors(tensors).dequantize(), pc.quantize(x, "nf4").dequantize())


@pytest.mark.parametrize("prefix", ["weight", "model.layers.0.mlp.up_proj.weight"])
def test_a_file_with_one_weight_is_loaded(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "model.safetensors"
    _, _, tensors = theirs(normal(40, 64), quant_type="fp4", compress_statistics=True)
    save_file({name.replace("weight", prefix, 1): part for name, part in tensors.items()}, path)
    loaded = Quantized.load(path)
    assert_same(to_tensors(loaded), tensors)
    loaded.save(tmp_path / "again.safetensors", layout="bitsandbytes")
    again = load_file(tmp_path / "again.safetensors")
    assert_same({name: again[name] for name in tensors}, tensors)


def test_a_whole_checkpoint_is_read_weight_by_weight(tmp_path: Path) -> None:
    weights = {f"layers.{i}.weight": pc.quantize(normal(8, 64, seed=i), "nf4", double_quant=i == 1) for i in range(3)}
    rest = {"norm.weight": torch.ones(64), "layers.0.bias": torch.ones(8), "a.absmax": torch.ones(2)}
    write_checkpoint(tmp_path / "model-00001.safetensors", {**weights, **rest})
    write_checkpoint(tmp_path / "model-00002.safetensors", {"head.weight": pc.quantize(normal(4, 64), "fp4")})
    found = read_checkpoint(tmp_path)
    assert sorted(found) == [*sorted(["head.weight", *weights])]
    assert sorted(found.others) == sorted(rest)
    for name, quantized in weights.items():
        assert_same(to_tensors(found[name], name), to_tensors(quantized, name))
        described = found.describe(name)
        assert (described.layout, described.shape, described.dtype) == (quantized.layout, (8, 64), torch.float32)
        assert (described.nbytes, described.bits_per_value) == (quantized.nbytes, quantized.bits_per_value)
    assert torch.equal(found.tensor("norm.weight"), torch.ones(64))
    with pytest.raises(ValueError, match="holds 3 4-bit weights and 3 other tensors"):
        Quantized.load(tmp_path / "model-00001.safetensors")
    (tmp_path / "copy.safetensors").write_bytes((tmp_path / "model-00002.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"head\.weight stands in two files"):
        read_checkpoint(tmp_path)


def test_describing_reads_no_codes() -> None:
    class NoCodes(InMemory):
        def tensor(self, name: str) -> torch.Tensor:
            assert name != "weight"
            return super().tensor(name)

    tensors = to_tensors(pc.quantize(normal(8, 64), "nf4"))
    assert read_description(NoCodes(tensors), "weight").shape == (8, 64)


@pytest.mark.parametrize(
    ("quantized", "sentence"),
    [
        (pc.quantize(normal(4, 64), "int8"), "format must be nf4 or fp4"),
        (pc.quantize(normal(4, 64), "nf4", block_size=48), "block_size must be one of 32, 64"),
        (pc.quantize(normal(4, 64).double(), "nf4"), "dtype must be one of float32"),
    ],
)
def test_what_bitsandbytes_cannot_store_is_refused(quantized: Quantized, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        quantized.save(tmp_path / "a.safetensors", layout="bitsandbytes")
    with pytest.raises(ValueError, match=sentence):
        quantized.to_bitsandbytes()
    with pytest.raises(ValueError, match=r"layout must be one of peftcalc, bitsandbytes, got 'bnb'"):
        quantized.save(tmp_path / "a.safetensors", layout="bnb")


def _json(**changes: Any) -> torch.Tensor:
    """The JSON of a doubly quantized weight of 40 × 64, with some of it replaced."""
    state = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [40, 64]}
    state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.5, **changes}
    return torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)


BYTE = torch.uint8
HOSTILE: list[tuple[dict[str, torch.Tensor | None], str]] = [
    ({STATE: torch.tensor(list(b"{"), dtype=BYTE)}, "must hold a JSON object"),
    ({STATE: torch.tensor(list(b"[1]"), dtype=BYTE)}, "must hold a JSON object"),
    ({STATE: torch.tensor([255, 254], dtype=BYTE)}, "must hold a JSON object"),
    ({STATE: torch.full((4000,), ord("["), dtype=BYTE)}, "must hold a JSON object"),
    ({STATE: torch.zeros(5000, dtype=BYTE)}, "must be U8 of at most 4,096 bytes"),
    ({STATE: torch.zeros(5)}, "must be U8 of at most 4,096 bytes, got F32"),
    ({STATE: None, STATE[:-3] + "nf5": _json()}, "the format must be nf4 or fp4, got 'nf5'"),
    ({STATE[:-3] + "fp4": _json()}, "must have one tensor"),
    ({STATE: _json(quant_type="fp4")}, "quant_type must be 'nf4', got 'fp4'"),
    ({STATE: _json(blocksize=17)}, "blocksize must be one of 32, 64"),
    ({STATE: _json(blocksize=True)}, "blocksize must be one of 32, 64"),
    ({STATE: _json(blocksize=128)}, r"absmax must be U8 of shape \(20,\), got U8 of shape \(40,\)"),
    ({STATE: _json(dtype="float7")}, "dtype must be one of float32"),
    ({STATE: _json(dtype=["float32"])}, "dtype must be one of float32"),
    ({STATE: _json(shape=None)}, "shape must be a list of positive whole numbers"),
    ({STATE: _json(shape=[-40, -64])}, "shape must be a list of positive whole numbers"),
    ({STATE: _json(shape=[10**9, 10**9])}, "must hold the 500,000,000,000,000,000 bytes of the codes"),
    ({STATE: _json(nested_blocksize=128)}, "nested_blocksize must be 256, got 128"),
    ({STATE: _json(nested_dtype="float16")}, "nested_dtype must be 'float32'"),
    ({STATE: _json(nested_offset=float("nan"))}, "nested_offset must be a finite number"),
    ({STATE: _json(nested_offset=1e300)}, "nested_offset must be a finite number"),
    ({STATE: _json(nested_offset="0.5")}, "nested_offset must be a finite number"),
    ({"weight": None}, "weight is missing, and what belongs to it is there"),
    ({"weight": torch.zeros(1279, 1, dtype=BYTE)}, "must hold the 1,280 bytes of the codes"),
    ({"weight": torch.zeros(1280, 1, dtype=torch.int8)}, "must hold the 1,280 bytes of the codes"),
    ({"weight.absmax": None}, "weight.absmax is missing"),
    ({"weight.absmax": torch.zeros(39, dtype=BYTE)}, r"absmax must be U8 of shape \(40,\), got U8 of shape \(39,\)"),
    ({"weight.absmax": torch.zeros(40)}, r"absmax must be U8 of shape \(40,\), got F32"),
    ({"weight.quant_map": None}, "weight.quant_map is missing"),
    ({"weight.quant_map": torch.zeros(16)}, "quant_map must hold bitsandbytes' own values"),
    ({"weight.quant_map": torch.full((16,), float("nan"))}, "quant_map must hold bitsandbytes' own values"),
    ({"weight.nested_absmax": None}, "weight.nested_absmax is missing"),
    ({"weight.nested_absmax": torch.tensor([float("inf")])}, "nested_absmax must be finite"),
    ({"weight.nested_quant_map": torch.linspace(-1, 1, 256)}, "nested_quant_map must hold bitsandbytes' own values"),
    ({"weight.nested_quant_map": torch.zeros(255)}, "nested_quant_map must be F32 of shape"),
]


@pytest.mark.parametrize(("changes", "sentence"), HOSTILE)
def test_files_that_do_not_hold_together_are_refused(
    tmp_path: Path, changes: dict[str, torch.Tensor | None], sentence: str
) -> None:
    tensors = {**to_tensors(pc.quantize(normal(40, 64), "nf4", double_quant=True)), **changes}
    path = tmp_path / "model.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)
    with pytest.raises(ValueError, match=sentence):
        Quantized.load(path)
    with pytest.raises(ValueError, match=sentence):
        read_checkpoint(path)["weight"]


@pytest.mark.parametrize(("value", "sentence"), [(float("nan"), "absmax must be finite"), (-1.0, "largest magnitudes")])
def test_block_scales_that_are_none_are_refused(value: float, sentence: str) -> None:
    tensors = to_tensors(pc.quantize(normal(40, 64), "nf4"))
    tensors["weight.absmax"][7] = value
    with pytest.raises(ValueError, match=sentence):
        from_tensors(tensors)


def test_maps_that_another_release_rounded_differently_are_taken() -> None:
    tensors = to_tensors(pc.quantize(normal(40, 64), "nf4"))
    rounded = torch.nextafter(tensors["weight.quant_map"], torch.tensor(0.0))
    assert torch.equal(from_tensors({**tensors, "weight.quant_map": rounded}).codes, tensors["weight"].view(-1))


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(3)}, tmp_path / "model.bin")
    for read in (Quantized.load, read_checkpoint):
        with pytest.raises(ValueError, match=r"model\.bin is a pickle, which can run code"):
            read(tmp_path / "model.bin")
        with pytest.raises(ValueError, match="no such file"):
            read(tmp_path / "absent.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no safetensors file"):
        read_checkpoint(tmp_path / "empty")
