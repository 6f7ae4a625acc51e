"""Looks at a matrix while it learns: what travels is what is there, for every method."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from peftcalc.lab.runs.packed import packed
from peftcalc.lab.runs.weight_looks import LOOKS, look_steps, weight_look
from peftcalc.lab.tasks.own_text import LONGEST, clean_text
from peftcalc.lab.training import finetune
from peftcalc.lab.training_jobs import finetune_runs
from peftcalc.methods import METHODS, make_method


def unpacked(value, bits=8):
    return value[0] * np.frombuffer(base64.b64decode(value[1]), "i1" if bits == 8 else "<i2").astype(float)


@pytest.mark.parametrize("method", METHODS)
def test_what_travels_gives_the_matrix_again(method):
    run = finetune("rank", make_method(method, rank=2, alpha=6), steps=20, width=16)
    list(run)
    _, before, now = run.student.watch("linear")
    look = weight_look(run.student, "linear", with_base=True)
    W = unpacked(look["W"]).reshape(16, 16)
    if method == "full":
        made = W + unpacked(look["D"]).reshape(16, 16)
    else:
        B, A = unpacked(look["B"]).reshape(16, 2), unpacked(look["A"]).reshape(2, 16)
        made = W + look["s"] * B @ A
        if "g" in look:
            made *= unpacked(look["g"], 16)[:, None]
    # Half a step of W, and of B and A in their product: 1/127 of the largest of each.
    assert np.abs(made - now).max() <= 0.02 * np.abs(now).max()
    assert ("g" in look) == METHODS[method].decomposed
    exact = np.linalg.svd(now - before, compute_uv=False)[:12]
    assert np.allclose(look["spectrum"], exact, rtol=1e-3, atol=1e-6 * exact[0])


def test_a_job_tells_looks_only_where_they_are_asked_for_and_of_the_first_seed(tmp_path: Path):
    runs = [{"run": f"lora-{seed}", "method": "lora", "seed": seed, "task": "rank", "steps": 40} for seed in (0, 1)]
    told = [record for _, _, new in finetune_runs({"runs": runs, "watch": ""}, tmp_path) for record in new]
    looks = [record for record in told if "look" in record]
    assert {record["run"] for record in looks} == {"lora-0"}
    assert [record["step"] for record in looks] == sorted(look_steps(40))
    assert len(looks) == LOOKS + 1
    assert "W" in looks[0]["look"]
    assert not any("W" in record["look"] for record in looks[1:])
    assert max(len(json.dumps(record)) for record in looks[1:]) < 6_000
    silent = [record for _, _, new in finetune_runs({"runs": runs}, tmp_path) for record in new]
    assert not any("look" in record for record in silent)


def test_another_matrix_can_be_looked_at_under_way(tmp_path: Path):
    parameters = {"runs": [{"run": "a", "method": "lora", "task": "digits", "steps": 6}], "watch": "input"}
    seen = []
    for step, _, records in finetune_runs(parameters, tmp_path):
        seen += [(step, record["look"]["matrix"], "W" in record["look"]) for record in records if "look" in record]
        if step == 2:
            parameters["watch"] = "first.1"
    assert (2, "input", False) in seen
    assert (3, "first.1", True) in seen
    assert (4, "first.1", False) in seen


def test_codes_of_nothing_are_zero():
    assert unpacked(packed(np.zeros(3))).tolist() == [0, 0, 0]


def test_a_text_is_cleaned_bounded_and_told_apart():
    names = clean_text("Kraków\r\nŁódź\tGórna\n\x00\u202e中" * 40)
    assert "中" not in names.text
    assert names.left_out == 3 * 40
    assert names.is_list
    assert not clean_text(
        "It was a dark and stormy night; the rain fell in torrents, except at intervals. " * 9
    ).is_list
    for wrong, words in (("a" * (LONGEST + 1), "at most 50,000"), ("", "at least 300"), ("中" * 900, "900 others")):
        with pytest.raises(ValueError, match=words):
            clean_text(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["\n".join(f"Mount {chr(97 + i % 26)}{i}" for i in range(60)), "All is well. " * 40])
def test_one_s_own_text_is_learned(text):
    *_, last = finetune("own", "lora", steps=6, text=text)
    assert last.validation is not None
    assert last.samples
