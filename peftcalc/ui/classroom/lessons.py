"""The lessons that a classroom can be given, and their pictures of a question."""

from __future__ import annotations

import streamlit as st

from peftcalc.jobs.classroom.room import Room
from peftcalc.plots.board import answers_chart
from peftcalc.ui import show
from peftcalc.ui.lessons.class_change import CHANGE
from peftcalc.ui.lessons.class_cost import COST
from peftcalc.ui.lessons.class_lesson import ClassLesson, LessonPart
from peftcalc.ui.lessons.lesson import Prediction

LESSONS = {lesson.name: lesson for lesson in (COST, CHANGE)}


def current(room: Room) -> tuple[ClassLesson, int, LessonPart] | None:
    """The lesson that goes on, and its part; None before one is started."""
    lesson = LESSONS.get(room.lesson)
    if lesson is None:
        return None
    place = min(max(room.part, 0), len(lesson.parts) - 1)
    return lesson, place, lesson.parts[place]


def asked(room: Room) -> Prediction | None:
    """The question of the part, once it is open."""
    found = current(room)
    if found is None or room.question is None:
        return None
    lesson, place, part = found
    return part.prediction if room.question.key == lesson.question(place) else None


def heading(lesson: ClassLesson, place: int, part: LessonPart) -> None:
    """Which part of which lesson."""
    st.markdown(f"#### {place + 1} of {len(lesson.parts)} · {part.title}")


def histogram(room: Room, prediction: Prediction) -> None:
    """How everybody answered, the right answer, and why."""
    counts, right = room.counts(), str(prediction.answer())
    total = sum(counts.values())
    said = ", ".join(f"{option}: {count}" for option, count in counts.items())
    show.chart(answers_chart(counts, right), f"How {total} answered: {said}. Right is: {right}.", key="answers")
    st.markdown(f"**{right}.** {prediction.explanation}")
