"""Single files of a repository on the Hugging Face hub, by name and up to a size; a model's `config.json` above all."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from peftcalc.lazy import explained
from peftcalc.models.files import MAX_CONFIG_BYTES
from peftcalc.outside_files import shown

T = TypeVar("T")

TIMEOUT_SECONDS = 10.0
"""For the whole look-up. The client's own limits hold for each of its attempts, which add up to minutes."""

_NAME_OF_A_FILE = re.compile(r"[0-9A-Za-z][\w.:=+~-]{0,199}")
"""An ETag or a commit, which the client makes names of files of: no way out of its folder."""

DEFAULT_ENDPOINT = "https://huggingface.co"

_until: ContextVar[float | None] = ContextVar("until", default=None)
"""When everything that is being looked up must be there."""


@contextlib.contextmanager
def one_look_up() -> Iterator[None]:
    """Within it, or below it as a decorator, all questions to the hub together have `TIMEOUT_SECONDS`."""
    token = _until.set(_until.get() or time.monotonic() + TIMEOUT_SECONDS)
    try:
        yield
    finally:
        _until.reset(token)


def download_config(repo_id: str) -> Path:
    """Path of the repository's `config.json` in the local cache; see `download_file`."""
    return download_file(repo_id, "config.json", MAX_CONFIG_BYTES)


@explained("a hub id")
def download_file(repo_id: str, name: str, limit_bytes: int, seconds: float | None = None) -> Path:
    """Path of one file of a repository in the local cache, downloaded when it is not there.

    `HF_ENDPOINT` and `HF_HUB_OFFLINE` are read on each call, so that a running server follows them.

    Args:
        repo_id: owner/name.
        name: of the file.
        limit_bytes: a larger file is not downloaded.
        seconds: for the whole look-up, default `TIMEOUT_SECONDS`.

    Raises:
        ValueError: not a repository id, offline and not in the cache, not found, access refused, too large, or no
            answer in time.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(repo_id, name)
    except HFValidationError:
        raise ValueError(f"not a catalogue id, a path or a hub id: {repo_id!r}") from None
    kept = Path(cached) if isinstance(cached, str) else None
    if _offline() and kept:
        return kept
    try:
        return _ask(repo_id, name, lambda: _download(repo_id, name, limit_bytes), seconds or TIMEOUT_SECONDS)
    except _NoAnswer:
        if kept:
            return kept
        raise


@explained("a hub id")
def read_beginning(repo_id: str, name: str, most_bytes: int) -> tuple[bytes, int]:
    """The first bytes of a file of a repository, and the length of the whole; nothing is kept.

    Raises:
        ValueError: as `download_file`.
    """
    return _ask(repo_id, name, lambda: _read_beginning(repo_id, name, most_bytes), TIMEOUT_SECONDS)


class TooLarge(ValueError):
    """The file is on the hub, and larger than what is downloaded."""


class NoSuchFile(ValueError):
    """The repository is on the hub, and has no file of this name."""


class _NoAnswer(ValueError):
    """The hub could not be asked, or did not answer in time."""


def _ask(repo_id: str, name: str, work: Callable[[], T], seconds: float) -> T:
    """What `work` gets from the hub, in time; every refusal is a sentence."""
    from huggingface_hub.errors import HfHubHTTPError

    if _offline():
        what = repr(repo_id) if name == "config.json" else f"{name} of {repo_id!r}"
        raise ValueError(f"{what} is not in the local cache, and HF_HUB_OFFLINE forbids looking it up on the hub")
    until = _until.get()
    left = seconds if until is None else min(seconds, until - time.monotonic())
    try:
        return _in_time(work, left)
    except HfHubHTTPError as error:
        raise _refusal(repo_id, name, error) from error
    except ValueError:
        raise
    except Exception as error:  # the connection: refused, reset, no such host, too slow; each client has its own types
        raise _NoAnswer(_silence(repo_id, name, error, seconds)) from error


def _silence(repo_id: str, name: str, error: BaseException, seconds: float) -> str:
    """Why there is no answer, as a sentence. The client wraps the reason, and each client has its own types."""
    reasons: list[str] = []
    reason: BaseException | None = error
    while reason is not None:
        reasons.append(type(reason).__name__)
        reason = reason.__cause__ or reason.__context__
    instead = f"give the path of its {name} instead"
    if "TooManyRedirects" in reasons:
        return f"the hub at {_endpoint()} sends in a circle for {repo_id!r}: too many redirects; {instead}"
    if "FileMetadataError" in reasons:
        return (
            f"{_endpoint()} has an answer for {repo_id!r} without the ETag and the commit by which a hub names a "
            f"version of a file: it is a plain mirror, or a proxy takes them away; {instead}"
        )
    if {"RemoteProtocolError", "LocalProtocolError", "ReadError"} & {*reasons}:
        return f"the hub at {_endpoint()} broke off its answer for {repo_id!r}, or it is no HTTP; {instead}"
    if {"ConnectError", "ConnectionError", "ConnectionRefusedError", "gaierror"} & {*reasons}:
        return f"no answer for {repo_id!r}: the hub at {_endpoint()} cannot be reached; {instead}"
    return f"no answer for {repo_id!r} from the hub at {_endpoint()} within {seconds:g} s; {instead}"


def _download(repo_id: str, name: str, limit_bytes: int) -> Path:
    """Ask for the size first, once, without the client's retries; then download."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        """No progress bar."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

    url = hf_hub_url(repo_id, name, endpoint=_endpoint())
    about = get_hf_file_metadata(url, timeout=TIMEOUT_SECONDS, endpoint=_endpoint())
    if not all(given is None or _NAME_OF_A_FILE.fullmatch(given) for given in (about.etag, about.commit_hash)):
        raise ValueError(  # the client names files of its cache by them
            f"{_endpoint()} sends an ETag or a commit for {repo_id!r} that no hub sends, so its file is not asked for; "
            f"give the path of its {name} instead"
        )
    size = about.size
    if size is not None and size > limit_bytes:
        raise TooLarge(f"{name} of {repo_id!r} has {size:,} bytes; the limit is {limit_bytes:,}")
    return Path(hf_hub_download(repo_id, name, endpoint=_endpoint(), etag_timeout=TIMEOUT_SECONDS, tqdm_class=Silent))


