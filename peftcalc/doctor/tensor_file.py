"""A safetensors file read slice by slice: what its header says, checked, and one tensor's numbers at a time.

The format is a length (8 bytes, little-endian), a JSON header of that length, and the tensors' bytes one after another.
Only numpy is needed. A file comes from strangers: every length in it is held against the bytes that are there before
anything is made of it, and no other format is read (a pickle can run code).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from peftcalc.outside_files import plain_file

MAX_HEADER_BYTES = 64_000_000
"""A mixture of 128 experts in 48 layers, each with its own adapter, has a header of 6 MB."""
MAX_TENSORS = 500_000
MAX_TENSOR_BYTES = 4 * 2**30
"""The largest tensor that is taken into memory as a whole."""
CHUNK_BYTES = 2**25

ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
}
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"}
"""What people call them; the others as they are, in small letters."""

_OTHER_FILES = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"),
    (b"GGUF", "a GGUF file of llama.cpp; convert it to peft's format first"),
    (b"PK", "a pickle (torch.save), which can run code, and is not read; convert it to safetensors"),
    (b"\x80\x02", "a pickle, which can run code, and is not read; convert it to safetensors"),
    (b"\x80\x04", "a pickle, which can run code, and is not read; convert it to safetensors"),
    (b"\x80\x05", "a pickle, which can run code, and is not read; convert it to safetensors"),
    (b"<!DOCTYPE", "a web page, not the file; download the raw file"),
    (b"<html", "a web page, not the file; download the raw file"),
    (b"{", "JSON, not safetensors; is it the adapter_config.json?"),
)
"""How files begin that are given in place of safetensors, and what to do."""


@dataclass(frozen=True)
class Entry:
    """One tensor: its name, its type in safetensors' spelling ("BF16"), its shape, and where its bytes lie."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.stop - self.start


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file of which the header is known, and the numbers where the file is at hand.

    Args:
        label: what to call it in a sentence.
        entries: its tensors by name, in the order of their bytes.
        nbytes: length of the file.
        metadata: the strings in the header's `__metadata__`.
        source: path, or the whole content; None where only the header is known.
        data_start: where the tensors' bytes begin.
    """

    label: str
    entries: dict[str, Entry]
    nbytes: int
    metadata: dict[str, str] = field(default_factory=dict)
    source: Path | bytes | None = None
    data_start: int = 0

    @property
    def has_values(self) -> bool:
        """True where numbers can be read, not only the header."""
        return self.source is not None

    def raw(self, name: str) -> bytes:
        """The bytes of one tensor.

        Raises:
            ValueError: more than 4 GiB, or the file has changed meanwhile.
        """
        entry = self.entries[name]
        if entry.nbytes > MAX_TENSOR_BYTES:
            raise ValueError(
                f"{name} in {self.label} has {entry.nbytes:,} bytes; at most {MAX_TENSOR_BYTES:,} are read"
            )
        return self._bytes(self.data_start + entry.start, entry.nbytes)

    def numbers(self, name: str) -> np.ndarray:
        """One floating-point tensor as float64 (float32 and shorter types convert exactly), in its shape."""
        entry = self.entries[name]
        return decode(self.raw(name), entry.dtype).astype(np.float64).reshape(entry.shape)

    def chunks(self, name: str) -> Iterator[np.ndarray]:
        """The numbers of one tensor in order, some millions at a time."""
        return (decode(raw, self.entries[name].dtype) for raw in self.raw_chunks(name))

    def raw_chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of one tensor in order, 32 MiB at a time."""
        entry = self.entries[name]
        for start in range(0, entry.nbytes, CHUNK_BYTES):
            yield self._bytes(self.data_start + entry.start + start, min(CHUNK_BYTES, entry.nbytes - start))

    def _bytes(self, start: int, length: int) -> bytes:
        if isinstance(self.source, bytes):
            return self.source[start : start + length]
        if self.source is None:
            raise ValueError(f"only the header of {self.label} is known")
        try:
            with self.source.open("rb") as file:
                file.seek(start)
                found = file.read(length)
        except OSError as error:
            raise ValueError(f"cannot read {self.label}: {error.strerror or error}") from None
        if len(found) != length:
            raise ValueError(f"{self.label} has become shorter while it was read")
        return found


def open_tensors(source: Path | bytes, label: str) -> TensorFile:
    """The file whose path or content is given, its header checked.

    Raises:
        ValueError: no such file, another format, cut short, or lengths that do not fit each other.
    """
    if isinstance(source, bytes):
        beginning, nbytes = source, len(source)
        header = _header(beginning[:32], nbytes, label)
        return _checked(beginning[8 : 8 + header], nbytes, label, source)
    nbytes = plain_file(source, label)
    try:
        with source.open("rb") as file:
            return _checked(_read_header(file, nbytes, label), nbytes, label, source)
    except OSError as error:
        raise ValueError(f"cannot read {label}: {error.strerror or error}") from None


