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
    """The sliding window, where it is used."""
    return int(config.get("sliding_window") or 0) if config.get("use_sliding_window", True) else 0


def sliding_share(config: Mapping[str, Any]) -> float:
    """All layers slide unless the configuration says which do."""
    kinds = config.get("layer_types")
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
