"""What the pages' tests share."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from peftcalc.ui import background
from peftcalc.units import for_json


@pytest.fixture
def work_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What pages ask of `background` is done in the test's own process, by the same kinds through the same JSON.

    Returns:
        The kinds that were asked for, in their order.
    """
    asked: list[str] = []

    def done(visitor, kind, parameters, files, look) -> background.Made:
        assert visitor
        asked.append(kind)
        look(True)
        given, made = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("made")
        for name, content in files.items():
            (given / name).write_bytes(content)
        kinds = [importlib.import_module(room).KINDS for room in background.ROOMS_WITH_WORK]
        job = next(table[kind] for table in kinds if kind in table)
        told = json.loads(json.dumps({**parameters, "files": str(given)} if files else parameters))
        records = [record for _, _, new in job(told, made) for record in new]
        answer = json.loads(json.dumps(for_json(records[-1])))
        return background.Made(answer, {file.name: file.read_bytes() for file in Path(made).iterdir()})

    answers = background.Kept()
    monkeypatch.setattr(background, "from_worker", done)
    monkeypatch.setattr(background, "kept", lambda: answers)
    return asked
