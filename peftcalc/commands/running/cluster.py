"""`python -m peftcalc cluster`: certificates, a Dask scheduler and workers with the settings that runs need."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from peftcalc.commands import number
from peftcalc.commands.running.elsewhere import add_certificates
from peftcalc.jobs.engines.addresses import address
from peftcalc.jobs.machine import worker_count

PORT = 8786


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    acts = commands.add_parser(
        "cluster", help="train on other machines: certificates, scheduler, workers"
    ).add_subparsers(dest="act", metavar="ACT", required=True)
    making = acts.add_parser("certificates", help="make a cluster's certificates in a folder")
    making.add_argument("folder", type=Path)
    making.add_argument("--days", type=number, default=365, help="until they are void (default 365)")
    making.set_defaults(run=make_certificates)
    scheduler = acts.add_parser("scheduler", help="a Dask scheduler; without certificates for this machine alone")
    scheduler.add_argument("--port", type=number, default=PORT)
    scheduler.add_argument("--host", default="0.0.0.0", help="where it listens, with certificates (default everywhere)")
    add_certificates(scheduler)
    scheduler.set_defaults(run=run_scheduler)
    worker = acts.add_parser("worker", help="worker processes of this machine, which join a scheduler")
    worker.add_argument("scheduler", help="its address: tls://host:8786")
    worker.add_argument("--workers", type=number, default=None, help="how many (default: as many as the machine bears)")
    add_certificates(worker)
    worker.set_defaults(run=run_worker)


def make_certificates(arguments: argparse.Namespace) -> None:
    """Make them, and say what they are for."""
    from peftcalc.jobs.engines.certificates import make

    folder = make(arguments.folder, arguments.days).folder
    print(
        f"{folder} holds ca.pem, cert.pem and key.pem, good for {arguments.days} days. Copy the folder to every "
        "machine of the cluster, and to nobody else: who has it can run anything there."
    )


def run_scheduler(arguments: argparse.Namespace) -> int:
    """Be Dask's scheduler."""
    from peftcalc.jobs.engines.processes import LOOPBACK, scheduler_command

    host = LOOPBACK if arguments.certificates is None else arguments.host
    return _be(scheduler_command(host, arguments.port, arguments.certificates))


def run_worker(arguments: argparse.Namespace) -> int:
    """Be some of Dask's workers."""
    from peftcalc.jobs.engines.processes import worker_command

    asked = address(arguments.scheduler, arguments.certificates)
    if asked.kind != "dask":
        raise ValueError(f"a worker joins a scheduler that is there, tls://host:{PORT}, got {arguments.scheduler!r}")
    return _be(worker_command(asked.url, arguments.workers or worker_count(), asked.certificates))


def _be(command: list[str]) -> int:
    """Become that process; where a process cannot, wait for it."""
    from peftcalc.jobs.engines.processes import SETTINGS

    environment = {**os.environ, **SETTINGS}
    if os.name == "posix":
        os.execve(command[0], command, environment)
    return subprocess.call(command, env=environment)
