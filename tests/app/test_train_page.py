"""The Train page: a stored run at once, a race of one's own, and visitors who mean no good."""

from __future__ import annotations

import json
import re
import socket
import sys
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from drawers import pulled
from streamlit.testing.v1 import AppTest
from waiting import until

from peftcalc.jobs.engines import cluster, cluster_members, cluster_task
from peftcalc.jobs.engines.addresses import address
from peftcalc.jobs.engines.chosen import open_queue
from peftcalc.jobs.job import Job
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits
from peftcalc.lab.race import Race
from peftcalc.lab.race_results import RaceResults
from peftcalc.lab.stored_runs import stored_run
from peftcalc.methods import METHODS
from peftcalc.ui import live, page
from peftcalc.ui.lessons.train import LESSON
from peftcalc.ui.page import escape
from peftcalc.ui.train import buttons, pace, playground, verdict

ROOT = Path(__file__).parents[2]
WORKER = (sys.executable, str(Path(__file__).with_name("quick_worker.py")))


@pytest.fixture(autouse=True)
def _no_earlier_pace():
    """What other tests' races told of this machine's speed is not this test's."""
    pace.factors().clear()


@pytest.fixture
def queue(monkeypatch):
    queue = JobQueue(WORKER, 1, Limits())
    monkeypatch.setattr(live, "queue", lambda: queue)
    until(lambda: queue.ready)
    yield queue
    queue.close()


def open_page(**query) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages/train.py"), default_timeout=120)
    for key, value in query.items():
        test.query_params[key] = value
    return pulled(test).run()


def button(test: AppTest, label: str):
    return next(found for found in test.button if found.label == label)


def labels(test: AppTest) -> set[str]:
    return {found.label for found in test.button}


def text(test: AppTest) -> str:
    """Everything the page says."""
    kinds = ("markdown", "caption", "info", "error", "warning")
    said = "\n".join(str(element.value) for kind in kinds for element in getattr(test, kind))
    return f"{said}\n{picture(test)['status']}"


def picture(test: AppTest) -> dict:
    """What the picture was sent."""
    return json.loads(test.get("bidi_component")[0].proto.bytes)


def job_of(test: AppTest):
    return test.session_state[live._key("train")]


def test_it_opens_with_a_stored_run(queue):
    test = open_page()
    assert not test.exception
    assert "stored run" in text(test)
    assert {"Train", "Step"} <= labels(test)
    assert "Stop" not in labels(test)  # there is nothing to stop
    assert [one["name"] for one in picture(test)["methods"]] == list(METHODS)
    assert all(len(one["looks"]) > 10 for one in picture(test)["methods"])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("magnitude", "Full and DoRA learn it. LoRA, QLoRA and QDoRA do not: 9 to 79 % of the error stays."),
        ("rank", "Full, LoRA and DoRA learn it. QLoRA and QDoRA do not: 9 % of the error stays."),
        ("names", "All five learn it: a held-out loss of 2.7 to 2.8 falls to 1.9."),
    ],
)
def test_one_line_says_who_has_learned_the_task(name, line):
    assert re.sub(r"<[^>]+>", "", verdict.said(stored_run(name).board)) == line


def test_the_default_race_is_the_stored_one(queue):
    test = open_page()
    button(test, "Train").click().run()
    stored = stored_run("magnitude").race
    assert test.session_state["_race"].race.settings("lora", 0) == replace(stored, device="cpu").settings("lora", 0)
    assert test.session_state["_race"].race.methods == stored.methods


def test_few_words_come_before_the_first_control(queue):
    test = open_page()
    assert len(f"{test.title[0].value} {test.markdown[0].value}".split()) <= 60


def test_every_task_has_its_stored_run(queue):
    from peftcalc.lab.stored_runs import stored_names
    from peftcalc.lab.tasks.catalogue import TASKS

    assert {name for name, task in TASKS.items() if not task.extra} <= set(stored_names())


def test_a_race_from_the_click_to_the_comparison(queue):
    test = open_page(steps="10", seeds="2")
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: not job.alive)
    test.run()
    assert not test.exception
    assert job.state == "done"
    assert "measured" in text(test)
    assert picture(test)["status"].startswith("measured")
    assert "beyond chance" in text(test) or "may be chance" in text(test)
    names = {found.label for found in test.get("download_button")}
    assert {"Records, CSV", "Records, JSON", "Figure, PNG", "Figure, SVG", "QDoRA, seed 1"} <= names
    button(test, "Reset").click().run()
    assert "stored run: " in picture(test)["status"]
    assert live._key("train") not in test.session_state


