"""What a learner sees: a place to join, the part of the lesson, the question, one's own part of the grid."""

from __future__ import annotations

import streamlit as st

from peftcalc.jobs.classroom.names import LONGEST_NICKNAME
from peftcalc.jobs.classroom.room import Room
from peftcalc.ui import page
from peftcalc.ui.classroom import calls, here, lessons
from peftcalc.ui.lessons.class_lesson import in_words


def join(room: Room) -> None:
    """A nickname, if one wants, and a seat; and beside it the teacher's door."""
    asked = st.query_params.get("room", room.name)
    if asked != room.name:
        st.info(page.escape(f"This server holds the classroom {room.name}, not {asked[:40]}."), icon=":material/info:")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.text_input(
            "A nickname, if you like",
            key="nickname",
            max_chars=LONGEST_NICKNAME,
            width=260,
            placeholder="no real name",
        )
        if st.button(f"Join {room.name}", type="primary", icon=":material/login:", key="join"):
            with page.errors_as_sentences():
                here.take_seat(name)
                st.rerun()
        _teachers_door()
    st.markdown(
        ":small[Answers are counted without names; the nickname, settings and results of your runs are kept for a day. "
        "What you paste is never kept.]"
    )


def _teachers_door() -> None:
    with st.popover("I teach", type="tertiary"):
        key = st.text_input("The key that the terminal printed", key="teacher-key", type="password", max_chars=60)
        if st.button("Open", key="teacher-open") and key:
            if here.show_key(key):
                st.rerun()
            st.error("That is not the key. A new one: `python -m peftcalc classroom key`", icon=":material/key_off:")


def sit(room: Room) -> None:
    """The lesson as it goes on, looked at again and again."""
    st.fragment(_look, run_every=calls.rest())(room)


def _look(room: Room) -> None:
    calls.follow(lambda: (room.lesson, room.part, room.question, _all_answered(room)))
    if here.open_room() is not room or here.seat() is None:
        st.rerun()
    found = lessons.current(room)
    if found is None:
        seat = here.seat()
        name = f", {page.escape(seat.nickname)}" if seat is not None and seat.nickname else ""
        st.markdown(f"#### You are in{name}")
        st.markdown(f"{room.present} here. The lesson has not begun: this page follows your teacher by itself.")
        return
    lessons.heading(*found)
    st.markdown(found[2].task)
    given = room.part_of_grid(here.token())
    if given:
        st.markdown(f"Your part of the experiment: **{page.escape(in_words(given))}**")
    _question(room)


def _question(room: Room) -> None:
    prediction, question = lessons.asked(room), room.question
    if prediction is None or question is None:
        return
    with st.container(border=True, key="class-question"):
        st.markdown(f"**Predict.** {prediction.question}")
        mine = room.answered(here.token())
        if question.revealed:
            if mine is not None:
                right = prediction.right(mine)
                icon, color = (":material/check:", "green") if right else (":material/close:", "orange")
                st.badge(f"You said: {mine}", icon=icon, color=color)
            lessons.histogram(room, prediction)
        elif mine is None:
            st.pills(
                prediction.question,
                question.options,
                key=f"answer-{question.key}",
                label_visibility="collapsed",
                on_change=_answer,
                args=(room, f"answer-{question.key}"),
            )
        else:
            st.markdown(f"You said: **{page.escape(mine)}**. {_answered(room)}")


def _answer(room: Room, key: str) -> None:
    chosen = st.session_state.get(key)
    if chosen is not None:
        room.answer(here.token(), chosen)


def _all_answered(room: Room) -> bool:
    return sum(room.counts().values()) >= len(room.seats)


def _answered(room: Room) -> str:
    return f"{sum(room.counts().values())} of {len(room.seats)} have answered."
