"""What a configuration says about a model's layers that its weights do not show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def language_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a configuration that describes the language model."""
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config


def first(config: Mapping[str, Any], keys: Iterable[str], default: Any = 0) -> Any:
    """The first value in a configuration under one of the keys that is there and not None."""
    return next((config[key] for key in keys if config.get(key) is not None), default)


def sliding_window(config: Mapping[str, Any]) -> int:
    """The sliding window, where it is used; ModernBERT calls it by another name."""
    if config.get("model_type") == "modernbert":
        return _size(config, "local_attention", 128)
    return _size(config, "sliding_window", 0) if config.get("use_sliding_window", True) else 0


def _size(config: Mapping[str, Any], key: str, default: int) -> int:
    """A positive whole number; the class's default where the configuration has none or something else.

    >>> [_size({"window": value}, "window", 7) for value in (128, 0, -1, None, "x", [1], True)]
    [128, 7, 7, 7, 7, 7, 7]
    """
    value = config.get(key)
    return value if type(value) is int and value > 0 else default


_OWN_LOSS = (
    *("bert", "roberta", "xlm-roberta", "distilbert", "deberta-v2"),
    *("t5", "mt5", "umt5", "bart", "mbart", "whisper"),
)


def keeps_logits_half(config: Mapping[str, Any]) -> bool:
    """Whether transformers' class takes the loss of its logits as they are, where others make them float32 first.

    (transformers 5.23: these classes call `CrossEntropyLoss` themselves, the others `loss_function`.)
    """
    return config.get("model_type") in _OWN_LOSS


def sliding_share(config: Mapping[str, Any]) -> float:
    """All layers slide unless the configuration says which do; of ModernBERT's each third does not, and the first."""
    kinds = config.get("layer_types")
    if config.get("model_type") == "modernbert" and not kinds:
        layers, every = _size(config, "num_hidden_layers", 22), _size(config, "global_attn_every_n_layers", 3)
        return 1 - -(-layers // every) / layers
    if not isinstance(kinds, list) or not kinds:
        return 0.5 if config.get("model_type") == "gemma2" else 1.0
    return kinds.count("sliding_attention") / len(kinds)


def is_rotary(config: Mapping[str, Any]) -> bool:
    """Fused projections without rotary embeddings are those of GPT-2's kin and BLOOM."""
    return config.get("model_type") not in ("gpt2", "bloom", "gpt_bigcode", "mpt", "gpt_neo")


def is_parallel(config: Mapping[str, Any]) -> bool:
    kind = config.get("model_type")
    if kind == "gpt_neox":
        return bool(config.get("use_parallel_residual", True))
    if kind == "falcon":
        return bool(config.get("parallel_attn", True))
    return kind in ("phi", "gptj", "cohere", "cohere2") or bool(config.get("use_parallel_residual"))


def is_t5(config: Mapping[str, Any]) -> bool:
    """T5 and its kin: a bias by distance in attention, dropout everywhere, and `wo` in float32 whatever the dtype.

    (transformers 5.23, models/t5/modeling_t5.py, `_keep_in_fp32_modules`.)
    """
    return config.get("model_type") in ("t5", "mt5", "umt5")


def stays_float32(config: Mapping[str, Any], suffix: str) -> bool:
    """True for a weight that transformers keeps in float32."""
    return suffix == "wo" and is_t5(config)


def is_of_tower(template: str) -> bool:
    """True for a module of the part that sees pictures."""
    return any(name in template.split(".") for name in ("vision_tower", "vision_model", "visual", "vision_encoder"))


def image_patches(config: Mapping[str, Any]) -> int:
    """Pieces of one picture at the size of the configuration; 0 where it does not say."""
    seen = config.get("vision_config")
    side, patch = (seen.get(key) if isinstance(seen, Mapping) else None for key in ("image_size", "patch_size"))
    return (side // patch) ** 2 if isinstance(side, int) and isinstance(patch, int) and patch else 0


def image_tokens(config: Mapping[str, Any]) -> int:
    """Tokens of one picture in the sequence; 0 for a model whose pictures are not counted."""
    kind = config.get("model_type")
    if kind == "gemma3":
        return int(config.get("mm_tokens_per_image") or 256) if image_patches(config) else 0
    return image_patches(config) if kind in ("llava", "paligemma") else 0


def check_images(name: str, config: Mapping[str, Any], images: int, sequence: int) -> None:
    """Refuse pictures that a model does not see, or whose tokens the sequence does not hold.

    Raises:
        ValueError: with the reason.
    """
    if not images:
        return
    if not isinstance(config.get("vision_config"), Mapping):
        raise ValueError(f"images must be 0 for {name}, which has no vision tower, got {images}")
    tokens = image_tokens(config)
    if not tokens:
        raise ValueError(
            f"images of {name} are not counted: how many tokens a picture has depends on its size or its tiles; "
            "LLaVA, PaliGemma and Gemma 3, which see one size, are"
        )
    if images * tokens > sequence:
        raise ValueError(
            f"sequence must be at least {images * tokens:,} to hold images={images} of {tokens:,} tokens each, "
            f"got {sequence:,}"
        )
