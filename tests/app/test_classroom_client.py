"""The visitor of `benchmarks/classroom.py` speaks the protocol: it finds controls, and moves them as a browser does."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest
from classroom_client import Visitor
from classroom_controls import Held, control_of
from classroom_round import Role, play
from served_app import process_seconds, running_app
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Slider_pb2 import Slider

SCRIPT = """
import streamlit as st

st.session_state.setdefault("runs", 0)
st.session_state["runs"] += 1
st.markdown(f"whole page: {st.session_state['runs']}, as a text that is large " + "x" * 20_000)
outside = st.select_slider("outside", ["a", "b", "c"])
st.sidebar.number_input("number", 0, 9, 4)


@st.fragment
def part():
    inside = st.slider("inside", 1, 9, 5)
    st.caption(f"inside is {inside}, outside is {outside}")
    if inside == 9:
        st.info("nine")


with st.tabs(["first", "second"])[1]:
    part()
st.selectbox("Model", ["one", "two"], key="model")
"""


def slider(**fields) -> Element:
    element = Element()
    element.slider.id = "s"
    for name, value in fields.items():
        own = getattr(element.slider, name)
        own.extend(value) if isinstance(value, list) else setattr(element.slider, name, value)
    return element


def test_a_slider_may_be_set_to_any_of_its_steps_and_a_select_slider_to_any_of_its_options() -> None:
    steps = control_of(Held(slider(min=1, max=9, step=2, default=[5.0]), "f", "r"), {})
    assert steps is not None
    assert [list(state.double_array_value.data) for state in steps.values] == [[1], [3], [5], [7], [9]]
    words = slider(type=Slider.Type.SELECT_SLIDER, options=["a", "b"], default=[1.0], max=1, step=1)
    options = control_of(Held(words, "", "r"), {})
    assert options is not None
    assert options.value is not None
    assert list(options.value.string_array_value.data) == ["b"]
    assert list(options.another(random.Random(0)).string_array_value.data) == ["a"]


def test_what_cannot_be_moved_is_no_control() -> None:
    text, component = Element(), Element()
    text.markdown.body = "words"
    component.bidi_component.id = "c"
    fixed = slider(min=1, max=9, step=1, default=[5.0], disabled=True)
    single = slider(min=1, max=1, step=1, default=[1.0])
    sections = slider(id="hash-section", min=1, max=2, step=1, default=[1.0])
    every = (text, component, fixed, single, sections)
    assert [control_of(Held(element, "", "r"), {}) for element in every] == [None] * 5


def test_a_picture_tells_what_a_hand_has_left_behind_and_a_row_of_buttons_its_other_choice() -> None:
    picture, row = Element(), Element()
    picture.bidi_component.id, picture.bidi_component.bytes = "p", b'{"view":"arrow"}'
    moved = control_of(Held(picture, "f", "r"), {})
    assert moved is not None
    assert json.loads(moved.values[0].json_value) == {"moved": {"x": 0.1, "y": 1.5}}
    for option in ("balance", "memory"):
        row.button_group.options.add(content=option)
    assert control_of(Held(row, "f", "r"), {}) is None  # a guess, which is made once
    row.button_group.required = True
    row.button_group.default.append(0)
    choice = control_of(Held(row, "f", "r"), {})
    assert choice is not None
    assert list(choice.another(random.Random(0)).string_array_value.data) == ["memory"]


def test_what_a_fragment_does_not_draw_again_is_gone_and_all_else_stays() -> None:
    visitor = Visitor("http://nowhere")

    def tell(run: str, fragments: list[str], *shown: tuple[int, str, str]) -> None:
        begin = ForwardMsg()
        begin.new_session.name = "page"
        begin.metadata.run.script_run_id = run
        begin.metadata.run.fragment_ids.extend(fragments)
        visitor._take(begin)
        for place, fragment, body in shown:
            message = ForwardMsg()
            message.delta.new_element.markdown.body = body
            message.delta.fragment_id = fragment
            message.metadata.delta_path.extend([0, place])
            visitor._take(message)
        end = ForwardMsg()
        end.script_finished = ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY if fragments else 0  # type: ignore[assignment]
        assert visitor._take(end)

    tell("one", [], (0, "", "page"), (1, "f", "part"), (2, "f", "more"))
    tell("two", ["f"], (1, "f", "other part"))
    assert [held.element.markdown.body for held in visitor.shown.values()] == ["page", "other part"]
    tell("three", [], (0, "", "page again"))
    assert [held.element.markdown.body for held in visitor.shown.values()] == ["page again"]


@pytest.mark.slow
def test_a_small_class_moves_the_controls_of_a_page(tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text(SCRIPT)

    async def one(url: str) -> None:
        async with Visitor(url, page="") as visitor:
            await visitor.open()
            found = {control.label: control for control in visitor.controls("slider", "number_input", "selectbox")}
            assert set(found) == {"outside", "number", "inside", "Model"}
            assert [label for label, control in found.items() if control.fragment] == ["inside"]
            await visitor.move(found["inside"], found["inside"].values[-1])
            assert visitor.says("inside is 9, outside is a")
            assert visitor.says("nine")
            assert visitor.says("whole page: 1,")  # the fragment ran alone
            await visitor.move(found["outside"], found["outside"].values[1])
            assert visitor.says("inside is 9, outside is b")
            assert visitor.says("whole page: 2,")
            await visitor.move(found["inside"], found["inside"].values[0])
            assert not visitor.says("nine")

    with running_app(str(script)) as (url, server):
        asyncio.run(one(url))
        before = process_seconds(server)
        cast = [Role(""), Role(""), Role("", leaves=True)]
        found = asyncio.run(play(url, server, cast, seconds=3.0, opening=0.3))
        assert process_seconds(server) > before
    assert found.errors == []
    assert len(found.opens) == 3
    assert found.moves
    assert found.memory[0] > 1e7
