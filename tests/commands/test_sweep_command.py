"""`python -m peftcalc sweep`: table, JSON, a file that goes on, bad input."""

import json

import pytest

from peftcalc.cli import main

SMALL = ["sweep", "--task", "rank", "--methods", "full,lora", "--rank", "1,4", "--seeds", "2", "--steps", "6"]


def test_the_table_has_a_line_for_each_combination(capsys):
    assert main(SMALL) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "(n = 2)" in line]) == 3
    assert any(line.startswith("* LoRA(rank=1, alpha=2)") for line in lines)
    assert "Pareto front" in lines[-1]


def test_json_and_a_file_that_goes_on(capsys, tmp_path):
    file = tmp_path / "runs.jsonl"
    assert main([*SMALL, "--lr", "1e-3,1e-2", "--json", "--out", str(file)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["runs"]) == 12
    assert len(report["cells"]) == 6
    assert {cell["learning_rate"] for cell in report["cells"]} == {1e-3, 1e-2}
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 12
    file.write_text("".join(lines[:5]) + lines[5][:40])
    assert main([*SMALL, "--lr", "1e-3,1e-2", "--json", "--out", str(file), "--resume"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert file.read_text().splitlines(keepends=True)[:5] == lines[:5]
    assert len(file.read_text().splitlines()) == 12
    for cells in zip(report["cells"], again["cells"], strict=True):
        assert cells[0]["validation"] == pytest.approx(cells[1]["validation"], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "lor"], "did you mean 'lora'"),
        (["--resume"], "--resume needs --out"),
        (["--rank", "0"], "rank must be between 1"),
        (["--out", "/nowhere/at/all"], "--out must be a file that can be written"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    assert main(["sweep", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
