"""A hub on loopback that has one adapter: it answers for any owner and name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Hub(ThreadingHTTPServer):
    """Answers `/{owner}/{name}/resolve/main/{file}` from `files`, ranges too; remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.files: dict[str, bytes] = {}
        self.ranges = True

    @property
    def names(self) -> set[str]:
        """Of the files that were asked for."""
        return {line.split()[1].rpartition("/")[2] for line in self.asked}


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


@contextmanager
def adapter_hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """The hub that this process asks, with an empty cache of its own."""
    from huggingface_hub import constants

    running = Hub()
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_address[1]}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    yield running
    running.shutdown()
    running.server_close()
    thread.join()
