"""What strangers' configurations cost: every model type of transformers, its numbers pushed to their ends, in the pool.

    python benchmarks/strangers.py                 every model type × 20 mutations (an hour or two of a core)
    python benchmarks/strangers.py --types 60      the first sixty of its order, which are spread over all
    python benchmarks/strangers.py --from 60       and the others

Each mutation takes the default configuration of a model type and pushes one of its numbers, at any depth, to an end.
It is built as the app builds what visitors paste: in a worker with ten seconds and a GiB. Each may be counted, or be
refused with a sentence, or be ended at a limit; what may not happen: a worker that dies or does not end, a request
(a server on loopback stands for the hub and counts them), or more than a GiB beside the imports.

Seconds are those since its worker began: another worker's imports, after one was ended, are not in them.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from peftcalc.bounded_memory import STRANGER_BYTES
from peftcalc.jobs.job import Job, JobPart
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits
from peftcalc.jobs.worker_process import worker_command

ENDS = (-1, 0, 1, 2_000, 100_000, 10**8, 2**31, 10**18)
"""What a number is pushed to: its smallest values, the limits of layers, labels and widths, and beyond them."""
MUTATIONS = 20
SECONDS = 10.0
SLACK_SECONDS = 3.0
"""The queue looks at its limits twice a second, a worker has half a second to stop, and the machine may be busy."""
GOLDEN = 0.6180339887498949
NEVER = ("crash", "hang", "request", "memory")


@dataclass
class Row:
    """What became of the mutations of one model type."""

    model_type: str
    became: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Seconds on the clock."""
    processor: float = 0.0
    """Seconds of the worker's own computing, at most."""
    peak_bytes: int = 0
    worst: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What became of one mutation, its sentence, and what it cost."""

    became: str
    sentence: str
    seconds: float
    processor: float
    peak_bytes: int


class _Hub(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012  of all requests

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *args: Any) -> None:
        """Quiet."""


class Pool:
    """One worker of the app's pool, one configuration at a time, watched."""

    def __init__(self) -> None:
        limits = Limits(work="building models", running=SECONDS, away=60.0, patience=0.5)
        self.queue = JobQueue(worker_command("peftcalc.models.work"), 1, limits)
        self._worker, self._before = 0, 0

    def build(self, config: Mapping[str, Any]) -> Outcome:
        """What became of it."""
        asked, peak, processor = len(_Hub.asked), 0, 0.0
        job = self.queue.submit("benchmark", "build", [{"config": dict(config)}])
        part = job.parts[0]
        while part.state == "waiting" and job.alive:  # for the imports of a worker, where the last one was ended
            self.queue.touch(job)
            time.sleep(0.01)
        self._look_at_the_worker()
        begun, before = part.begun, _processor(self._worker)
        while job.alive and time.monotonic() < begun + SECONDS + SLACK_SECONDS:
            self.queue.touch(job)
            peak = max(peak, _resident(self._worker) - self._before)
            processor = max(processor, _processor(self._worker) - before)
            time.sleep(0.01)
        seconds, ended = time.monotonic() - begun, not job.alive
        self.queue.stop(job)
        ended = ended and self._let_go(part)
        return Outcome(_became(job, ended, len(_Hub.asked) > asked, peak), job.message, seconds, processor, peak)

    def _let_go(self, part: JobPart) -> bool:
        """Whether the worker is done with it, or gone."""
        end = time.monotonic() + SLACK_SECONDS
        while part.state != "ended" and time.monotonic() < end:
            time.sleep(0.01)
        return part.state == "ended"

    def _look_at_the_worker(self) -> None:
        worker = next(iter(self.queue.process_ids), 0)
        if worker != self._worker:
            self._worker, self._before = worker, _resident(worker)


def _became(job: Job, ended: bool, asked: bool, peak: int) -> str:
    """The column of the table."""
    if not ended:
        return "hang"
    if "ended unexpectedly" in job.message or "error of the program" in job.message:
        return "crash"
    if asked:
        return "request"
    if peak > STRANGER_BYTES:
        return "memory"
    if "limit of this server" in job.message or "takes longer to build" in job.message:
        return "ended: time"
    if "more memory" in job.message or "too large to build" in job.message:
        return "ended: memory"
    return "counted" if job.state == "done" else "refused"


