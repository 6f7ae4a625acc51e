"""Every page: it opens with a result, every control goes to its ends, malformed links fall back, lessons are true."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from drawers import pulled
from streamlit.testing.v1 import AppTest

import peftcalc.ui.lessons
from peftcalc.ui.lessons.lesson import Lesson, notebook_file
from peftcalc.ui.pages import PAGES

ROOT = Path(__file__).parents[2]
SECONDS = 120
NASTY = "<script>alert(1)</script> ![x](http://example.invalid) $\\infty$ :material/home: '); DROP TABLE"

pages = pytest.mark.parametrize("entry", PAGES, ids=[entry.title for entry in PAGES])


def opened(entry, **query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / entry.file), default_timeout=SECONDS)
    for key, value in query.items():
        page.query_params[key] = value
    return pulled(page).run()


def lessons() -> list[tuple[str, Lesson]]:
    found = []
    root = "peftcalc.ui.lessons."
    for module in pkgutil.walk_packages(peftcalc.ui.lessons.__path__, root):
        file, loaded = module.name.removeprefix(root), importlib.import_module(module.name)
        found += [(f"{file}.{name}", lesson) for name, lesson in vars(loaded).items() if isinstance(lesson, Lesson)]
    return found


PROMPTS = [(f"{name}: {prompt.text}", prompt) for name, lesson in lessons() for prompt in lesson.try_this]
PREDICTIONS = [(name, lesson.prediction) for name, lesson in lessons() if lesson.prediction]


def test_every_notebook_is_offered_where_its_lesson_is():
    named = {lesson.notebook for _, lesson in lessons() if lesson.notebook}
    assert named == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert all(notebook_file(name).is_file() for name in named)


@pages
def test_it_opens_with_its_question_and_a_result(entry):
    page = opened(entry)
    assert not page.exception
    assert not page.error
    assert page.title[0].value == entry.question


@pages
def test_at_most_sixty_words_come_before_the_first_control(entry):
    source = opened(entry)
    words: list[str] = []
    for element in source.main:
        kind = getattr(element, "type", "")
        if kind in ("markdown", "caption", "title", "header", "subheader"):
            words += re.findall(r"\w+", str(element.value))
        elif kind not in ("vertical", "horizontal", "container", "badge", "unknown"):
            break
    assert len(words) <= 60


@pages
def test_every_control_goes_to_its_ends(entry):
    page = opened(entry)
    for kind, ends in (("select_slider", (0, -1)), ("selectbox", (0, -1)), ("radio", (0, -1))):
        for place in range(len(getattr(page, kind))):
            for end in ends:
                widgets = getattr(page, kind)
                if place < len(widgets) and not widgets[place].disabled:
                    widgets[place].set_value(_option(widgets[place], end)).run()
                    assert not page.exception, f"{kind} {place} at {end}"
    for place in range(len(page.number_input)):
        for end in ("min", "max"):
            widget = page.number_input[place]
            widget.set_value(getattr(widget, end)).run()
            assert not page.exception, f"number {widget.label} at its {end}"
    for place in range(len(page.toggle)):
        page.toggle[place].set_value(not page.toggle[place].value).run()
        assert not page.exception, f"switch {place}"


def _option(widget, end: int):
    """AppTest's own options are the shown texts; its widgets take those."""
    return widget.options[end]


@pages
def test_text_from_outside_stays_text(entry):
    page = opened(entry)
    for kind in ("text_input", "text_area"):
        for place in range(len(getattr(page, kind))):
            getattr(page, kind)[place].set_value(NASTY).run()
            assert not page.exception
            shown = [error.value for error in page.error]
            assert all("<script>" not in text for text in shown), shown
            getattr(page, kind)[place].set_value("").run()


@pages
def test_a_malformed_link_falls_back(entry):
    keys = (
        "model",
        "rank",
        "method",
        "task",
        "seed",
        "seeds",
        "size",
        "r",
        "targets",
        "alpha",
        "format",
        "gpu",
        "batch",
    )
    page = opened(entry, **dict.fromkeys(keys, "9999999999999999999999"))
    assert not page.exception
    page = opened(entry, **dict.fromkeys(keys, NASTY))
    assert not page.exception


def test_a_claim_that_is_written_as_html_has_no_markdown():
    """`lessons.lesson` escapes it: a star or a backtick would stand there as it is."""
    assert [name for name, prompt in PROMPTS if re.search(r"[*`$]|:\w+\[|\]\(", prompt.claim)] == []


@pytest.mark.parametrize("prompt", [p for _, p in PROMPTS], ids=[name for name, _ in PROMPTS])
def test_the_claim_of_a_prompt_is_true(prompt):
    assert prompt.check()


@pytest.mark.parametrize(("name", "prediction"), PREDICTIONS, ids=[name for name, _ in PREDICTIONS])
def test_the_answer_of_a_prediction_is_one_of_its_options(name, prediction):
    assert prediction.answer() in prediction.options


@pages
def test_presets_and_prompts_move_the_controls(entry):
    page = opened(entry)
    keys = [b.key for b in page.button if b.key and re.search(r"-(preset|try)-\d+$", b.key)]
    for key in keys:
        page.button(key=key).click().run()
        assert not page.exception, key
        assert not page.error, key


def test_every_page_teaches():
    assert len(PROMPTS) >= 12
    assert len(PREDICTIONS) >= 4


def test_the_parameters_page_counts_the_head_of_a_task():
    entry = next(entry for entry in PAGES if entry.file == "parameters.py")
    page = opened(
        entry, section="a real model", model="FacebookAI/roberta-large", task="TOKEN_CLS", labels="11", rank="8"
    )
    assert not page.exception
    assert not page.error
    assert any("RobertaForTokenClassification is counted" in info.value for info in page.info)
    assert any("exclude_modules" in code.value for code in page.code)
