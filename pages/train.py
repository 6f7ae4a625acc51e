"""What happens when it learns? One to five methods race on a task, live; or a grid of runs is swept."""

from __future__ import annotations

from functools import partial

import streamlit as st

from peftcalc import units
from peftcalc.lab.tasks.catalogue import TASKS
from peftcalc.lab.tasks.task import Task
from peftcalc.ui import headline, live, page, sections, show, state
from peftcalc.ui.history import shown
from peftcalc.ui.lessons import lesson as lessons
from peftcalc.ui.lessons.train import LESSON
from peftcalc.ui.pages import entry_at
from peftcalc.ui.train import buttons, controls, playground, results, sweep, verdict

WHY = {
    "magnitude": "This task is made for DoRA: only the lengths of the rows are wrong. DoRA sets 64 lengths and is "
    "there; LoRA of rank 4 has four directions for 64 different factors; a base in 4 bits has turned the rows a "
    "little, which rank 4 cannot turn back. On real data (City names, Handwritten digits) they end closer together.",
    "own": "A character model of 0.8 million parameters learns what you pasted: a list of a hundred names shows best.",
}
PARTS = ("one race", "a sweep")


def main() -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title(entry_at("train").question, anchor=False)
        part = sections.choice(PARTS, "What is trained")
    page.place_for_notes()
    if part == PARTS[0]:
        one_race()
    else:
        if not page.projector():
            st.markdown(
                "Press **Sweep**: every combination learns, each with several seeds. Until then you see a stored run."
            )
        sweep.sweep()
    show.folded("Kept runs", "history", shown.section)
    state.link_notes()


def one_race() -> None:
    """Three parts that move by themselves; another task is chosen for all of them, in one run (`controls.PARTS`)."""
    st.fragment(the_controls, key=controls.PARTS[0])()
    shown.note()
    playground.show(controls.PARTS[1])
    st.fragment(what_came, key=controls.PARTS[2])()
    lessons.show_presets(LESSON, "train")
    lessons.show_prediction(LESSON, "train")
    lessons.show_try_this(LESSON, "train", folded=True)
    results.note(page.escape(live.engine_line()))


def the_controls() -> None:
    """What is raced, the buttons, and in one line what the picture below comes to."""
    row, wish = st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="row-train"), None
    with page.errors_as_sentences(), row:
        wish = controls.row()
    with row:
        buttons.row(wish)
        buttons.guide(wish)
    if wish is not None and wish.trouble:
        st.warning(wish.trouble, icon=":material/edit_note:")
    live.refused(buttons.SLOT)
    live.failed(buttons.SLOT)
    headline.show(the_line())
    state.link_notes()


def the_line() -> str:
    """Who has learned it, in the visitor's own run; until there is one, in a run that is marked as recorded."""
    job = live.current(buttons.SLOT)
    if job is not None and job.alive:
        return verdict.WATCH
    own, other = playground.own_board(), playground.stand_in()
    return verdict.said(own) if own else verdict.marked(other.mark, verdict.said(other.board, earlier=True))


def what_came() -> None:
    """How the visitor's run ended and what it came to, and where the task comes from; most of it when it is opened."""
    job, board = live.current(buttons.SLOT), playground.own_board()
    if job is not None and job.state in ("done", "stopped"):  # a failure stands above
        live.ending(job)
    other = playground.stand_in()
    task = (board or other.board).race.task
    why = st.empty()  # the same place for every task, so that what follows stays where it is
    if task in WHY:
        why.markdown(WHY[task])
    if board is not None and job is not None and not job.alive:
        came = partial(results.results, board, job)
        show.folded("What came of it", "comparison", came) if page.led() else came()
    elif board is None and not page.led():  # the class compares on its board
        show.folded("The comparison", "comparison", partial(results.results, other.board))
    chosen = TASKS[st.session_state.get("task", controls.DEFAULT_TASK)]
    show.folded("The formulas, and where the task comes from", "task", lambda: explain(chosen))


def explain(task: Task) -> None:
    """Three depths of the same: the formula, the numbers, the code; and where the task comes from."""
    st.latex(
        r"\text{LoRA: } W' = W + \tfrac{\alpha}{r} B A \qquad \text{DoRA: } W' = m \cdot "
        r"\frac{W + \tfrac{\alpha}{r} B A}{\lVert W + \tfrac{\alpha}{r} B A \rVert_{\text{row}}}"
    )
    st.markdown(
        "QLoRA and QDoRA are the same over a base `W` that is stored in 4 bits (NF4) and never changes. "
        "Full fine-tuning changes every number of `W`."
    )
    sizes = ", ".join(f"{units.count(value)} {name}" for name, value in task.sizes.items() if value)
    st.markdown(f"**{task.title}.** Base: {task.base}. Learned: {task.data}. {sizes}. Loss in {task.unit}.")
    st.markdown(f"Learning rates: {page.escape(task.reason)}")
    for source in task.sources:
        results.note(page.escape(source))
    st.markdown(
        "This is a model of less than a million parameters. Its differences between methods are smaller than their "
        "spread over seeds unless the page says otherwise; a paper's ranking of methods is not tested here."
    )


main()
