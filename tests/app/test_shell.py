"""What all pages share: sections, predictions, what goes along from page to page, where notes about a link stand."""

from __future__ import annotations

import re
import tomllib

import pytest
from streamlit.testing.v1 import AppTest

from peftcalc.app_folder import app_folder
from peftcalc.methods import METHODS
from peftcalc.ui import shell
from peftcalc.ui.lessons.lesson import Prediction
from peftcalc.ui.lessons.words import WORDS
from peftcalc.ui.pages import PAGES
from peftcalc.ui.server import front


def two_sections() -> None:
    import streamlit as st

    from peftcalc.ui import page, sections, state

    def one() -> None:
        st.session_state["ran"] = [*st.session_state.get("ran", []), "one"]
        st.markdown(f"rank {state.slider('Rank', (1, 2, 4), 'rank', 1)}")

    def two() -> None:
        st.session_state["ran"] = [*st.session_state.get("ran", []), "two"]
        st.markdown("the second")

    page.open_page("A question?", "An answer.")
    sections.show({"one": one, "two": two})


def test_only_the_open_section_is_computed():
    page = AppTest.from_function(two_sections).run()
    assert page.session_state["ran"] == ["one"]
    page = AppTest.from_function(two_sections)
    page.query_params["section"] = "two"
    assert page.run().session_state["ran"] == ["two"]


def test_a_section_that_is_not_there_and_a_value_out_of_range_are_noted_at_the_top():
    page = AppTest.from_function(two_sections)
    page.query_params["section"], page.query_params["rank"] = "three", "99"
    page.run()
    assert sorted(note.value.partition(",")[0] for note in page.info) == [
        "The link asked for rank = 99",
        "The link asked for section = three",
    ]
    texts = [str(getattr(element, "value", "")) for element in page.main]
    first_note = next(place for place, text in enumerate(texts) if "link asked" in text)
    assert texts.index("A question?") < first_note < texts.index("An answer.")
    page.select_slider(key="rank").set_value(2).run()
    assert not any("rank" in note.value for note in page.info)


def two_groups() -> None:
    from functools import partial

    import streamlit as st

    from peftcalc.ui import page, sections

    def print_name(name: str) -> None:
        st.markdown(f"section {name}")

    page.open_page("A question?", "An answer.")
    drawn = {name: partial(print_name, name) for name in ("one", "two", "three", "four")}
    first, last = dict(list(drawn.items())[:2]), dict(list(drawn.items())[2:])
    sections.grouped({"begin": first, "go on": last})
    sections.door("The last", "four")
    sections.door("Another page's", "five")


def open_section(page: AppTest) -> str:
    return next(text.value for text in page.markdown if text.value.startswith("section "))


@pytest.mark.parametrize(
    ("link", "shown"), [("", "one"), ("two", "two"), ("three", "three"), ("four", "four"), ("go on", "three")]
)
def test_a_link_opens_a_section_in_its_group(link, shown):
    page = AppTest.from_function(two_groups)
    if link:
        page.query_params["section"] = link
    assert open_section(page.run()) == f"section {shown}"
    assert page.session_state["_sections"] == ["one", "two", "three", "four"]
    assert not page.info


def test_another_group_opens_with_its_first_section_and_its_others_are_a_press_away():
    page = AppTest.from_function(two_groups).run()
    assert open_section(page.button(key="door-section-four").click().run()) == "section four"
    assert page.button_group(key="section").options == ["three", "four"]
    page.button_group(key="section").set_value("three").run()
    assert open_section(page) == "section three"
    assert open_section(page.button(key="door-section-five").click().run()) == "section one"


def two_boxes() -> None:
    import streamlit as st

    from peftcalc.ui import page, sections, state

    state.arrive(st.session_state.get("at", "memory"))
    page.open_page("A question?")
    state.slider("Rank", (1, 2), "rank", 1)
    page.folded("A box", "box")

    def section() -> None:
        st.markdown("what goes deeper")

    sections.deeper({"one": section, "two": section})


def landings(page: AppTest) -> list[str]:
    """Where the browser is asked to scroll to."""
    sent = "".join(str(element.proto) for element in page.main if hasattr(element, "proto"))
    return [key for key in ("box", "section") if f"landing-{key}" in sent]


def test_a_link_lands_on_what_it_names_once():
    page = AppTest.from_function(two_boxes)
    page.query_params["box"], page.query_params["section"] = "true", "two"
    assert landings(page.run()) == ["section"]  # the last that is named
    assert landings(page.select_slider(key="rank").set_value(2).run()) == []
    assert landings(page.button_group(key="section").set_value("one").run()) == []
    page.session_state["at"] = "another page"
    page.query_params["box"] = "true"
    assert landings(page.run()) in (["box"], ["section"])


def test_a_link_that_names_nothing_below_scrolls_nothing():
    page = AppTest.from_function(two_boxes)
    page.query_params["rank"] = "2"
    assert landings(page.run()) == []
    assert landings(page.button_group(key="section").set_value("one").run()) == []


def travelling() -> None:
    import streamlit as st

    from peftcalc.ui import state

    state.arrive(st.session_state.get("at", "first"))
    if st.session_state.get("at") != "between":
        state.menu("Card", ("T4", "H200"), "gpu", "T4")
        state.slider("Rank", (1, 2), "rank", 1)


