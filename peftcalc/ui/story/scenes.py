"""The nine scenes as data: what each says, asks, answers, shows, and where its door leads.

Every answer is computed (`answers.py`), so that it cannot go stale; a test calls the claims, and counts the words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from peftcalc.ui.components.arrow import arrow_data, arrow_parts
from peftcalc.ui.components.bits import bits_parts
from peftcalc.ui.components.codes import codes_data, codes_parts
from peftcalc.ui.components.parts import Choice, Number, Part, Parts
from peftcalc.ui.components.product import product_parts
from peftcalc.ui.story import answers, pictures

MOST_WORDS = 40


@dataclass(frozen=True)
class Face:
    """A picture: a view of `story.js`, its data, and what can be moved in it."""

    view: str
    data: Callable[..., dict[str, Any]]
    parts: Callable[[dict[str, Any]], Parts]
    name: str = "Picture"
    of_the_visitor: bool = False
    """Whether `data` takes the model and the card that the visitor has chosen."""


@dataclass(frozen=True)
class Door:
    """A page that goes deeper, and what its link says."""

    label: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """One idea: a picture, at most forty words, a question before its answer, a door."""

    title: str
    words: str
    question: str
    options: Sequence[str]
    right: Callable[[], str]
    """The option that is so, computed."""
    answer: Callable[[], str]
    """What is said once somebody has guessed."""
    claim: Callable[[], bool]
    """Whether what `words` says beyond the answer is so."""
    door: Door
    faces: Sequence[Face]
    then: Mapping[str, Any] = field(default_factory=dict)
    """Where the first picture goes with the guess, to show what came."""


def _run_parts(data: dict[str, Any]) -> Parts:
    return {**cast("Mapping[str, Part]", product_parts(data)), "many": Number(0, 1, whole=True)}


def _swap_parts(data: dict[str, Any]) -> Parts:
    return {"plugged": Number(0, len(data["adapters"]), whole=True)}


def _choice_parts(data: dict[str, Any]) -> dict[str, Part]:
    most = {name: Number(0, len(data[f"{name}s"]) - 1, whole=True) for name in ("model", "card")}
    return {**most, "method": Choice(("full", "lora", "dora", "qlora", "qdora"))}


def _pick_parts(data: dict[str, Any]) -> Parts:
    return {**_choice_parts(data), "wish": Number(0, len(data["wishes"]) - 1, whole=True)}


SCENES = (
    Scene(
        "Usually, all of it moves",
        "A model is matrices of numbers. Full fine-tuning moves every one, and keeps three more beside each: its "
        "gradient, which says where to move, and two running means that the optimizer steers by.",
        "How many numbers of Llama-3.1-8B move?",
        ("8 thousand", "8 million", "8 billion"),
        answers.all_of_it,
        answers.all_of_it_said,
        answers.four_of_each,
        Door("Count the numbers of your model", "parameters", {"section": "a real model"}),
        (Face("whole", pictures.whole_data, lambda data: {"steps": Number(0, 999, whole=True)}),),
    ),
    Scene(
        "Frozen, and two strips",
        "LoRA leaves the matrix W as it is. It trains two strips, B and A. Their product ΔW is as large as W, and is "
        "added to it. Drag a number of B or of A, up or down.",
        "One number of B moves. How many of ΔW follow?",
        ("1", "16", "256"),
        answers.follow,
        answers.follow_said,
        answers.strips_are_an_eighth,
        Door("Do it by hand, five by five", "parameters", {"section": "by hand"}),
        (Face("strips", pictures.strips_data, product_parts),),
    ),
    Scene(
        "Rank",
        "A column of B and a row of A more is a rank more. Here they imitate a picture as well as their number allows: "
        "Eckart and Young proved how well, and no training does better.",
        "Which rank imitates this face without a fault?",
        ("3", "7", "16"),
        answers.rank_of_the_face,
        answers.rank_said,
        answers.strips_are_the_best,
        Door("How low a rank is enough?", "rank"),
        (Face("strips", pictures.rank_data, product_parts),),
        {"rank": 7},
    ),
    Scene(
        "Alpha",
        "Alpha is a volume knob: what is added is α / r times the product. α = r adds it once, α = 2 r twice. Turned "
        "up too far, training at the same rate runs away.",
        "The QLoRA paper has α = 16 at rank 64. How loud is that?",
        ("A quarter", "Twice", "Four times"),
        answers.volume,
        answers.volume_said,
        answers.too_loud_runs_away,
        Door("Alpha and the learning rate", "rank", {"section": "alpha"}),
        (Face("strips", pictures.alpha_data, product_parts),),
        {"alpha": pictures.RUN_RANK / 4},
    ),
    Scene(
        "Dropout",
        "While the strips train, dropout blanks a part of their input, another in each step, so that they rely on no "
        "single number. Afterwards all of it counts. The loss on held-out examples says whether it helps.",
        "Dropout 10 %, twelve examples: the loss on others ends …",
        ("lower", "the same", "higher"),
        answers.dropout,
        answers.dropout_said,
        answers.dropout_costs_with_enough,
        Door("Dropout on a real task", "rank", {"section": "dropout"}),
        (Face("strips", pictures.dropout_data, _run_parts),),
        {"dropout": 0.1},
    ),
    Scene(
        "Which way, and how far",
        "A row of a weight is an arrow. LoRA pushes its tip: one push turns and stretches at once. DoRA has a compass "
        "for the direction and a stride for the length. Drag the tips.",
        "Can one push alone reach the summit?",
        ("Yes", "No"),
        answers.one_push,
        answers.one_push_said,
        answers.push_ties_length_to_turn,
        Door("What direction and magnitude do", "dora"),
        (Face("arrow", lambda: arrow_data(climb=True), arrow_parts),),
    ),
    Scene(
        "Fewer bits",
        "Click the bits of one number. Then sixty-four weights with four bits each: sixteen values, stretched by a "
        "scale to the largest. Pull one weight far out; then give blocks scales of their own.",
        "One weight is pulled far out. Who pays for it?",
        ("It alone", "All that share its scale"),
        answers.who_pays,
        answers.who_pays_said,
        answers.blocks_contain_it,
        Door("What do four bits lose?", "quantization"),
        (
            Face("bits", pictures.bits_data_of_the_story, bits_parts, "One number"),
            Face("codes", codes_data, codes_parts, "Sixty-four weights"),
        ),
    ),
    Scene(
        "Four bits below, sixteen above",
        "QLoRA stores the frozen base in four bits; the strips above it, which are trained, keep sixteen. (It is often "
        "told the other way round.) DoRA's strips on such a base make QDoRA.",
        "Llama-3.1-8B on a card of 16 GB: how many of the five fit?",
        ("None", "Two", "Four"),
        answers.on_sixteen,
        answers.on_sixteen_said,
        answers.half_the_base,
        Door("Will it fit on this card?", "memory"),
        (Face("memory", pictures.memory_data, _choice_parts, of_the_visitor=True),),
        pictures.on_sixteen(),
    ),
    Scene(
        "One base, many tasks",
        "The base stays in memory once; a task is a small adapter beside it. Plug one in: what the model writes "
        "changes at once, and no byte of the base does. Then choose for a model of your own.",
        "Llama-3.1-8B for five tasks at rank 16, beside five whole models:",
        ("half the bytes", "a fifth", "a fiftieth"),
        answers.five_tasks,
        answers.five_tasks_said,
        answers.adapters_are_small,
        Door("Which method should I use?", "choose"),
        (
            Face("swap", pictures.swap_data, _swap_parts, "Plug in"),
            Face("memory", pictures.pick_data, _pick_parts, "Which would you choose?", of_the_visitor=True),
        ),
    ),
)  # fmt: skip
