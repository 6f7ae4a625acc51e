"""What is told of moving matrices is what `decompose` computes, and tables read it back."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from peftcalc.geometry.direction import decompose
from peftcalc.geometry.magnitude_direction_plane import correlated, last_loss, matrix_moves, neurons, points, spread
from peftcalc.lab.stored_lessons import stored_lesson, stored_lessons
from peftcalc.lab.watched_runs import moves_job


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    shared = {"task": "magnitude", "rank": 2, "alpha": 4, "seed": 0, "steps": 8, "rows": True}
    runs = [{**shared, "run": f"{method}-0-0", "method": method} for method in ("full", "lora", "dora")]
    ticks = list(moves_job({"runs": runs}, tmp_path_factory.mktemp("moves")))
    return [record for _, _, records in ticks for record in records], ticks


@pytest.mark.parametrize("norm", ["row", "column"])
def test_every_norm_is_there_absolute_and_relative(norm):
    generator = np.random.default_rng(0)
    before, after = generator.standard_normal((2, 6, 4))
    told = matrix_moves(before, after)[norm]
    absolute, relative = (decompose(before, after, norm, relative=share) for share in (False, True))
    assert told == pytest.approx([absolute.magnitude_change, relative.magnitude_change, absolute.direction_change])


def test_the_random_update_is_as_large_as_the_trained_one():
    generator = np.random.default_rng(1)
    before = generator.standard_normal((64, 64))
    small = matrix_moves(before, before + 0.01 * generator.standard_normal((64, 64)), rank=4)["random"]
    large = matrix_moves(before, before + 0.1 * generator.standard_normal((64, 64)), rank=4)["random"]
    assert large["row"][2] == pytest.approx(100 * small["row"][2], rel=0.1)  # 1 − cos grows with the square


def test_a_job_tells_every_checkpoint_as_json_and_comes_to_its_end(told):
    records, ticks = told
    assert json.loads(json.dumps(records)) == records
    assert [progress for _, progress, _ in ticks] == sorted(progress for _, progress, _ in ticks)
    assert ticks[-1][1] == 1
    assert [p["checkpoint"] for p in points(records, "dora", "0-0", steps=8)] == [0.25, 0.5, 0.75, 1.0]
    assert last_loss(records, "dora", "0-0") < last_loss(records, "lora", "0-0") < 1


def test_only_a_lora_run_has_a_random_one_beside_it(told):
    records, _ = told
    assert len(points(records, "random", "0-0")) == 4
    assert all(("random" in r) == (r["run"] == "lora-0-0") for r in records if "matrix" in r)


def test_neurons_are_told_at_the_end_only(told):
    records, _ = told
    found = neurons(records, "full", "0-0")
    assert len(found) == 64
    share = float(np.mean([abs(p["length"]) for p in found]))
    assert share == pytest.approx(points(records, "full", "0-0", relative=True)[-1]["length"])


def test_a_correlation_needs_three_matrices_that_vary():
    two = [{"matrix": name, "turn": turn, "length": turn} for name in "ab" for turn in (0.1, 0.2)]
    assert correlated(two) is None
    assert correlated([*two, {"matrix": "c", "turn": 0.3, "length": 0.3}]).r == pytest.approx(1)
    assert correlated([{"matrix": name, "turn": 0.1, "length": 0.1} for name in "abc"]) is None


def test_the_stored_run_spreads_over_its_bases():
    records = stored_lesson("dora-moves").records
    mean, low, high = spread(records, "lora", [f"{seed}-0" for seed in range(4)])
    assert -1 <= low <= mean <= high <= 1
    assert math.isnan(last_loss(records, "random", "0-0"))


@pytest.mark.parametrize("name", stored_lessons())
def test_what_is_stored_says_when_and_on_what_it_was_made(name):
    lesson = stored_lesson(name)
    assert lesson.records
    assert "torch" in lesson.made


def test_an_unknown_lesson_names_the_known_ones():
    with pytest.raises(ValueError, match="dora-moves"):
        stored_lesson("dora-move")
