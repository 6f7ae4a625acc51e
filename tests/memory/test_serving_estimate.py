"""Serving: caches as transformers allocates them, closed forms by hand, and limits that hold to the last user."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, StaticCache

import peftcalc as pc
from peftcalc.memory.serving.caches import LATENT, SLIDING, STATE, LayerCache, layer_caches
from peftcalc.memory.serving.estimate import PIECE, estimate_serving

LLAMA = "meta-llama/Llama-3.1-8B"
LINEARS = 6_979_321_856
TOKENS, WINDOW = 20, 8

SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "vocab_size": 100}
SHARED = {**SMALL, "num_hidden_layers": 4, "num_key_value_heads": 2}
MAMBA_2 = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_n_groups": 2, "mamba_d_state": 4}
FAMILIES: dict[str, dict] = {
    "llama": SHARED,
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100, "bos_token_id": 0, "eos_token_id": 0},
    "falcon": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100},
    "mistral": {**SHARED, "sliding_window": WINDOW},
    "qwen2": {**SHARED, "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 3},
    "gemma2": {**SHARED, "head_dim": 8, "sliding_window": WINDOW},
    "gemma3_text": {**SHARED, "num_hidden_layers": 7, "head_dim": 8, "sliding_window": WINDOW},
    "deepseek_v3": {
        **SHARED,
        "num_key_value_heads": 4,
        "moe_intermediate_size": 32,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "n_group": 2,
        "topk_group": 1,
        "kv_lora_rank": 32,
        "q_lora_rank": 48,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 24,
    },
    "mamba": {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 100},
    "jamba": {**SHARED, "num_hidden_layers": 8, "num_experts": 2, "mamba_d_state": 4},
    "bamba": {**SHARED, "attn_layer_indices": [1], **MAMBA_2},
    "qwen3_next": {
        **SHARED,
        "head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 16,
        "num_experts": 2,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "lfm2": {**SHARED, "layer_types": ["conv", "conv", "full_attention", "conv"]},
}
"""A small configuration of each family that keeps something of its own."""
QUICK = ("gemma2", "deepseek_v3", "bamba")
"""Grouped heads with and without a window, latents, and states beside attention."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "family", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
def test_the_cache_is_the_one_that_transformers_allocates(family):
    argument = "cache_params" if family == "mamba" else "past_key_values"
    config = AutoConfig.for_model(family, **FAMILIES[family])
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
        kept = StaticCache(config, max_cache_len=TOKENS)
        model(torch.zeros(1, TOKENS, dtype=torch.long), use_cache=True, **{argument: kept})
    shapes = pc.load_model({"model_type": family, "architectures": [type(model).__name__], **FAMILIES[family]})
    assert sum(cache.bytes(TOKENS) for cache in layer_caches(shapes)) == sum(map(bytes_of, kept.layers))


def bytes_of(layer) -> int:
    held = [getattr(layer, name, None) for name in ("keys", "values")]
    for states in ("conv_states", "recurrent_states"):
        held += (getattr(layer, states, None) or {}).values()
    return sum(tensor.numel() * tensor.element_size() for tensor in held if tensor is not None)


def test_grouped_heads_by_hand():
    """8 heads of 128 for keys and for values, 32 layers, 2 bytes: 128 KiB a token."""
    one = estimate_serving(LLAMA, pc.LoRA(rank=16), "A100 80GB", context=1000, users=7, adapters=3)
    assert one.cache == 7 * 1000 * 2 * 8 * 128 * 32 * 2
    assert one.cache_per_token == 131_072
    assert one.adapters == 3 * 2 * 41_943_040
    assert one.weights == pytest.approx(2 * 8_030_261_248, rel=1e-4)


