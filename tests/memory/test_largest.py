"""The solved sizes are those that a search finds, on all models, methods, options and cards; nothing is searched."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peftcalc import DoRA, Full, LoRA, QDoRA, QLoRA
from peftcalc.memory import largest
from peftcalc.memory.cards import all_gpus, gpu
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.estimate.growing.growth import pieces
from peftcalc.memory.estimate.growing.sizes import Course, Size, total_of
from peftcalc.memory.fit import FIVE_METHODS, fit, largest_batch, largest_sequence
from peftcalc.memory.largest import MOST_BATCH, MOST_SEQUENCE, searched, step
from peftcalc.memory.needed import most_peak, needed, needed_by, needed_for
from peftcalc.memory.options import CHOICES, SWITCHES, MemoryOptions, make_options
from peftcalc.models.catalogue import catalogue_ids
from peftcalc.models.load import load_model

LLAMA = "meta-llama/Llama-3.2-1B"
TRANSFORMERS = [name for name in catalogue_ids() if "mamba" not in name.lower()]
METHODS = st.one_of(
    st.just(Full()),
    st.builds(
        lambda kind, rank, dropout, freeze_a: kind(rank=rank, alpha=3 * rank, dropout=dropout, freeze_a=freeze_a),
        st.sampled_from((LoRA, DoRA, QLoRA, QDoRA)),
        st.sampled_from((1, 8, 256)),
        st.sampled_from((0.0, 0.1)),
        st.booleans(),
    ),
)
OPTIONS = st.fixed_dictionaries(
    {
        "accumulation": st.sampled_from((1, 8)),
        "gpus": st.sampled_from((1, 2, 7)),
        "chunk_size": st.sampled_from((64, 1024)),
    },
    optional={name: st.sampled_from(list(values)) for name, values in CHOICES.items()}
    | dict.fromkeys(SWITCHES, st.booleans()),
)


def by_search(name, method, card, batch, sequence, options) -> tuple[int, int]:
    """The largest batch and sequence as they are found by asking the estimate again and again."""

    def fits(batch: int, sequence: int) -> bool:
        estimate = estimate_memory(name, method, batch, sequence, card=card, **options)
        return needed_by(estimate, card).verdict(card.usable_bytes) == "fits"

    return (
        searched(lambda size: fits(size, sequence), MOST_BATCH),
        searched(lambda size: fits(batch, size), MOST_SEQUENCE),
    )


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    name=st.sampled_from(TRANSFORMERS),
    method=METHODS,
    card=st.sampled_from(all_gpus()),
    batch=st.sampled_from((1, 2, 3, 16)),
    sequence=st.sampled_from((1, 100, 1024, 1025, 2048, 4097)),
    options=OPTIONS,
)
@example(LLAMA, LoRA(rank=8), all_gpus()[0], 1, 512, {"attention": "eager", "loss": "chunked"})
def test_what_is_solved_is_what_a_search_finds(name, method, card, batch, sequence, options):
    try:
        solved = (
            largest_batch(name, method, card, sequence, **options),
            largest_sequence(name, method, card, batch, **options),
        )
    except ValueError:  # peft refuses the method on this model, or it is no transformer
        return
    assert solved == by_search(name, method, card, batch, sequence, options)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(name=st.sampled_from(TRANSFORMERS), method=METHODS, options=OPTIONS)
def test_no_rule_of_the_estimate_makes_the_solver_search(name, method, options):
    asked = step(load_model(name), method, MemoryOptions(**options))
    try:
        assert asked.estimate.total
    except ValueError:
        return
    assert asked._batches is not None
    assert asked._sequences is not None


@settings(deadline=None, derandomize=True, max_examples=40)
@given(name=st.sampled_from(TRANSFORMERS), method=METHODS, options=OPTIONS, sequence=st.integers(1, MOST_SEQUENCE))
def test_a_course_gives_the_bytes_of_every_moment(name, method, options, sequence):
    asked = step(load_model(name), method, MemoryOptions(**options))
    try:
        assert asked.estimate.total
    except ValueError:
        return
    course = asked._sequences
    assert course is not None
    sequence = min(sequence, course[-1].last)
    estimate = estimate_memory(name, method, 1, sequence, **options)
    piece = next(piece for piece in course if piece.first <= sequence <= piece.last)
    for polynomial, (_, exact) in zip(piece.moments, estimate.moments, strict=False):
        assert abs(polynomial.at(sequence) - exact) <= polynomial.doubt(sequence)
    highest = max(piece.moments, key=lambda polynomial: polynomial.at(sequence))
    assert abs(highest.at(sequence) - estimate.apart_bytes) <= highest.doubt(sequence)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    name=st.sampled_from(TRANSFORMERS),
    method=METHODS,
    card=st.sampled_from(all_gpus()),
    batch=st.sampled_from((1, 3)),
    sequence=st.sampled_from((1, 1024, 4097)),
    options=OPTIONS,
)
@example("google/gemma-2-2b", QLoRA(rank=8), gpu("T4"), 2, 8192, {})
@example(LLAMA, DoRA(rank=8), gpu("T4"), 1, 2048, {})
@example(LLAMA, DoRA(rank=8), gpu("H200"), 4, 2048, {})
def test_cards_that_share_a_course_have_the_estimate_of_their_own(name, method, card, batch, sequence, options):
    try:
        direct = estimate_memory(name, method, batch, sequence, card=card, **options)
    except ValueError:  # peft refuses the method on this model
        return
    asked = step(load_model(name), method, make_options(batch=batch, sequence=sequence, card=card, **options))
    assert needed_for(asked.held, asked.upcast, card) == needed_by(direct, card)
    if asked._own == 0:
        assert asked.estimate == direct


def test_a_card_of_exactly_the_bytes_is_told_to_the_byte():
    asked = step(load_model(LLAMA), QLoRA(rank=16), MemoryOptions())
    for batch, sequence in ((1, 777), (2, 2048), (37, 2048)):
        estimate = estimate_memory(LLAMA, QLoRA(rank=16), batch, sequence)
        exact = estimate.apart_bytes + estimate.upcast_bytes
        assert exact > estimate.total
        if batch == 1:
            assert asked.largest_sequence(exact) == sequence
            assert asked.largest_sequence(exact - 1) == sequence - 1
        else:
            assert asked.largest_batch(exact) == batch
            assert asked.largest_batch(exact - 1) == batch - 1


def test_a_card_larger_than_any_that_is_known_is_searched_for():
    asked = step(load_model(LLAMA), LoRA(rank=16), MemoryOptions())
    assert asked.largest_sequence(2**42) == searched(
        lambda size: estimate_memory(LLAMA, LoRA(rank=16), 1, size).apart_bytes <= 2**42, MOST_SEQUENCE
    )
    assert asked.largest_batch(0) == 0


def test_moving_a_card_estimates_nothing_anew(monkeypatch):
    for card in ("T4", "A100 80GB"):
        for row in fit(LLAMA, card, batch=3, sequence=900):
            assert row.largest_batch >= 0
            assert row.largest_sequence >= 0
    monkeypatch.setattr(largest, "moments_of", None)
    assert [row.largest_batch > 0 for row in fit(LLAMA, "H200", FIVE_METHODS, 3, 900)] == [True] * 5


@pytest.mark.parametrize("card", all_gpus(), ids=lambda card: card.name)
def test_the_highest_peak_of_a_card_is_the_highest(card):
    peak = most_peak(card)
    assert needed(peak).expected_bytes <= card.usable_bytes < needed(peak + 1).expected_bytes


# The number that remembers -------------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True)
@given(
    first=st.integers(1, 50),
    numbers=st.lists(st.integers(-9, 9), min_size=4, max_size=4),
    divisor=st.sampled_from((1, 2, 3, 512)),
)
def test_a_size_is_what_the_number_would_be_for_as_long_as_it_says(first, numbers, divisor):
    a, b, c, d = numbers

    def rule(n):
        shifted = max(a * n + b, c - n, 0) * n
        return [-(-shifted // divisor) * divisor + round(n * 0.3) + (7 if n * n > d * n + 20 else 0)]

    course = Course(first, 200)
    (size,) = rule(Size.of(course))
    for n in range(first, course.last + 1):
        assert abs(size.at(n) - rule(n)[0]) <= size.doubt(n)
    assert size.value == rule(first)[0]


def test_what_it_does_not_know_is_refused_and_searched():
    for rule in (int, float, hash, lambda n: n * n * n, lambda n: 2**n, lambda n: n / n, lambda n: [1, 2][n]):
        with pytest.raises(TypeError):
            rule(Size.of(Course(1, 10)))
        assert pieces(lambda n, rule=rule: [rule(n)], 10) is None


def test_bytes_that_fall_are_searched():
    assert pieces(lambda n: [100 - n], 10) is None
    assert pieces(lambda n: [50 if n < 5 else n], 10) is None
    assert pieces(lambda n: [n], 10) is not None


def test_the_sum_of_sizes_is_their_sum():
    assert total_of([1, 2.5]) == 3.5
    size = Size.of(Course(3, 9))
    mixed = [round(size * 0.5), 4, size * size, 2.5]
    one, other = total_of(mixed), sum(mixed)
    assert (one.value, one.at(7), one.doubt(7)) == (other.value, other.at(7), pytest.approx(other.doubt(7)))
