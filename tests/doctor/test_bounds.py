"""Why a file is so large, and where what is read of it ends: at the limits themselves."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from peftcalc.doctor import settings, tensor_file
from peftcalc.doctor.factors import make_factors
from peftcalc.doctor.findings import Findings
from peftcalc.doctor.keys import Key
from peftcalc.doctor.measure import LARGEST, spectrum_of
from peftcalc.doctor.report import rank_that_keeps
from peftcalc.doctor.settings import read_settings
from peftcalc.doctor.sizes import explain_size
from peftcalc.doctor.tensor_file import Entry, TensorFile, open_tensors


def notes_of(*parts: tuple[str, str, int]) -> list[str]:
    """What is said of a file whose tensors have this role, type and number of bytes."""
    tensors, start = {}, 0
    for place, (role, dtype, nbytes) in enumerate(parts):
        name = f"{role}{place}"
        size = tensor_file.ITEM_BYTES[dtype]
        tensors[Key(name, name, role)] = Entry(name, dtype, (nbytes // size,), start, start + nbytes)
        start += nbytes
    found = Findings()
    explain_size(tensors, TensorFile("a", {}, start, {}, None, 0), found)
    return found.notes


@pytest.mark.parametrize("role", ["base", "copy"])
def test_a_tenth_of_the_file_is_worth_a_sentence(role: str):
    (said,) = notes_of((role, "BF16", 100), ("A", "BF16", 900))
    assert "100 bytes of 1 kB, 10 %" in said
    assert notes_of((role, "BF16", 98), ("A", "BF16", 902)) == []


def test_numbers_of_32_bits_are_told_from_a_tenth_on_with_what_the_file_would_have():
    (said,) = notes_of(("A", "F32", 80), ("B", "F64", 40), ("B", "BF16", 1080))
    assert said.startswith("120 bytes are numbers of 32 bits or more")
    assert said.endswith("in bfloat16 the file would have 1.13 kB")  # 80 / 2 + 40 / 4 + 1080
    assert notes_of(("A", "F32", 116), ("B", "BF16", 1084)) == []


def described(shape: list[int], dtype: str = "U8") -> bytes:
    size = tensor_file.ITEM_BYTES[dtype] * int(np.prod(shape, dtype=object))
    header = json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * size


def test_a_shape_has_eight_sides_at_most():
    assert open_tensors(described([1] * 8), "x").entries["a"].shape == (1,) * 8
    with pytest.raises(ValueError, match="damaged at 'a'"):
        open_tensors(described([1] * 9), "x")


def test_a_side_is_below_a_quarter_of_a_quadrillion():
    for side, words in ((2**48 - 1, None), (2**48, "damaged at 'a'")):
        content = described([0, side])
        if words is None:
            assert open_tensors(content, "x").entries["a"].numel == 0
        else:
            with pytest.raises(ValueError, match=words):
                open_tensors(content, "x")


def test_what_is_read_has_the_largest_size_and_no_more(monkeypatch: pytest.MonkeyPatch):
    content = described([8])
    length = struct.unpack("<Q", content[:8])[0]
    monkeypatch.setattr(tensor_file, "MAX_TENSOR_BYTES", 8)
    monkeypatch.setattr(tensor_file, "MAX_HEADER_BYTES", length)
    assert open_tensors(content, "x").raw("a") == b"\0" * 8
    monkeypatch.setattr(tensor_file, "MAX_TENSOR_BYTES", 7)
    with pytest.raises(ValueError, match="has 8 bytes; at most 7 are read"):
        open_tensors(content, "x").raw("a")
    monkeypatch.setattr(tensor_file, "MAX_HEADER_BYTES", length - 1)
    with pytest.raises(ValueError, match=f"has {length} bytes; at most {length - 1} are read"):
        open_tensors(content, "x")


def test_patterns_are_looked_up_so_often(monkeypatch: pytest.MonkeyPatch):
    config = {"peft_type": "LORA", "r": 8, "target_modules": ["q"], "rank_pattern": {"a": 2, "b": 4}}
    monkeypatch.setattr(settings, "MAX_LOOK_UPS", 4)
    read = read_settings(config)
    assert [read.rank_of("x.a"), read.rank_of("x.c")] == [2, 8]
    with pytest.raises(ValueError, match="more than are looked up here"):
        read.rank_of("x.d")


def test_a_share_that_is_kept_exactly_is_kept():
    assert rank_that_keeps([0.5, 0.99, 1.0]) == 2
    assert rank_that_keeps([0.5, 0.99 * (1 - 1e-12), 1.0]) == 2
    assert rank_that_keeps([0.5, 0.98999, 1.0]) == 3
    assert rank_that_keeps([]) == 0


def test_an_update_beyond_all_numbers_is_no_adapter():
    factors = make_factors(np.ones((1, 1)), np.ones((1, 1)), 1)
    assert spectrum_of(factors, 0.9 * LARGEST).singular_values == pytest.approx([0.9 * LARGEST])
    for scale in (LARGEST, 2 * LARGEST):
        with pytest.raises(ValueError, match=r"larger than 1e\+100"):
            spectrum_of(factors, scale)
