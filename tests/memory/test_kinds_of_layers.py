"""Layers that are not those of a Llama: small models of many kinds, the estimate beside the traced step."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import transformers

import peftcalc as pc
from peftcalc.memory.estimate.anatomy import anatomy
from peftcalc.memory.estimate.study import studied
from peftcalc.memory.model_config import distances, has_own_layers, is_written_out, keeps_logits_half, widens_logits

BERT = {
    "hidden_size": 256,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "vocab_size": 99,
}
BART = {"d_model": 256, "vocab_size": 99, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
BART |= {f"{stack}_{what}": n for stack in ("encoder", "decoder") for what, n in
         (("layers", 6), ("attention_heads", 4), ("ffn_dim", 1024))}  # fmt: skip
GPT2 = {"n_embd": 256, "n_layer": 12, "n_head": 4, "vocab_size": 99}
KINDS: dict[str, dict[str, Any]] = {
    "bert": BERT,
    "megatron-bert": BERT,
    "deberta-v2": BERT | {"relative_attention": True, "position_buckets": 64, "pos_att_type": ["p2c", "c2p"]},
    "bart": BART,
    "marian": BART | {"decoder_start_token_id": 0},
    "mbart": BART | {"dropout": 0.0},
    "gpt2": GPT2,
    "bloom": {"hidden_size": 256, "n_layer": 12, "n_head": 4, "vocab_size": 99},
    "opt": {
        "hidden_size": 256,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "ffn_dim": 1024,
        "vocab_size": 99,
        "word_embed_proj_dim": 64,
        "do_layer_norm_before": False,
    },
}
"""Each says what it must and leaves the rest to its class: activations, dropouts, how the loss takes logits."""


METHOD = pc.LoRA(rank=8, alpha=16)
TOKENS = 16 * 256


def estimated(kind: str, method: pc.Method = METHOD, **options: Any) -> dict[str, int]:
    """Bytes of what is kept, by name."""
    asked = {"batch": 16, "sequence": 256, "checkpointing": True, **options}
    terms = pc.estimate_memory({"model_type": kind, **KINDS[kind]}, method, **asked).terms
    return {term.name: term.bytes for term in terms if term.part == "saved_activations"}


@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_small_models_take_what_their_traced_step_takes(kind: str, checkpointing: bool) -> None:
    config = {"model_type": kind, **KINDS[kind]}
    asked = {"batch": 16, "sequence": 256, "checkpointing": checkpointing}
    estimate, trace = pc.estimate_memory(config, METHOD, **asked), pc.simulate_memory(config, METHOD, **asked)
    allowed = 0.08 if kind == "megatron-bert" else 0.045  # whose dropped probabilities lie beside a layer at work
    assert estimate.total == pytest.approx(trace.peak, rel=allowed)


@pytest.mark.parametrize(("kind", "size"), [("bert", 4), ("bloom", 4), ("megatron-bert", 2), ("gpt2", 2), ("opt", 4)])
def test_a_layer_hands_on_what_a_norm_made_in_float32_under_autocast(kind: str, size: int) -> None:
    assert estimated(kind)["inputs of the checkpointed layers"] == 12 * TOKENS * size * 256
    plain = estimated(kind, autocast=False)
    assert plain["inputs of the checkpointed layers"] == 12 * TOKENS * 2 * 256


def test_all_layers_of_a_decoder_read_the_encoder_s_answer() -> None:
    assert estimated("bart")["inputs of the checkpointed layers"] == (6 + 6 + 1) * TOKENS * 4 * 256


def test_what_lies_before_the_first_layer_is_kept_where_a_gradient_comes_so_far() -> None:
    name, h = "norm and dropout of the embeddings", 256
    assert estimated("bert")[name] == TOKENS * (4 * h + 8 + h + 2 * h)
    assert estimated("bert", autocast=False)[name] == TOKENS * (2 * h + 8 + h + 2 * h)
    assert estimated("bart")[name] == 2 * TOKENS * (4 * h + 8 + h + 2 * h), "of both stacks"
    assert estimated("gpt2")[name] == TOKENS * (h + 2 * h)
    assert estimated("opt")[name] == TOKENS * 2 * h
    assert name not in estimated("bert", checkpointing=False)
    assert estimated("bert", pc.Full(), checkpointing=False)[name] == TOKENS * (4 * h + 8 + h)


def test_dropped_probabilities_keep_what_was_dropped() -> None:
    name = "probabilities of attention, float32 and cast"
    heads = 12 * TOKENS * 4 * 256
    assert estimated("gpt2", checkpointing=False, attention="eager")[name] == heads * (4 + 2 + 1)
    kept = KINDS["gpt2"] | {"model_type": "gpt2", "attn_pdrop": 0.0}
    terms = pc.estimate_memory(kept, METHOD, 16, 256, attention="eager").terms
    assert {term.name: term.bytes for term in terms}[name] == heads * (4 + 2)


def test_deberta_scores_distances_twice() -> None:
    kept = estimated("deberta-v2", checkpointing=False)
    assert kept["scores of distances"] == 12 * TOKENS * 2 * 2 * 4 * 128
    assert kept["queries and keys of distances"] == 12 * 2 * (2 * 128 * 256 * 16 + 8 * 256 * 256)
    assert kept["what each token may see"] == 12 * TOKENS * 256


def test_of_layers_of_several_kinds_the_one_that_keeps_most_is_at_work() -> None:
    llama = {"model_type": "llama", "hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4}
    llama |= {"intermediate_size": 512, "vocab_size": 99}
    name = "the adapters' own copies of their inputs, one layer"

    def copies(**layers: Any) -> int:
        method = pc.LoRA(rank=8, alpha=16, targets=["q_proj", "down_proj"], **layers)
        terms = pc.estimate_memory(llama, method, 16, 256, checkpointing=True, autocast=False).terms
        return {term.name: term.bytes for term in terms}[name]

    assert copies() == copies(layers_to_transform=[5]) == TOKENS * 4 * (256 + 512)
    shapes = pc.load_model(llama)
    assert studied(shapes, METHOD).setup(pc.memory.options.make_options()).kinds == ()


def test_a_model_whose_layers_share_their_weights_is_left_to_the_simulation() -> None:
    with pytest.raises(ValueError, match="share their weights"):
        pc.estimate_memory({"model_type": "albert"}, METHOD)


def test_hooks_of_fsdp_hold_what_layers_hand_on() -> None:
    config = {"model_type": "bart", **KINDS["bart"]}
    asked = {"batch": 16, "sequence": 256, "checkpointing": True, "sharding": "zero3", "gpus": 2}
    estimate, trace = pc.estimate_memory(config, METHOD, **asked), pc.simulate_memory(config, METHOD, **asked)
    assert estimate.total == pytest.approx(trace.peak, rel=0.03)


def test_odd_kinds_of_distances_are_none() -> None:
    assert distances({"model_type": "deberta-v2", "relative_attention": True, "pos_att_type": 5}) == (1024, 0)


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_logits_are_as_wide_as_their_class_makes_them(kind: str) -> None:
    """BART's kin adds a float32 buffer to them, T5 does not: at so many words they are the peak."""
    config = {"model_type": kind, **KINDS["bart"], "vocab_size": 20_000}
    if kind == "t5":
        config = {"model_type": "t5", "d_model": 256, "d_ff": 512, "d_kv": 64, "num_heads": 4, "num_layers": 2}
        config |= {"vocab_size": 20_000}
    estimate, trace = pc.estimate_memory(config, METHOD, 8, 256), pc.simulate_memory(config, METHOD, 8, 256)
    assert estimate.total == pytest.approx(trace.peak, rel=0.02)


