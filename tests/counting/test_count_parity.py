"""Trainable and total equal those of the real `get_peft_model` on the meta device: architecture × method × targets.

The models are small, of the real classes, with widths that are all different so that no transposition can hide; α ≠ r
throughout. The quick suite tries a few methods on every architecture, `make test-all` tries them all.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as tf
from torch import nn

from peftcalc import DoRA, LoRA, QLoRA, count
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes

SIZE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 128,
}
GROUPED: dict[str, Any] = {**SIZE, "num_key_value_heads": 2}
WIDE_HEAD: dict[str, Any] = {**GROUPED, "head_dim": 32}
EXPERTS: dict[str, Any] = {**GROUPED, "num_experts": 4, "moe_intermediate_size": 48, "num_experts_per_tok": 2}
GPT: dict[str, Any] = {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 128}
BART: dict[str, Any] = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 80,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
}
T5: dict[str, Any] = {"d_model": 64, "d_kv": 24, "d_ff": 96, "num_layers": 3, "num_heads": 4, "vocab_size": 128}
DEEPSEEK: dict[str, Any] = {
    **SIZE,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 48,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
}

ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "Llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**GROUPED)),
    "Llama tied": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**GROUPED, tie_word_embeddings=True, attention_bias=True)),
    "Llama classifier": lambda: tf.LlamaForSequenceClassification(tf.LlamaConfig(**GROUPED)),
    "Mistral": lambda: tf.MistralForCausalLM(tf.MistralConfig(**WIDE_HEAD)),
    "Mixtral": lambda: tf.MixtralForCausalLM(tf.MixtralConfig(**GROUPED, num_local_experts=4)),
    "GPT-2": lambda: tf.GPT2LMHeadModel(tf.GPT2Config(**GPT)),
    "GPT-J": lambda: tf.GPTJForCausalLM(tf.GPTJConfig(**GPT, rotary_dim=8)),
    "GPT-NeoX": lambda: tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**SIZE)),
    "Phi": lambda: tf.PhiForCausalLM(tf.PhiConfig(**SIZE)),
    "Phi-3": lambda: tf.Phi3ForCausalLM(tf.Phi3Config(**GROUPED, pad_token_id=0)),
    "Gemma": lambda: tf.GemmaForCausalLM(tf.GemmaConfig(**{**WIDE_HEAD, "num_key_value_heads": 1})),
    "Gemma 2": lambda: tf.Gemma2ForCausalLM(tf.Gemma2Config(**WIDE_HEAD)),
    "Gemma 3": lambda: tf.Gemma3ForCausalLM(tf.Gemma3TextConfig(**WIDE_HEAD)),
    "Qwen2": lambda: tf.Qwen2ForCausalLM(tf.Qwen2Config(**GROUPED)),
    "Qwen2-MoE": lambda: tf.Qwen2MoeForCausalLM(tf.Qwen2MoeConfig(**EXPERTS, shared_expert_intermediate_size=32)),
    "Qwen3": lambda: tf.Qwen3ForCausalLM(tf.Qwen3Config(**WIDE_HEAD)),
    "Qwen3-MoE": lambda: tf.Qwen3MoeForCausalLM(tf.Qwen3MoeConfig(**EXPERTS, decoder_sparse_step=2)),
    "DeepSeek-V3": lambda: tf.DeepseekV3ForCausalLM(tf.DeepseekV3Config(**DEEPSEEK)),
    "gpt-oss": lambda: tf.GptOssForCausalLM(tf.GptOssConfig(**WIDE_HEAD, num_local_experts=4)),
    "OLMo 2": lambda: tf.Olmo2ForCausalLM(tf.Olmo2Config(**SIZE)),
    "Granite": lambda: tf.GraniteForCausalLM(tf.GraniteConfig(**SIZE)),
    "StableLM": lambda: tf.StableLmForCausalLM(tf.StableLmConfig(**SIZE)),
    "OPT": lambda: tf.OPTForCausalLM(
        tf.OPTConfig(
            hidden_size=64,
            ffn_dim=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            vocab_size=128,
            word_embed_proj_dim=32,
        )
    ),
    "BLOOM": lambda: tf.BloomForCausalLM(tf.BloomConfig(hidden_size=64, n_layer=3, n_head=4, vocab_size=128)),
    "Falcon": lambda: tf.FalconForCausalLM(
        tf.FalconConfig(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, vocab_size=128)
    ),
    "MPT": lambda: tf.MptForCausalLM(tf.MptConfig(d_model=64, n_heads=4, n_layers=3, vocab_size=128)),
    "Mamba": lambda: tf.MambaForCausalLM(tf.MambaConfig(hidden_size=64, num_hidden_layers=2, vocab_size=128)),
    "T5": lambda: tf.T5ForConditionalGeneration(tf.T5Config(**T5)),
    "Flan-T5": lambda: tf.T5ForConditionalGeneration(
        tf.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    ),
    "BART": lambda: tf.BartForConditionalGeneration(tf.BartConfig(**BART, vocab_size=128)),
    "Whisper": lambda: tf.WhisperForConditionalGeneration(tf.WhisperConfig(**BART, vocab_size=60_000)),
    "BERT classifier": lambda: tf.BertForSequenceClassification(tf.BertConfig(**SIZE)),
    "BERT masked": lambda: tf.BertForMaskedLM(tf.BertConfig(**SIZE)),
    "RoBERTa classifier": lambda: tf.RobertaForSequenceClassification(tf.RobertaConfig(**SIZE)),
    "DeBERTa classifier": lambda: tf.DebertaV2ForSequenceClassification(tf.DebertaV2Config(**SIZE)),
    "ViT classifier": lambda: tf.ViTForImageClassification(
        tf.ViTConfig(**{k: v for k, v in SIZE.items() if k != "vocab_size"}, image_size=32, patch_size=8)
    ),
    "wav2vec 2.0": lambda: tf.Wav2Vec2ForCTC(tf.Wav2Vec2Config(**SIZE)),
    "plain torch": lambda: nn.Sequential(
        nn.Linear(8, 16),
        nn.ReLU(),
        nn.Conv2d(4, 8, (3, 5), groups=2),
        nn.Embedding(10, 6),
        nn.Conv1d(4, 6, 5),
        nn.Conv3d(2, 3, (1, 2, 3)),
        nn.Linear(16, 2, bias=False),
    ),
    "torch attention": lambda: nn.TransformerEncoderLayer(64, 4, 96),
}

ATTENTION = ("q_proj", "v_proj", "query", "value", "q", "v", "c_attn", "query_key_value", "qkv_proj", "Wqkv")
EVERYWHERE = (*ATTENTION, "embed_tokens", "wte", "word_embeddings", "0", "2", "3", "4", "5", "self_attn")
OLD_EXPERTS = ("w1", "w2", "w3", "gate_proj", "up_proj", "down_proj", "q_proj", "dense", "fc1", "wo")

QUICK: dict[str, LoRA] = {
    "all-linear": LoRA(rank=4, alpha=12),
    "DoRA attention": DoRA(rank=6, alpha=4, targets=ATTENTION),
    "QLoRA attention": QLoRA(rank=5, alpha=32, targets=ATTENTION),
    "all biases": LoRA(rank=4, alpha=12, bias="all", modules_to_save=("lm_head", "classifier", "norm")),
}
THOROUGH: dict[str, LoRA] = {
    "DoRA all-linear": DoRA(rank=4, alpha=12),
    "embeddings and convolutions": DoRA(rank=6, alpha=4, targets=EVERYWHERE),
    "LoRA everywhere": LoRA(rank=6, alpha=4, targets=EVERYWHERE),
    "own biases": LoRA(
        rank=4, alpha=12, bias="lora_only", targets=r".*(q_proj|query|fc1|c_fc|\.q|dense|conv1|convolution|up_proj)"
    ),
    "LoRA bias": LoRA(rank=4, alpha=12, lora_bias=True),
    "DoRA LoRA bias": DoRA(rank=4, alpha=12, lora_bias=True),
    "rank pattern": LoRA(rank=4, alpha=3, rank_pattern={"q_proj": 16, "0.mlp.down_proj": 5, ".*1.attention.*": 2}),
    "exclude names": LoRA(rank=4, alpha=3, exclude=("k_proj", "fc2", "dense")),
    "exclude pattern": DoRA(rank=4, alpha=3, exclude=r".*\.1\..*"),
    "some layers": LoRA(rank=4, alpha=3, targets=ATTENTION, layers_to_transform=(0, 2)),
    "some layers of a list": DoRA(
        rank=4, alpha=3, targets=ATTENTION, layers_to_transform=(1,), layers_pattern="layers"
    ),
    "old names of experts": LoRA(rank=4, alpha=3, targets=OLD_EXPERTS),
    "half of a fused pair": LoRA(rank=4, alpha=3, targets=("gate_proj", "q_proj")),
    "pattern over experts": LoRA(rank=4, alpha=3, targets=r".*\.(gate_proj|up_proj|down_proj|q_proj|w1|w2|w3)"),
    "pattern over blocks": LoRA(rank=4, alpha=3, targets=r".*(mlp|ffn).*"),
    "expert parameters": LoRA(
        rank=4, alpha=3, targets=("q_proj",), target_parameters=("gate_up_proj", "experts.down_proj", "router.weight")
    ),
    "only parameters": LoRA(rank=4, alpha=3, targets=(), target_parameters=("gate_up_proj", "down_proj")),
    "DoRA on parameters": DoRA(rank=4, alpha=3, targets=(), target_parameters=("gate_up_proj", "down_proj")),
    "wasteful rank": LoRA(rank=300, alpha=5),
    "PiSSA": DoRA(rank=2, alpha=3, init="pissa"),
    "PiSSA everywhere": LoRA(rank=2, alpha=3, init="pissa", targets=EVERYWHERE),
    "normal A everywhere": LoRA(rank=6, alpha=4, init="gaussian", targets=EVERYWHERE),
    "LoRA-FA": LoRA(rank=4, alpha=12, freeze_a=True, bias="all", modules_to_save=("lm_head", "classifier", "norm")),
    "LoRA-FA everywhere": LoRA(rank=6, alpha=4, freeze_a=True, targets=EVERYWHERE),
    "DoRA-FA everywhere": DoRA(rank=6, alpha=4, freeze_a=True, targets=EVERYWHERE),
    "LoRA-FA on parameters": LoRA(
        rank=4, alpha=3, freeze_a=True, targets=(), target_parameters=("gate_up_proj", "down_proj", "router.weight")
    ),
}


def oracle(name: str, method: LoRA, task_type: str | None = None) -> tuple[int, int] | None:
    """(trainable, all) as peft counts them, None when peft refuses."""
    from peft import get_peft_model
    from peft.optimizers import create_lorafa_optimizer

    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # peft's advice about merging and tied weights; not what is tested
        try:
            adapted = get_peft_model(ARCHITECTURES[name](), method.to_peft(task_type), low_cpu_mem_usage=True)  # pyright: ignore[reportArgumentType]
        # a TypeError where a saved module is adapted as well, an AttributeError where a start finds no weight
        except (ValueError, TypeError, AttributeError):
            return None
        if method.freeze_a:
            create_lorafa_optimizer(adapted, r=method.rank, lora_alpha=12, lr=1e-3)
        return adapted.get_nb_trainable_parameters()


def ours(shapes: ModelShapes, method: LoRA, task_type: str | None = None) -> tuple[int, int] | None:
    try:
        result = count(shapes, method, task_type)
    except ValueError:
        return None
    return result.trainable, result.total


@pytest.fixture(scope="module")
def shapes_of() -> Callable[[str], ModelShapes]:
    """The records, each built once and passed through its JSON form."""
    known: dict[str, ModelShapes] = {}

    def get(name: str) -> ModelShapes:
        if name not in known:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                record = load_model(ARCHITECTURES[name]()).to_dict()
            known[name] = ModelShapes.from_dict(json.loads(json.dumps(record, default=str)))
        return known[name]

    return get


@pytest.mark.parametrize("method", QUICK)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_counts_are_those_of_peft(name: str, method: str, shapes_of: Callable[[str], ModelShapes]) -> None:
    assert ours(shapes_of(name), QUICK[method]) == oracle(name, QUICK[method])


@pytest.mark.slow
@pytest.mark.parametrize("method", THOROUGH)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_counts_are_those_of_peft_for_every_option(
    name: str, method: str, shapes_of: Callable[[str], ModelShapes]
) -> None:
    assert ours(shapes_of(name), THOROUGH[method]) == oracle(name, THOROUGH[method])


@pytest.mark.parametrize("task_type", ["SEQ_CLS", "TOKEN_CLS"])
@pytest.mark.parametrize("kind", [LoRA, DoRA])
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name.endswith("classifier")])
def test_heads_are_saved_as_peft_saves_them(
    name: str, kind: type[LoRA], task_type: str, shapes_of: Callable[[str], ModelShapes]
) -> None:
    method = kind(rank=4, alpha=12)
    assert ours(shapes_of(name), method, task_type) == oracle(name, method, task_type)


def test_the_oracle_refuses_only_some() -> None:
    """Were peft to refuse everything, the comparisons above would prove nothing."""
    counted = [name for name in ARCHITECTURES if oracle(name, QUICK["all-linear"]) is not None]
    assert set(ARCHITECTURES) - set(counted) == {"Mamba"}
