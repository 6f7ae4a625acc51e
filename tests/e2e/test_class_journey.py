"""A teacher at the projector and a learner with a telephone in one classroom, from the door to a part of the grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served_app import CHROMIUM, running_app
from visit import TIMEOUT, visit

from peftcalc.jobs.classroom import names

pytestmark = [pytest.mark.slow, pytest.mark.browser]

THE_TASK_IS_CHOSEN = """() => [...document.querySelectorAll('[data-testid=stSelectbox]')].some(
  box => [box.innerText, ...[...box.querySelectorAll('input')].map(input => input.value)].join()
    .includes('An update of known rank'))"""
KEY = "abcd-efgh-jkmn"


@pytest.fixture
def class_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    if not CHROMIUM.exists():
        pytest.skip("needs Debian's chromium at /usr/bin/chromium")
    monkeypatch.setenv("PEFTCALC_HISTORY", str(tmp_path / "history.sqlite"))
    monkeypatch.setenv(names.ROOM_VARIABLE, "elm-42")
    monkeypatch.setenv(names.LOCK_VARIABLE, names.lock(KEY))
    with running_app() as (url, _):
        yield url


def test_a_teacher_leads_and_a_learner_follows(browser, class_url: str):
    teacher = visit(browser, f"{class_url}/class?room=elm-42", 1280, height=720)
    learner = visit(browser, f"{class_url}/class?room=elm-42", 390, height=844)
    teaches, learns = teacher.page, learner.page
    for page in (teaches, learns):
        page.set_default_timeout(TIMEOUT)

    teaches.get_by_text("I teach").click()
    teaches.get_by_label("The key that the terminal printed").fill(KEY)
    teaches.get_by_label("The key that the terminal printed").press("Enter")
    teaches.get_by_role("button", name="Open", exact=True).click()
    learns.get_by_role("button", name="Join elm-42").click()
    learns.get_by_text("You are in").wait_for()

    teaches.get_by_role("button", name="Start: What does fine-tuning cost?").click()
    teaches.get_by_role("button", name="Ask the prediction").click()
    learns.get_by_text("about 30 GiB").click()
    teaches.get_by_text("1 of 1 have answered").wait_for()
    teaches.get_by_role("button", name="Reveal the answer").click()
    learns.get_by_text("You said: about 30 GiB").wait_for()
    learns.get_by_text("four times the file").wait_for()

    for title in ("Two strips", "Four bits below", "Which rank is enough?"):
        teaches.get_by_role("button", name="Next part").click()
        teaches.get_by_role("heading", name=title, exact=True).wait_for()
    teaches.get_by_role("button", name="Deal out the grid: Train").click()
    learns.get_by_text("Yours: rank 1, seed 0").wait_for()
    learns.wait_for_url("**/train?**", timeout=TIMEOUT)
    learns.wait_for_function(THE_TASK_IS_CHOSEN)
    learns.reload()
    learns.get_by_text("Yours: rank 1, seed 0").wait_for()
    learns.wait_for_function(THE_TASK_IS_CHOSEN)
    assert "/train" in learns.url, "a reload keeps the seat, and stays where the learner is"
    assert teacher.errors == []
    assert learner.errors == []
    for page in (teaches, learns):
        page.context.close()
