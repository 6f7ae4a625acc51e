"""Who belongs to a Dask scheduler: workers that join say who they are, and those that leave are noticed."""

from __future__ import annotations

import contextlib
import threading
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any

from peftcalc.jobs.engines import cluster_task
from peftcalc.jobs.engines.version import this_version

LOOK = 1.0
"""Seconds between two looks."""
FIRST_LOOK = 0.1
"""As long as nobody is there."""

Member = tuple[str, str]
"""An address, and the folder of the process there: another process at the same address has another."""


class Members:
    """Looks who is there from time to time.

    Args:
        client: returns Dask's client; None while there is none.
        rooms: modules that offer kinds of work, which a worker loads before it is taken.
        came: called with a member that has said who it is, and what it said (see `cluster_task.introduce`).
        there: called with all members at each look.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        rooms: tuple[str, ...],
        came: Callable[[Member, dict[str, Any]], None],
        there: Callable[[set[Member]], None],
    ) -> None:
        self._client, self._rooms, self._came, self._there = client, rooms, came, there
        self.known: set[Member] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look_around, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join(LOOK)

    def _look_around(self) -> None:
        while not self._closing.wait(LOOK if self.known else FIRST_LOOK):
            client = self._client()
            if client is None:
                self.known = set()
                continue
            with contextlib.suppress(Exception, CancelledError):  # the scheduler is gone: noticed elsewhere
                # not `scheduler_info`: the client's own look, without workers, may come between
                found = client.sync(client.scheduler.identity, n_workers=-1)["workers"]
                there = {(address, info["local_directory"]) for address, info in found.items()}
                new, self.known = there - self.known, there
                self._there(there)
                for member in new:  # each is taken when it has answered, whatever the others do
                    threading.Thread(target=self._greet, args=(client, member), daemon=True).start()

    def _greet(self, client: Any, member: Member) -> None:
        address = member[0]
        try:
            call = (cluster_task.introduce, self._rooms, this_version())
            found = client.run(*call, workers=[address], on_error="return")[address]
        except (Exception, CancelledError) as error:
            found = error
        if isinstance(found, ImportError | AttributeError):  # it cannot even load what it is asked with
            found = {"version": f"of another release, or none ({found})"}
        if not isinstance(found, BaseException):  # else it has left again
            self._came(member, found)