def test_two_results_of_a_layer_are_dropped_where_any_is() -> None:
    name = "masks of the residual dropouts"
    assert estimated("gpt2", checkpointing=False)[name] == 12 * TOKENS * 2 * 256
    assert name not in estimated("mbart", checkpointing=False)
    assert name not in estimated("bloom", checkpointing=False)


def test_whisper_s_encoder_reads_no_words() -> None:
    ends = anatomy(pc.load_model("openai/whisper-tiny")).ends
    assert (ends.normed, ends.dropped, ends.followed) == (0, 0, 384)
    assert not ends.norms_behind


def test_where_a_norm_stands_behind_the_last_layer() -> None:
    def ends(name: str) -> tuple[bool, bool]:
        found = anatomy(pc.load_model(name)).ends
        return found.norms_behind, found.last_norm

    assert ends("google-bert/bert-base-uncased") == (True, True), "the head's own"
    assert ends("facebook/bart-base") == ends("facebook/opt-350m") == (True, False)
    assert ends("openai-community/gpt2") == ends("meta-llama/Llama-3.2-1B") == (False, True)


LANGUAGE = (
    "ModernBertForMaskedLM BertForMaskedLM BertLMHeadModel RobertaForMaskedLM RobertaForCausalLM LlamaForCausalLM "
)
LANGUAGE += (
    "BartForConditionalGeneration BartForCausalLM MarianMTModel PegasusForConditionalGeneration GPT2LMHeadModel "
)
LANGUAGE += "T5ForConditionalGeneration UMT5ForConditionalGeneration WhisperForConditionalGeneration XLNetLMHeadModel "
LANGUAGE += "M2M100ForConditionalGeneration PLBartForConditionalGeneration DebertaV2ForMaskedLM MPNetForMaskedLM "
LANGUAGE += (
    "XGLMForCausalLM ElectraForMaskedLM ElectraForCausalLM MBartForConditionalGeneration LEDForConditionalGeneration"
)


@pytest.mark.parametrize("name", LANGUAGE.split())
def test_how_a_class_takes_its_loss_and_attention_is_what_its_code_says(name: str) -> None:
    model_class = getattr(transformers, name)
    code = inspect.getsource(model_class.forward)
    assert widens_logits(name) == ("+ self.final_logits_bias" in code)
    if not widens_logits(name):
        assert keeps_logits_half(name) == ("CrossEntropyLoss(" in code)
    assert is_written_out({"model_type": model_class.config_class.model_type}) == (not model_class._supports_sdpa)


def test_layers_that_are_not_understood_are_said() -> None:
    assert has_own_layers({"model_type": "mobilebert"})
    notes = pc.estimate_memory({"model_type": "convbert", "num_hidden_layers": 2}, METHOD, 1, 64).notes
    assert any("30 %" in note for note in notes)


def test_a_width_is_that_of_the_layers_and_not_of_a_smaller_embedding() -> None:
    assert anatomy(pc.load_model({"model_type": "opt", **KINDS["opt"]})).width == 256
