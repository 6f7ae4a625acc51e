"""Advice follows the memory of the card, the priority and the tasks; its numbers are the tool's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc import units
from peftcalc.advice.advise import PRIORITIES, Advice, advise
from peftcalc.advice.cards import REPEAT_HEADS, Choice, choose
from peftcalc.advice.reasons import ranking_reason
from peftcalc.advice.setting_reasons import dropout_for
from peftcalc.advice.wishes import WISHES, Plan
from peftcalc.evidence.accuracy import COMMONSENSE
from peftcalc.memory.cards import Gpu, all_gpus, gpu
from peftcalc.memory.estimate.anatomy import anatomy
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.largest import step
from peftcalc.memory.needed import needed_by
from peftcalc.models.catalogue import catalogue_ids
from peftcalc.models.load import load_model

LLAMA_8B = "meta-llama/Llama-3.1-8B"
SMALL, LARGE = gpu("RTX 5090"), gpu("V100 32GB")
MISTRAL_7B = "mistralai/Mistral-7B-v0.1"


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
    assert units.gib(advice.fit.needed.expected_bytes) in advice.reasons[1].evidence


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


CARDS = sorted(all_gpus(), key=lambda card: card.usable_bytes)
FOUR_BITS = ("qlora", "qdora")


def checked(advice: Advice, tasks: int) -> None:
    """An advice agrees with itself: it fits if anything of its ranking does, and its sentences name what was chosen."""
    plans = advice.wish.plans(tasks)
    assert advice.plan in plans
    assert advice.method.name == advice.plan.method
    assert advice.fit in advice.fits
    first, *_ = advice.reasons
    assert f"Taken: {advice.plan}," in first.answer
    assert ("the first that fits" in first.answer) == advice.fit.fits
    fitting = [f.method.label for f in advice.fits if f.fits]
    assert advice.reasons[1].answer == f"{', '.join(fitting) or 'None of them'}."
    assert advice.checkpointing == any(reason.question.startswith("Keep activations") for reason in advice.reasons)
    assert (not advice.fit.fits) == any(reason.question == "Is there a way?" for reason in advice.reasons)
    assert advice.method.has_adapter or tasks == 1
    questions = ("LoRA or DoRA?", "Adapter or full fine-tuning?")
    chosen = next(reason for reason in advice.reasons if reason.question in questions)
    assert chosen.answer.startswith(f"{advice.method.label}:")
    assert "math" not in advice.fit.step.kernels or not advice.fit.step.options.masked
    said = any(REPEAT_HEADS in reason.answer for reason in advice.reasons)
    alone = step(advice.fit.step.model, advice.method, replace(advice.fit.step.options, kernel="auto"))
    broadcast = anatomy(alone.model).broadcasts  # falcon's one head, which it does not hand to transformers' attention
    assert said == (not advice.fit.gpu.bfloat16 and not broadcast and "math" in alone.kernels)


def check_a_model(model: str, batch: int, sequence: int, tasks: int) -> None:
    """Over all cards by memory: a larger one never gets fewer bits for the base, nor a plan ranked lower."""
    shapes = load_model(model)
    for priority in PRIORITIES:
        before = None
        for card in CARDS:
            advice = advise(shapes, card, priority, tasks, batch, sequence)
            checked(advice, tasks)
            if before is not None:
                plans = advice.wish.plans(tasks)
                assert plans.index(advice.plan) <= plans.index(before.plan), (model, priority, card.name)
                assert advice.method.quantized <= before.method.quantized, (model, priority, card.name)
                assert advice.fit.fits >= before.fit.fits
            before = advice


@settings(deadline=None, max_examples=3)
@given(
    st.sampled_from(catalogue_ids()),
    st.sampled_from([1, 4]),
    st.sampled_from([512, 8192]),
    st.sampled_from([1, 20]),
)
def test_a_larger_card_never_hurts(model, batch, sequence, tasks):
    check_a_model(model, batch, sequence, tasks)


@pytest.mark.slow
@pytest.mark.parametrize("model", catalogue_ids())
def test_a_larger_card_never_hurts_for_any_model(model):
    check_a_model(model, 1, 2048, 1)


@pytest.mark.parametrize("wish", WISHES.values(), ids=list(WISHES))
def test_every_ranking_has_sixteen_bits_before_four(wish):
    bits = [plan.method in FOUR_BITS for plan in wish.ranking]
    assert bits == sorted(bits)
    assert wish.evidence
    assert wish.source


def test_the_four_wishes_give_four_answers_where_they_can():
    given = {advise(LLAMA_8B, "H200", priority).method for priority in PRIORITIES}
    assert len(given) == 4


def test_quality_does_not_fall_from_sixteen_bits_to_four_on_the_larger_card():
    smaller, larger = (advise(LLAMA_8B, card, "quality") for card in ("RTX 4090", "A40"))
    assert not smaller.method.quantized
    assert not larger.method.quantized


def test_a_model_with_stacked_experts_gets_what_peft_takes():
    advice = advise("deepseek-ai/DeepSeek-V2-Lite", "H200", "quality")
    assert "experts" not in str(advice.method.peft_arguments())
    assert any("stacked experts" in reason.answer for reason in advice.reasons if reason.question == "Which modules?")


@pytest.mark.parametrize("model", ["Qwen/Qwen2.5-1.5B", MISTRAL_7B])
def test_an_old_card_with_more_memory_is_not_advised_less(model):
    """A V100 has no bfloat16, so full fine-tuning needs more there, and no fused kernel for shared heads."""
    check_a_model(model, 1, 2048, 1)


def test_shared_heads_are_repeated_on_old_cards_and_that_is_said():
    """Left alone, MATH keeps 32 heads · 6144² float32 numbers of a layer: QLoRA would be all that fits."""
    old, new = (advise(LLAMA_8B, card, "speed", sequence=6144) for card in (LARGE, SMALL))
    assert old.plan == new.plan == Plan("lora", True)
    assert old.fit.estimate.kernel == "efficient"
    (said,) = (reason for reason in old.reasons if REPEAT_HEADS in reason.answer)
    alone = estimate_memory(LLAMA_8B, old.method, 1, 6144, card=LARGE, checkpointing=True)
    least = needed_by(alone, old.fit.gpu).expected_bytes
    assert least > old.fit.gpu.usable_bytes >= old.fit.needed.high_bytes
    assert units.gib(least) in said.evidence
    assert not any(REPEAT_HEADS in reason.answer for reason in (*new.reasons, *advise("gpt2", "T4").reasons))
    assert not any(REPEAT_HEADS in reason.answer for reason in advise(LLAMA_8B, "T4", batch=2).reasons)


FIRST, SECOND, THIRD = (Plan(name) for name in ("dora", "lora", "qlora"))


def chosen(*fitting: tuple[Plan, Gpu]) -> Choice:
    """On the smaller of two cards, where these plans fit on these cards; on all others every plan fits."""

    def needs(plan: Plan, card: Gpu) -> int:
        fits = card not in (SMALL, LARGE) or (plan, card) in fitting
        return card.usable_bytes if fits else card.usable_bytes + 1 + (FIRST, THIRD, SECOND).index(plan)

    return choose((FIRST, SECOND, THIRD), needs, SMALL)


def test_a_plan_is_taken_that_fits_on_every_larger_card_as_well():
    both = [(plan, card) for plan in (SECOND, THIRD) for card in (SMALL, LARGE)]
    assert chosen(*both) == Choice(SECOND, True, (FIRST,))
    assert chosen((FIRST, SMALL), *both) == Choice(SECOND, True, (), ((FIRST, LARGE),))
    assert chosen((FIRST, SMALL), (THIRD, SMALL)) == Choice(THIRD, False, (SECOND,), ((FIRST, LARGE),))
    assert chosen() == Choice(FIRST, False)  # of those that fit nowhere the one that needs least


def test_what_fits_here_alone_is_said():
    wish, fit = WISHES["quality"], advise(LLAMA_8B, SMALL).fit
    said = ranking_reason(wish, (FIRST, SECOND), Choice(SECOND, True, (), ((FIRST, LARGE),)), fit).answer
    assert "on the RTX 5090 and on every card with more memory (DoRA fits here and not on the larger V100 32GB)" in said


def test_advice_is_computed_once_for_the_same_wish(monkeypatch: pytest.MonkeyPatch):
    first = advise(LLAMA_8B, "T4", "speed", tasks=3)
    monkeypatch.setattr("peftcalc.advice.advise.choose", None)  # whoever computes again fails
    assert advise(LLAMA_8B, gpu("T4"), "speed", tasks=3, batch=1.0) is first  # type: ignore[arg-type]
    for wrong in ({"batch": True}, {"sequence": 0}, {"tasks": True}):  # equal to what is kept, or out of range
        with pytest.raises(ValueError, match=next(iter(wrong))):
            advise(LLAMA_8B, "T4", "speed", **{"tasks": 3, **wrong})
