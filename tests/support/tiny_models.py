"""Small models of any architecture of the catalogue, with random weights, a tokenizer and processors, made offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIZES = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "word_embed_proj_dim", "embedding_size"), 64),
    **dict.fromkeys(("intermediate_size", "d_ff", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "n_inner"), 96),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "ffn_hidden_size"), 96),
    **dict.fromkeys(("dim", "pooler_hidden_size"), 64),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "d_kv", "rotary_dim"), 16),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers", "n_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "experts_per_token", "topk_group", "n_group"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 32),
    **dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 16),
    "qk_head_dim": 32,
    "query_pre_attn_scalar": 16,
    "hidden_dim": 96,
    "vocab_size": 400,
    "image_size": 32,
    "patch_size": 8,
    "mm_tokens_per_image": 4,
    "first_k_dense_replace": 1,
    "max_target_positions": 64,
}
"""What a key is set to where a configuration has it."""
DROPPED = ("layer_types", "attention_types", "attention_layers", "no_rope_layers", "mlp_only_layers", "rope_scaling")
"""Lists with an entry a layer, which the class makes anew, and settings of long contexts."""
TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "cls_token_id", "sep_token_id")


def tiny_config(config: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with small sizes; parts of it (text, vision) likewise."""
    small: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and key.endswith("_config") and key != "quantization_config":
            small[key] = tiny_config(value)
        elif key in SIZES and isinstance(value, int):
            small[key] = SIZES[key]
        elif key == "attention_types":
            small[key] = [[["global", "local"], 1]]
        elif key not in DROPPED and key != "quantization_config" and not key.endswith("token_index"):
            small[key] = value
    small |= {key: number for number, key in enumerate(TOKENS) if key in config}
    if "kv_lora_rank" in config:
        small["num_key_value_heads"] = small["num_attention_heads"]  # latent attention makes a key for every head
    return small


def save_tiny_model(folder: Path, config: dict[str, Any], architecture: str) -> Path:
    """A folder with the small model's configuration, weights, tokenizer and, where it takes them, processors."""
    import torch
    import transformers

    small = tiny_config(config)
    torch.manual_seed(0)
    made = transformers.CONFIG_MAPPING[small["model_type"]].from_dict(small)
    getattr(transformers, architecture)(made).save_pretrained(folder)
    stored = json.loads((folder / "config.json").read_text())
    tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(stored))
    if "num_mel_bins" in small:
        transformers.WhisperFeatureExtractor(feature_size=small["num_mel_bins"], chunk_length=30).save_pretrained(
            folder
        )
    elif "num_channels" in small:
        from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

        ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def tokenizer() -> Any:
    """A byte-level tokenizer of 300 entries with every special token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<cls>", "<sep>", "<mask>", "<unk>"]
    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(["the ferry to the island leaves at nine"], trainer)
    names = ("pad", "bos", "eos", "cls", "sep", "mask", "unk")
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, **{f"{name}_token": token for name, token in zip(names, special, strict=True)}
    )
