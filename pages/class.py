"""What does a whole class find out together? A lesson that is led, a board of all runs, and notes."""

from __future__ import annotations

from functools import partial

import streamlit as st

from peftcalc.jobs.classroom.room import Room
from peftcalc.ui import page, sections
from peftcalc.ui.classroom import drawing, here, student, teacher
from peftcalc.ui.classroom.board import board
from peftcalc.ui.classroom.notes import notes
from peftcalc.ui.pages import entry_at

COMMAND = "python -m peftcalc app --classroom"


def main() -> None:
    page.open_page(
        entry_at("class").question,
        "" if page.projector() else "A class predicts together, runs one experiment together, and looks at one board.",
    )
    room = here.open_room()
    if room is None:
        without_a_classroom()
    else:
        sections.show({"lesson": partial(the_lesson, room), "board": board, "notes": notes})


def the_lesson(room: Room) -> None:
    """For the teacher, for who sits in it, and for who comes to the door."""
    if here.is_teacher():
        teacher.lead(room)
    elif here.seat() is not None:
        student.sit(room)
    else:
        student.join(room)


def without_a_classroom() -> None:
    """How one begins; and what a board and a lesson look like."""
    if here.room() is not None:
        st.info("The classroom of this server is over: one lasts a day.", icon=":material/schedule:")
    sections.show({"begin a class": begin, "an example board": board, "notes": notes})


def begin() -> None:
    """How a class goes, and for the teacher and for the learner what to do now."""
    st.html(drawing.steps(page.theme_name()))
    with st.container(key="class-command"):
        st.code(COMMAND, language="bash")
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        sections.door("See an example board", "an example board", look="primary")
        sections.door("Notes for the teacher", "notes")
    st.markdown(
        "**You learn?** Open the link that your teacher shows; no class is held on this server now. **You teach?** "
        "The command, run in the network of your class, prints that link, its QR code and your key. A class lasts a "
        "day; nobody needs an account, and answers are counted without names."
    )


main()
