"""Workers that are forked: what a queue sees of them, and what becomes of them when one of the three ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

from peftcalc.jobs import forked as module
from peftcalc.jobs.forked import forked
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.worker_process import WorkerProcess, worker_command

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every worker is a fresh interpreter")

ROOM = "quick_room"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Where the room says which processes have loaded it."""
    return tmp_path_factory.mktemp("room") / "told"


@pytest.fixture(scope="module", autouse=True)
def nursery(told):
    """A nursery of this module's own, which can import the test's room."""
    before = dict(os.environ)
    os.environ |= {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    os.environ["PEFTCALC_TEST_LOADED"] = str(told)
    module._nursery.close()
    yield module._nursery
    module._nursery.close()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def queue():
    queue = JobQueue(forked(ROOM), workers=2)
    until(lambda: len(queue.engine.idle()) == 2)
    yield queue
    queue.close()


def records_of(queue, kind="count", **parameters):
    job = queue.submit("ada", kind, [parameters])
    until(lambda: not job.alive)
    assert (job.state, job.message) == ("done", "")
    return job.records


def test_workers_share_what_was_loaded_once(queue, nursery, told):
    """The room is loaded and tried in one process; each worker is a child of it, and finds everything loaded."""
    records = records_of(queue, steps=3)
    assert [record["step"] for record in records] == [0, 1, 2]
    assert records[0]["from"] == nursery._process.pid
    lines = told.read_text().splitlines()
    assert lines.count(f"warm {nursery._process.pid}") == 1
    assert {line for line in lines if line.startswith("warm")} == {f"warm {nursery._process.pid}"}


def test_a_worker_is_ended_in_the_middle_of_a_step_and_replaced(queue):
    job = queue.submit("ada", "hang", [{}])
    until(lambda: job.records)
    worker = next(iter(queue.engine.hands.values())).worker
    worker.kill()
    assert worker.farewell == "signal 9"
    with pytest.raises(ProcessLookupError):
        os.kill(job.records[0]["worker"], 0)
    until(lambda: not job.alive)
    until(lambda: len(queue.engine.idle()) == 2)
    assert records_of(queue, steps=1)


def test_a_worker_ends_when_it_is_not_told_anything_any_more(queue):
    heard = []
    worker = WorkerProcess(lambda worker, message: heard.append(message), forked(ROOM))
    until(lambda: heard)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.process.wait(0.01)
    worker.close()
    assert worker.farewell == "exit code 0"
    assert heard[-1] is None


def test_after_the_nursery_has_ended_there_is_another(queue, nursery):
    before = nursery._process.pid
    os.kill(before, signal.SIGKILL)
    nursery._process.wait()
    assert records_of(queue, steps=1)[0]["from"] != before  # its workers live on
    for worker in list(queue.engine.workers):
        worker.kill()
        worker.close()
    until(lambda: len(queue.engine.idle()) == 2)
    assert records_of(queue, steps=1)[0]["from"] == nursery._process.pid != before


def test_ctrl_c_is_the_app_s_to_answer(queue, nursery):
    """A terminal sends it to all processes: the nursery and its workers go on until the app hangs up."""
    worker = records_of(queue, steps=1)[0]["worker"]
    for number in (nursery._process.pid, worker):
        os.kill(number, signal.SIGINT)
    assert records_of(queue, steps=1)[0]["from"] == nursery._process.pid


def test_nobody_is_left_behind(told):
    """The app ends, however it ends: the nursery and its workers do too."""
    source = (
        "import sys, time; from peftcalc.jobs.forked import forked; from peftcalc.jobs.job_queue import JobQueue\n"
        f"queue = JobQueue(forked({ROOM!r}), 1)\n"
        "while not queue.ready: time.sleep(0.01)\n"
        "job = queue.submit('ada', 'hang', [{}])\n"
        "while not job.records: time.sleep(0.01)\n"
        "print(job.records[0]['worker'], flush=True); time.sleep(600)"
    )
    app = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert app.stdout is not None
    worker = int(app.stdout.readline())
    app.kill()
    app.wait()
    app.stdout.close()
    until(lambda: not Path(f"/proc/{worker}").exists())


def test_elsewhere_a_worker_is_a_fresh_interpreter(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert forked(ROOM) == worker_command(ROOM)


def test_where_a_gpu_is_seen_nothing_is_forked(monkeypatch, told):
    """What would be forked has looked at no GPU; a fresh interpreter has loaded the room itself."""
    import socket

    from peftcalc.jobs import nursery

    monkeypatch.setattr(nursery, "sees_gpu", lambda: True)
    ours, theirs = socket.socketpair()
    life, its_life = socket.socketpair()
    with ours, theirs, life:
        reads, tells = os.pipe()
        hears, tell = os.pipe()
        home = nursery.Nursery(theirs)
        home._bear([ROOM], [hears, tells, its_life.detach()])
        ((ended, (number, _)),) = home.workers.items()
        with os.fdopen(reads) as answers:
            assert "hello" in answers.readline()
        assert f"load {number}" in told.read_text().splitlines()
        os.close(tell)
        home._bury(ended)
        assert life.recv(8) == b"0"
        home.selector.close()
