"""A step on a visitor's card: what is refused in a sentence, the row that is sent in, a dry run on the processor."""

from __future__ import annotations

import csv
import gc
import json
import weakref
from pathlib import Path

import pytest
import torch
from memory_gpu import TOY

from peftcalc import DoRA, Full, LoRA, QLoRA
from peftcalc.cli import main
from peftcalc.evidence import measured
from peftcalc.evidence.measuring import readings, real_model, real_step
from peftcalc.evidence.measuring.device import find_device
from peftcalc.evidence.measuring.readings import as_csv, measure_memory
from peftcalc.evidence.measuring.real_step import Reading
from peftcalc.memory.options import MemoryOptions
from peftcalc.models.load import load_model
from peftcalc.units import GIB

LLAMA = "meta-llama/Llama-3.2-1B"


@pytest.fixture
def card(monkeypatch):
    """A card that torch reports; its label, memory in use and what a step does there can be set."""

    def report(label="Tesla T4", held=0, total=15 * GIB, capability=(7, 5)):
        for name, value in {
            "is_available": True,
            "get_device_name": label,
            "mem_get_info": (total - held, total),
            "memory_reserved": 0,
            "get_device_capability": capability,
        }.items():
            monkeypatch.setattr(torch.cuda, name, lambda value=value: value)

    report()
    return report


@pytest.fixture
def stepping(monkeypatch):
    """What the step reads or raises, in the place of a real one."""

    def does(answer):
        def step(*_):
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(real_model, "real_model", lambda *_: (None, None))
        monkeypatch.setattr(real_step, "measure_step", step)

    does(Reading(8 * GIB, 9 * GIB, 10 * GIB, 0.5, 1.0))
    return does


def test_a_card_is_known_by_its_name_and_a_foreign_one_by_what_torch_reports(card):
    found = find_device()
    assert (found.name, found.label, found.card.name, found.notes) == ("cuda", "Tesla T4", "T4", ())
    card("NVIDIA Tesla Z9", capability=(8, 9))
    found = find_device()
    assert (found.card.name, found.card.architecture, found.card.bfloat16) == ("NVIDIA Tesla Z9", "8.9", True)
    assert "not in the table" in found.notes[0]