def mutations(config: Mapping[str, Any], count: int, chance: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    """So many copies of a configuration, each with one number at an end; what was pushed, and where."""
    numbers = list(_numbers(config, ()))
    pushed = [(path, end) for path in numbers for end in ENDS]
    for path, end in chance.sample(pushed, min(count, len(pushed))):
        yield f"{'.'.join(map(str, path))} = {end}", _with(config, path, end)


def _numbers(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Where the numbers of a configuration are; of a list of numbers, the list and its first."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield path
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in ("id2label", "label2id"):
                yield from _numbers(inner, (*path, name))
    elif isinstance(value, list) and value:
        yield from _numbers(value[0], (*path, 0))


def _with(value: Any, path: tuple[Any, ...], end: Any) -> Any:
    if not path:
        return end
    if isinstance(value, list):
        return [_with(inner, path[1:], end) if index == path[0] else inner for index, inner in enumerate(value)]
    return {name: _with(inner, path[1:], end) if name == path[0] else inner for name, inner in value.items()}


def default_config(model_type: str) -> dict[str, Any]:
    """What a model type is when nobody says otherwise, with the settings of its parts."""
    from transformers import CONFIG_MAPPING

    try:
        return {**CONFIG_MAPPING[model_type]().to_dict(), "model_type": model_type}
    except Exception:  # composed models have no default: they are given a small one
        part = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        return {"model_type": model_type, "encoder": part, "decoder": part, "text_config": part, "vision_config": part}


def model_types() -> list[str]:
    """All of the installed transformers, in an order whose every beginning is spread over the alphabet."""
    from transformers import CONFIG_MAPPING

    known = sorted(CONFIG_MAPPING.keys())
    return [known[place] for place in sorted(range(len(known)), key=lambda place: (place * GOLDEN) % 1.0)]


def run(model_type: str, pool: Pool, count: int, seed: int) -> Row:
    """All mutations of one model type."""
    row = Row(model_type)
    for what, config in mutations(default_config(model_type), count, random.Random(f"{seed} {model_type}")):
        outcome = pool.build(config)
        row.became[outcome.became] += 1
        row.slowest, row.processor = max(row.slowest, outcome.seconds), max(row.processor, outcome.processor)
        row.peak_bytes = max(row.peak_bytes, outcome.peak_bytes)
        if outcome.became not in ("counted", "refused"):
            said = f"{outcome.seconds:.1f} s, {outcome.processor:.1f} s of computing"
            row.worst.append(f"{outcome.became}: {what} ({said}) {outcome.sentence[:120]}")
    return row


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where something happened that never may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", type=int, default=None, metavar="COUNT", help="as many, spread over all")
    parser.add_argument(
        "--from", type=int, default=0, dest="first", metavar="PLACE", help="without so many before them"
    )
    parser.add_argument("--only", nargs="*", default=None, metavar="TYPE", help="these model types")
    parser.add_argument("--mutations", type=int, default=MUTATIONS)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    hub = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{hub.server_address[1]}"
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(name, None)
    last = None if asked.types is None else asked.first + asked.types
    pool, rows = Pool(), []
    print(f"{'model type':32} counted refused  time memory never  slowest  processor     peak", flush=True)
    try:
        for model_type in asked.only or model_types()[asked.first : last]:
            rows.append(run(model_type, pool, asked.mutations, asked.seed))
            _print(rows[-1])
    finally:
        pool.queue.close()
        hub.shutdown()
    total = Row("all together", sum((row.became for row in rows), Counter()))
    for name in ("slowest", "processor", "peak_bytes"):
        setattr(total, name, max(getattr(row, name) for row in rows))
    _print(total)
    return int(any(total.became[name] for name in NEVER))


def _print(row: Row) -> None:
    became = row.became
    print(
        f"{row.model_type:32} {became['counted']:7} {became['refused']:7} {became['ended: time']:5} "
        f"{became['ended: memory']:6} {sum(became[name] for name in NEVER):5} {row.slowest:6.1f} s "
        f"{row.processor:8.1f} s {row.peak_bytes / 2**20:5.0f} MiB",
        flush=True,
    )
    for line in row.worst:
        print(f"    {line}", flush=True)


def _processor(process: int) -> float:
    """Seconds that a process has computed; 0 of one that is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(process: int) -> int:
    """Bytes of a process in memory."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)


if __name__ == "__main__":
    sys.exit(main())
