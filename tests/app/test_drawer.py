"""Controls behind a button: heard while they are closed, in the link either way, moved by presets."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def two_drawers() -> None:
    import streamlit as st

    from peftcalc.ui import page, state
    from peftcalc.ui.drawer import Drawer

    page.open_page("A question?", "An answer.")
    state.arrive(st.session_state.get("at", "first"))
    more = Drawer("More", "more")
    steps = more.slider("Steps", (0, 10, 100), "steps", 10, lambda n: f"{n} steps")
    kind = more.menu("Kind", ("a", "b"), "kind", "a")
    on = more.switch("On", "on", True)
    price = more.number("Price", "price", 0.0, 0.0, 100.0)
    name = more.text("Name", "model-hub", limit=5)
    st.markdown(f"{steps} {kind} {on} {price:g} {name or '-'}")
    st.button("preset", on_click=state.set_controls, args=({"steps": 100, "on": False},))
    state.link_notes()


def opened(**query: str) -> AppTest:
    page = AppTest.from_function(two_drawers)
    for key, value in query.items():
        page.query_params[key.replace("_", "-")] = value
    return page.run()


def said(page: AppTest) -> str:
    assert not page.exception
    return page.markdown[-1].value


def pulled(page: AppTest, is_open: bool = True) -> AppTest:
    page.session_state["drawer-more"] = is_open
    return page.run()


def link(page: AppTest) -> dict[str, str]:
    return {key: value[0] if isinstance(value, list) else value for key, value in page.query_params.items()}


def test_a_closed_drawer_draws_nothing_and_says_its_defaults():
    page = opened()
    assert said(page) == "10 a True 0 -"
    assert not any([page.select_slider, page.selectbox, page.toggle, page.number_input, page.text_input])
    assert link(page) == {}


def test_a_link_is_heard_while_the_drawer_is_closed_and_stays_in_the_address():
    page = opened(steps="100 steps", kind="b", on="false", price="2.5", model_hub="gpt")
    assert said(page) == "100 b False 2.5 gpt"
    assert link(page.run()) == {"steps": "100 steps", "kind": "b", "on": "false", "price": "2.5", "model-hub": "gpt"}
    assert pulled(page).select_slider(key="steps").value == 100
    assert page.toggle(key="on").value is False
    assert page.number_input(key="price").value == 2.5


@pytest.mark.parametrize(("key", "value"), [("steps", "7 steps"), ("kind", "c"), ("on", "perhaps"), ("price", "101")])
def test_what_the_control_does_not_have_falls_back_with_a_sentence(key, value):
    page = opened(**{key: value})
    assert said(page) == "10 a True 0 -"
    assert [note.value.partition(",")[0] for note in page.info] == [f"The link asked for {key} = {value}"]
    assert link(page) == {}
    assert page.run().info  # until it is moved
    page.button[0].click().run()
    assert {"steps", "on"}.isdisjoint({key}) == bool(page.info)


def test_what_was_moved_holds_after_the_drawer_is_closed():
    page = pulled(opened())
    page.select_slider(key="steps").set_value(100).run()
    page.text_input(key="model-hub").set_value("llama").run()
    assert said(page) == "100 a True 0 llama"
    pulled(page, is_open=False)
    assert not page.select_slider
    assert said(page.run()) == "100 a True 0 llama"
    assert link(page) == {"steps": "100 steps", "model-hub": "llama"}
    pulled(page).select_slider(key="steps").set_value(10).run()
    assert link(page) == {"model-hub": "llama"}
    assert said(pulled(page, is_open=False)) == "10 a True 0 llama"


@pytest.mark.parametrize("is_open", [True, False])
def test_a_preset_moves_what_is_in_the_drawer(is_open):
    page = pulled(opened(), is_open)
    page.button[0].click().run()
    assert said(page) == "100 a False 0 -"
    assert link(page) == {"steps": "100 steps", "on": "false"}
    assert said(page.run()) == "100 a False 0 -"


def test_another_page_does_not_take_it_but_for_what_is_chosen_once():
    page = opened(steps="100 steps", model_hub="gpt")
    page.query_params.clear()
    page.session_state["at"] = "second"
    assert said(page.run()) == "10 a True 0 gpt"
    assert link(page) == {"model-hub": "gpt"}
    page.query_params.clear()
    page.session_state["at"] = "first"
    assert said(page.run()) == "100 a True 0 gpt"


def a_drawer_of_several() -> None:
    import streamlit as st

    from peftcalc.ui import page, state
    from peftcalc.ui.drawer import Drawer

    page.open_page("A question?", "An answer.")
    names = {"x": "Ex", "y": "Why", "z": "Zed"}
    st.markdown(" ".join(Drawer("More", "more").several("Which", list(names), "which", ["x", "y"], names.__getitem__)))
    st.button("preset", on_click=state.set_controls, args=({"which": ["z", "x"]},))
    state.link_notes()


@pytest.mark.parametrize("is_open", [False, True])
def test_several_are_heard_and_stay_in_the_address(is_open):
    page = AppTest.from_function(a_drawer_of_several)
    page.query_params["which"] = ["Why", "Zed"]
    page.session_state["drawer-more"] = is_open
    assert said(page.run()) == "y z"
    assert page.query_params["which"] == ["Why", "Zed"]
    page.button[0].click().run()
    assert set(said(page).split()) == {"x", "z"}
    assert sorted(page.query_params["which"]) == ["Ex", "Zed"]
    assert set(said(pulled(page, not is_open)).split()) == {"x", "z"}


def test_of_several_one_that_is_not_there_falls_back_with_a_sentence():
    page = AppTest.from_function(a_drawer_of_several)
    page.query_params["which"] = ["Why", "<b>"]
    assert said(page.run()) == "x y"
    assert page.info[0].value.replace("\\", "").startswith("The link asked for which = Why, <b>")
