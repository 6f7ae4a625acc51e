"""Waiting in a test for what other processes bring about; no test measures a time by it."""

import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until the condition holds; an error says that it did not come about."""
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise AssertionError("it did not come about")
        time.sleep(0.01)


def ended(*jobs: Any) -> None:
    """Wait until the jobs are over."""
    until(lambda: not any(job.alive for job in jobs))