def header_only(beginning: bytes, nbytes: int, label: str) -> TensorFile:
    """What the first bytes of a file of `nbytes` say about its tensors."""
    length = _header(beginning[:32], nbytes, label)
    if len(beginning) < 8 + length:
        raise ValueError(f"the header of {label} has {length:,} bytes, more than the {len(beginning):,} that were read")
    return _checked(beginning[8 : 8 + length], nbytes, label, None)


def decode(raw: bytes, dtype: str) -> np.ndarray:
    """Bytes as numbers, flat; bfloat16 and float8 become float32, exactly.

    >>> decode(b"\\x80\\x3f", "BF16"), decode(b"\\x38\\x7e", "F8_E4M3")
    (array([1.], dtype=float32), array([  1., 448.], dtype=float32))
    """
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "F8_E5M2":  # the upper half of a float16
        return (np.frombuffer(raw, np.uint8).astype(np.uint16) << 8).view(np.float16).astype(np.float32)
    if dtype == "F8_E4M3":
        bits = np.frombuffer(raw, np.uint8)
        exponent, fraction = ((bits >> 3) & 15).astype(np.int32), (bits & 7) / 8
        size = np.where(exponent > 0, np.ldexp(1 + fraction, exponent - 7), np.ldexp(fraction, -6))
        size = np.where(bits & 127 == 127, np.nan, size)
        return np.where(bits & 128, -size, size).astype(np.float32)
    kinds = {"F": "f", "I": "i", "U": "u"}
    return np.frombuffer(raw, "?" if dtype == "BOOL" else f"<{kinds[dtype[0]]}{ITEM_BYTES[dtype]}")


def dtype_name(dtype: str) -> str:
    """What people call a type of safetensors.

    >>> dtype_name("BF16"), dtype_name("F8_E4M3")
    ('bfloat16', 'f8_e4m3')
    """
    return NAMES.get(dtype, dtype.lower())


def _read_header(file: BinaryIO, nbytes: int, label: str) -> bytes:
    return file.read(_header(file.read(32), nbytes, label, file))


def _header(beginning: bytes, nbytes: int, label: str, file: BinaryIO | None = None) -> int:
    """The header's length; a file that is given is left at its beginning."""
    if file is not None:
        file.seek(8)
    length = int.from_bytes(beginning[:8], "little")
    fits = 2 <= length <= nbytes - 8
    if not fits or beginning[8:9] != b"{":  # a length may begin with the same bytes as another format
        for start, sentence in _OTHER_FILES:
            if beginning.startswith(start):
                raise ValueError(f"{label} is {sentence}")
    if not fits:
        raise ValueError(
            f"{label} is no safetensors file, or is cut short: it has {nbytes:,} bytes and says that its header has "
            f"{length:,}"
        )
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"the header of {label} has {length:,} bytes; at most {MAX_HEADER_BYTES:,} are read")
    return length


def _checked(header: bytes, nbytes: int, label: str, source: Path | bytes | None) -> TensorFile:
    """The file that the header describes, if all of it is there and nothing overlaps."""
    try:
        described = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the header of {label} is damaged: {str(error)[:80]}") from None
    if not isinstance(described, dict) or len(described) > MAX_TENSORS:
        raise ValueError(f"the header of {label} must name at most {MAX_TENSORS:,} tensors")
    metadata = described.pop("__metadata__", {})
    entries = sorted((_entry(name, told, label) for name, told in described.items()), key=lambda e: (e.start, e.stop))
    data, end = nbytes - 8 - len(header), 0
    for entry in entries:
        if entry.start != end:
            raise ValueError(f"{label} is damaged: {_quoted(entry.name)} begins at byte {entry.start:,}, not {end:,}")
        end = entry.stop
    if end != data:
        cut = "cut short" if end > data else "damaged"
        raise ValueError(f"{label} is {cut}: its tensors take {end:,} bytes, and {data:,} are there")
    known = {str(k): str(v) for k, v in metadata.items()} if isinstance(metadata, Mapping) else {}
    return TensorFile(label, {entry.name: entry for entry in entries}, nbytes, known, source, 8 + len(header))


def _entry(name: str, told: Any, label: str) -> Entry:
    """One line of the header, if its type, shape and place agree."""
    wrong = ValueError(f"the header of {label} is damaged at {_quoted(name)}")
    if not isinstance(told, Mapping):
        raise wrong
    dtype, shape, place = told.get("dtype"), told.get("shape"), told.get("data_offsets")
    if not isinstance(dtype, str) or not isinstance(shape, list) or not isinstance(place, list) or len(place) != 2:
        raise wrong
    if any(not isinstance(n, int) or isinstance(n, bool) or not 0 <= n < 2**48 for n in (*shape, *place)):
        raise wrong
    if dtype not in ITEM_BYTES:
        raise ValueError(f"{_quoted(name)} in {label} has the type {_quoted(dtype)}, which is not known here")
    entry = Entry(name, dtype, tuple(shape), place[0], place[1])
    if len(shape) > 8 or entry.nbytes != entry.numel * ITEM_BYTES[dtype]:
        raise wrong
    return entry


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:99] + "…")
