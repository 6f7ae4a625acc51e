"""A Dask scheduler and its workers as the engine of a queue: parts are tasks, records are events.

Threads beside the queue hear (here), send (`cluster_post`) and look who is there (`cluster_members`); none of them
holds the queue's lock while it waits for the network.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from peftcalc.jobs.engines.addresses import Address
from peftcalc.jobs.engines.certificates import Certificates
from peftcalc.jobs.engines.cluster_members import Member, Members
from peftcalc.jobs.engines.cluster_post import Post
from peftcalc.jobs.engines.cluster_worker import ClusterWorker, Task
from peftcalc.jobs.engines.engine import Engine, Hear
from peftcalc.jobs.engines.processes import LocalProcesses
from peftcalc.jobs.engines.version import this_version
from peftcalc.lazy import needs

WATCH = 0.1
"""Seconds between two looks at the connection."""
CONNECT_SECONDS, RETRY_SECONDS = 20.0, 5.0
CLOSE_SECONDS = 2.0
GRACE = 0.5
"""Seconds that a task which is over is given to be heard to its end."""


class Cluster(Engine):
    """The workers of a Dask scheduler.

    Args:
        address: of the scheduler, or how many workers to start here with one.
        rooms: modules that offer kinds of work, which the workers load.
        hear: called with what the workers say, and with None twice when there is trouble without a worker.

    Raises:
        ValueError: Dask is not installed, or the certificates are not there.
    """

    loss = (
        "When its scheduler goes away, its workers end too, and the runs in hand are lost; when a worker ends, its "
        "runs are begun again on another, and count once"
    )

    def __init__(self, address: Address, rooms: tuple[str, ...], hear: Hear) -> None:
        super().__init__(hear)
        needs("distributed", "a cluster")
        self.address = address
        self._security = Certificates(address.certificates).security() if address.certificates else None
        self._local: LocalProcesses | None = None
        self._connection: Any = None
        self._trouble = ""
        self._refused: dict[str, str] = {}
        self._missed: set[ClusterWorker] = set()
        self._topic = f"peftcalc-{uuid.uuid4().hex}"
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._post = Post(self._client, rooms, self._topic, lambda task, future: self._later(self._over, task, future))
        came, there = partial(self._later, self._came), partial(self._later, self._there)
        self._members = Members(self._client, rooms, came, there)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def about(self) -> str:
        return f"Dask {'on this machine' if self.address.kind == 'local' else f'at {self.address.url}'}"

    @property
    def refusals(self) -> list[str]:
        return list(self._refused.values())

    @property
    def coming(self) -> int:
        expected = max(self.address.workers, len(self._members.known))
        return max(0, expected - len(self._refused) - len(self.workers))

    def trouble(self, work: str) -> str:
        if self._refused and not self.workers and not self._trouble and not self.coming:
            return f"No worker of the cluster can be used: {'; '.join(self._refused.values())}."
        return self._trouble or self.missing

    def close(self) -> None:
        """Take back what is on its way, and end what was started here."""
        for task in [task for worker in self.workers for task in list(worker.tasks.values())]:
            self._post.take_back(task)
        self._post.close()
        self._closing.set()
        self._members.close()
        self._thread.join(CONNECT_SECONDS)
        if self._connection is not None:
            _close(self._connection)
        if self._local is not None:
            self._local.close()

    # The connection

    def _client(self) -> Any:
        """Dask's client; None while the scheduler does not answer."""
        client = self._connection
        return client if client is not None and client.status == "running" else None

    def _later(self, act: Callable[..., None], *arguments: Any) -> None:
        """Let the thread that hears do it: in the order in which it came, and without the caller's locks."""
        self._inbox.put(partial(act, *arguments))

    def _serve(self) -> None:
        """Connect, hear until the scheduler is gone, say so, and try again."""
        while not self._closing.is_set():
            try:
                self._connection = self._connected()
            except (OSError, ValueError) as error:
                self._break_off(self._no_answer(error))
                self._closing.wait(RETRY_SECONDS)
                continue
            self._trouble = ""
            while self._client() is not None and not self._closing.is_set():
                with contextlib.suppress(queue.Empty):
                    self._inbox.get(timeout=WATCH)()
            if not self._closing.is_set():
                gone, self._connection = self._connection, None
                while not self._inbox.empty():  # what was told before
                    self._inbox.get()()
                gone_too = "is gone, and its workers with it: the runs in hand are lost"
                self._break_off(f"The Dask scheduler at {self._url} {gone_too}")
                threading.Thread(target=_close, args=(gone,), daemon=True).start()

    @property
    def _url(self) -> str:
        return self._local.url if self._local is not None else self.address.url

    def _connected(self) -> Any:
        from distributed import Client

        for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what it says is said here, in a sentence
        if self.address.kind == "local":
            if self._local is not None:
                self._local.close()
            self._local = LocalProcesses(self.address.workers)
        told = partial(self._later, self._told)
        client = Client(self._url, security=self._security, timeout=CONNECT_SECONDS, set_as_default=False)
        client.subscribe_topic(self._topic, lambda event: told(event[1]))
        return client

    def _no_answer(self, error: Exception) -> str:
        if self.address.kind == "local" and self._local is None:
            return str(error)
        or_else = ", or it has other certificates" if self._security is not None else ""
        return f"No Dask scheduler answers at {self._url}{or_else} (tried for {CONNECT_SECONDS:g} seconds)"

    def _break_off(self, sentence: str) -> None:
        self._trouble = sentence
        self._refused = {}
        for worker in list(self.workers):
            worker.tasks.clear()
            self.hear(worker, None)
        self.hear(None, None)

    # Hearing, in one thread

    def _told(self, event: dict[str, Any]) -> None:
        """An event of a task; of one that was taken back or runs in another process than it was given to, nothing."""
        task = self._task(event["key"])
        if task is None or event["process"] != task.worker.process_id:
            return
        if not event["line"]:  # it can be asked from now on
            task.heard = True
            if task.state["number"]:
                self._post.ask(task)
            return
        message = json.loads(event["line"])
        if "ended" in message and event["files"]:
            task.ended = message
            return
        if "ended" in message:
            self._forget(task)
        self.hear(task.worker, message)

    def _over(self, task: Task, future: Any) -> None:
        """Dask is through with a task that has not said its last, or whose files are still there."""
        if self._task(task.key) is None or self._client() is None:
            return
        ended = task.ended
        if future.status == "finished" and ended is not None:
            self._forget(task, lambda: self._post.fetch(task, partial(self._later, self.hear, task.worker, ended)))
            return
        if not task.doubted:  # what it told last may be on its way: events and ends come by different threads
            task.doubted = True
            later = threading.Timer(GRACE, self._later, (self._over, task, future))
            later.daemon = True
            later.start()
            return
        from distributed.scheduler import KilledWorker

        error = future.exception() if future.status == "error" else None
        if future.status in ("cancelled", "lost") or isinstance(error, KilledWorker):
            self._members.known.discard((task.worker.address, task.worker.place))
            self._gone(task.worker)
            return
        self._forget(task)
        sentence = f"the run ended with an error of the program ({type(error).__name__})"
        self.hear(task.worker, {"part": task.part, "ended": "failed", "message": sentence})

    def _came(self, member: Member, introduced: dict[str, Any]) -> None:
        """A worker has said who it is."""
        address, place = member
        if introduced["version"] != this_version():
            have = f"the worker {address} has peftcalc {introduced['version']}"
            self._refused[address] = f"{have}, and this is {this_version()}"
            self.hear(None, None)
            return
        if any((worker.address, worker.place) == member for worker in self.workers):
            return
        worker = ClusterWorker(address, place, introduced["process"], self._send)
        self.workers = [*self.workers, worker]
        self.hear(worker, {"hello": introduced["hello"]})

    def _there(self, members: set[Member]) -> None:
        """All that are there now."""
        missed = {worker for worker in self.workers if (worker.address, worker.place) not in members}
        for worker in missed & self._missed:  # at two looks
            self._gone(worker)
        self._missed = missed
        there = {address for address, _ in members}
        self._refused = {address: why for address, why in self._refused.items() if address in there}

    def _gone(self, worker: ClusterWorker) -> None:
        if worker in self.workers:
            for task in list(worker.tasks.values()):
                self._post.take_back(task)
            worker.tasks.clear()
            self.hear(worker, None)

    def _task(self, key: str) -> Task | None:
        return next((worker.tasks[key] for worker in self.workers if key in worker.tasks), None)

    def _forget(self, task: Task, first: Callable[[], None] = lambda: None) -> None:
        task.worker.tasks.pop(task.key, None)
        first()
        self._post.tidy(task)

    # What the queue tells a worker, its lock being held

    def _send(self, what: str, worker: ClusterWorker, task: Task | None) -> None:
        if task is None:
            self._later(self._gone, worker)
            self._post.restart(worker.address)
        elif what == "take back":
            self._post.take_back(task)
            self._later(self.hear, worker, {"part": task.part, "ended": "stopped", "message": ""})
        else:
            {"begin": self._post.begin, "ask": self._post.ask}[what](task)


def _close(client: Any) -> None:
    with contextlib.suppress(Exception):
        client.close(timeout=CLOSE_SECONDS)
