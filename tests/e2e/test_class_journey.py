"""A teacher at the projector and three learners with telephones in one classroom, from the door to the board."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served_app import CHROMIUM, running_app
from visit import OVERFLOW, TIMEOUT, Visit, visit

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


THE_BOARD_IS_IN_SIGHT = """() => {
  const chart = document.querySelector('[data-testid=stVegaLiteChart]');
  return chart && chart.getBoundingClientRect().bottom <= innerHeight;
}"""


def come(browser, url: str, width: int, height: int, scheme: str = "light", more: str = "") -> Visit:
    came = visit(browser, f"{url}/class?room=elm-42{more}", width, scheme, height)
    came.page.set_default_timeout(TIMEOUT)
    return came


def join(came: Visit, nickname: str = "") -> None:
    if nickname:
        came.page.get_by_label("A nickname, if you like").fill(nickname)
        came.page.get_by_label("A nickname, if you like").press("Enter")
    came.page.get_by_role("button", name="Join elm-42").click()


def run_ones_part(came: Visit, rank: int) -> None:
    """On the page to which everybody was sent, the task chosen, and one's own part in sight: press Train."""
    learns = came.page
    learns.get_by_text(f"Yours: rank {rank}, seed 0").wait_for()
    learns.wait_for_url("**/train?**", timeout=TIMEOUT)
    learns.wait_for_function(THE_TASK_IS_CHOSEN)
    learns.get_by_role("button", name="Train", exact=True).click()


def test_a_teacher_leads_and_what_learners_run_reaches_the_board(browser, class_url: str):
    teacher = come(browser, class_url, 1280, 720, more="&projector=true")
    ada, other = come(browser, class_url, 390, 844), come(browser, class_url, 390, 844, "dark")
    teaches = teacher.page
    teaches.get_by_text("I teach").click()
    teaches.get_by_label("The key that the terminal printed").fill(KEY)
    teaches.get_by_label("The key that the terminal printed").press("Enter")
    teaches.get_by_role("button", name="Open", exact=True).click()
    join(ada, "Ada")
    ada.page.get_by_text("You are in, Ada").wait_for()
    join(other, "Ada")
    other.page.get_by_text("You are in, Ada 2").wait_for()
    teaches.get_by_text("Who is here").click()
    teaches.get_by_text("2 seats, 2 with a nickname.").wait_for()
    teaches.keyboard.press("Escape")

    teaches.get_by_role("button", name="Start: What does fine-tuning cost?").click()
    teaches.get_by_role("button", name="Ask the prediction").click()
    ada.page.get_by_text("about 30 GiB").click()
    other.page.get_by_text("about 75 GiB").click()
    teaches.get_by_text("2 of 2 have answered").wait_for()
    teaches.get_by_role("button", name="Reveal the answer").click()
    ada.page.get_by_text("You said: about 30 GiB").wait_for()
    other.page.get_by_text("four times the file").wait_for()
    assert "Ada" not in teaches.locator("[data-testid=stVegaLiteChart]").inner_text(), "an answer has no name"

    for title in ("Two strips", "Four bits below", "Which rank is enough?"):
        teaches.get_by_role("button", name="Next part").click()
        teaches.get_by_role("heading", name=title, exact=True).wait_for()
    teaches.get_by_role("button", name="Deal out the grid: Train").click()
    run_ones_part(ada, 1)
    run_ones_part(other, 2)
    late = come(browser, class_url, 390, 844)
    join(late)
    run_ones_part(late, 4)

    teaches.get_by_role("tab", name="board").click()
    on_the_board = teaches.get_by_test_id("stMarkdown").get_by_text("An update of known rank: 3 runs, 3 settings")
    on_the_board.wait_for(timeout=3 * TIMEOUT)  # the workers load first
    teaches.wait_for_function(THE_BOARD_IS_IN_SIGHT)
    ada.page.reload()
    ada.page.get_by_text("Yours: rank 1, seed 0").wait_for()
    ada.page.wait_for_function(THE_TASK_IS_CHOSEN)
    assert "/train" in ada.page.url, "a reload keeps the seat, and stays where the learner is"
    other.page.get_by_role("link", name="Class elm-42").click()
    other.page.get_by_role("tab", name="board").click()
    other.page.get_by_test_id("stMarkdown").get_by_text("3 runs, 3 settings").wait_for()
    assert [came.evaluate(OVERFLOW) for came in (teacher, ada, other, late)] == [0, 0, 0, 0]
    teaches.get_by_text("Clear", exact=True).click()
    teaches.get_by_role("button", name="Clear the board for everybody").click()
    other.page.get_by_role("heading", name="The board is empty").wait_for()
    assert [came.errors for came in (teacher, ada, other, late)] == [[], [], [], []]
    for came in (teacher, ada, other, late):
        came.page.context.close()