def test_whom_a_teacher_has_sent_opens_what_came_of_a_run(queue):
    """The class compares on its board, and thirty such pages are made at once."""
    test = open_page(steps="10", methods=["LoRA"])
    test.session_state[page.LED] = True
    button(test, "Train").click().run()
    until(lambda: not job_of(test).alive)
    test.run()
    assert not test.exception
    assert "measured" in text(test)
    assert not test.get("download_button")
    test.session_state["fold-comparison"] = True
    assert "Records, CSV" in {found.label for found in test.run().get("download_button")}


def test_pause_step_and_stop(queue):
    test = open_page(steps="500", methods=["LoRA"])
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: job.step > 1)
    button(test.run(), "Pause").click().run()
    until(lambda: job.parts[0].state == "parked")
    at = job.step
    button(test, "Step").click().run()
    until(lambda: job.step == at + 1)
    assert f"Paused at step {at + 1}" in text(test.run())
    button(test, "Go on").click().run()
    until(lambda: job.step > at + 1)
    button(test, "Stop").click().run()
    assert job.state == "stopped"
    assert "Stopped at step" in text(test.run())


def test_the_device_is_named_and_chosen(queue):
    test = open_page()
    device = next(menu for menu in test.selectbox if menu.label == "Device")
    assert device.options == ["CPU", "A Card"]


def test_a_refusal_is_a_sentence_in_plain_text(queue):
    test = open_page(lr="0.1")
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: not job.alive)
    assert "\\<script\\>" in test.run().error[0].value
    assert not test.exception


def test_a_dead_worker_is_a_sentence(queue):
    test = open_page(lr="0.03")
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: not job.alive)
    assert "ended unexpectedly" in test.run().error[0].value
    assert "stored run: " in picture(test)["status"]


def test_samples_travel_as_data_and_not_as_markup(queue):
    test = open_page(steps="10", methods=["LoRA"])
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: not job.alive)
    assert "Takehama" not in text(test.run())
    assert picture(test)["methods"][0]["samples"][-1][1] == ["Motsubara", "[Takehama](javascript:x)"]


def test_a_run_can_be_led_from_its_first_step(queue):
    test = open_page(steps="500", methods=["LoRA"])
    button(test, "Step").click().run()
    job = job_of(test)
    until(lambda: job.parts[0].state == "parked")
    assert (job.state, job.step) == ("paused", 1)
    button(test.run(), "Step").click().run()
    until(lambda: job.step == 2)
    assert "Paused at step 2" in text(test.run())


def test_a_run_that_was_cut_off_compares_equal_steps_and_says_so(queue):
    test = open_page(steps="500", methods=["LoRA", "DoRA"])
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: job.step > 30)
    queue.stop(job, "It ended at the limit of this server.")
    board = test.run().session_state["_race"]
    assert not test.exception
    assert f"compared at step {board.common_step}" in text(test)
    assert board.common_step >= 30


def test_a_run_that_was_cut_off_before_it_was_measured_compares_nothing(queue):
    test = open_page(steps="500", methods=["LoRA", "DoRA"])
    button(test, "Step").click().run()
    job = job_of(test)
    until(lambda: job.parts[0].state == "parked")
    button(test.run(), "Stop").click().run()
    assert not test.exception
    assert verdict.said(test.session_state["_race"]) == verdict.TOO_EARLY
    assert "nothing to compare yet" in text(test)
    assert "compared at" not in text(test)
    assert "Records, CSV" in {found.label for found in test.get("download_button")}


def test_parts_that_are_not_equally_far_are_told_from_the_slowest_to_the_fastest():
    job = Job("visitor", "finetune", [{}, {}])
    assert live.reached(job) == "step 0"
    for part, step in zip(job.parts, (6, 2), strict=True):
        part.step = step
    job.state = "paused"
    assert live.standing(job) == "Paused at steps 2 to 6"
    job.parts[1].step = 6
    assert live.standing(job) == "Paused at step 6"


@pytest.mark.parametrize(("seconds", "said"), [(3.78, "4 s"), (0.2, "1 s"), (95.4, "1 min 35 s")])
def test_what_is_left_is_told_in_whole_seconds(seconds, said):
    job = SimpleNamespace(state="running", step=1, parts=[SimpleNamespace(step=1)], notes=[], seconds_left=seconds)
    assert live.standing(cast("Job", job)) == f"Training: step 1, about {said} left"
    job.seconds_left = float("inf")
    assert live.standing(cast("Job", job)) == "Training: step 1"


def test_the_record_of_another_task_says_whose_it_is(queue):
    def line(task: str) -> str:
        page = open_page(task=task)
        return next(one.proto.body for one in page.get("html") if "headline" in one.proto.body)

    assert "Recorded earlier<" in line("Only the lengths change")
    assert "Recorded on Only the lengths change<" in line("A sentence to JSON")


