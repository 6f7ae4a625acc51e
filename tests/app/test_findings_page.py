"""The Findings page: every claim with its badge after the guess and not before, and the article's experiment."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from peftcalc.lab.findings.claims import CLAIMS
from peftcalc.lab.findings.stored import stored_finding
from peftcalc.ui.findings.article import computed
from peftcalc.ui.findings.learning_rate import LIVE
from peftcalc.ui.findings.live_runs import _dealt
from peftcalc.ui.lessons.findings import changes, choices, rates

ROOT = Path(__file__).parents[2]
SECTIONS = {
    "learning rate": ("rates", "learning-rate", rates.RATES),
    "capacity": ("capacity", "capacity", rates.CAPACITY),
    "alpha": ("alpha-map", "alpha", rates.ALPHA),
    "merging": ("merging", "merging", changes.MERGING),
    "forgetting": ("forgetting", "forgetting", changes.FORGETTING),
    "intruders": ("intruders", "intruders", changes.INTRUDERS),
    "starts": ("starts", "starts", choices.STARTS),
    "layers": ("layers", "layers", choices.LAYERS),
}


def opened(section: str, guess: tuple[str, str] | None = None) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages/findings.py"), default_timeout=120)
    test.query_params["section"] = section
    if guess:
        test.session_state[f"_guess_{guess[0]}"] = guess[1]
    test.run()
    assert not test.exception
    assert not test.error
    return test


def text(test: AppTest) -> str:
    """What is written: as Markdown, and on the cards."""
    found = [str(element.value) for kind in ("markdown", "caption") for element in getattr(test, kind)]
    return html.unescape("\n".join([*found, *(element.proto.body for element in test.get("html"))]))


@pytest.mark.parametrize("section", SECTIONS)
def test_badge_and_sentence_open_with_the_guess(section):
    key, name, lesson = SECTIONS[section]
    assert lesson.prediction
    before, after = opened(section), opened(section, (key, lesson.prediction.options[0]))
    for words in (f"{CLAIMS[name].badge} here", CLAIMS[name].sentence, CLAIMS[name].published):
        assert words not in text(before)
        assert words in text(after)
    assert before.get("vega_lite_chart")
    assert f"{CLAIMS[name].seeds} seeds" in text(after)


def test_every_run_of_a_map_is_dealt_once_and_a_seed_stays_together():
    plan = [planned for seed in range(4) for planned in LIVE.runs(seed)]
    dealt = _dealt(plan, 2)
    runs = [run for groups in dealt for group in groups for run in group]
    assert sorted(int(run["run"]) for run in runs) == list(range(100))
    assert [{run["seed"] for group in groups for run in group} for groups in dealt] == [{0, 2}, {1, 3}]


def test_the_article_is_computed_and_only_full_does_not_fit():
    five = computed(8, 1, 1024, True, 10**6)
    assert [one.label for one in five if not one.fit.fits] == ["Full"]
    assert "nothing found" in opened("the article", ("article", "It takes more time")).dataframe[0].value.to_string()


def test_rows_say_what_made_them():
    for name in ("learning-rate", "merging"):
        assert {"script", "seeds", "torch", "machine"} <= set(stored_finding(name).made)
