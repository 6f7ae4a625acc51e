"""A finding, from the guess to one's own run of it."""

from __future__ import annotations

import re

import pytest
import visit

from peftcalc.lab.findings.claims import CLAIMS

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ENDED = re.compile(r"20 of 20 runs, 1 seed\b")
LONGEST = 300_000
"""Milliseconds for a map that takes two free cores 4 s, on a machine where many others compute."""


def test_a_guess_opens_the_answer_and_a_live_map_fills_its_place(browser, app_url):
    opened = visit.visit(browser, f"{app_url}/findings?section=alpha&seeds=1")
    page = opened.page
    page.set_default_timeout(visit.TIMEOUT)
    try:
        claim = CLAIMS["alpha"]
        badge = page.get_by_text(f"{claim.badge} here")
        assert badge.count() == 0, "the badge gives the answer away"
        page.get_by_text("At the same", exact=True).click()
        badge.first.wait_for()
        page.get_by_text("You said: At the same").wait_for()
        assert page.get_by_text(claim.published).count() == 1
        page.get_by_role("button", name="Run 20 trainings now").click()
        page.get_by_role("button", name="Stop").wait_for()
        page.get_by_text(ENDED).wait_for(timeout=LONGEST)
        opened.settle()
        assert page.get_by_role("button", name="Stop").count() == 0
        page.get_by_role("button", name="Reset").click()
        badge.first.wait_for()
        assert opened.errors == []
    finally:
        page.context.close()
