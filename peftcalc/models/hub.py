"""The `config.json` of a model on the Hugging Face hub, and nothing else of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peftcalc.lazy import explained
from peftcalc.models.files import MAX_CONFIG_BYTES

TIMEOUT_SECONDS = 10.0
"""For the whole look-up. The client's own limits hold for each of its attempts, which add up to minutes."""

DEFAULT_ENDPOINT = "https://huggingface.co"


@explained("a hub id")
def download_config(repo_id: str) -> Path:
    """Path of the repository's `config.json` in the local cache, downloaded when it is not there.

    `HF_ENDPOINT` and `HF_HUB_OFFLINE` are read on each call, so that a running server follows them.

    Raises:
        ValueError: not a repository id, offline and not in the cache, not found, access refused, or no answer in time.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        cached = try_to_load_from_cache(repo_id, "config.json")
    except HFValidationError:
        raise ValueError(f"not a catalogue id, a path or a hub id: {repo_id!r}") from None
    if _offline():
        if isinstance(cached, str):
            return Path(cached)
        raise ValueError(f"{repo_id!r} is not in the local cache, and HF_HUB_OFFLINE forbids looking it up on the hub")
    try:
        return _in_time(lambda: _download(repo_id))
    except HfHubHTTPError as error:
        raise ValueError(_refusal(repo_id, error)) from error
    except ValueError:
        raise
    except Exception as error:  # the connection: refused, reset, no such host, too slow; each client has its own types
        if isinstance(cached, str):
            return Path(cached)
        raise ValueError(
            f"no answer for {repo_id!r} from the hub at {_endpoint()} within {TIMEOUT_SECONDS:g} s; "
            "give the path of a config.json instead"
        ) from error


def _download(repo_id: str) -> Path:
    """Ask for the size first, once, without the client's retries; then download."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        """No progress bar for a file of a few kilobytes."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

    url = hf_hub_url(repo_id, "config.json", endpoint=_endpoint())
    size = get_hf_file_metadata(url, timeout=TIMEOUT_SECONDS, endpoint=_endpoint()).size
    if size is not None and size > MAX_CONFIG_BYTES:
        raise ValueError(f"config.json of {repo_id!r} has {size:,} bytes; the limit is {MAX_CONFIG_BYTES:,}")
    return Path(
        hf_hub_download(repo_id, "config.json", endpoint=_endpoint(), etag_timeout=TIMEOUT_SECONDS, tqdm_class=Silent)
    )


def _in_time(work: Callable[[], Path]) -> Path:
    """The result of `work`, or what it raised, or a TimeoutError; a daemon thread never keeps the process alive."""
    outcome: list[Path | BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # handed to the caller
            outcome.append(error)

    thread = threading.Thread(target=run, name="peftcalc-hub", daemon=True)
    thread.start()
    thread.join(TIMEOUT_SECONDS)
    if not outcome:
        raise TimeoutError
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _refusal(repo_id: str, error: Any) -> str:
    """What the hub said, as a sentence."""
    status = error.response.status_code if error.response is not None else None
    if type(error).__name__ == "GatedRepoError":
        return (
            f"{repo_id!r} is gated on the hub: accept its licence there and log in, or give the path of its config.json"
        )
    if type(error).__name__ == "EntryNotFoundError" or type(error).__name__ == "RemoteEntryNotFoundError":
        return f"{repo_id!r} has no config.json on the hub"
    if status in (401, 403, 404):  # the hub answers 401 for names that do not exist
        return f"the hub has no public model {repo_id!r} (HTTP {status})"
    return f"the hub answered HTTP {status} for {repo_id!r}"


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def _offline() -> bool:
    return any(
        os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )
