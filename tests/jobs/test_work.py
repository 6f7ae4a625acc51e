"""Training and simulating as jobs: what a worker tells is what the functions themselves return."""

from __future__ import annotations

import json
import time
import zipfile

import pytest

from peftcalc.jobs.job_queue import JobQueue
from peftcalc.jobs.worker_process import worker_command
from peftcalc.lab.race import Race
from peftcalc.lab.race_results import RaceResults
from peftcalc.lab.record_json import record_from_json, record_to_json
from peftcalc.lab.records import MatrixChange, StepRecord
from peftcalc.lab.training_jobs import finetune_runs

ROOMS_WITH_WORK = ("peftcalc.lab.work", "peftcalc.memory.simulate.work")
TINY = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 512,
}


def ended(job, seconds=240.0):
    end = time.monotonic() + seconds
    while job.alive:
        assert time.monotonic() < end, "it did not end"
        time.sleep(0.05)


def test_a_record_survives_its_journey():
    change = MatrixChange("q_proj", 0.5, 0.25, (0.1, -0.1), (0.2, 0.3))
    record = StepRecord(3, 10, 1.5, 1.25, {"judged": 0.5}, 2.0, 100.0, 4096, (change,), ("Kyoto",), 12, 48, 0.01, "why")
    assert record_from_json(json.loads(json.dumps(record_to_json(record, "lora-0", rows=True)))) == record


def test_rows_are_left_out_unless_asked_for():
    record = StepRecord(3, 10, 1.5, changes=(MatrixChange("q", 0.5, 0.25, (0.1,), (0.2,)),))
    assert record_to_json(record)["changes"] == [{"matrix": "q", "magnitude_change": 0.5, "direction_change": 0.25}]


def test_runs_take_their_steps_in_turn(tmp_path):
    race = Race("rank", ("lora", "dora"), rank=2, steps=3)
    ticks = list(finetune_runs({"runs": race.runs()}, tmp_path))
    assert [step for step, _, _ in ticks] == [0, 0, 1, 2, 3]
    assert [[record["run"] for record in records] for _, _, records in ticks[2:]] == [["lora-0", "dora-0"]] * 3
    assert ticks[-1][1] == 1.0


def test_the_adapters_are_peft_s_two_files(tmp_path):
    race = Race("rank", ("full", "lora"), rank=2, steps=1)
    list(finetune_runs({"runs": race.runs()}, tmp_path))
    with zipfile.ZipFile(tmp_path / "lora-0.zip") as archive:
        assert sorted(archive.namelist()) == ["adapter_config.json", "adapter_model.safetensors"]
        assert json.loads(archive.read("adapter_config.json"))["r"] == 2
    assert not (tmp_path / "full-0.zip").exists()


def test_a_diverged_run_does_not_stop_the_others(tmp_path):
    runs = Race("rank", ("full", "lora"), rank=2, steps=30).runs()
    runs[0]["learning_rate"] = 100.0
    board = RaceResults(Race("rank", ("full", "lora"), rank=2, steps=30))
    for _, _, records in finetune_runs({"runs": runs}, tmp_path):
        board.read([None] * board._read + records)  # type: ignore[arg-type]
    full, lora = board.tracks["full-0"], board.tracks["lora-0"]
    assert full.last is not None
    assert full.last.stopped is not None
    assert full.now == float("inf")
    assert lora.last is not None
    assert lora.last.step == 30
    assert board.complete


@pytest.mark.slow
def test_a_job_in_a_worker_gives_the_terminal_s_numbers():
    from peftcalc.lab.training import finetune

    race = Race("rank", ("lora", "dora"), rank=2, steps=20)
    queue = JobQueue(worker_command(*ROOMS_WITH_WORK), workers=2)
    try:
        job = queue.submit("ada", "finetune", race.parts(2))
        ended(job)
        assert (job.state, job.message) == ("done", "")
        board = RaceResults(race)
        board.read(job.records)
        for name in race.methods:
            alone = [record.loss for record in finetune("rank", race.method(name), steps=20)]
            assert board.tracks[f"{name}-0"].losses == pytest.approx(alone[1:], rel=1e-5)
        assert (job.folder / "dora-0.zip").exists()
    finally:
        queue.close()


@pytest.mark.slow
def test_a_simulation_in_a_worker_gives_the_function_s_numbers():
    from peftcalc.memory.simulate.simulate import simulate_memory
    from peftcalc.memory.simulate.trace_json import trace_from_json
    from peftcalc.methods import LoRA

    queue = JobQueue(worker_command(*ROOMS_WITH_WORK), workers=1)
    try:
        asked = {"model": TINY, "method": "lora", "rank": 4, "batch": 1, "sequence": 32, "options": {}}
        job = queue.submit("ada", "simulate", [asked])
        ended(job)
        assert (job.state, job.message) == ("done", "")
        alone = simulate_memory(TINY, LoRA(rank=4, alpha=8), sequence=32)
        assert trace_from_json(job.records[0]).breakdown == alone.breakdown
    finally:
        queue.close()
