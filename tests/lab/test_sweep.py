"""Sweeps: grids, finished runs and their file, tables and fronts."""

import json
import math

import numpy as np
import pytest

import peftcalc as pc
from peftcalc.checks import nearest
from peftcalc.lab.run_settings import run_settings
from peftcalc.lab.stacked.job import stacked_runs
from peftcalc.lab.sweeps.finished import FinishedRun, line_of, read_finished, write_finished
from peftcalc.lab.sweeps.grid import MAX_RUNS, grid_settings
from peftcalc.lab.sweeps.maps import alpha_map, rate_map
from peftcalc.lab.sweeps.plan import SWEPT_TASKS, SweepPlan, SweepTold
from peftcalc.lab.sweeps.results import SweepResults


def finished(method, seed, validation, trainable=10, rate=1e-2, stopped=None):
    settings = run_settings("digits", method, seed=seed, learning_rate=rate)
    return FinishedRun(settings, (1.0,), 2.0, validation, {"accuracy": 0.5}, trainable, 100, 1.0, stopped)


def test_every_combination_is_there_once():
    grid = {"methods": ["full", "lora", pc.DoRA(rank=2, alpha=3)], "rank": [1, 4], "learning_rate": [1e-3, 1e-2]}
    runs = grid_settings("digits", grid, seeds=[7, 9], steps=5, shift="inverted")
    assert len(runs) == (1 + 2 + 2) * 2 * 2
    assert {run.method for run in runs} == {
        pc.Full(),
        pc.LoRA(rank=1),
        pc.LoRA(rank=4),
        pc.DoRA(rank=1, alpha=3),
        pc.DoRA(rank=4, alpha=3),
    }
    assert {(run.seed, run.steps, run.options["shift"]) for run in runs} == {(7, 5, "inverted"), (9, 5, "inverted")}
    assert [run.method.name for run in grid_settings("digits", None, 1)] == ["full", "lora", "dora", "qlora", "qdora"]