@pytest.mark.parametrize(("bits", "each"), [(8, 1 + 4 / 4096), (4, 4.127 / 8)])
def test_fewer_bits_shrink_the_linear_layers_alone(bits, each):
    wide, narrow = (estimate_serving(LLAMA, pc.LoRA(), "A100 80GB", bits=n).weights for n in (16, bits))
    assert wide - narrow == pytest.approx(LINEARS * (2 - each), rel=1e-3)


def test_merging_costs_a_base_a_task():
    beside, merged = (estimate_serving(LLAMA, pc.DoRA(), "H200", adapters=4, merged=m) for m in (False, True))
    assert (merged.weights, merged.adapters) == (4 * beside.weights, 0)
    assert merged.one_more_adapter == beside.weights > 100 * beside.one_more_adapter > 0
    full = estimate_serving(LLAMA, pc.Full(), "H200", adapters=4)
    assert (full.weights, full.adapters) == (merged.weights, 0)
    assert estimate_serving(LLAMA, pc.LoRA(), "H200", adapters=0).adapters == 0


@pytest.mark.parametrize("sizes", [{}, {"users": 3, "bits": 4}, {"adapters": 2, "merged": True, "bits": 4}])
@pytest.mark.parametrize("model", [LLAMA, "google/gemma-2-2b", "deepseek-ai/DeepSeek-V2-Lite"])
def test_what_fits_most_is_the_last_that_fits(model, sizes):
    def fits(**more):
        return estimate_serving(model, pc.LoRA(rank=16), "RTX 4090", **{"context": PIECE, **sizes, **more}).fits

    base = estimate_serving(model, pc.LoRA(rank=16), "RTX 4090", PIECE, **sizes)
    limits = {"users": base.most_users, "adapters": base.most_adapters, "context": base.most_context}
    for name, most in limits.items():
        assert most == 0 or fits(**{name: most}), name
        assert not fits(**{name: most + 1}), name


def test_parts_are_the_sums_of_their_terms():
    one = estimate_serving(LLAMA, pc.QLoRA(), "T4", 5000, 2, 3, 4)
    for part in ("weights", "cache", "adapters", "working"):
        assert getattr(one, part) == sum(term.bytes for term in one.terms if term.part == part) > 0
    assert one.total == sum(term.bytes for term in one.terms)


def test_windows_latents_and_states_bound_what_grows():
    kinds = {cache.kind: cache for cache in layer_caches(pc.load_model("google/gemma-2-2b"))}
    assert kinds[SLIDING].bytes(8192) == kinds[SLIDING].bytes(4096)
    (latent,) = layer_caches(pc.load_model("deepseek-ai/DeepSeek-V3"))
    assert (latent.kind, latent.layers, latent.per_token) == (LATENT, 61, 512 + 64)
    assert LayerCache(STATE, 3, fixed=5, state=7).bytes(1) == LayerCache(STATE, 3, fixed=5, state=7).bytes(10**6) == 114


def test_an_encoder_keeps_nothing_and_what_is_unknown_is_said():
    bert = estimate_serving("google-bert/bert-base-cased", pc.LoRA(), "T4")
    assert (bert.cache, bert.cache_per_user) == (0, 0)
    assert any("does not generate" in note for note in bert.notes)
    llama = pc.load_model(LLAMA)
    strange = replace(llama, groups=tuple(g for g in llama.groups if g.suffix not in ("k_proj", "v_proj")))
    with pytest.raises(ValueError, match="is not known here"):
        layer_caches(strange)


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ({"bits": 5}, "bits must be one of 16, 8, 4"),
        ({"users": 0}, "users must be between 1"),
        ({"adapters": -1}, "adapters must be between 0"),
        ({"context": 0}, "context must be between 1"),
        ({"merged": 1}, "merged must be True or False"),
        ({"card": "T5"}, "no GPU called"),
    ],
)
def test_what_is_out_of_range_is_said(named, sentence):
    with pytest.raises(ValueError, match=sentence):
        estimate_serving(LLAMA, pc.LoRA(), **{"card": "T4", **named})
