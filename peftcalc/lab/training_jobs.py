"""Training as work for a queue: runs that take their steps in turn and tell their records."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.lab.record_json import record_to_json
from peftcalc.methods import METHODS, make_method

if TYPE_CHECKING:
    from peftcalc.lab.training import Run

Tick = tuple[int, float, list[dict[str, Any]]]
"""What a kind of work yields: the step it has reached, its progress from 0 to 1, and new records."""


def finetune_runs(parameters: dict[str, Any], folder: Path) -> Iterator[Tick]:
    """Runs that take their steps in turn, so that their curves grow together.

    Args:
        parameters: `runs`, a list of arguments of `peftcalc.finetune` (the method as name, its options under `options`
            of the method: see `start`), each with a `run` that its records carry; `rows`, true for the changes of every
            row at the end; `watch`, the name of a matrix to be looked at while it learns ("" for the task's own
            choice), which may change under way.
        folder: where the adapters go, as `<run>.zip`.

    Yields:
        Records as `record_to_json` writes them; those of the matrix have a `look` (`runs.weight_looks`).
    """
    asked = parameters["runs"]
    rows = bool(parameters.get("rows"))
    runs: dict[str, Run] = {}
    looks = Looks(parameters, asked)
    for arguments in asked:  # step 0 of each as soon as it is there
        name = str(arguments["run"])
        runs[name] = start({key: value for key, value in arguments.items() if key != "run"})
        yield 0, 0.0, [record_to_json(next(runs[name]), name, rows), *looks.of(name, runs[name])]
    steps = max(run.settings.steps for run in runs.values())
    going = dict(runs)
    for step in range(1, steps + 1):
        records = []
        for name, run in list(going.items()):
            record = next(run, None)
            if record is None:
                del going[name]
            else:
                records += [record_to_json(record, name, rows), *looks.of(name, run)]
        if step == steps or not going:
            save_adapters(runs, folder)
        yield step, step / steps, records
        if not going:
            return


class Looks:
    """Which matrix of which runs is looked at, and when: of each method the first run.

    Args:
        parameters: of the job; its `watch` is read anew at each step.
        asked: the runs.
    """

    def __init__(self, parameters: dict[str, Any], asked: list[dict[str, Any]]) -> None:
        self.parameters = parameters
        first = {str(run["method"]): str(run["run"]) for run in reversed(asked)}
        self.looked_at: dict[str, str] = dict.fromkeys(first.values(), "") if "watch" in parameters else {}
        """Of each run the matrix that was looked at last."""

    def of(self, name: str, run: Run) -> list[dict[str, Any]]:
        """The record of a look, if one is due."""
        from peftcalc.lab.runs.weight_looks import look_steps, weight_look

        if name not in self.looked_at:
            return []
        names, wanted = run.student.watched(), self.parameters["watch"] or run.settings.record.watched
        matrix = wanted if wanted in names else names[0]
        new = matrix != self.looked_at[name]
        if not new and run.step not in look_steps(run.settings.steps):
            return []
        self.looked_at[name] = matrix
        look = weight_look(run.student, matrix, with_base=new)
        return [{"run": name, "step": run.step, "look": {**look, "among": names} if run.step == 0 else look}]


def start(arguments: dict[str, Any]) -> Run:
    """`peftcalc.finetune` with a method that JSON can hold: `{"task": "names", "method": "lora", "rank": 4, …}`.

    What the method takes goes to the method, all else to the run.
    """
    from peftcalc.lab.training import finetune

    name = arguments["method"]
    own = {f.name for f in fields(METHODS["qdora"])}
    method = make_method(name, **{key: value for key, value in arguments.items() if key in own})
    rest = {key: value for key, value in arguments.items() if key not in own and key != "method"}
    return finetune(method=method, **rest)


def save_adapters(runs: dict[str, Run], folder: Path) -> None:
    """Each run's adapter as a zip of peft's two files; full fine-tuning has none."""
    from peftcalc.adapters.files.adapter_folder import save_adapter

    for name, run in runs.items():
        if run.settings.method.has_adapter and folder.is_dir():
            files = folder / name
            save_adapter(run.module, files)
            with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for file in sorted(files.iterdir()):
                    archive.write(file, file.name)
