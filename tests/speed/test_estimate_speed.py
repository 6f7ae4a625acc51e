"""The estimate of time: its parts, what may never be faster than what, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peftcalc
from peftcalc.memory.cards import all_gpus
from peftcalc.methods import DoRA, Full, LoRA, Method, QDoRA, QLoRA
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes, ModuleGroup, Tensor
from peftcalc.speed.estimate import estimate_speed
from peftcalc.speed.machine import SET, machine, peak_of
from peftcalc.speed.options import KERNELS
from peftcalc.speed.records import SpeedEstimate

MODELS = [
    "HuggingFaceTB/SmolLM2-135M",
    "openai-community/gpt2",
    "meta-llama/Llama-3.2-3B",
    "mistralai/Mixtral-8x7B-v0.1",
    "google/gemma-2-2b",
    "FacebookAI/roberta-base",
    "google-t5/t5-small",
    "google/vit-base-patch16-224",
    "deepseek-ai/DeepSeek-V2-Lite",
    "openai/whisper-tiny",
]
LLAMA = "meta-llama/Llama-3.2-3B"
TARGETS = {
    "mistralai/Mixtral-8x7B-v0.1": ("q_proj", "v_proj"),
    "deepseek-ai/DeepSeek-V2-Lite": ("o_proj",),
    "google/vit-base-patch16-224": ("q_proj", "v_proj"),
    "openai/whisper-tiny": ("q_proj", "v_proj"),
}
METHODS = [Full(), LoRA(), DoRA(dropout=0.1), QLoRA(dropout=0.05), QDoRA()]

steps = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 64),
        "sequence": st.integers(1, 8192),
        "kernels": st.sampled_from(list(KERNELS)),
        "checkpointing": st.booleans(),
        "autocast": st.booleans(),
        "adapters_float32": st.booleans(),
        "kbit_upcast": st.booleans(),
        "padding": st.booleans(),
        "attention": st.sampled_from(["sdpa", "flash", "eager"]),
        "dtype": st.sampled_from(["bfloat16", "float16", "float32"]),
        "loss": st.sampled_from(["standard", "chunked", "fused"]),
        "optimizer": st.sampled_from(["adamw", "adamw_fused", "adamw_8bit", "paged_adamw_32bit", "sgd"]),
        "accumulation": st.integers(1, 8),
        "gpus": st.integers(1, 4),
        "experts": st.sampled_from(["float", "4bit"]),
        "dequantization": st.sampled_from(["bitsandbytes", "autogptq"]),
    }
)
models, methods = st.sampled_from(MODELS), st.sampled_from(METHODS)
cards = st.sampled_from([card.name for card in all_gpus()])


def speed(model: str, method: Method, card: str = "A100 80GB", **options) -> SpeedEstimate:
    """The estimate; experts and convolutions, which peft's DoRA and "all-linear" do not take alike, are left alone."""
    if method.has_adapter and model in TARGETS:
        method = replace(method, targets=TARGETS[model])
    return estimate_speed(load_model(model), method, card, **options)


@settings(max_examples=25, deadline=None)
@given(models, methods, cards, steps)
def test_the_terms_add_up_to_the_step(model, method, card, options):
    found = speed(model, method, card, **options)
    assert math.isclose(sum(term.seconds for term in found.terms), found.seconds_per_step, rel_tol=1e-9)
    assert math.isclose(found.tokens_per_second * found.seconds_per_step, found.tokens_per_step, rel_tol=1e-9)
    assert 0 < found.low_tokens_per_second < found.tokens_per_second < found.high_tokens_per_second
    assert found.bound in ("compute", "memory", "host")
    assert all(term.seconds >= 0 and term.formula and term.source for term in found.terms)


@settings(max_examples=25, deadline=None)
@given(models, methods, steps, st.sampled_from(["batch", "sequence", "accumulation"]))
def test_more_tokens_never_take_fewer_seconds(model, method, options, grown):
    less = speed(model, method, **options).seconds_per_step
    more = speed(model, method, **options | {grown: options[grown] + 1}).seconds_per_step
    assert more >= less * (1 - 1e-9)