def _read_beginning(repo_id: str, name: str, most_bytes: int) -> tuple[bytes, int]:
    """A ranged request; a server that sends the whole file instead is cut off."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    url = hf_hub_url(repo_id, name, endpoint=_endpoint())
    size = get_hf_file_metadata(url, timeout=TIMEOUT_SECONDS, endpoint=_endpoint()).size or 0
    headers = build_hf_headers() | {"Range": f"bytes=0-{most_bytes - 1}"}
    found = bytearray()
    with get_session().stream("GET", url, headers=headers, follow_redirects=True) as response:
        hf_raise_for_status(response)
        for part in response.iter_bytes():
            found += part
            if len(found) >= most_bytes:
                break
    return bytes(found[:most_bytes]), size


def _in_time(work: Callable[[], T], seconds: float) -> T:
    """The result of `work`, or what it raised, or a TimeoutError; a daemon thread never keeps the process alive."""
    outcome: list[T | BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # handed to the caller
            outcome.append(error)

    if seconds <= 0:
        raise TimeoutError
    thread = threading.Thread(target=run, name="peftcalc-hub", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _refusal(repo_id: str, name: str, error: Any) -> ValueError:
    """What the hub said, as a sentence."""
    status = error.response.status_code if error.response is not None else None
    kind = type(error).__name__
    if kind == "GatedRepoError":
        return ValueError(
            f"{repo_id!r} is gated on the hub: accept its licence there and log in, or give the path of its {name}"
        )
    if kind in ("EntryNotFoundError", "RemoteEntryNotFoundError"):
        return NoSuchFile(f"{repo_id!r} has no {name} on the hub")
    said = str(getattr(error, "server_message", None) or "")
    if status == 401 and "credential" in said.lower():  # without them it would say whether the name exists
        return ValueError(
            f"the hub does not accept the token that is set here (HTTP 401: {said[:100]}): it may have expired; "
            f"{repo_id!r} may well be public: log in again, or unset HF_TOKEN"
        )
    if status == 403 and said:
        return ValueError(f"the hub does not give out {repo_id!r} (HTTP 403: {shown(said[:100])})")
    if status == 429:
        return ValueError(
            f"the hub has had too many requests from here (HTTP 429): {repo_id!r} can be tried again later"
        )
    if status is not None and status >= 500:
        return ValueError(f"the hub has a fault of its own (HTTP {status}): {repo_id!r} can be tried again later")
    if status in (401, 403, 404):  # the hub answers 401 for names that do not exist
        return ValueError(f"the hub has no public model {repo_id!r} (HTTP {status})")
    return ValueError(f"the hub answered HTTP {status} for {repo_id!r}")


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def _offline() -> bool:
    return any(
        os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )
