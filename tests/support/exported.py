"""What pages export, collected, and run as it is."""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drawers import pulled
from streamlit.testing.v1 import AppTest

from peftcalc.ui import take_away

ROOT = Path(__file__).parents[2]
SCRIPTS = (take_away.TRAIN, take_away.AXOLOTL, "Ask for this advice in Python", take_away.COUNT)
"""Tabs whose code is written when they are opened."""
COUNTED = re.compile(r"trainable params: ([\d,]+) \|\| all params: ([\d,]+)")


def printed(text: str, folder: Path | None = None) -> str:
    """What a script prints when it is run in a folder; a script that raises fails the test that runs it."""
    out = io.StringIO()
    with (
        contextlib.chdir(folder or os.getcwd()),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")  # the libraries' advice to each other
        exec(compile(text, "exported.py", "exec"), {"__name__": "__main__"})
    return out.getvalue()


def counted(text: str) -> tuple[int, int]:
    """The two numbers that peft prints: trained, and in all."""
    found = COUNTED.search(text)
    assert found, text
    trained, total = (int(number.replace(",", "")) for number in found.groups())
    return trained, total


class Exports:
    """The code and the tables of a page, by name, as it was drawn last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from peftcalc.ui import show

        self.code: dict[str, str] = {}
        self.tables: dict[str, Any] = {}
        monkeypatch.setattr(show, "code", self._keeping(show.code, self.code, at=1))
        monkeypatch.setattr(show, "table", self._keeping(show.table, self.tables, at=1))

    def open(self, page: str, *folds: str, opened: Sequence[str] = (), guess: str = "", **query: str) -> AppTest:
        """A page as a link shows it, with what is folded away under these names (`show.folded`) or keys open, and
        a question guessed."""
        self.code.clear()
        self.tables.clear()
        test = AppTest.from_file(str(ROOT / "pages" / f"{page}.py"), default_timeout=120)
        for key, value in query.items():
            test.query_params[key] = value
        for fold in folds:
            test.session_state[f"fold-{fold}"] = True
        if guess:
            test.session_state[f"_guess_{guess}"] = "nothing"
        for key in opened:
            test.session_state[key] = True
        pulled(test).run()
        labels = [tab.label for tab in test.tabs if tab.label in SCRIPTS]
        for label in labels[1:] + labels[:1]:  # the first is open again at the end
            test.session_state[take_away.TABS] = label
            test.run()
        assert not test.exception
        assert not test.error
        return test

    @staticmethod
    def _keeping(draw: Callable[..., None], kept: dict[str, Any], at: int) -> Callable[..., None]:
        def keep(content: Any, name: str, *more: Any, **named: Any) -> None:
            kept[name] = pd.DataFrame(content) if isinstance(content, list) else content
            draw(content, name, *more, **named)

        return keep