def test_the_kernel_is_that_of_the_card():
    """On a T4 shared heads leave torch's MATH kernel, written out; heads of their own do not."""
    shared = speed(LLAMA, LoRA(), "T4", batch=1, sequence=2048, dtype="float16")
    assert "attention, written out" in [term.name for term in shared.terms]
    forced = speed(LLAMA, LoRA(), "T4", batch=1, sequence=2048, dtype="float16", kernel="efficient")
    assert "attention" in [term.name for term in forced.terms]
    assert forced.seconds_per_step < shared.seconds_per_step
    alone = speed("openai-community/gpt2", LoRA(targets=("c_attn",)), "T4", sequence=1024, dtype="float16")
    assert "attention" in [term.name for term in alone.terms]
    assert "attention" in [term.name for term in speed(LLAMA, LoRA(), "A100 80GB", sequence=2048).terms]


@settings(max_examples=25, deadline=None)
@given(models, methods, steps)
def test_checkpointing_is_never_faster_nor_is_written_out_attention(model, method, options):
    kept = speed(model, method, **options | {"checkpointing": False, "attention": "flash"}).seconds_per_step
    for change in ({"checkpointing": True}, {"attention": "eager"}):
        asked = {"checkpointing": False, "attention": "flash"} | change
        assert speed(model, method, **options | asked).seconds_per_step >= kept * (1 - 1e-9)


@settings(max_examples=25, deadline=None)
@given(models, st.sampled_from([(LoRA, DoRA), (QLoRA, QDoRA)]), st.sampled_from([0.0, 0.1]), steps)
def test_dora_is_never_faster_than_lora(model, pair, dropout, options):
    plain, decomposed = (speed(model, kind(rank=16, dropout=dropout), **options) for kind in pair)
    assert decomposed.seconds_per_step >= plain.seconds_per_step


@settings(max_examples=25, deadline=None)
@given(models, methods, steps, st.sampled_from(["fused", "unsloth", "compiled"]))
def test_fused_kernels_are_never_slower_than_eager_ones(model, method, options, kernels):
    eager = speed(model, method, **options | {"kernels": "eager"}).seconds_per_step
    assert speed(model, method, **options | {"kernels": kernels}).seconds_per_step <= eager * (1 + 1e-9)


@settings(max_examples=25, deadline=None)
@given(models, st.sampled_from([LoRA, DoRA, QLoRA, QDoRA]), st.integers(1, 128), steps)
def test_a_higher_rank_is_never_faster(model, kind, rank, options):
    assert (
        speed(model, kind(rank=rank + 1), **options).seconds_per_step
        >= speed(model, kind(rank=rank), **options).seconds_per_step
    )


def test_products_of_a_frozen_model_are_two_operations_a_weight_forward_and_two_backward():
    found = speed(LLAMA, LoRA(targets=["q_proj"]), "A100 80GB", batch=8, sequence=2048)
    terms = {term.name: term.seconds for term in found.terms}
    tokens, weights = 8 * 2048, 28 * (3072 * (3072 + 2 * 1024) + 3072**2 + 3 * 3072 * 8192)
    arithmetic = 2 * tokens * weights / (SET.half * 312e12)
    moved = 2 * (weights + 28 * tokens * (9 * 3072 + 2 * 1024 + 3 * 8192))
    expected = arithmetic + SET.overlap * moved / (SET.bandwidth * 2039e9)
    assert terms["matrix products, forward"] == pytest.approx(expected, rel=1e-6)
    assert terms["matrix products, backward"] == pytest.approx(expected, rel=1e-6)
    assert not {"matrix products, computed again", "gradients of the weights"} & set(terms)


def test_full_fine_tuning_multiplies_for_its_gradients_and_reads_the_optimizer_through():
    terms = {term.name: term.seconds for term in speed(LLAMA, Full(), batch=4, optimizer="adamw_fused").terms}
    assert terms["gradients of the weights"] == terms["matrix products, forward"]
    total = load_model(LLAMA).total  # seven reads and writes of AdamW in one kernel, three of clipping, 2 bytes each
    assert terms["the update"] == pytest.approx(10 * 2 * total / (SET.bandwidth * 2039e9), rel=1e-6)


def test_four_bit_weights_are_made_dense_three_times_under_checkpointing():
    weights = 28 * (3072 * (3072 + 2 * 1024) + 3072**2 + 3 * 3072 * 8192)
    for checkpointing, times in ((False, 2), (True, 3)):
        terms = {term.name: term.seconds for term in speed(LLAMA, QLoRA(), checkpointing=checkpointing).terms}
        expected = times * weights * (0.5 + 1 / 32 + 2) / (SET.dequantize * 2039e9)
        assert terms["4-bit weights made dense"] == pytest.approx(expected, rel=1e-6)