def test_the_card_goes_along_to_another_page_and_a_rank_does_not():
    page = AppTest.from_function(travelling)
    page.query_params["gpu"] = "H200"
    page.run()
    page.session_state["at"] = "between"
    page.run()
    page.query_params.clear()
    page.session_state["at"] = "second"
    page.run()
    assert page.selectbox(key="gpu").value == "H200"
    assert page.query_params["gpu"] in ("H200", ["H200"])
    page.selectbox(key="gpu").set_value("T4").run()
    assert page.selectbox(key="gpu").value == "T4"


def two_pages() -> None:
    import streamlit as st

    from peftcalc.ui import sections, state

    second = st.session_state.get("at") == "second"
    state.arrive("second" if second else "first")
    state.slider("Rank", (1, 2, 4), "rank", 4 if second else 2)
    state.switch("Checked", "checked")
    sections.deeper({"deep" if second else "other": lambda: None, "more": lambda: None})


def test_what_nobody_chose_on_a_page_is_not_brought_by_the_page_before():
    page = AppTest.from_function(two_pages)
    page.query_params["section"] = "other"
    page.run()
    assert (page.select_slider(key="rank").value, page.button_group(key="section").value) == (2, "other")
    page.query_params.clear()
    page.session_state["at"] = "second"
    page.run()
    assert page.select_slider(key="rank").value == 4
    assert not page.button_group(key="section").value
    assert "section" not in page.query_params


def test_a_switch_that_a_link_turns_to_neither_is_noted():
    page = AppTest.from_function(two_pages)
    page.query_params["checked"] = "maybe"
    page.run()
    notes = page.session_state["_link_notes"]
    assert notes["checked"][0].startswith("The link asked for checked = maybe, which this page does not have")
    page.toggle(key="checked").set_value(True).run()
    assert "checked" not in page.session_state["_link_notes"]


def test_a_link_comes_before_what_was_chosen():
    page = AppTest.from_function(travelling)
    page.session_state["_chosen"] = {"gpu": "H200"}
    page.query_params["gpu"] = "T4"
    assert page.run().selectbox(key="gpu").value == "T4"


def guessing() -> None:
    import streamlit as st

    from peftcalc.ui import state
    from peftcalc.ui.lessons import predict
    from peftcalc.ui.lessons.lesson import Prediction

    rank = state.slider("Rank", (1, 2, 4), "rank", 1)
    question = Prediction("At rank 4?", (), lambda: 40.0, "Ten a rank.", {"rank": 4}, "numbers")
    if predict.ask(question, "ten"):
        st.markdown(f"the answer: {10 * rank}")


def test_an_answer_opens_with_the_guess_which_stays_and_moves_the_controls():
    page = AppTest.from_function(guessing).run()
    assert not any("the answer" in text.value for text in page.markdown)
    page.number_input(key="ten-guess").set_value(30.0).run()
    shown = " ".join(text.value for text in page.markdown)
    assert "the answer: 40" in shown
    assert "You said: 30 numbers" in shown
    assert "It is: 40 numbers" in shown
    page.button(key="ten-again").click().run()
    assert not any("the answer" in text.value for text in page.markdown)


def test_a_number_is_right_within_its_share_and_an_option_only_as_it_is():
    number = Prediction("?", (), lambda: 100.0, "", within=0.05)
    assert number.right(104)
    assert not number.right(106)
    option = Prediction("?", ("a", "b"), lambda: "a", "")
    assert option.right("a")
    assert not option.right("b")


def test_a_link_is_answered_with_the_pages_title_and_where_the_server_is():
    train = next(entry for entry in PAGES if entry.path == "train")
    text = front.html(train)
    assert "<title>Train · peftcalc</title>" in text
    assert "<title>Streamlit</title>" not in text
    assert text.index("MAIN_PAGE_BASE_URL") < text.index('<script type="module"')
    assert {route.path for route in front.routes()} == {f"/{entry.path}" for entry in PAGES}


def test_the_style_follows_theme_and_projector():
    assert "font-size: 20px" in shell.style("light", True)
    assert "font-size: 20px" not in shell.style("light", False)
    assert shell.style("dark", False) != shell.style("light", False)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_navigation_has_the_ground_of_the_page_and_is_not_seen_through(theme):
    config = tomllib.loads((app_folder() / ".streamlit" / "config.toml").read_text())
    grounds = re.findall(r'"stHeader"\] \{\s*background: (#\w{6});', shell.style(theme, False))
    assert grounds[-1] == config["theme"][theme]["backgroundColor"]


def test_every_method_has_its_line_among_the_words():
    text = " ".join(WORDS)
    assert all(method.label.split()[0] in text for method in METHODS.values())
    assert all(len(meaning.split()) <= 25 for meaning in WORDS.values())


def one_chart() -> None:
    import streamlit as st

    from peftcalc.plots.chart import Chart
    from peftcalc.ui import show

    def spec() -> dict:
        x = {"field": "x", "type": "quantitative"}
        return {"description": "A point.", "data": {"name": "points"}, "mark": "point", "encoding": {"x": x}}

    x = st.number_input("x", 0, 9)
    show.chart(Chart(spec, (), {"points": [{"x": x}]}), f"One point at {x} < 10.")


def test_a_chart_whose_data_move_keeps_its_specification_and_its_name_and_tells_the_data_behind_it():
    test = AppTest.from_function(one_chart).run()
    before = test.get("vega_lite_chart")[0].proto
    assert before.alt == "A point."
    test.number_input[0].set_value(3).run()
    after = test.get("vega_lite_chart")[0].proto
    assert (after.spec, after.alt) == (before.spec, before.alt)
    assert after.datasets != before.datasets
    assert [html.proto.body for html in test.get("html")] == ['<p class="spoken">One point at 3 &lt; 10.</p>']
