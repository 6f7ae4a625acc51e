"""A lesson for a class, as data: parts with their minutes, what everybody does, and what the teacher says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from peftcalc.ui.lessons.lesson import Prediction


@dataclass(frozen=True)
class LessonPart:
    """A part of a lesson.

    Attributes:
        title: what it is about.
        minutes: how long it takes.
        task: what everybody does, in a sentence or two.
        say: notes for the teacher: what to say, and in which order.
        expect: what will be seen.
        otherwise: what to say when it comes out otherwise.
        prediction: asked before the class goes on.
        page: the address of the page to which everybody is sent; None for none.
        parameters: of that page's controls.
        grid: settings of which each learner is given one: together they are an experiment, told on the board.
    """

    title: str
    minutes: int
    task: str
    say: str
    expect: str
    otherwise: str
    prediction: Prediction | None = None
    page: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    grid: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class ClassLesson:
    """A lesson of several parts."""

    name: str
    title: str
    aim: str
    needs: str
    parts: Sequence[LessonPart]

    @property
    def minutes(self) -> int:
        return sum(part.minutes for part in self.parts)

    def question(self, part: int) -> str:
        """The name of a part's prediction, among all of all lessons."""
        return f"{self.name}-{part}"

    def starts(self) -> list[int]:
        """The minute in which each part begins."""
        return [sum(one.minutes for one in self.parts[:place]) for place in range(len(self.parts))]


ONE_RUN = {"section": "one race", "dropout": 0.0, "decay": 0.0, "seeds": 1, "steps": 0, "lr": 0.0}
"""Of the Train page: everything else as suggested."""


def in_words(settings: Mapping[str, Any]) -> str:
    """What a learner was given of the grid.

    >>> in_words({"rank": 4, "seed": 7, "methods": ["lora"]})
    'rank 4, seed 7, method LoRA'
    """
    from peftcalc.methods import METHODS

    said = {
        name: "+".join(METHODS[one].label for one in value) if name == "methods" else str(value)
        for name, value in settings.items()
    }
    return ", ".join(f"{'method' if name == 'methods' else name} {value}" for name, value in said.items())