def test_fused_attention_is_two_products_forward_and_five_backward():
    found = speed(LLAMA, LoRA(), batch=2, sequence=4096, checkpointing=True, padding=False)
    one = 2 * 2 * (2 * 4096) * 4096 / 2 * 3072 * 28  # two products of two operations, half of the scores, 28 layers
    ahead, back = SET.attention_forward * 4096 / 4596, SET.attention_backward * 4096 / 4796
    expected = one / 312e12 * (2 / ahead + 2.5 / back)
    assert next(t for t in found.terms if t.name == "attention").seconds == pytest.approx(expected)


def test_dora_moves_an_identity_matrix_and_the_weight_through_float32():
    terms = {t.name: t.seconds for t in speed(LLAMA, DoRA(rank=4, targets=["q_proj"]), autocast=False).terms}
    moved = 28 * 3072**2 * (8 + 4 + 2 + 4 + 8 + 12 + 4)  # identity 8; B·A 4, weight 2 + 4, scaling 8, sum 12, norm 4
    assert terms["DoRA: the norm of W + s·B·A"] == pytest.approx(moved / (SET.bandwidth * 2039e9))
    flops = 28 * 2 * 4 * 2 * 3072**2
    assert terms["DoRA: B·A of an identity matrix"] == pytest.approx(flops / (SET.float32 * 19.5e12))


def test_peft_casts_drops_out_scales_and_adds_around_a_float32_adapter():
    name, tokens = "casts, dropout and sums of the adapters", 2048
    plain, dropped = (
        {t.name: t.seconds for t in speed(LLAMA, LoRA(dropout=p, targets=["q_proj"]), autocast=False).terms}[name]
        for p in (0.0, 0.1)
    )
    forward = 3072 * (2 + 4) + 3072 * (2 * 4 + (2 + 4 + 4) + (4 + 2))  # cast; scaling, sum, cast
    backward = 3072 * (2 + 4 + 3 * 2) + 3072 * (2 * 4 + 2 + 4)
    assert plain == pytest.approx(28 * tokens * (forward + backward) / (SET.bandwidth * 2039e9))
    assert dropped - plain == pytest.approx(28 * tokens * 2 * 9 * 3072 / (SET.bandwidth * 2039e9))


@pytest.mark.parametrize(
    ("kernels", "norm", "rotary", "activation"),
    [("eager", 36 + 64, 20 + 32, 10 + 18), ("fused", 4 + 6, 4 + 4, 10 + 18), ("liger", 4 + 6, 4 + 4, 6 + 10)],
)
def test_elementwise_operators_move_these_bytes_a_number(kernels, norm, rotary, activation):
    terms = {t.name: t.seconds for t in speed(LLAMA, LoRA(), batch=8, autocast=False, kernels=kernels).terms}
    seconds = 28 * 8 * 2048 / (SET.bandwidth * 2039e9)  # of a byte in each layer, for every token; no cache holds one
    assert terms["norms"] == pytest.approx(2 * 3072 * norm * seconds)
    assert terms["rotary embedding"] == pytest.approx((3072 + 1024) * rotary * seconds)
    assert terms["activations"] == pytest.approx(8192 * activation * seconds)


def test_tensors_that_the_cache_holds_are_read_from_it():
    """840 tokens of an L40S' 96 MiB: float32 norms of 3,072 and the bfloat16 gate of 8,192 each find a share there."""
    options = {"card": "L40S", "batch": 4, "sequence": 210, "autocast": False}
    terms = {t.name: t.seconds for t in speed(LLAMA, LoRA(targets=["down_proj"]), **options).terms}
    seconds = 28 * 840 / (SET.bandwidth * 864e9)
    assert terms["norms"] == pytest.approx(2 * 3072 * (36 + 64) * seconds * (0.5 + 840 * 3072 * 4 / (96 * 2**20)))
    assert terms["residual stream"] == pytest.approx(
        3072 * 6 * (2 + 2 + 3) * seconds * (0.5 + 840 * 3072 * 2 / (96 * 2**20))
    )
    assert terms["activations"] == pytest.approx(8192 * 28 * seconds * (0.5 + 840 * 8192 * 2 / (96 * 2**20)))
    inputs, outputs = 8192 * (2 + 4 + 2 + 4 + 6), 3072 * (2 * 4 + 10 + 6 + 8 + 6)
    assert terms["casts, dropout and sums of the adapters"] == pytest.approx(
        seconds * (inputs * (0.5 + 840 * 8192 * 4 / (96 * 2**20)) + outputs * (0.5 + 840 * 3072 * 4 / (96 * 2**20)))
    )


