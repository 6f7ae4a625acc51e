"""The Train page's sweep: a stored one at once, one's own while it comes, bounds, and the link that opens it again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawers import pulled
from streamlit.testing.v1 import AppTest
from waiting import until

from peftcalc.jobs.history.history import History
from peftcalc.jobs.history.kept_run import new_run
from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.limits import Limits
from peftcalc.lab.sweeps.kept_sweep import SWEEP, KeepableSweep, sweep_link
from peftcalc.lab.sweeps.plan import SweepPlan
from peftcalc.ui import live
from peftcalc.ui.classroom import here
from peftcalc.ui.history import shown
from peftcalc.ui.history.keeper import Keeper

ROOT = Path(__file__).parents[2]
WORKER = (sys.executable, str(Path(__file__).with_name("quick_worker.py")))


@pytest.fixture
def queue(monkeypatch) -> Iterator[JobQueue]:
    found = JobQueue(WORKER, 1, Limits())
    monkeypatch.setattr(live, "queue", lambda: found)
    until(lambda: found.ready)
    yield found
    found.close()


@pytest.fixture
def kept(monkeypatch, tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "history.sqlite")
    keeper = Keeper(history)
    for module in (shown, here):
        monkeypatch.setattr(module, "keeper", lambda: keeper)
    yield history
    keeper.close()


def open_page(**query) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages/train.py"), default_timeout=120)
    for key, value in {"section": "a sweep", **query}.items():
        test.query_params[key] = value
    return pulled(test).run()


def text(test: AppTest) -> str:
    assert not test.exception
    return "\n".join(str(one.value) for kind in ("markdown", "info", "error") for one in getattr(test, kind)).replace(
        "\\", ""
    )


def settings(plan: SweepPlan) -> dict[str, str]:
    return {"grid-methods": "LoRA", "grid-ranks": "1", "grid-seeds": str(plan.seeds), "grid-steps": str(plan.steps)}


def test_it_opens_with_a_stored_sweep_of_what_the_controls_say(queue):
    test = open_page()
    assert "stored run: Handwritten digits, rotated: Full, LoRA, DoRA" in text(test)
    assert "21 runs of 100 steps" in text(test)
    assert len(test.get("vega_lite_chart")) == 1
    assert len(test.dataframe[0].value) == 7
    assert SweepPlan().to_code() in [code.value for code in test.code]


def test_a_sweep_from_the_click_to_the_table_and_its_link(queue, kept):
    test = open_page(**{"grid-methods": "LoRA", "grid-seeds": "8"})
    test.button(key="sweep-go").click().run()
    job = test.session_state[live._key("sweep")]
    until(lambda: job.records)
    said = text(test.run())
    assert "stored run:" not in said
    until(lambda: not job.alive)
    said = text(test.run())
    assert "measured: Handwritten digits, rotated: LoRA, ranks 1, 4 and 16, 100 steps, 8 seeds: 24 runs" in said
    assert list(test.dataframe[0].value["Held-out loss"]) == [4.0] * 3
    assert list(test.dataframe[0].value["Seeds"]) == [8] * 3
    until(lambda: kept.runs() and kept.runs()[0].state == "done")
    (run,) = kept.runs()
    assert len(run.results) == 24
    again = AppTest.from_file(str(ROOT / "pages/train.py"), default_timeout=120)
    again.query_params["section"], again.query_params["run"] = "a sweep", run.id
    assert f"kept run: {run.title}" in text(again.run())
    assert list(again.dataframe[0].value["Held-out loss"]) == [4.0] * 3
    assert run.link.endswith(f"&run={run.id}")


def test_a_stopped_sweep_shows_what_has_ended(queue):
    test = open_page(**{"grid-methods": "LoRA", "grid-seeds": "8"})
    test.button(key="sweep-go").click().run()
    job = test.session_state[live._key("sweep")]
    until(lambda: job.records)
    queue.pause(job)  # else a quick machine is through before the page is drawn
    assert job.state == "paused"
    test.run().button(key="sweep-stop").click().run()
    assert job.state == "stopped"
    assert "Stopped" in text(test)
    assert 0 < sum(test.dataframe[0].value["Seeds"]) <= 24


def test_more_than_a_page_may_ask_for_is_a_sentence(queue):
    for query, sentence in (
        ({"grid-seeds": "8", "grid-ranks": ["1", "2", "4", "8", "16", "32", "64"]}, "number of runs must be between"),
        ({"grid-seeds": "5", "grid-ranks": ["1", "2", "4", "8", "16", "32"], "grid-steps": "300"}, "266 each would do"),
    ):
        methods = ["Full", "LoRA", "DoRA", "QLoRA", "QDoRA"] if "grid-steps" not in query else ["LoRA", "DoRA", "QLoRA"]
        test = open_page(**{"grid-methods": methods, **query})
        assert sentence in text(test), query
        assert test.button(key="sweep-go").disabled


def test_a_race_and_a_sweep_do_not_take_each_other_for_their_own(queue, kept):
    plan = SweepPlan("rank", ("lora",), (1,), seeds=1, steps=20)
    run = new_run(SWEEP, "sweep", plan.title, {"task": "rank"}, sweep_link())
    kept.keep(run).result(30)
    test = open_page(run=run.id)
    assert "It ended before a run was through" in text(test)
    assert "stored run" in text(test)
    what = KeepableSweep(plan)
    looks = [{"run": "0", "step": step, "validation": 1.0, "metrics": {}} for step in (0, 20)]
    assert [one["validation"] for one in what.results(looks)] == [1.0]
    assert what.results(looks[:1]) == []