def test_what_cannot_be_measured_is_a_sentence(card, monkeypatch):
    card(held=5 * GIB)
    with pytest.raises(ValueError, match="5 GiB of Tesla T4 are in use"):
        find_device()
    assert "in use by others" in find_device(busy=True).notes[0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device"):
        find_device()
    with pytest.raises(ValueError, match="dry run"):
        find_device("cpu")
    with pytest.raises(ValueError, match="cuda or cpu"):
        find_device("tpu")
    assert find_device("cpu", dry_run=True).card is None


@pytest.mark.parametrize(
    "options", [{"kernels": "liger"}, {"optimizer_offload": "states"}, {"gpus": 2}, {"loss": "liger"}]
)
def test_a_choice_that_needs_more_than_this_is_refused(card, stepping, options):
    with pytest.raises(ValueError, match="measured"):
        measure_memory(load_model(LLAMA), LoRA(), 1, 64, **options)


def test_bitsandbytes_that_is_missing_is_a_sentence(card, monkeypatch):
    def missing(*_):
        raise ModuleNotFoundError(name="bitsandbytes")

    monkeypatch.setattr(real_model, "real_model", missing)
    with pytest.raises(ValueError, match=r"a measurement needs bitsandbytes: pip install"):
        measure_memory(load_model(LLAMA), QLoRA(), 1, 64)


@pytest.mark.parametrize(
    "method",
    [Full(), LoRA(rank=4, alpha=12, dropout=0.1, targets=("q_proj", "v_proj")), DoRA(), QLoRA(double_quant=False)],
    ids=lambda method: method.name,
)
def test_the_row_that_is_sent_in_is_read_back_as_the_same_step(card, stepping, method):
    step = measure_memory(load_model(LLAMA), method, 2, 512, checkpointing=True, dtype="float16")
    (row,) = csv.DictReader(as_csv(step).splitlines())
    with measured.TABLE.open(encoding="utf-8") as file:
        assert list(row) == next(csv.reader(file))
    read = measured._row(row)
    assert (read.model, read.method, read.batch, read.sequence) == (LLAMA, method, 2, 512)
    assert read.options == {"checkpointing": True, "dtype": "float16", "card": "T4"}
    assert (read.allocated, read.reserved, read.process) == (8 * GIB, 9 * GIB, 10 * GIB)
    assert step.error_percent == pytest.approx(100 * (step.estimate.total / (8 * GIB) - 1))
    assert "torch " in read.source
    assert "Tesla T4" in read.source


def test_the_command_prints_both_writes_the_row_and_answers_no_where_memory_ran_out(card, stepping, capsys, tmp_path):
    row = tmp_path / "row.csv"
    asked = ["measure", LLAMA, "--method", "qlora", "--sequence", "512", "--chunk-size", "256"]
    assert main([*asked, "--csv", str(row)]) == 0
    out = capsys.readouterr().out
    assert "8 GiB" in out
    assert "seconds a step" in out
    assert measured._row(next(csv.DictReader(Path(row).read_text().splitlines()))).options["chunk_size"] == 256
    stepping(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB\nmore"))
    assert main([*asked, "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["ran_out"] == "CUDA out of memory. Tried to allocate 20 MiB"
    assert (record["allocated_bytes"], record["error_percent"]) == (0, None)
    assert main(asked) == 1
    assert "ran out of memory" in capsys.readouterr().out
    card(held=4 * GIB)
    assert main(asked) == 2
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (LoRA(rank=4), {}),
        pytest.param(
            QLoRA(rank=4),
            {"checkpointing": True, "preparation": "trl", "loss": "chunked", "chunk_size": 16},
            marks=pytest.mark.slow,
        ),
        pytest.param(Full(), {"optimizer_in_backward": True, "optimizer": "adafactor"}, marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_dry_run_takes_real_steps_of_two_layers(method, options):
    step = measure_memory(load_model(TOY), method, 2, 32, "cpu", dry_run=True, **options)
    assert step.seconds > 0
    assert (step.allocated_bytes, step.ran_out, step.predicted_seconds) == (0, "", 0.0)
    assert readings.row_of(step)["measured_allocated"] == ""


def test_texts_of_a_batch_are_really_padded_so_that_attention_gets_a_mask(monkeypatch):
    """The mask that transformers hands to attention, on real values: None unless a position is hidden."""
    from transformers.models.llama import modeling_llama

    options = MemoryOptions(batch=3, sequence=8)
    model, settings = real_model.real_model(load_model(TOY), LoRA(rank=4), options, "cpu", 1)
    batch = real_step.batch_of_texts(model, settings, options)
    assert batch["attention_mask"].tolist() == [[1] * 8, [1] * 7 + [0], [1] * 7 + [0]]
    masks, make = [], modeling_llama.create_causal_mask
    monkeypatch.setattr(modeling_llama, "create_causal_mask", lambda **named: masks.append(make(**named)) or masks[-1])
    for chosen in (options, options.resized(1, 8)):
        real_step.measure_step(model, settings, chosen, "cpu")
    assert {None if mask is None else tuple(mask.shape) for mask in masks[:6]} == {(3, 1, 8, 8)}
    assert set(masks[6:]) == {None}


@pytest.mark.parametrize("waits", [True, False])
def test_nothing_of_a_step_outlives_its_model(waits, monkeypatch):
    """Hooks that update weights in the backward pass are taken off again, and with them weights and states go."""
    made, build = [], real_model.real_model

    def remembered(*asked):
        model, settings = build(*asked)
        made.extend(weakref.ref(parameter) for parameter in model.parameters())
        return model, settings

    monkeypatch.setattr(real_model, "real_model", remembered)
    measure_memory(load_model(TOY), Full(), 1, 8, "cpu", dry_run=True, optimizer_in_backward=not waits)
    gc.collect()
    assert made
    assert all(parameter() is None for parameter in made)


def test_a_real_model_has_the_shapes_types_and_ties_that_are_counted():
    tied = load_model(TOY | {"tie_word_embeddings": True})
    model, _ = real_model.real_model(tied, LoRA(rank=4), MemoryOptions(), "cpu")
    base = [p for name, p in model.named_parameters() if "lora" not in name]
    assert sum(p.numel() for p in base) == tied.total
    assert {p.dtype for p in base} == {torch.bfloat16}
    assert not any(p.is_meta for p in model.parameters())
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
