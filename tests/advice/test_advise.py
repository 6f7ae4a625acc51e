"""Advice follows the memory of the card, the priority and the tasks; its numbers are the tool's own."""

from __future__ import annotations

import pytest

from peftcalc import LoRA, units
from peftcalc.advice.advise import PRIORITIES, advise
from peftcalc.advice.reasons import dropout_for
from peftcalc.evidence.accuracy import COMMONSENSE
from peftcalc.memory.estimate.closed_form import estimate_memory

LLAMA_8B = "meta-llama/Llama-3.1-8B"


def test_a_small_card_needs_four_bits():
    advice = advise(LLAMA_8B, "T4")
    assert advice.method.name == "qlora"
    assert advice.checkpointing


def test_a_large_card_takes_lora_for_balance_and_full_for_quality():
    assert advise(LLAMA_8B, "H200").method.name == "lora"
    assert advise(LLAMA_8B, "H200", "quality").method.name == "full"


def test_many_tasks_mean_adapters():
    advice = advise(LLAMA_8B, "H200", "quality", tasks=50)
    assert advice.method.has_adapter
    assert any("50 tasks" in reason.question for reason in advice.reasons)


def test_memory_first_takes_the_smallest():
    advice = advise(LLAMA_8B, "H200", "memory")
    assert advice.method.name == "qlora"
    assert advice.fit.needed.expected_bytes == min(f.needed.expected_bytes for f in advice.fits)


def test_what_cannot_fit_is_said():
    advice = advise("meta-llama/Llama-3.1-405B", "T4")
    assert advice.fit.verdict == "does not fit"
    assert any("missing" in reason.evidence for reason in advice.reasons)


@pytest.mark.parametrize("priority", PRIORITIES)
def test_stacked_experts_get_what_peft_can_do_to_them(priority):
    advice = advise("mistralai/Mixtral-8x7B-v0.1", "H200", priority)
    assert {f.method.name for f in advice.fits} == {"full", "lora", "qlora"}
    assert isinstance(advice.method, LoRA)
    assert advice.method.dropout == 0
    answers = {reason.question: reason.answer for reason in advice.reasons}
    assert answers["Are all five possible on this model?"] == "Not DoRA and QDoRA."
    assert answers["How much dropout?"].startswith("None")


@pytest.mark.parametrize("priority", PRIORITIES)
def test_every_reason_has_evidence_and_a_source(priority):
    for reason in advise(LLAMA_8B, "A100 80GB", priority, tasks=3).reasons:
        assert reason.question.endswith("?")
        assert reason.answer
        assert reason.evidence
        assert reason.source
        assert reason.kind in ("estimated", "exact", "published")


def test_the_number_in_the_reason_is_the_estimate():
    advice = advise(LLAMA_8B, "RTX 4090")
    direct = estimate_memory(LLAMA_8B, advice.method, checkpointing=advice.checkpointing)
    assert advice.fit.estimate.total == direct.total
    assert units.gib(advice.fit.needed.expected_bytes) in advice.reasons[0].evidence


def test_dropout_by_size():
    assert (dropout_for(7_000_000_000), dropout_for(13_015_864_320), dropout_for(65_000_000_000)) == (0.1, 0.1, 0.05)


def test_the_published_table_is_in_order():
    assert all(dora > lora for lora, dora, _ in COMMONSENSE.values())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"card": "T5"}, "T5"),
        ({"card": "T4", "priority": "sped"}, "did you mean 'speed'"),
        ({"card": "T4", "tasks": 0}, "tasks must be between"),
        ({"card": "T4", "batch": 0}, "batch must be between"),
    ],
)
def test_bad_values_are_sentences(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        advise(LLAMA_8B, **arguments)
