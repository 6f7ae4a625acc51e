"""What a teacher leads with: the way in for others, the lesson's parts, the question, the grid, and who is here."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from peftcalc.jobs.classroom.room import Room
from peftcalc.ui import page
from peftcalc.ui.classroom import calls, here, lessons
from peftcalc.ui.lessons.class_lesson import ClassLesson, LessonPart
from peftcalc.ui.pages import entry_at

EVERY = 0.5
"""Seconds between two looks at who has come and what is being answered, at the least."""

_DRAWN = "_class_teacher_drawn"


def lead(room: Room) -> None:
    """Controls left, what the room sees right, and below what to say; on a telephone one below the other.

    Two who teach lead the same lesson: what one of them does is seen on the other's page.
    """
    st.session_state[_DRAWN] = _stands(room)
    controls, result = page.controls_and_result("teacher", 0.36)
    with controls:
        _controls(room)
    with result:
        st.fragment(_look, run_every=calls.rest())(room)
    if not page.projector():
        _notes(room)


def _stands(room: Room) -> object:
    """Where the lesson is, which the controls show."""
    return room.lesson, room.part, room.question


def _controls(room: Room) -> None:
    found = lessons.current(room)
    if found is None:
        for lesson in lessons.LESSONS.values():
            label = f"Start: {lesson.title} ({lesson.minutes} min)"
            _button(label, lambda name=lesson.name: room.begin(name), f"start-{lesson.name}", primary=True)
        st.fragment(_people, run_every=calls.rest())(room)
        return
    lesson, place, part = found
    lessons.heading(lesson, place, part)
    with st.container(horizontal=True, gap="small"):
        _button("Back", lambda: room.turn_to(place - 1), "part-back", disabled=place == 0)
        last = place == len(lesson.parts) - 1
        _button("Next part", lambda: room.turn_to(place + 1), "part-next", disabled=last)
        _button("End", lambda: room.begin(""), "part-end")
    _steps(room, lesson, place, part)
    st.fragment(_people, run_every=calls.rest())(room)


def _notes(room: Room) -> None:
    found = lessons.current(room)
    if found is None:
        return
    lesson, place, part = found
    minute = lesson.starts()[place]
    st.markdown(f"**Minute {minute} to {minute + part.minutes}.** {part.say}")
    st.markdown(f"**Expect.** {part.expect}\n\n**Otherwise.** {part.otherwise}")


def _steps(room: Room, lesson: ClassLesson, place: int, part: LessonPart) -> None:
    """Ask, reveal, send: what is next is the primary button."""
    question, key = room.question, lesson.question(place)
    mine = question is not None and question.key == key
    revealed = mine and question is not None and question.revealed
    prediction = part.prediction
    if prediction is not None and not revealed:
        if mine:
            _button("Reveal the answer", room.reveal, "reveal", primary=True)
        else:
            _button("Ask the prediction", lambda: room.ask(key, prediction.options), "ask", primary=True)
    path = part.page
    if path is not None:
        to = entry_at(path).title
        label = f"Deal out the grid: {to}" if part.grid else f"Send everybody to {to}"
        send = lambda: room.send(path, part.parameters, part.grid)  # noqa: E731
        _button(label, send, "send", primary=prediction is None or revealed)
        _button("Call everybody back here", lambda: room.send("class", {}, part.grid), "back-here")


def _button(label: str, act, key: str, primary: bool = False, disabled: bool = False) -> None:
    st.button(label, on_click=act, key=key, type="primary" if primary else "secondary", disabled=disabled)


def _people(room: Room) -> None:
    """Nicknames, each of which can be hidden; nobody without one is listed. Who has just come is there."""
    calls.follow(lambda: [(seat.number, seat.nickname, seat.hidden) for seat in room.seats], EVERY)
    with st.popover("Who is here"):
        named = [seat for seat in room.seats if seat.nickname]
        st.markdown(f"{_seats(room)}, {len(named)} with a nickname.")
        for seat in named:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown("(hidden)" if seat.hidden else page.escape(seat.nickname))
                label = "Show" if seat.hidden else "Hide"
                _button(label, lambda s=seat: room.hide(s.number, not s.hidden), f"hide-{seat.number}")


def _look(room: Room) -> None:
    calls.follow(lambda: room.version - room.results_version, EVERY)
    """What can be projected."""
    if here.open_room() is not room or st.session_state.get(_DRAWN) != _stands(room):  # its day is over; another leads
        st.rerun()
    found, prediction, question = lessons.current(room), lessons.asked(room), room.question
    if found is None:
        _way_in(room)
        return
    st.subheader(found[2].title, anchor=False)
    st.markdown(found[2].task)
    if prediction is not None and question is not None:
        st.markdown(f"#### {prediction.question}")
        answered = sum(room.counts().values())
        if question.revealed:
            lessons.histogram(room, prediction)
        else:
            for option in question.options:
                st.markdown(f"- {option}")
            st.progress(answered / max(1, len(room.seats)), f"{answered} of {len(room.seats)} have answered")
    names = ", ".join(page.escape(seat.nickname) for seat in room.seats if seat.nickname and not seat.hidden)
    st.markdown(f"{room.present} of {len(room.seats)} are here{': ' if names else ''}{names}")


def _way_in(room: Room) -> None:
    """The address, as a square and in letters."""
    link = here.link()
    left, right = st.columns([0.4, 0.6], gap="medium", vertical_alignment="center")
    square = _square(link) if link else ""
    if square:
        left.image(square, width="stretch", alt=f"QR code of {link}")
    with right:
        st.header(room.name, anchor=False)
        st.code(link or "the address of this page", language=None, wrap_lines=True)
        st.markdown(f"**{room.present}** here, {_seats(room)} taken")


def _seats(room: Room) -> str:
    count = len(room.seats)
    return f"{count} seat{'' if count == 1 else 's'}"


@lru_cache(maxsize=4)
def _square(link: str) -> str:
    """The QR code as SVG on white; empty where no library makes one."""
    try:
        import segno
    except ImportError:
        return ""
    import io

    file = io.BytesIO()
    segno.make(link, micro=False).save(file, kind="svg", scale=8, light="#ffffff", xmldecl=False)
    return file.getvalue().decode()
