"""An adapter by hub id: only its config and its tensors are asked for, up to a size, from a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from adapter_files import BASE, CONFIG, TENSORS, edit_config
from adapter_hub import Hub, adapter_hub

from peftcalc import cut_adapter, inspect_adapter
from peftcalc.doctor import sources


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path) -> Iterator[Hub]:
    edit_config(saved, base_model_name_or_path=None)
    with adapter_hub(monkeypatch, tmp_path / "hub") as running:
        running.files = {name: (saved / name).read_bytes() for name in (CONFIG, TENSORS)}
        yield running


def test_two_files_are_asked_for_and_no_more(server: Hub, saved: Path) -> None:
    result = inspect_adapter("someone/tiny-lora", base=BASE)
    assert server.names == {CONFIG, TENSORS}
    local = inspect_adapter(saved, base=BASE)
    assert (result.name, result.sound) == ("someone/tiny-lora", True)
    assert (result.layers, result.stored, result.trainable) == (local.layers, local.stored, local.trainable)


def test_it_is_cut_like_a_folder(server: Hub, saved: Path, tmp_path: Path) -> None:
    cut = cut_adapter("someone/tiny-lora", 2, tmp_path / "small")
    assert cut.layers == cut_adapter(saved, 2, tmp_path / "again").layers


def test_offline_nothing_is_asked_and_the_cache_answers(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    inspect_adapter("someone/tiny-lora", base=BASE)
    asked = len(server.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert inspect_adapter("someone/tiny-lora", base=BASE).sound
    with pytest.raises(ValueError, match=r"adapter_config\.json of 'someone/other' is not in the local cache"):
        inspect_adapter("someone/other", base=BASE)
    assert len(server.asked) == asked


@pytest.mark.parametrize("ranges", [True, False])
def test_of_a_large_file_only_the_header_is_read(server: Hub, monkeypatch: pytest.MonkeyPatch, ranges: bool) -> None:
    server.ranges = ranges
    monkeypatch.setattr(sources, "MAX_DOWNLOAD_BYTES", 1_000)
    monkeypatch.setattr(sources, "HEADER_BYTES", 2_000)
    result = inspect_adapter("someone/tiny-lora", base=BASE)
    assert result.sound
    assert result.layers == ()
    assert result.file_bytes == len(server.files[TENSORS]) > 2_000
    assert result.stored_parameters == 4 * 6 * 32 + 2 * 6 * 32 + 2 * 6 * 16
    assert any("only its header was read" in note for note in result.notes)
    with pytest.raises(ValueError, match="needs both"):
        cut_adapter("someone/tiny-lora", 2, "nowhere")


def test_a_repository_with_a_pickle_alone(server: Hub) -> None:
    server.files = {CONFIG: server.files[CONFIG], "adapter_model.bin": b"PK"}
    result = inspect_adapter("someone/tiny-lora", base=BASE)
    assert any("has no adapter_model.safetensors on the hub; a pickle" in fault for fault in result.faults)
    assert "adapter_model.bin" not in server.names


def test_a_repository_that_is_no_adapter(server: Hub) -> None:
    server.files = {"config.json": b"{}"}
    with pytest.raises(ValueError, match=r"has no adapter_config\.json on the hub"):
        inspect_adapter("someone/tiny-lora", base=BASE)
