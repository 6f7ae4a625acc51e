"""An adapter by hub id: only its config and its tensors are asked for, up to a size, from a server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from adapter_files import BASE, CONFIG, TENSORS, edit_config

from peftcalc import cut_adapter, inspect_adapter
from peftcalc.doctor import sources


class Hub(ThreadingHTTPServer):
    """Answers `/{owner}/{name}/resolve/main/{file}` from `files`, ranges too; remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.files: dict[str, bytes] = {}
        self.ranges = True


class Handler(BaseHTTPRequestHandler):
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def _answer(self, *, with_body: bool) -> None:
        wanted = self.headers.get("Range", "") if self.server.ranges else ""
        self.server.asked.append(f"{self.command} {self.path} {wanted}".strip())
        body = self.server.files.get(self.path.rpartition("/")[2])
        if body is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        whole = len(body)
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            body = body[int(first) : int(last) + 1]
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{self.path.rpartition("/")[2]}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(body)))
        if wanted:
            self.send_header("Content-Range", f"bytes 0-{len(body) - 1}/{whole}")
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    running = Hub()
    edit_config(saved, base_model_name_or_path=None)
    running.files = {name: (saved / name).read_bytes() for name in (CONFIG, TENSORS)}
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_address[1]}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def paths(server: Hub) -> set[str]:
    return {line.split()[1].rpartition("/")[2] for line in server.asked}


def test_two_files_are_asked_for_and_no_more(server: Hub, saved: Path) -> None:
    result = inspect_adapter("someone/tiny-lora", base=BASE)
    assert paths(server) == {CONFIG, TENSORS}
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
    assert "adapter_model.bin" not in paths(server)


def test_a_repository_that_is_no_adapter(server: Hub) -> None:
    server.files = {"config.json": b"{}"}
    with pytest.raises(ValueError, match=r"has no adapter_config\.json on the hub"):
        inspect_adapter("someone/tiny-lora", base=BASE)
