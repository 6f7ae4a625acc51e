"""`python -m peftcalc train`: tables, JSON, files, and one line for bad input."""

import json

import pytest

import peftcalc as pc
from peftcalc.cli import main

TRAIN = ["train", "--task", "digits", "--rank", "2", "--steps", "6"]


def test_the_table_shows_before_and_after(capsys):
    assert main([*TRAIN, "--method", "qdora"]) == 0
    captured = capsys.readouterr()
    assert "QDoRA(rank=2, alpha=4), 6 steps, seed 0" in captured.out
    lines = captured.out.splitlines()
    assert any(line.startswith("accuracy") for line in lines)
    assert "before:" in lines
    assert "after:" in lines
    assert "→" in captured.out
    assert captured.err == ""  # the progress bar is for terminals


def test_json_has_the_figures_of_the_last_record(capsys):
    assert main([*TRAIN, "--method", "lora", "--seed", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    *_, last = pc.finetune("digits", pc.LoRA(rank=2, alpha=4), steps=6, seed=3)
    assert found["loss"] == last.loss
    assert found["validation"] == last.validation
    assert (found["task"], found["method"], found["step"], found["trainable"]) == ("digits", "lora", 6, last.trainable)
    assert found["before"]["step"] == 0
    assert len(found["records"]) == 7
    assert "seed=3" in found["code"]


def test_out_keeps_the_records_and_the_adapter(tmp_path, capsys):
    folder = tmp_path / "run"
    assert main([*TRAIN, "--method", "dora", "--out", str(folder)]) == 0
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == list(range(7))
    assert (folder / "adapter_model.safetensors").exists()
    assert json.loads((folder / "adapter_config.json").read_text())["use_dora"] is True
    assert str(folder) in capsys.readouterr().out


def test_full_fine_tuning_has_no_adapter_to_keep(tmp_path):
    assert main([*TRAIN, "--method", "full", "--out", str(tmp_path)]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "digit"], "did you mean 'digits'"),
        (["--steps", "0"], "steps must be between 1 and 100,000, got 0"),
        (["--method", "lorra"], "did you mean 'lora'"),
        (["--targets", "q_proj"], "match no module"),
        (["--learning-rate", "-1"], "learning_rate must be a positive number, got -1.0"),
        (["--method", "full", "--learning-rate", "1000", "--steps", "50"], "diverged: the loss is"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main([*TRAIN, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_in_the_place_of_the_folder_is_refused_before_training(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    assert main([*TRAIN, "--out", str(file)]) == 2
    assert "--out must be a folder that can be written" in capsys.readouterr().err
