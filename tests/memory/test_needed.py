"""Two questions about a card: what a step needs, at least and at most, and what nvidia-smi will show of it."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc import QLoRA
from peftcalc.evidence.measured import measured
from peftcalc.evidence.models import row_model
from peftcalc.evidence.rows import OWN, evidence_rows
from peftcalc.memory.allowances import context_allowance, reserved_allowance
from peftcalc.memory.cards import all_gpus, gpu
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.fit import FIVE_METHODS, fit
from peftcalc.memory.needed import needed_by, room
from peftcalc.memory.options import CHOICES
from peftcalc.units import GIB

QKVO = ("q_proj", "k_proj", "v_proj", "o_proj")


def test_the_sum_of_the_parts_at_their_own_highest():
    estimate = estimate_memory("meta-llama/Llama-3.2-1B", QLoRA(rank=16), 2, 1024, checkpointing=True)
    needs = needed_by(estimate)
    context = context_allowance()
    assert needs.expected_bytes == estimate.total + context.expected_bytes
    assert needs.high_bytes == estimate.apart_bytes + estimate.upcast_bytes + context.high_bytes
    unshared = round(1.4 * min(estimate.apart_bytes - estimate.total, 4 * 2 * 1024 * 128_256))
    assert needs.reserved_bytes == estimate.reserved_bytes
    assert needs.reserved_bytes == estimate.total + unshared + round(0.25 * estimate.upcast_bytes)
    assert needs.shown_bytes == needs.reserved_bytes + context.expected_bytes
    assert estimate.upcast_bytes == 2 * (128_256 * 2048 + 2048)  # the tied head costs nothing of its own
    assert needs.low_shown_bytes < needs.shown_bytes < needs.high_shown_bytes


def test_nothing_is_left_by_loading_where_nothing_is_cast():
    for options in ({"kbit_upcast": False}, {"dtype": "float32"}):
        assert estimate_memory("openai-community/gpt2", QLoRA(rank=8), **options).upcast_bytes == 0


def test_a_run_that_ran_out_is_not_said_to_fit():
    """fitcheck-llm's Qwen2.5-7B at batch 2 on a T4 of 14,912 MiB; at batch 1 it ran."""
    options = {"dtype": "float16", "checkpointing": True, "autocast": False, "padding": False, "attention": "eager"}
    method = QLoRA(rank=16, targets=QKVO, double_quant=False)
    one, two = (fit("Qwen/Qwen2.5-7B", "T4", [method], batch, 1024, **options)[0] for batch in (1, 2))
    assert (one.verdict, two.verdict) == ("fits", "tight")
    assert two.needed.high_bytes > 14_912 * 2**20
    assert two.largest_batch == 1


def test_no_run_that_ran_is_refused_and_few_are_tight():
    verdicts = [row.verdict for row in evidence_rows() if row.verdict]
    assert len(verdicts) == len(measured())
    assert "does not fit" not in verdicts
    assert verdicts.count("tight") <= len(verdicts) / 5


@pytest.mark.parametrize("card", ["T4", "RTX 4080", "A100 80GB"])
def test_the_bar_on_what_is_reserved_and_shown(card):
    """These rows set three shares: that each of them, left out, is missed by 3 to 4 % is told beside the rule."""
    errors = []
    for row in evidence_rows():
        if row.card == card and row.setup == "known" and row.gpus == 1 and row.verdict:
            assert row.reserve_used_for
            measured_bytes = row.reserved_bytes or row.process_bytes
            answer = row.estimated_reserved_bytes or row.estimated_process_bytes
            errors.append(abs(answer / measured_bytes - 1))
    assert len(errors) >= 5
    assert statistics.mean(errors) <= 0.06


def test_nine_of_ten_rows_lie_in_the_range_that_was_fitted_to_them():
    inside = []
    for row in measured():
        if row.reserved and row.gpus == 1 and not row.id.startswith(OWN):
            estimate = estimate_memory(row_model(row.model), row.method, row.batch, row.sequence, **row.options)
            reserve = reserved_allowance(estimate.total, estimate.unshared_bytes, estimate.upcast_bytes)
            inside.append(reserve.low_bytes <= row.reserved - estimate.total <= reserve.high_bytes)
    assert sum(inside) >= 0.9 * len(inside)


def test_reserves_of_an_h100_that_set_nothing_are_missed_by_less_than_six_percent():
    """27 rows alone on the card; full fine-tuning is 5 to 24 % too low, Adafactor's worst."""
    ours = [row for row in evidence_rows() if row.id.startswith(OWN) and row.reserved_bytes]
    errors = [row.estimated_reserved_bytes / row.reserved_bytes - 1 for row in ours]
    shown = [row.estimated_process_bytes / row.process_bytes - 1 for row in ours]
    assert len(ours) == 27
    assert max(map(abs, errors)) < 0.25
    assert (statistics.mean(map(abs, errors)) < 0.045, statistics.mean(map(abs, shown)) < 0.045) == (True, True)


def test_written_out_attention_leaves_more_of_its_blocks_unshared():
    eager, fused = (
        estimate_memory("HuggingFaceTB/SmolLM2-360M", QLoRA(rank=32, targets=QKVO), 1, 4096, attention=way)
        for way in ("eager", "flash")
    )
    assert eager.unshared_bytes == round(0.75 * (eager.apart_bytes - eager.total)) > fused.unshared_bytes
    assert fused.unshared_bytes <= 1.4 * 4 * 4096 * 49_152


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    model=st.sampled_from(("meta-llama/Llama-3.2-1B", "openai-community/gpt2", "google/gemma-2-2b", "Qwen/Qwen3-8B")),
    method=st.sampled_from(FIVE_METHODS),
    card=st.sampled_from(all_gpus()),
    batch=st.integers(1, 64),
    sequence=st.integers(1, 9000),
    options=st.fixed_dictionaries(
        {"checkpointing": st.booleans(), "accumulation": st.sampled_from((1, 4)), "padding": st.booleans()},
        optional={name: st.sampled_from(list(CHOICES[name])) for name in ("attention", "loss", "dtype", "optimizer")},
    ),
)
def test_needs_are_in_order_and_grow_with_the_step(model, method, card, batch, sequence, options):
    sizes = (batch, sequence), (batch + 1, sequence), (batch, sequence + 1)
    one, more, longer = (fit(model, card, [method], *size, **options)[0] for size in sizes)
    assert one.needed.peak_bytes <= one.needed.low_bytes <= one.needed.expected_bytes <= one.needed.high_bytes
    assert one.needed.peak_bytes <= one.needed.reserved_bytes
    assert one.needed.low_shown_bytes <= one.needed.shown_bytes <= one.needed.high_shown_bytes
    assert max(one.needed.high_bytes, one.estimate.apart_bytes) <= min(more.needed.high_bytes, longer.needed.high_bytes)
    assert one.estimate.apart_bytes >= one.estimate.total == one.needed.peak_bytes
    assert (one.verdict == "fits") == (one.needed.high_bytes <= card.usable_bytes)
    assert (one.verdict == "fits") == (one.largest_batch >= batch) == (one.largest_sequence >= sequence)


def test_a_measured_context_stands_in_its_cards_place():
    assert context_allowance(gpu("T4")).expected_bytes == 141 * 2**20
    assert context_allowance(gpu("H100 80GB")).expected_bytes == 760 * 2**20
    assert "by us on an H100" in context_allowance(gpu("H100 80GB")).source
    assert context_allowance(gpu("L4")) == context_allowance()
    assert room(gpu("T4")) == gpu("T4").usable_bytes - 250 * 2**20 > 14 * GIB