def test_the_first_that_is_told_of_a_run_leaves_nothing_out(monkeypatch):
    """A run that pauses at its first step tells nothing more: what did not fit into a look never came."""
    board, job = RaceResults(Race("magnitude", ("lora",))), Job("visitor", "finetune", [{}])
    job.state, job.records = "paused", [{"run": "lora-0", "step": 0, "steps": 9, "loss": 2.5, "validation": 2.5}]
    monkeypatch.setattr(playground, "st", SimpleNamespace(session_state={buttons.RACE: board}))
    monkeypatch.setattr(live, "current", lambda slot: job)
    assert [playground._data(job, whole)[0]["whole"] for whole in (False, False, True, False)] == [1, 0, 1, 0]
    job.parts = Job("visitor", "finetune", [{}]).parts
    assert playground._data(job, False)[0]["whole"]


def test_one_s_own_text_is_learned_and_told_nowhere(queue):
    secret = "Zwrotnica"
    test = open_page(task="Your own text", steps="10")
    assert button(test, "Train").disabled
    test.text_area[0].set_value("\n".join(f"{secret} {'abcdefghij'[i % 10]}" for i in range(60))).run()
    assert "60 names" in text(test)
    button(test, "Train").click().run()
    job = job_of(test)
    assert secret in job.parts[0].parameters["runs"][0]["text"]
    until(lambda: not job.alive)
    test.run()
    told = [str(dict(test.query_params)), json.dumps(picture(test)), text(test), *(code.value for code in test.code)]
    told += [json.dumps(test.session_state["_race"].race.as_dict()), json.dumps(job.records)]
    assert not any(secret in place for place in told)
    assert any('open("my-text.txt"' in code.value for code in test.code)


@pytest.mark.parametrize(("pasted", "words"), [("Ada\nBob", "at least 300"), ("中" * 900, "900 others")])
def test_a_text_that_cannot_be_learned_is_a_sentence(queue, pasted, words):
    test = open_page(task="Your own text")
    test.text_area[0].set_value(pasted).run()
    assert words in text(test)
    assert button(test, "Train").disabled


def test_the_time_is_this_server_s_own_once_a_race_is_through(queue, monkeypatch):
    known: dict[str, float] = {}
    monkeypatch.setattr(pace, "factors", lambda: known)
    test = open_page(steps="10", methods=["LoRA"])
    assert "takes about" in text(test)
    assert "s here." not in text(test)
    button(test, "Train").click().run()
    job = job_of(test)
    until(lambda: not job.alive)
    test.run()  # which learns how long it took
    assert "s here." in text(test.run())
    assert known["magnitude"] > 1  # this worker sleeps 10 ms a step


@pytest.mark.parametrize(
    "query",
    [
        {"rank": "999"},
        {"rank": "<script>alert(1)</script>"},
        {"task": "../../etc/passwd"},
        {"methods": ["full", "<img src=x onerror=alert(1)>"]},
        {"steps": "-1", "seeds": "1e9", "device": "tpu"},
        {"lr": "nan", "alpha": "\x00", "country": "Atlantis"},
    ],
)
def test_a_malformed_link_falls_back_with_a_sentence(queue, query):
    test = open_page(**query)
    assert not test.exception
    assert not re.search(r"(?<!\\)<(script|img)", text(test))
    assert any("does not have" in note.value.replace("\\", "") for note in test.info)


def test_no_method_is_a_sentence(queue):
    test = open_page()
    test.session_state["methods"] = []
    test.run()
    assert not test.exception
    assert "choose at least one method" in text(test)


def test_clicking_again_and_again_leaves_one_job(queue):
    test = open_page(steps="500", methods=["LoRA"])
    for _ in range(5):
        button(test, "Train").click().run()
        button(test, "Stop").click().run()
    button(test, "Train").click().run()
    assert not test.exception
    assert len(queue._alive) == 1
    assert job_of(test).alive


def test_two_tabs_are_two_visitors(queue):
    one, other = open_page(steps="500", methods=["LoRA"]), open_page(steps="500", methods=["LoRA"])
    button(one, "Train").click().run()
    button(other, "Train").click().run()
    assert job_of(one) is not job_of(other)
    assert one.session_state["_visitor"] != other.session_state["_visitor"]
    assert job_of(one).alive
    assert job_of(other).alive


