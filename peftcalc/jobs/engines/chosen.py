"""The queue that an address means: this machine's crew, or a cluster."""

from __future__ import annotations

from functools import partial

from peftcalc.jobs.engines.addresses import Address
from peftcalc.jobs.engines.cluster import Cluster
from peftcalc.jobs.forked import forked
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits


def open_queue(address: Address | None, rooms: tuple[str, ...], limits: Limits | None = None) -> JobQueue:
    """A queue whose parts are carried out there.

    Args:
        address: see `addresses.address`; None for the crew of this machine, as many as it bears.
        rooms: modules that offer kinds of work, each in a table `KINDS`.
        limits: what one visitor may take.

    Raises:
        ValueError: Dask is not installed, or the certificates are not there.
    """
    if address is None or address.kind == "crew":
        return JobQueue(forked(*rooms), address.workers if address else None, limits)
    return JobQueue(partial(Cluster, address, rooms), limits=limits)


def engine_line(queue: JobQueue) -> str:
    """Which engine works, with how many workers, and what is lost when it goes away; why none does, where none does."""
    if problem := queue.problem:
        return f"{problem.rstrip('.')}."
    count = len(queue.engine)
    workers = f"{count} worker{'' if count == 1 else 's'}" if count else "no worker yet"
    return f"{queue.engine.about}, {workers}. {queue.engine.loss}."