def test_causal_attention_takes_half_of_what_an_encoder_takes():
    causal, both = (
        next(
            term
            for term in speed(model, LoRA(), batch=4, sequence=512, padding=False).terms
            if term.name == "attention"
        )
        for model in ("openai-community/gpt2", "FacebookAI/roberta-base")
    )  # both have 12 layers of width 768
    assert both.seconds == pytest.approx(2 * causal.seconds)


def test_every_card_has_its_peaks_with_a_source():
    for card in all_gpus():
        peak = peak_of(card.name)
        assert peak.half >= peak.float32 > 1e12
        assert peak.source.startswith("https://")
        assert machine(card).half < peak.half
    with pytest.raises(ValueError, match="no peak rates are known for 'Abacus'"):
        peak_of("Abacus")


def test_float32_products_run_on_the_float32_units():
    half, whole = (speed(LLAMA, LoRA(), dtype=dtype, batch=4) for dtype in ("bfloat16", "float32"))
    assert whole.seconds_per_step > 5 * half.seconds_per_step  # 312 against 19.5 TFLOPS on an A100


def test_few_tokens_wait_for_the_host_and_many_for_the_arithmetic():
    assert speed("HuggingFaceTB/SmolLM2-135M", LoRA(), sequence=64).bound == "host"
    assert speed("meta-llama/Llama-3.1-70B", LoRA(), batch=8, kernels="fused").bound == "compute"


def test_what_was_never_checked_says_so_and_has_a_wide_range():
    checked, consumer = (speed(LLAMA, LoRA(), card) for card in ("A100 80GB", "RTX 3090"))
    half_width = (checked.high_tokens_per_second - checked.low_tokens_per_second) / 2 / checked.tokens_per_second
    assert half_width <= 0.15
    assert consumer.high_tokens_per_second == pytest.approx(2 * consumer.tokens_per_second)
    assert any("never checked on the RTX 3090" in note for note in consumer.notes)
    assert any("QDoRA was never checked" in note for note in speed(LLAMA, QDoRA()).notes)
    assert not any("never checked" in note for note in checked.notes)


def test_gpus_multiply_the_rate_and_the_note_says_what_is_not_counted():
    one, four = (speed(LLAMA, LoRA(), gpus=gpus) for gpus in (1, 4))
    assert four.tokens_per_second == pytest.approx(4 * one.tokens_per_second)
    assert any("exchanging gradients" in note for note in four.notes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kernls": "fused"}, "did you mean 'kernels'"),
        ({"kernels": "fusd"}, "did you mean 'fused'"),
        ({"checkpoint": True}, "did you mean 'checkpointing'"),
        ({"experts": "8bit"}, "did you mean '4bit'"),
        ({"batch": 0}, "batch must be between 1 and"),
        ({"card": "RTX 9999"}, "no GPU called"),
        ({"method": LoRA(targets=["nothing"])}, "nothing"),
    ],
)
def test_bad_input_is_answered_by_one_sentence(options, said):
    with pytest.raises(ValueError, match=said):
        peftcalc.estimate_speed(LLAMA, **{"method": LoRA(), "card": "T4"} | options)


def test_a_model_without_layers_of_attention_is_refused():
    linear = ModuleGroup("0", "linear", "Linear", (Tensor("weight", (4, 4)),), (), 4, 4)
    with pytest.raises(ValueError, match="no layers of attention"):
        estimate_speed(ModelShapes("net", "Sequential", {}, (linear,), pretrained=False), Full(), "T4")


def test_the_record_is_plain():
    record = speed(LLAMA, LoRA()).to_dict()
    assert set(record) >= {"tokens_per_second", "seconds_per_step", "bound", "terms", "notes"}
    assert set(record["terms"][0]) == {"name", "formula", "seconds", "source"}
