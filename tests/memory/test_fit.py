"""What fits: the largest batch and sequence are largest, verdicts follow the card, larger cards take larger models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import peftcalc
from peftcalc import Full, LoRA, QLoRA
from peftcalc.memory.cards import gpu
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.fit import (
    ARTICLE,
    FIVE_METHODS,
    fit,
    largest_batch,
    largest_models,
    largest_sequence,
    refusals,
)
from peftcalc.memory.largest import searched
from peftcalc.memory.needed import needed_by

MODEL = "meta-llama/Llama-3.2-1B"


@hypothesis_settings(deadline=None, derandomize=True)
@given(threshold=st.integers(0, 5000), limit=st.integers(1, 4000))
def test_the_search_finds_the_largest_that_fits(threshold, limit):
    assert searched(lambda size: size <= threshold, limit) == min(threshold, limit)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_one_more_sequence_or_token_does_not_fit(checkpointing):
    card, method = gpu("T4"), QLoRA(rank=16)

    def fits(batch: int, sequence: int) -> bool:
        estimate = estimate_memory(MODEL, method, batch, sequence, checkpointing=checkpointing, card=card)
        return needed_by(estimate, card).verdict(card.usable_bytes) == "fits"

    batch = largest_batch(MODEL, method, card, 512, checkpointing=checkpointing)
    assert fits(batch, 512)
    assert not fits(batch + 1, 512)
    sequence = largest_sequence(MODEL, method, card, 1, checkpointing=checkpointing)
    assert fits(1, sequence)
    assert not fits(1, sequence + 1)


def test_what_does_not_fit_has_no_batch():
    row = fit("meta-llama/Llama-3.1-70B", "T4", [LoRA(rank=16)])[0]
    assert (row.verdict, row.fits, row.largest_batch, row.largest_sequence) == ("does not fit", False, 0, 0)
    assert row.free_bytes < 0


def test_all_but_what_peft_refuses_are_fitted_unless_they_are_named():
    model = "mistralai/Mixtral-8x7B-v0.1"
    assert [row.method.name for row in fit(model, "H200")] == ["full", "lora", "qlora"]
    assert "peft refuses DoRA" in refusals(model, FIVE_METHODS)["qdora"]
    assert refusals(MODEL, FIVE_METHODS) == {}
    with pytest.raises(ValueError, match="peft refuses DoRA"):
        fit(model, "H200", FIVE_METHODS)


def test_verdicts_follow_the_allowances_range():
    row = fit(MODEL, "A100 80GB", [LoRA(rank=16)])[0]
    assert row.verdict == "fits"
    assert row.needed.peak_bytes == row.estimate.total
    assert row.needed.low_bytes <= row.needed.expected_bytes <= row.needed.high_bytes


def test_the_articles_experiment_fits_its_card():
    rows = fit(ARTICLE.model, ARTICLE.gpu, ARTICLE.methods, ARTICLE.batch, ARTICLE.sequence, **ARTICLE.options)
    assert [row.method.name for row in rows] == ["lora", "dora", "qlora", "qdora"]
    assert all(row.fits for row in rows)
    by_name = {row.method.name: row.estimate.total for row in rows}
    assert by_name["qlora"] < by_name["lora"] < by_name["dora"]


def test_full_fine_tuning_of_the_articles_model_does_not_fit_its_card():
    assert not fit(ARTICLE.model, ARTICLE.gpu, [Full()], ARTICLE.batch, ARTICLE.sequence, **ARTICLE.options)[0].fits


def test_a_larger_card_never_takes_a_smaller_model():
    table = largest_models(["T4", "RTX 4090", "A100 80GB"], [LoRA(rank=16), QLoRA(rank=16)], sequence=512)
    sizes = peftcalc.catalogue()["parameters"]
    for method in table.columns:
        parameters = [int(sizes[name]) for name in table[method]]
        assert parameters == sorted(parameters)
    assert all(int(sizes[row["QLoRA"]]) >= int(sizes[row["LoRA"]]) for _, row in table.iterrows())


def test_an_unknown_card_is_refused_before_anything_is_computed():
    with pytest.raises(ValueError, match="nearest: RTX 4090"):
        fit(MODEL, "RTX 4091")