def test_without_torch_the_page_still_teaches(monkeypatch):
    hello = {"devices": [], "problem": "Training needs PyTorch, which is not installed here."}
    source = f"from peftcalc.jobs.worker import serve; serve({{}}, lambda: {hello})"
    queue = JobQueue((sys.executable, "-c", source), 1, Limits())
    monkeypatch.setattr(live, "queue", lambda: queue)
    until(lambda: queue.problem)
    test = open_page()
    button(test, "Train").click().run()
    assert "Training needs PyTorch" in text(test)
    assert "stored run: " in picture(test)["status"]
    assert not test.exception
    queue.close()


@pytest.mark.parametrize("preset", LESSON.presets, ids=lambda preset: preset.name)
def test_a_preset_moves_the_controls(queue, preset):
    test = open_page()
    button(test, preset.name).click().run()
    assert not test.exception
    assert test.session_state["rank"] == preset.parameters["rank"]
    assert list(test.session_state["methods"]) == list(preset.parameters["methods"])


@pytest.mark.slow
@pytest.mark.parametrize("prompt", LESSON.try_this, ids=lambda prompt: prompt.text[:40])
def test_a_claim_is_true(queue, prompt):
    test = open_page()
    for key, value in prompt.parameters.items():
        test.session_state[key] = value
    assert not test.run().exception
    assert prompt.check()


def test_the_prediction_has_its_answer_among_the_options():
    assert LESSON.prediction is not None
    assert LESSON.prediction.answer() in LESSON.prediction.options


def test_a_race_that_is_too_long_is_refused_with_what_would_do(queue):
    test = open_page(task="City names", steps="500", seeds="5")
    assert button(test, "Train").disabled
    assert any("would do" in warning.value for warning in test.warning)
    assert not button(open_page(task="City names", steps="10"), "Train").disabled


def test_a_busy_moment_forbids_no_race():
    from types import SimpleNamespace

    from peftcalc.lab.race import Race
    from peftcalc.ui import live

    pace.factors().clear()
    own, short, long = Race("own", steps=50), Race("magnitude", rank=4), Race("names", steps=50)
    stored = pace.seconds(own)
    pace.learn(short, SimpleNamespace(parts=[SimpleNamespace(earlier=60.0)]))
    assert not pace.measured(own)
    assert pace.seconds(own) == stored  # its messages took that long, not its steps
    pace.learn(long, SimpleNamespace(parts=[SimpleNamespace(earlier=3_000.0)]))
    assert stored < pace.seconds(own) < live.queue().limits.running
    pace.factors().clear()


@contextmanager
def dask(port: int):
    from distributed import LocalCluster

    places = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    places |= {"host": "127.0.0.1", "scheduler_port": port, "protocol": "tcp://"}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **places):
        yield


@pytest.mark.slow
def test_what_the_page_says_of_a_scheduler_that_goes_and_comes_back(monkeypatch):
    """Scheduler and workers are threads that speak TCP; as processes they are killed in `test_cluster_processes`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(cluster, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2.0)
    monkeypatch.setattr(cluster_members, "LOOK", 0.05)
    monkeypatch.setattr(cluster_task, "_loaded", lambda rooms: {"devices": [["cpu", "CPU"]]})
    monkeypatch.syspath_prepend(str(Path(WORKER[1]).parent))
    url = f"tcp://127.0.0.1:{port}"
    with dask(port):
        queue = open_queue(address(url), (Path(WORKER[1]).stem,), Limits(again=live.AGAIN))
        monkeypatch.setattr(live, "queue", lambda: queue)
        until(lambda: len(queue.engine) == 2)
        test = open_page(steps="300")
        assert f"Dask at {url}, 2 workers. When its scheduler goes away" in text(test).replace("\\", "")
        button(test, "Train").click().run()
        job = job_of(test)
        until(lambda: job.step > 5)
        button(test.run(), "Pause").click().run()
        until(lambda: all(part.state == "parked" for part in job.parts))
        paused_at = job.step
        assert f"Paused at step {paused_at}" in text(test.run())
        button(test, "Step").click().run()
        until(lambda: [part.step for part in job.parts] == [paused_at + 1] * 2)
    with closing(queue):
        until(lambda: not job.alive)
        gone = f"The Dask scheduler at {url} is gone, and its workers with it: the runs in hand are lost"
        test.run()
        assert [error.value for error in test.error] == [escape(gone)]
        assert not test.exception
        assert {"Train", "Reset"} <= labels(test)  # what was told is drawn, and another run can be tried
        button(test, "Train").click().run()
        assert any("Dask scheduler" in warning.value for warning in test.warning)
        with dask(port):
            until(lambda: len(queue.engine) == 2)
            button(test.run(), "Train").click().run()
            again = job_of(test)
            until(lambda: not again.alive)
            assert again.state == "done"
            assert "measured" in text(test.run())
