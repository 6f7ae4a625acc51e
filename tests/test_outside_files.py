"""What is no ordinary file is a sentence, at every door that reads files, and at once."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peftcalc import cli
from peftcalc.adapters.files.adapter_folder import load_adapter
from peftcalc.counting.adapter_file import read_adapter_config
from peftcalc.doctor.examine import inspect_adapter
from peftcalc.models.files import parse_json
from peftcalc.models.limits import check_config
from peftcalc.models.load import load_model
from peftcalc.outside_files import MOST_NESTED, MOST_SAID, check_content, plain_file, read_bounded, said, shown
from peftcalc.quant.compared.upload import read_upload
from peftcalc.quant.files.doors import load_quantized


def _adapter(path: Path) -> Any:
    """A folder whose config, and then whose tensors, are the path."""
    (path.parent / "adapter_config.json").symlink_to(path)
    return load_adapter(torch.nn.Sequential(torch.nn.Linear(2, 2)), path.parent)


def _adapter_tensors(path: Path) -> Any:
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["0"]}
    (path.parent / "adapter_config.json").write_text(json.dumps(config))
    (path.parent / "adapter_model.safetensors").symlink_to(path)
    return load_adapter(torch.nn.Sequential(torch.nn.Linear(2, 2)), path.parent)


DOORS: dict[str, Callable[[Path], Any]] = {
    "a model": load_model,
    "a model's name": lambda path: load_model(str(path)),
    "an adapter's config to count": lambda path: read_adapter_config(path, {"model_type": "gpt2"}),
    "an adapter": _adapter,
    "an adapter's tensors": _adapter_tensors,
    "quantized numbers": load_quantized,
    "an adapter to look into": inspect_adapter,
}


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def _link_to_fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(folder / "pipe")
    return folder / "link"


def _link_to_device(folder: Path) -> Path:
    (folder / "zero").symlink_to("/dev/zero")
    return folder / "zero"


THINGS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "FIFO": (_fifo, "is a pipe"),
    "link to a FIFO": (_link_to_fifo, "is a pipe"),
    "link to a device": (_link_to_device, "is a device"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("thing", THINGS)
def test_pipes_and_devices_are_not_read(door: str, thing: str, tmp_path: Path) -> None:
    make, words = THINGS[thing]
    path = make(tmp_path)
    with pytest.raises(ValueError, match=words):
        DOORS[door](path)


@pytest.mark.parametrize("thing", THINGS)
def test_the_commands_answer_with_one_line(thing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(THINGS[thing][0](tmp_path))
    for command in (["quantize", path], ["count", path], ["count", "gpt2", "--adapter", path]):
        try:
            status: Any = cli.main(command)
        except SystemExit as ended:
            status = ended.code
        assert status == 2
        assert THINGS[thing][1] in capsys.readouterr().err or "--adapter" in command


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert plain_file(path) == 5
    assert read_bounded(path, 5, "it") == b"12345"
    with pytest.raises(ValueError, match="at most 4"):
        read_bounded(path, 4, "it")
    with pytest.raises(ValueError, match="No such file"):
        read_bounded(tmp_path / "b", 4, "it")


def test_a_file_that_claims_no_size_is_read_no_further() -> None:
    with pytest.raises(ValueError, match="at most 10"):
        read_bounded(Path("/proc/self/status"), 10, "it")


def nested(depth: int) -> str:
    return '{"model_type": "gpt2", "x": ' + "[" * depth + "]" * depth + "}"


@pytest.mark.parametrize("depth", [MOST_NESTED, 900, 100_000])
def test_what_is_nested_too_deeply_is_a_sentence(depth: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(nested(depth))
    (tmp_path / "config.json").write_text(nested(depth))
    with pytest.raises(ValueError, match="nested too deeply"):
        load_model(tmp_path)


def test_a_dictionary_is_nested_no_deeper_either() -> None:
    check_config(parse_json(nested(MOST_NESTED - 1)))
    with pytest.raises(ValueError, match="nested too deeply"):
        check_config({"x": {"y": json.loads(nested(900))}})
    for plain in ("text" * 100, None, 3, True):  # what a JSON text may hold instead of an object
        check_content(plain, "it")


@pytest.mark.parametrize("value", ["\ud800", ["\udfff"], {"a": {"b": ["\ud83d"]}}, {"\ud800": 1}])
def test_half_a_character_is_a_sentence(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^it has a text that is not Unicode: '\\ud"):
        check_content(value, "it")
    with pytest.raises(ValueError, match="not Unicode"):
        parse_json(json.dumps({"model_type": "gpt2", "x": value}))
    check_content({"name": "Lösung 🙂"}, "it")


def test_a_name_moves_no_cursor_and_fits_on_a_line() -> None:
    tiny = {
        "model_type": "gpt2",
        "n_layer": 1,
        "n_embd": 12,
        "vocab_size": 8,
        "_name_or_path": "a\x1b[2Jb\n" + "x" * 999,
    }
    assert load_model(tiny).id == "a�[2Jb�" + "x" * 192 + "…"
    assert shown("ein Modell/für-uns") == "ein Modell/für-uns"


def test_a_number_of_thousands_of_digits_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="a number in it has thousands of digits"):
        parse_json('{"n_layer": ' + "9" * 5_000 + "}")
    with pytest.raises(ValueError, match="got a number of about 4,999 digits"):
        check_config({"n_layer": 10**4_999})


def _npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def _npz() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.npy", b"0" * 1000)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_npz(), "is a zip archive"),
        (_npy("(" * 5_000 + ")" * 5_000), "is not an .npy file"),
        (_npy("(" * 150 + ")" * 150), "is not an .npy file"),
        (_npy("-" * 9_000 + "1"), "is not an .npy file"),
        (_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-2, -4)}") + b"0" * 64, "is not an .npy file"),
        (_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10,)}") + b"0" * 64, "80 bytes, and 64 follow"),
    ],
)
def test_an_upload_that_is_no_array_is_a_sentence(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_upload("a.npy", content)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
def test_an_array_is_read_as_numpy_reads_it(order: Any, dtype: str) -> None:
    stream, array = io.BytesIO(), np.asarray(np.arange(6).reshape(2, 3), dtype=dtype, order=order)
    np.save(stream, array)
    assert (read_upload("a.npy", stream.getvalue())["a.npy"] == array).all()


def test_a_sentence_is_one_line_of_a_length_that_is_read():
    assert said(ValueError("two\n lines \x1b[2J")) == "two lines �[2J"
    exact = "a" * MOST_SAID
    assert said(exact) == exact
    cut = said(f"targets must be names, got {'x' * 60_000}; did you mean 'q_proj'?")
    assert len(cut) == MOST_SAID
    assert cut.startswith("targets must be names, got xx")
    assert cut.endswith("xx; did you mean 'q_proj'?")
