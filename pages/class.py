"""What do thirty see together? A lesson that a teacher leads, a board of all runs, and the notes for it."""

from __future__ import annotations

import streamlit as st

from peftcalc.ui import page, sections
from peftcalc.ui.classroom import here, student, teacher
from peftcalc.ui.classroom.board import board
from peftcalc.ui.classroom.notes import notes
from peftcalc.ui.pages import entry_at


def main() -> None:
    page.open_page(
        entry_at("class").question,
        "A class predicts together, runs one experiment together, and looks at one board.",
    )
    room = here.open_room()
    if room is None:
        without_a_classroom()
    elif here.is_teacher():
        sections.show({"lesson": lambda: teacher.lead(room), "board": board, "teacher's notes": notes})
    elif here.seat() is not None:
        sections.show({"lesson": lambda: student.sit(room), "board": board, "plan": notes})
    else:
        student.join(room)
        sections.show({"board": board, "plan": notes})


def without_a_classroom() -> None:
    """How one begins; and what a board and a lesson look like."""
    if here.room() is not None:
        st.info("The classroom of this server is over: one lasts a day.", icon=":material/schedule:")
    sections.show({"board": board, "teacher's notes": notes, "begin a class": begin})


def begin() -> None:
    st.markdown("On the teacher's machine, in the network of the class:")
    st.code("python -m peftcalc app --classroom", language="bash")
    st.markdown(
        "It prints the link to join by, its QR code and the teacher's key. The class lasts a day; nobody needs an "
        "account, a nickname is optional, and answers are counted without names."
    )


main()
