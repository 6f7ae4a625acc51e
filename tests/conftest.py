"""What all tests share: no limit on their own process; the longest slow tables are sampled without `--every-row`."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from peftcalc import bounded_memory

MOST_ROWS = 96
"""Slow rows of one test that run in `.ci/run`, which must end within its time on two cores."""


@pytest.fixture(scope="session", autouse=True)
def _unbounded() -> Iterator[None]:
    """A job that is done in the test's own process must not bound that process, and all that it starts, for good."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded_memory, "_bytes_before", lambda: None)
        patch.setenv("PEFTCALC_HISTORY", "off")  # nor of what it starts: no test writes into anybody's home
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-row", action="store_true", help=f"run more than {MOST_ROWS} slow rows of one test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--every-row"):
        return
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow"):
            tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left = {item for name, rows in tables.items() for item in set(rows) - sampled(name, rows)}
    if left:
        config.hook.pytest_deselected(items=list(left))
        items[:] = [item for item in items if item not in left]


def sampled(name: str, rows: list[pytest.Item]) -> set[pytest.Item]:
    """The rows of a test that run: all of a short table, of a long one the same random sample every time."""
    return set(rows if len(rows) <= MOST_ROWS else random.Random(name).sample(rows, MOST_ROWS))
