"""What holds of every estimate, whatever the model, the method and the choices: parts, monotony, order, verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from peftcalc import DoRA, Full, LoRA, QDoRA, QLoRA
from peftcalc.memory.cards import all_gpus
from peftcalc.memory.estimate.closed_form import MemoryEstimate, estimate_memory
from peftcalc.memory.fit import fit
from peftcalc.memory.options import CHOICES, SWITCHES
from peftcalc.memory.records import PARTS
from peftcalc.methods import Method
from peftcalc.models.catalogue import catalogue_ids

EXAMPLES = 50
TRANSFORMERS = [name for name in catalogue_ids() if "mamba" not in name.lower()]
KINDS = st.sampled_from((Full, LoRA, DoRA, QLoRA, QDoRA))
PAIRS = {LoRA: DoRA, QLoRA: QDoRA}
SMALL = st.sampled_from((1, 2, 3, 8, 32))
TOKENS = st.sampled_from((1, 64, 1000, 1024, 1025, 4096, 9000))
RANKS = st.sampled_from((1, 4, 8, 16, 64, 256))
NAMES = st.sampled_from(TRANSFORMERS)
OPTIONS = st.fixed_dictionaries(
    {"accumulation": st.sampled_from((1, 4)), "chunk_size": st.sampled_from((64, 1024))},
    optional={name: st.sampled_from(list(values)) for name, values in CHOICES.items()}
    | dict.fromkeys(SWITCHES, st.booleans()),
)
many = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)


def estimate(name: str, method: Method, batch: int, sequence: int, options: dict[str, Any]) -> MemoryEstimate:
    """The estimate; an example that peft refuses, or that is no transformer, is another one's turn."""
    try:
        return estimate_memory(name, method, batch, sequence, **options)
    except ValueError:
        assume(False)
        raise


@many
@given(name=NAMES, kind=KINDS, batch=SMALL, sequence=TOKENS, options=OPTIONS)
def test_parts_add_up_and_more_tokens_never_need_less(name, kind, batch, sequence, options):
    method = kind()
    one = estimate(name, method, batch, sequence, options)
    assert one.total == sum(getattr(one, part) for part in PARTS) == sum(term.bytes for term in one.terms)
    assert all(getattr(one, part) >= 0 for part in PARTS)
    for more in ((batch + 1, sequence), (batch, sequence + 1)):
        larger = estimate(name, method, *more, options)
        assert one.total <= larger.total
        assert one.apart_bytes <= larger.apart_bytes


@many
@given(name=NAMES, kind=st.sampled_from(tuple(PAIRS)), rank=RANKS, batch=SMALL, sequence=TOKENS, options=OPTIONS)
def test_a_higher_rank_and_a_magnitude_never_need_less(name, kind, rank, batch, sequence, options):
    one = estimate(name, kind(rank=rank, alpha=3 * rank), batch, sequence, options)
    assert one.total <= estimate(name, kind(rank=rank + 1, alpha=3 * rank), batch, sequence, options).total
    assert one.total <= estimate(name, PAIRS[kind](rank=rank, alpha=3 * rank), batch, sequence, options).total


@many
@given(
    name=NAMES,
    kind=KINDS,
    gpus=st.sampled_from((2, 3, 4, 7, 8)),
    sharding=st.sampled_from(list(CHOICES["sharding"])),
    sequence=TOKENS,
    options=OPTIONS,
)
def test_from_two_gpus_on_more_never_need_more(name, kind, gpus, sharding, sequence, options):
    few, more = (
        estimate(name, kind(), 1, sequence, options | {"sharding": sharding, "gpus": count})
        for count in (gpus, gpus + 1)
    )
    assert more.total <= few.total
    assert more.apart_bytes <= few.apart_bytes


@many
@given(name=NAMES, kind=KINDS, card=st.sampled_from(all_gpus()),
       batch=SMALL, sequence=TOKENS, options=OPTIONS)  # fmt: skip
def test_nothing_fits_that_is_larger_than_the_card(name, kind, card, batch, sequence, options):
    try:
        one = fit(name, card, [kind()], batch, sequence, **options)[0]
    except ValueError:
        assume(False)
        raise
    if one.verdict == "fits":
        assert one.estimate.total <= one.needed.reserved_bytes
        assert max(one.needed.high_bytes, one.estimate.apart_bytes) <= card.usable_bytes
    if one.estimate.total > card.usable_bytes:
        assert one.verdict == "does not fit"
        assert one.largest_batch < batch


def test_an_example_can_fail():
    """The invariants see a difference: half of the tokens need less, and a card of nothing holds nothing."""
    whole, half = (estimate_memory("openai-community/gpt2", LoRA(rank=8), 1, tokens).total for tokens in (1024, 512))
    assert half < whole
    with pytest.raises(ValueError, match="sequence must be between 1"):
        estimate_memory("openai-community/gpt2", LoRA(rank=8), 1, 0)
