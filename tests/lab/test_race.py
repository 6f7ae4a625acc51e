"""A race is planned, read and repeated; its board counts what arrives."""

from __future__ import annotations

import math

import pytest

from peftcalc.lab.race import Race
from peftcalc.lab.race_results import RaceResults
from peftcalc.lab.stored_runs import stored_names, stored_run
from peftcalc.methods import METHODS


def told(run, step, loss, **more):
    return {"run": run, "step": step, "steps": 4, "loss": loss, **more}


def test_every_run_is_in_exactly_one_part():
    race = Race(seeds=(0, 1, 2))
    for workers in (1, 2, 5, 100):
        parts = race.parts(workers)
        names = [run["run"] for part in parts for run in part["runs"]]
        assert sorted(names) == sorted(run["run"] for run in race.runs())
        assert len(parts) == min(workers, 15)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"methods": ()}, "at least one method"),
        ({"methods": ("lora", "prefix")}, "prefix"),
        ({"rank": 0}, "rank must be between"),
        ({"seeds": ()}, "number of seeds"),
        ({"seeds": tuple(range(11))}, "number of seeds"),
        ({"task": "chess"}, "chess"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"options": {"country": "Atlantis"}}, "Atlantis"),
    ],
)
def test_bad_input_is_refused_at_the_border(wrong, words):
    with pytest.raises(ValueError, match=words):
        Race(**wrong)


def test_a_race_survives_as_dict():
    race = Race("names", ("lora",), seeds=(3, 4), options={"country": "Finland"})
    assert Race.from_dict(race.as_dict()) == race


def test_the_code_repeats_the_race():
    code = Race("digits", ("lora", "dora"), rank=4, alpha=8, steps=5, seeds=(1,), weight_decay=0.3).to_code()
    called = {}

    class Recorder:
        def __getattr__(self, name):
            if name == "compare":
                return lambda **arguments: called.update(arguments) or self
            return lambda *a, **k: (name, k)

    lines = code.replace("import peftcalc as pc\n", "")
    exec(lines, {"pc": Recorder()})
    assert called["methods"] == [("LoRA", {"rank": 4, "alpha": 8}), ("DoRA", {"rank": 4, "alpha": 8})]
    assert (called["seeds"], called["steps"], called["weight_decay"]) == ([1], 5, 0.3)


def test_the_board_takes_in_only_what_is_new():
    board = RaceResults(Race(methods=("lora",), steps=4))
    messages = [told("lora-0", 0, 3.0, validation=3.0)]
    board.read(messages)
    messages.append(told("lora-0", 1, 2.0, seconds=0.5))
    board.read(messages)
    board.read(messages)
    track = board.tracks["lora-0"]
    assert (track.steps, track.losses, track.before, track.now) == ([1], [2.0], 3.0, 3.0)
    assert track.milliseconds == 500
    assert not board.complete


def test_curves_are_means_over_seeds_as_far_as_all_have_come():
    board = RaceResults(Race(methods=("lora",), seeds=(0, 1), steps=4))
    board.read(
        [
            told("lora-0", 0, 3.0, validation=3.0),
            told("lora-1", 0, 5.0, validation=5.0),
            told("lora-0", 1, 2.0),
            told("lora-1", 1, 4.0),
            told("lora-0", 2, 1.0),
        ]
    )
    points = {(point["curve"], point["step"]): point["loss"] for point in board.curves()}
    assert points == {("held out", 0): 4.0, ("training", 1): 3.0}


def test_long_curves_are_thinned_and_keep_their_mean_and_last_step():
    board = RaceResults(Race("rank", methods=("lora",), steps=1000))
    messages = [{"run": "lora-0", "step": step, "steps": 1000, "loss": 1.0 + step} for step in range(1, 1001)]
    board.read(messages)
    points = board.curves(most=200)
    assert len(points) == 200
    assert points[-1]["step"] == 1000
    assert sum(point["loss"] for point in points) / 200 == pytest.approx(sum(range(2, 1002)) / 1000)


def test_a_run_that_diverged_does_not_hide_the_others():
    board = RaceResults(Race(methods=("full", "lora"), steps=4))
    board.read(
        [
            told("full-0", 0, 3.0, validation=3.0),
            told("lora-0", 0, 3.0, validation=3.0),
            told("full-0", 1, None, stopped="diverged: the loss is nan at step 1"),
            told("lora-0", 1, 2.5),
        ]
    )
    assert math.isinf(board.tracks["full-0"].now)
    assert all(point["loss"] <= 9.0 for point in board.curves())
    assert board.comparison().of(board.race.method("full"))[0].stopped is not None


@pytest.mark.parametrize("name", stored_names())
def test_a_stored_race_is_whole(name):
    stored = stored_run(name)
    assert stored.board.complete
    for track in stored.board.tracks.values():
        assert track.now < track.before
        assert track.last is not None
        assert track.last.peak_bytes > 0
    assert "torch" in stored.made


def test_the_stored_default_is_the_page_s_default():
    stored = stored_run("magnitude")
    assert stored.race == Race("magnitude", rank=4)
    assert stored.race.methods == tuple(METHODS)
    ends = {track.method: track.now for track in stored.board.tracks.values()}
    assert ends["full"] < ends["dora"] < ends["qdora"] < ends["lora"] < ends["qlora"]
    assert ends["dora"] < 1e-5 < 1e-2 < ends["qdora"] < 0.2 < 0.6 < ends["lora"]  # five methods part visibly


def test_a_race_that_was_cut_off_is_compared_at_the_last_step_that_all_have_reached():
    board = RaceResults(Race("magnitude", ("lora", "dora"), steps=4))
    for run, last in (("lora-0", 4), ("dora-0", 2)):
        board.read([])
        board._read = 0
        board.read([told(run, step, 3.0 - step, validation=3.0 - step, seconds=step) for step in range(last + 1)])
    assert board.common_step == 2
    assert [(run.validation, run.seconds) for run in board.comparison().runs] == [(1.0, 2), (1.0, 2)]


@pytest.mark.parametrize(("last", "early"), [((0, 0), True), ((1, 0), True), ((1, 1), False), ((4, 4), False)])
def test_a_race_that_was_measured_once_says_nothing_yet(last, early):
    board = RaceResults(Race("magnitude", ("lora", "dora"), steps=4))
    board.read(
        [
            told(run, step, 3.0, validation=3.0)
            for run, end in zip(("lora-0", "dora-0"), last, strict=True)
            for step in range(end + 1)
        ]
    )
    assert board.too_early is early


def test_what_is_private_is_in_no_race():
    race = Race("own", ("lora",))
    assert "secret" in str(race.parts(1, "", "my secret text"))
    assert "secret" not in f"{race}{race.as_dict()}{race.to_code()}"
    assert 'text=open("my-text.txt", encoding="utf-8").read()' in race.to_code()


@pytest.mark.slow
def test_a_stored_race_is_what_training_gives():
    """Not to the last bit: another machine adds in another order."""
    from peftcalc.lab.training import finetune

    stored = stored_run("magnitude-rank-1")
    for name in stored.race.methods:
        *_, last = finetune("magnitude", stored.race.method(name))
        assert stored.board.tracks[f"{name}-0"].now == pytest.approx(last.validation, rel=0.02, abs=1e-4)
