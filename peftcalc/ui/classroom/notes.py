"""A lesson's notes for its teacher, on the page and as a page to print."""

from __future__ import annotations

from html import escape

import streamlit as st

from peftcalc.ui import state
from peftcalc.ui.classroom import here, lessons
from peftcalc.ui.lessons.class_lesson import ClassLesson, LessonPart

PRINTED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 11pt/1.4 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; color: #000 }}
section {{ break-inside: avoid; border-top: 1px solid #999; margin-top: 1rem }} h2 {{ margin: .5rem 0 }}
dt {{ font-weight: bold }} dd {{ margin: 0 0 .4rem }}</style>
<h1>{title}</h1><p>{minutes} minutes. {aim}</p><p>Needs: {needs}</p>{parts}</html>"""


def notes() -> None:
    """Everything that a teacher reads before the class; learners of a classroom see times and titles alone."""
    name = state.choice("Lesson", tuple(lessons.LESSONS), "lesson", "cost", lambda key: lessons.LESSONS[key].title)
    lesson = lessons.LESSONS[name]
    whole = here.open_room() is None or here.is_teacher()
    st.markdown(f"{lesson.minutes} minutes. {lesson.aim}")
    if whole:
        st.download_button(
            "Notes to print (HTML)",
            lambda: as_html(lesson).encode(),
            f"lesson-{lesson.name}.html",
            "text/html",
            on_click="ignore",
            icon=":material/print:",
            key=f"print-{lesson.name}",
        )
    for place, (start, part) in enumerate(zip(lesson.starts(), lesson.parts, strict=True)):
        label = f"**{start}–{start + part.minutes} min · {part.title}**"
        with st.expander(label, expanded=place == 0 and whole):
            st.markdown(part.task)
            for title, text in said(part) if whole else ():
                st.markdown(f"**{title}.** {text}")


def said(part: LessonPart) -> list[tuple[str, str]]:
    """The notes of a part, each with its title."""
    found = [("Say", part.say), ("Expect", part.expect), ("Otherwise", part.otherwise)]
    if part.prediction is not None:
        answer, why = part.prediction.answer(), part.prediction.explanation
        asked = f"{part.prediction.question} ({' / '.join(part.prediction.options)})"
        found[1:1] = [("Ask", asked), ("Answer", f"{answer}. {why}")]
    if part.grid:
        found.append(("Grid", f"{len(part.grid)} runs; with more learners it is dealt out again from the start"))
    return found


def as_html(lesson: ClassLesson) -> str:
    """The notes as a page of their own."""
    parts = "".join(
        f"<section><h2>{start}–{start + part.minutes} min: {escape(part.title)}</h2><p>{escape(part.task)}</p><dl>"
        + "".join(f"<dt>{title}</dt><dd>{escape(text)}</dd>" for title, text in said(part))
        + "</dl></section>"
        for start, part in zip(lesson.starts(), lesson.parts, strict=True)
    )
    texts = {name: escape(getattr(lesson, name)) for name in ("title", "aim", "needs")}
    return PRINTED.format(minutes=lesson.minutes, parts=parts, **texts)
