"""The closed-form estimate: hand-worked terms, properties, published sizes, and the traced step as its oracle."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc import DoRA, Full, LoRA, QDoRA, QLoRA, count
from peftcalc.memory.estimate.closed_form import MemoryEstimate, estimate_memory
from peftcalc.memory.records import PARTS
from peftcalc.models.load import load_model

TINY = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
}
PLAIN = {"autocast": False, "padding": False, "keep_outputs": False}
METHODS = (Full(), LoRA(rank=16), DoRA(rank=16), QLoRA(rank=16), QDoRA(rank=16))
FROZEN_A = tuple(method(rank=16, freeze_a=True) for method in (LoRA, DoRA, QLoRA))
LLAMA_8B = "meta-llama/Llama-3.1-8B"


def saved(method, **options) -> int:
    """Bytes saved in the layers of the tiny model for each 128 of its 1,024 tokens, without the last norm."""
    result = estimate_memory(TINY, method, 1, 1024, **{**PLAIN, "optimizer": "sgd", **options})
    assert not any("one layer" in term.name for term in result.terms)
    return sum(t.bytes for t in result.terms if t.part == "saved_activations" and "last norm" not in t.name) // 8


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_terms_add_up_to_parts_and_parts_to_the_total(method, checkpointing):
    result = estimate_memory(TINY, method, 2, 64, checkpointing=checkpointing)
    for part in PARTS:
        assert sum(term.bytes for term in result.terms if term.part == part) == getattr(result, part)
    assert result.total == sum(result.to_dict().values()) == result.peak
    assert result.total == max(size for _, size in result.moments)
    assert all(term.formula and term.source and term.name for term in result.terms)


def test_saved_activations_of_a_llama_layer_by_hand():
    """h = 256, f = 1024, 8 heads of 32, 2 of keys and values; bfloat16, LoRA r = 8 on q and v in float32."""
    norms = 2 * (4 * 256 + 4)
    attention = 2 * (256 + 64 + 64 + 256) + 4 * 8
    mlp = 3 * 2 * 1024
    adapters = 2 * (4 * 256 + 4 * 8)
    each = norms + attention + mlp + adapters
    assert saved(LoRA(rank=8, targets=["q_proj", "v_proj"])) == 4 * 128 * each


def test_saved_activations_of_full_fine_tuning_by_hand():
    """Trained layers share their inputs: one for q, k, v, one for gate and up, the product for down."""
    norms = 2 * (4 * 256 + 4 + 2 * 256)
    attention = 2 * (256 + 64 + 64 + 256) + 4 * 8
    mlp = 3 * 2 * 1024
    inputs = 2 * 256 + 2 * 256 + 2 * 1024
    assert saved(Full()) == 4 * 128 * (norms + attention + mlp + inputs)


def test_adapters_of_the_mlp_keep_more_than_adapters_of_attention():
    attention = saved(LoRA(rank=8, targets=["q_proj", "v_proj"]))
    mlp = saved(LoRA(rank=8, targets=["gate_proj", "up_proj", "down_proj"]))
    every = saved(LoRA(rank=8))
    assert attention < mlp < every


def test_dora_keeps_two_results_more():
    targets = ["q_proj", "down_proj"]
    extra = saved(DoRA(rank=8, targets=targets)) - saved(LoRA(rank=8, targets=targets))
    assert extra == 4 * 128 * (256 + 256) * (2 + 4)


def test_a_frozen_a_keeps_no_input_and_has_no_moments():
    """LoRA-FA by hand: q and v read 256 numbers in float32; A of 8 · 256 is stored and not trained."""
    targets = ["q_proj", "v_proj"]
    both, b_alone = (LoRA(rank=8, targets=targets, freeze_a=frozen) for frozen in (False, True))
    assert saved(both) - saved(b_alone) == 4 * 128 * 2 * 4 * 256
    one, other = (estimate_memory(TINY, method, 1, 1024, **PLAIN) for method in (both, b_alone))
    assert one.adapters == other.adapters == 4 * 4 * 8 * (256 + 256 + 256 + 64)
    assert other.optimizer_states == 2 * 4 * 4 * 8 * (256 + 64)
    assert one.optimizer_states - other.optimizer_states == 2 * 4 * 4 * 8 * 2 * 256


def test_a_start_takes_no_memory_of_its_own():
    for name in ("gaussian", "pissa"):
        one, other = (estimate_memory(TINY, LoRA(rank=8, init=init), 1, 64) for init in ("default", name))
        assert one.to_dict() == other.to_dict()


def test_dropout_keeps_a_mask_of_one_byte():
    targets = ["q_proj", "down_proj"]
    extra = saved(LoRA(rank=8, dropout=0.1, targets=targets)) - saved(LoRA(rank=8, targets=targets))
    assert extra == 4 * 128 * (256 + 1024)


def test_layers_below_the_first_adapter_keep_nothing():
    """Only the last of four layers is adapted, so gradients reach only that one."""
    last = saved(LoRA(rank=8, targets=["q_proj", "v_proj"], layers_to_transform=(3,)))
    assert last == saved(LoRA(rank=8, targets=["q_proj", "v_proj"])) / 4


def test_checkpointing_keeps_the_inputs_of_layers():
    result = estimate_memory(TINY, LoRA(rank=8), 1, 1024, checkpointing=True, **PLAIN)
    inputs = [term.bytes for term in result.terms if "checkpointed" in term.name]
    assert inputs == [4 * 1024 * 2 * 256]


def test_weights_of_an_8b_model():
    result = estimate_memory(LLAMA_8B, LoRA(rank=16))
    assert result.base_weights == pytest.approx(2 * 8_030_261_248, rel=1e-5)
    assert result.adapters == 4 * 41_943_040
    assert result.optimizer_states == 8 * 41_943_040


def test_four_bits_with_and_without_double_quantization():
    """4.127 and 4.5 bits a weight on the quantized layers; embeddings, head and norms in bfloat16 or float32."""
    quantized = 32 * (4096 * (4096 * 2 + 1024 * 2) + 3 * 4096 * 14336)
    rest = 8_030_261_248 - quantized
    double = estimate_memory(LLAMA_8B, QLoRA(rank=16), kbit_upcast=False)
    single = estimate_memory(LLAMA_8B, QLoRA(rank=16, double_quant=False), kbit_upcast=False)
    assert double.base_weights == pytest.approx(quantized / 2 + 2 * rest, rel=1e-5)
    assert (quantized / 2 + double.quantization_constants) * 8 / quantized == pytest.approx(4.126953125, rel=1e-3)
    assert (quantized / 2 + single.quantization_constants) * 8 / quantized == pytest.approx(4.5, rel=1e-3)
    upcast = estimate_memory(LLAMA_8B, QLoRA(rank=16))
    assert upcast.base_weights - double.base_weights == pytest.approx(2 * rest, rel=1e-5)


def test_logits_and_loss_are_twelve_bytes_a_token_and_word():
    result = estimate_memory(LLAMA_8B, LoRA(rank=16), 1, 4096, **PLAIN)
    assert result.logits_and_loss == 12 * 4096 * 128_256
    held = estimate_memory(LLAMA_8B, LoRA(rank=16), 1, 4096, **{**PLAIN, "keep_outputs": True})
    assert held.logits_and_loss == 14 * 4096 * 128_256


@pytest.mark.parametrize(
    ("optimizer", "bytes_each"),
    [("adamw", 4), ("adamw_fused", 4), ("adamw_8bit", 2), ("paged_adamw_32bit", 0), ("sgd", 0), ("sgd_momentum", 2)],
)
def test_optimizer_states_of_pure_bfloat16(optimizer, bytes_each):
    result = estimate_memory("meta-llama/Llama-3.2-1B", Full(), optimizer=optimizer)
    trained = count("meta-llama/Llama-3.2-1B", Full()).trainable
    assert result.optimizer_states == pytest.approx(bytes_each * trained, rel=0.02, abs=1)


def test_mixed_precision_takes_sixteen_bytes_a_parameter_in_the_end():
    """Float32 weights, gradients and two moments: what the ZeRO paper counts, less the half-precision copies."""
    result = estimate_memory("meta-llama/Llama-3.2-1B", Full(), 1, 8, float32_masters=True, optimizer="adamw_fused")
    assert dict(result.moments)["update"] == pytest.approx(16 * 1_235_814_400, rel=0.01)


@pytest.mark.parametrize(
    ("stage", "parts"),
    [
        ("zero1", {"optimizer_states"}),
        ("zero2", {"optimizer_states", "gradients"}),
        ("zero3", {"optimizer_states", "gradients", "base_weights"}),
    ],
)
def test_sharding_divides_what_its_stage_says(stage, parts):
    """At the update of full fine-tuning all parts are there; ZeRO paper, section 5."""
    whole = estimate_memory(TINY, Full(), 1, 1, optimizer="adamw_8bit")
    shared = estimate_memory(TINY, Full(), 1, 1, optimizer="adamw_8bit", gpus=4, sharding=stage)
    for part in ("optimizer_states", "base_weights"):
        divided = getattr(shared, part) * 4 == pytest.approx(getattr(whole, part), abs=4)
        assert divided == (part in parts)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    batch=st.integers(1, 64),
    sequence=st.integers(1, 8192),
    method=st.sampled_from(METHODS),
    checkpointing=st.booleans(),
    loss=st.sampled_from(["standard", "chunked"]),
)
def test_memory_never_falls_as_batch_and_sequence_grow(batch, sequence, method, checkpointing, loss):
    chosen = {"checkpointing": checkpointing, "loss": loss, "padding": False}
    small = estimate_memory(TINY, method, batch, sequence, **chosen).total
    assert small <= estimate_memory(TINY, method, batch + 1, sequence, **chosen).total
    assert small <= estimate_memory(TINY, method, batch, sequence + 1, **chosen).total


def test_every_language_model_of_the_catalogue_is_estimated():
    import peftcalc

    names = [str(name) for name in peftcalc.catalogue().index]
    results = {}
    for name in names:
        model = load_model(name)
        if model.output_embedding and model.architecture.endswith(("CausalLM", "LMHeadModel")):
            results[name] = estimate_memory(model, QLoRA(rank=8), 1, 512)
    assert len(results) > 60
    assert all(isinstance(result, MemoryEstimate) and result.total > 0 for result in results.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": 0}, "batch must be between 1"),
        ({"sequence": 10**12}, "sequence must be between 1"),
        ({"attention": "flsh"}, "did you mean 'flash'"),
        ({"optimizer": "adam"}, "optimizer must be one of"),
    ],
)
def test_bad_options_are_answered_with_value_and_range(options, words):
    with pytest.raises(ValueError, match=words):
        estimate_memory(TINY, LoRA(rank=8), **options)


def test_a_sequence_beyond_the_context_is_allowed_and_said():
    result = estimate_memory(LLAMA_8B, LoRA(rank=8), sequence=200_000)
    assert any("context" in note for note in result.notes)


def test_the_estimate_needs_no_torch():
    program = (
        "import sys, peftcalc as pc; pc.estimate_memory('meta-llama/Llama-3.1-8B', pc.QDoRA(rank=16));"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


FAMILIES = {
    "llama": TINY,
    "qwen3": {**TINY, "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 64},
    "phi3": {**TINY, "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "pad_token_id": 0},
    "gpt_neox": {
        **TINY,
        "model_type": "gpt_neox",
        "architectures": ["GPTNeoXForCausalLM"],
        "num_key_value_heads": None,
        "hidden_act": "gelu",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", [*METHODS, *FROZEN_A], ids=repr)
@pytest.mark.parametrize("options", [{}, {"autocast": False}, {"checkpointing": True}], ids=str)
def test_the_traced_step_agrees(family, method, options):
    """Within the project's bar for the worst row, 15 %; most rows agree to 1 %."""
    from peftcalc.memory.simulate.simulate import simulate_memory

    model = FAMILIES[family]
    traced = simulate_memory(model, method, 2, 256, **options).peak
    assert estimate_memory(model, method, 2, 256, **options).total == pytest.approx(traced, rel=0.15)
