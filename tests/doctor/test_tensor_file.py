"""A safetensors file slice by slice: safetensors and torch as oracle, and everything hostile a sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from peftcalc.doctor.tensor_file import MAX_HEADER_BYTES, decode, header_only, open_tensors
from peftcalc.doctor.write import NewTensor, encode, header_bytes, write_tensors

TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "U8": torch.uint8,
}


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "BF16", "F16"])
def test_every_bit_pattern_is_the_number_that_torch_has(dtype: str) -> None:
    size = 1 if dtype.startswith("F8") else 2
    patterns = np.arange(256**size, dtype=f"<u{size}")
    theirs = torch.from_numpy(patterns.astype(f"i{size}")).view(TYPES[dtype]).to(torch.float32).numpy()
    np.testing.assert_array_equal(decode(patterns.tobytes(), dtype).astype(np.float32), theirs)


def test_numbers_become_bfloat16_as_in_torch() -> None:
    values = np.random.default_rng(0).normal(size=100_000) * np.exp(np.linspace(-40, 40, 100_000))
    theirs = torch.from_numpy(values).to(torch.float32).to(torch.bfloat16)
    assert encode(values, "BF16") == theirs.view(torch.int16).numpy().tobytes()


@pytest.mark.parametrize("from_bytes", [False, True])
def test_what_safetensors_wrote_is_read(tmp_path: Path, from_bytes: bool) -> None:
    torch.manual_seed(0)
    tensors = {name: (8 * torch.randn(3, 5)).to(dtype) for name, dtype in TYPES.items()}
    tensors["empty"] = torch.zeros(0, 4)
    content = save(tensors, metadata={"format": "pt"})
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    file = open_tensors(content if from_bytes else path, "a")
    assert set(file.entries) == set(tensors)
    assert file.metadata == {"format": "pt"}
    for name in TYPES:
        assert file.entries[name].dtype == name
        np.testing.assert_array_equal(file.numbers(name), tensors[name].double().numpy())
        np.testing.assert_array_equal(np.concatenate(list(file.chunks(name))), tensors[name].double().numpy().ravel())
    only = header_only(content[:4_000], len(content), "a")
    assert only.entries == file.entries
    with pytest.raises(ValueError, match="only the header"):
        only.numbers("F32")


def test_what_is_written_safetensors_reads(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4))
    new = [
        NewTensor("a.ü", "BF16", (3, 4), lambda: [encode(values, "BF16")]),
        NewTensor("b", "F32", (12,), lambda: [encode(values[:1], "F32"), encode(values[1:], "F32")]),
        NewTensor("none", "F32", (0, 2), list),
    ]
    path = tmp_path / "b.safetensors"
    assert write_tensors(path, new, {"format": "pt"}) == path.stat().st_size
    assert [p.name for p in tmp_path.iterdir()] == ["b.safetensors"]
    read = load(path.read_bytes())
    assert torch.equal(read["a.ü"], torch.from_numpy(values).float().to(torch.bfloat16))
    assert torch.equal(read["b"], torch.from_numpy(values).float().flatten())
    assert read["none"].shape == (0, 2)


def header(described: Any, data: bytes = b"") -> bytes:
    text = described if isinstance(described, bytes) else json.dumps(described).encode()
    return struct.pack("<Q", len(text)) + text + data


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
EIGHT = b"\0" * 8
HOSTILE = {
    "empty": (b"", "cut short"),
    "seven bytes": (b"\0" * 7, "cut short"),
    "huge header": (struct.pack("<Q", 2**62) + b"{}", "cut short"),
    "no JSON": (header(b"{nonsense"), "header of x is damaged"),
    "not text": (header(b"\xff\xfe{}"), "damaged"),
    "deep": (header(b"[" * 100_000), "damaged"),
    "a list": (header([1]), "must name"),
    "a digit flood": (header(b'{"a": ' + b"9" * 10_000 + b"}"), "damaged"),
    "cut": (header({"a": ONE}, EIGHT[:4]), "cut short: its tensors take 8 bytes, and 4 are there"),
    "too long": (header({"a": ONE}, EIGHT * 2), "damaged: its tensors take 8"),
    "overlap": (header({"a": ONE, "b": ONE}, EIGHT), "begins at byte 0, not 8"),
    "gap": (header({"a": ONE | {"data_offsets": [8, 16]}}, EIGHT * 2), "begins at byte 8, not 0"),
    "backwards": (header({"a": ONE | {"data_offsets": [8, 0]}}, EIGHT), "damaged at 'a'"),
    "negative": (header({"a": ONE | {"data_offsets": [-8, 0]}}, EIGHT), "damaged at 'a'"),
    "wrong size": (header({"a": ONE | {"shape": [3]}}, EIGHT), "damaged at 'a'"),
    "shape bomb": (header({"a": ONE | {"shape": [2**40, 2**40, 0]}}, EIGHT), "damaged at 'a'"),
    "true": (header({"a": ONE | {"shape": [True, 2]}}, EIGHT), "damaged at 'a'"),
    "words": (header({"a": "tensor"}, EIGHT), "damaged at 'a'"),
    "no place": (header({"a": {"dtype": "F32", "shape": [2]}}, EIGHT), "damaged at 'a'"),
    "unknown type": (header({"a": ONE | {"dtype": "Q4_0"}}, EIGHT), "type 'Q4_0', which is not known"),
    "pickle": (b"\x80\x02}q\x00.", "pickle"),
    "zip": (b"PK\x03\x04" + EIGHT, "pickle"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 8\n", "git lfs pull"),
    "GGUF": (b"GGUF" + EIGHT * 3, "GGUF"),
    "web page": (b"<!DOCTYPE html><html>" + EIGHT, "web page"),
    "JSON": (b'{"peft_type": "LORA"}', "JSON"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("from_bytes", [False, True])
def test_a_hostile_file_is_one_sentence(case: str, from_bytes: bool, tmp_path: Path) -> None:
    content, words = HOSTILE[case]
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        open_tensors(content if from_bytes else path, "x")
    assert "\n" not in str(caught.value)


def test_a_header_beyond_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peftcalc.doctor.tensor_file.MAX_HEADER_BYTES", 50)
    assert MAX_HEADER_BYTES > 10_000_000
    with pytest.raises(ValueError, match="at most 50 are read"):
        open_tensors(header({"a": ONE}, EIGHT), "x")


def test_a_file_that_becomes_shorter_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(header({"a": ONE}, EIGHT))
    file = open_tensors(path, "x")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="shorter"):
        file.numbers("a")


def test_the_header_is_a_multiple_of_eight() -> None:
    for name in ("a", "ab", "abc"):
        assert len(header_bytes([NewTensor(name, "F32", (1,), list)], {})) % 8 == 0