def test_task_options_and_patterns_are_options():
    runs = grid_settings("digits", {"methods": "lora", "shift": ["rotated", "inverted"], "targets": ("output",)}, 1)
    assert [(run.options["shift"], getattr(run.method, "targets", None)) for run in runs] == [
        ("rotated", ("output",)),
        ("inverted", ("output",)),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid": {"ranks": [1]}}, "an option of the grid must be one of .* got 'ranks'; did you mean 'rank'"),
        ({"grid": {"lerning_rate": [1]}}, "did you mean 'learning_rate'"),
        ({"grid": {"rank": []}}, "rank must have at least one value"),
        ({"grid": {"rank": [0]}}, "rank must be between 1"),
        ({"grid": {"methods": ["lor"]}}, "did you mean 'lora'"),
        ({"grid": {"methods": [3]}}, "methods must be names or methods"),
        ({"grid": {"rank": range(1, 102)}, "seeds": 100}, f"the number of runs must be between 1 and {MAX_RUNS:,}"),
        ({"seeds": []}, "seeds must not be empty"),
        ({"task": "digit"}, "did you mean 'digits'"),
        ({"grid": {"country": ["Japan"]}}, "an option of the grid must be one of"),
    ],
)
def test_bad_input_is_answered_at_the_call(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        pc.sweep(**{"task": "digits", **arguments})
    assert "\n" not in str(caught.value)
    assert nearest("ranks", ["rank"]) == ["rank"]


def test_a_sweep_is_finetune_and_goes_on(tmp_path):
    grid = {"methods": ["full", "lora"], "rank": [1, 2], "learning_rate": [1e-3]}
    steps = []
    runs = list(pc.sweep("digits", grid, seeds=2, steps=4, progress=lambda made, every: steps.append((made, every))))
    assert len(runs) == 6
    assert steps[-1] == (24, 24)
    for run in runs[::3]:
        records = list(pc.finetune("digits", run.method, seed=run.seed, steps=4, learning_rate=1e-3))
        assert run.losses == pytest.approx([record.loss for record in records[1:]], rel=1e-5)
        assert run.validation == pytest.approx(records[-1].validation, rel=1e-5)
        assert run.metrics == records[-1].metrics
        assert (run.trainable, run.peak_bytes) == (records[-1].trainable, records[-1].peak_bytes)
    file = tmp_path / "runs.jsonl"
    write_finished(file, runs[:4])
    with file.open("a") as more:
        more.write(line_of(runs[4])[:50])  # the machine was switched off
    assert read_finished(file) == runs[:4]
    rest = list(pc.sweep("digits", grid, seeds=2, steps=4, finished=read_finished(file)))
    assert {run.settings.to_code() for run in rest} == {run.settings.to_code() for run in runs[4:]}


def test_a_file_of_something_else_is_refused(tmp_path):
    file = tmp_path / "runs.jsonl"
    file.write_text('{"task": "digits"}\n' * 2)
    with pytest.raises(ValueError, match=r"line 1 of runs.jsonl: this is not a finished run"):
        read_finished(file)


def test_a_run_that_diverged_survives_its_file():
    run = finished(pc.Full(), 0, math.inf, stopped="diverged: the loss is nan at step 3")
    assert FinishedRun.from_dict(run.as_dict()) == run


def test_cells_take_the_seeds_together_and_the_front_is_what_nothing_beats():
    runs = [finished(pc.LoRA(rank=1), seed, 0.5 + 0.1 * seed, trainable=10) for seed in range(3)]
    runs += [finished(pc.LoRA(rank=4), seed, 0.3, trainable=40) for seed in range(3)]
    runs += [finished(pc.LoRA(rank=8), seed, 0.4, trainable=80) for seed in range(3)]
    runs += [finished(pc.Full(), 0, 0.1, trainable=900), finished(pc.Full(), 1, math.inf, 900, stopped="diverged: x")]
    runs += [finished(pc.LoRA(rank=1), seed, 0.9, trainable=10, rate=1e-3) for seed in range(3)]
    results = SweepResults.of(runs)
    cells = results.cells()
    assert [cell.label for cell in cells] == [
        "LoRA(rank=4), learning_rate 0.01",
        "LoRA(rank=8), learning_rate 0.01",
        "LoRA(rank=1), learning_rate 0.01",
        "LoRA(rank=1), learning_rate 0.001",
        "Full(), learning_rate 0.01",
    ]
    assert cells[2].validation.mean == pytest.approx(0.6)
    assert cells[2].validation.half_width == pytest.approx(4.303 * 0.1 / 3**0.5)
    assert cells[-1].diverged == 1
    assert [cell.method for cell in results.pareto()] == [pc.LoRA(rank=1), pc.LoRA(rank=4)]
    frame = results.to_frame()
    assert list(frame["seeds"]) == [3, 3, 3, 3, 2]
    axis = results.plot()
    assert axis.get_xlabel() == "trained parameters"
    assert np.size(axis.lines[-1].get_xdata()) == 2


def test_maps_have_a_point_for_each_combination():
    """Rank 4 holds an update of rank 4 and rank 1 does not; a rate ten times too low has not come as far."""
    points = {
        (cell.method, cell.options["learning_rate"]): cell
        for cell in rate_map(ranks=[1, 4, None], rates=[3e-3, 3e-2], seeds=2, task="rank", steps=150)
    }
    assert len(points) == 6
    best = {method: points[method, 3e-2].validation.mean for method in (pc.LoRA(rank=1), pc.LoRA(rank=4), pc.Full())}
    assert best[pc.LoRA(rank=1)] > 0.7 > 0.1 > best[pc.LoRA(rank=4)]
    assert all(points[method, 3e-3].validation.mean > loss for method, loss in best.items())
    cells = list(alpha_map(alphas=[4, 16], rates=[1e-2], rank=4, seeds=2, task="rank", steps=40))
    slow, fast = sorted(cells, key=lambda cell: repr(cell.method) == "LoRA(rank=4)")
    assert fast.validation.mean < slow.validation.mean


def test_a_pages_sweep_is_shared_out_whole_and_comes_to_what_pc_sweep_does(tmp_path):
    plan = SweepPlan("rank", ("full", "lora", "qdora"), (1, 4), (1e-2, 3e-2), alpha=3, seeds=2, steps=9)
    parts, told = json.loads(json.dumps(plan.parts(2))), SweepTold(plan)
    names = [run["run"] for part in parts for group in part["groups"] for run in group]
    assert sorted(names, key=int) == [str(number) for number in range(20)]
    records = [record for part in parts for _, _, new in stacked_runs(part, tmp_path) for record in new]
    told.read(json.loads(json.dumps(records)))
    asked = {"methods": plan.methods, "rank": plan.ranks, "learning_rate": plan.learning_rates}
    expected = {(run.method, run.learning_rate, run.seed): run for run in pc.sweep("rank", asked, 2, alpha=3, steps=9)}
    assert len(told.results.runs) == len(expected) == 20
    for run in told.results.runs:
        other = expected[run.method, run.learning_rate, run.seed]
        assert run.validation == pytest.approx(other.validation, rel=1e-5)  # a stack of others: float32's rounding
        assert (run.trainable, run.peak_bytes) == (other.trainable, other.peak_bytes)
    code = plan.to_code().replace("print", "list").replace("sweep.plot()", "")
    found: dict = {}
    exec(code.partition("for run")[0], {}, found)
    assert {run.settings.to_code() for run in found["sweep"]} == {one.to_code() for one in plan.runs()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "names"}, "the task of a sweep must be one of"),
        ({"methods": ()}, "at least one method"),
        ({"seeds": 100}, "the number of runs must be between 1 and 160, got 700"),
        ({"seeds": 10, "steps": 1000}, "342 each would do"),
    ],
)
def test_a_pages_sweep_is_bounded(changes, message):
    with pytest.raises(ValueError, match=message):
        SweepPlan(**changes)


def test_a_plan_is_of_a_task_that_pages_know():
    assert all(SweepPlan(task).title for task in SWEPT_TASKS)
    with pytest.raises(ValueError, match="labels"):
        SweepPlan("labels")
