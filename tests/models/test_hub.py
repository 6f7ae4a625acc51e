"""The hub, played by a server on loopback: only config.json is asked for, and every refusal is a sentence."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from peftcalc.models import hub
from peftcalc.models.load import load_model

CONFIG = json.dumps({"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 4, "vocab_size": 64}).encode()


class Hub(ThreadingHTTPServer):
    """Answers `/{owner}/{name}/resolve/main/config.json`; remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.status = 200
        self.error_code = ""
        self.body = CONFIG
        self.claimed_size: int | None = None
        self.delay = 0.0
        self.headers: dict[str, str] = {"ETag": '"abc"', "X-Repo-Commit": "0" * 40}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def _answer(self, *, with_body: bool) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        time.sleep(self.server.delay)
        self.send_response(self.server.status)
        if self.server.error_code:
            self.send_header("X-Error-Code", self.server.error_code)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(self.server.claimed_size or len(self.server.body)))
        self.end_headers()
        if with_body and self.server.status == 200:
            self.wfile.write(self.server.body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    running = Hub()
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", running.url)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def refused(repo_id: str) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        load_model(repo_id)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_only_the_config_is_downloaded(server: Hub) -> None:
    shapes = load_model("someone/tiny")
    assert (shapes.id, shapes.architecture) == ("someone/tiny", "GPT2LMHeadModel")
    assert {line.split()[1] for line in server.asked} == {"/someone/tiny/resolve/main/config.json"}


def test_offline_nothing_is_asked_and_the_cache_answers(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model("someone/tiny")
    asked = len(server.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_model("someone/tiny").architecture == "GPT2LMHeadModel"
    assert "HF_HUB_OFFLINE" in refused("someone/other")
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "RepoNotFound", "no public model 'someone/tiny'"),
        (401, "", "no public model 'someone/tiny'"),
        (403, "GatedRepo", "gated"),
        (404, "EntryNotFound", "has no config.json"),
        (500, "", "a fault of its own (HTTP 500)"),
        (429, "", "too many requests from here (HTTP 429)"),
    ],
)
def test_every_refusal_is_a_sentence(server: Hub, status: int, code: str, words: str) -> None:
    server.status, server.error_code = status, code
    assert words in refused("someone/tiny")


def test_a_file_that_claims_200_megabytes_is_not_downloaded(server: Hub) -> None:
    server.claimed_size = 200_000_000
    assert "200,000,000 bytes" in refused("someone/tiny")
    assert not any(line.startswith("GET") for line in server.asked)


def test_what_is_downloaded_is_checked_like_any_file(server: Hub) -> None:
    server.body = b'{"model_type": "gpt2", '
    assert "not complete JSON" in refused("someone/tiny")


def test_a_hub_that_hangs_is_given_up(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 0.2)
    server.delay = 1.0
    assert "no answer" in refused("someone/tiny")


def test_a_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch, server: Hub) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    sentence = refused("someone/tiny")
    assert "no answer" in sentence
    assert "cannot be reached" in sentence


def test_a_token_that_is_not_accepted_is_not_a_model_that_is_not_there(server: Hub) -> None:
    server.status, server.headers = 401, {"X-Error-Message": "Invalid credentials in Authorization header"}
    sentence = refused("someone/tiny")
    assert "does not accept the token" in sentence
    assert "may well be public" in sentence
    assert "no public model" not in sentence


def test_a_circle_of_redirects_is_said(server: Hub) -> None:
    server.status, server.headers = 307, {"Location": "/someone/tiny/resolve/main/config.json"}
    assert "too many redirects" in refused("someone/tiny")


@pytest.mark.parametrize("missing", ["ETag", "X-Repo-Commit"])
def test_a_mirror_without_what_names_a_version_is_said(server: Hub, missing: str) -> None:
    del server.headers[missing]
    sentence = refused("someone/tiny")
    assert "ETag and the commit" in sentence
    assert "within" not in sentence


@pytest.mark.parametrize("name", ["ETag", "X-Repo-Commit"])
@pytest.mark.parametrize("value", ["../../../evil", "..", "/evil", "a" * 300])
def test_what_names_a_version_leads_nowhere_else(server: Hub, name: str, value: str) -> None:
    """The client makes files of its cache of them: `../../../evil` would be written outside of it."""
    server.headers[name] = f'"{value}"' if name == "ETag" else value
    assert "that no hub sends" in refused("someone/tiny")
    assert not any(line.startswith("GET") for line in server.asked)


def test_what_the_hub_says_of_a_repository_it_gives_to_nobody_is_said(server: Hub) -> None:
    server.status, server.headers = 403, {"X-Error-Message": "Access to this resource is disabled."}
    assert "(HTTP 403: Access to this resource is disabled.)" in refused("someone/tiny")


def test_a_line_that_breaks_off_is_not_a_slow_one(monkeypatch: pytest.MonkeyPatch, server: Hub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")

        def hang_up() -> None:
            for _ in range(8):
                try:
                    listening.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        sentence = refused("someone/tiny")
    assert "broke off its answer" in sentence
    assert "within" not in sentence


def test_all_questions_together_have_one_deadline(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 0.5)
    server.delay = 5.0
    with hub.one_look_up():
        assert "within 0.5 s" in refused("someone/tiny")
        asked = len(server.asked)
        assert "within 0.5 s" in refused("someone/other")  # nothing is asked any more
    assert len(server.asked) == asked


def test_the_nearest_catalogue_names_are_offered(server: Hub) -> None:
    server.status, server.error_code = 404, "RepoNotFound"
    assert "meta-llama/Llama-3.1-8B" in refused("meta-lama/Llama-3.1-8B")
