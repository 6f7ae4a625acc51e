"""What a configuration may say: the numbers in it come from strangers and decide how much work building is.

Dimensions must be whole numbers of a size that a model can have. Nothing is allocated for them (the model is built on
the meta device), but layers, labels and experts become Python objects, so their number is bounded, each alone and
layers times experts. What these names do not see is bounded while it is built (`bounded.building`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from peftcalc.outside_files import check_content

MAX_LAYERS = 2_000
MAX_LABELS = 100_000
"""Five times those of ImageNet-21k, the longest list among public classifiers."""
MAX_EXPERTS = 100_000
MAX_EXPERTS_IN_LAYERS = 200_000
"""Experts of all layers together, which may be modules of their own: Switch-C, the most published, has 61,440."""
MAX_DIMENSION = 100_000_000
MAX_PARAMETERS = 10**15
"""A thousand times the largest model ever published."""

_LAYERS = re.compile(r"^(num|n|encoder|decoder).*_?(layers?|blocks)$|^(depth|depths|n_layer)$|^.*_layers$")
_NOT_LAYERS = re.compile(
    r"per_layer|first_k|moe|layer_?drop|shared|mlp_only|no_rope|sliding|window|kv|full_attention|indices|cross"
)
_PER_STAGE = re.compile(r"^(num|n)_|depths?$|^layers$")
"""Names whose list holds a number of layers for each stage, and not the numbers of chosen layers."""
_EXPERTS = re.compile(r"(^|_)(num|n)_.*experts|^num_experts")
_EXPERTS_ARE_ROWS = ("doge",)
"""Model types whose experts are rows of a table, one module for all of them."""
_DIMENSION = re.compile(
    r"(_size|_dim|_dims|_heads|_channels|_rank|_filters)$|^(n_embd|n_head|n_inner|n_positions|n_ctx|d_model|d_ff|d_kv|head_dim"
    r"|dim|hidden_dim|ffn_dim|embed_dim|max_position_embeddings|hidden_sizes|embed_dims)$"
)

_ESSENTIAL = (
    "hidden_size",
    "n_embd",
    "d_model",
    "vocab_size",
    "num_hidden_layers",
    "n_layer",
    "num_attention_heads",
    "n_head",
    "num_heads",
)
"""What no model is without; other dimensions may be 0, and -1 for "none"."""


def check_config(config: Any, path: str = "") -> None:
    """Raise a ValueError when a dimension in `config` is no whole number or absurd.

    >>> check_config({"hidden_size": "4096"})
    Traceback (most recent call last):
    ValueError: config: hidden_size must be a whole number between 1 and 100,000,000, got '4096'
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"a config must be a JSON object with names and values, got {type(config).__name__}")
    if not path:
        check_content(config, "this config")
    for name, value in config.items():
        if name == "id2label" and isinstance(value, Mapping | list | tuple) and len(value) > MAX_LABELS:
            raise ValueError(f"config: {path}id2label must have at most {MAX_LABELS:,} entries, got {len(value):,}")
        if isinstance(value, Mapping):
            if name not in ("id2label", "label2id", "quantization_config", "task_specific_params"):
                check_config(value, f"{path}{name}.")
        elif value is not None and (limit := _limit(str(name))):
            listed = isinstance(value, list | tuple)  # lists of names ("attention_layers") are no dimensions
            for item in (item for item in value if not isinstance(item, str)) if listed else [value]:
                _check_number(f"{path}{name}", item, limit)
            if limit == MAX_LAYERS and _amount(name, value) > MAX_LAYERS:
                raise ValueError(
                    f"config: {path}{name} must add up to at most {MAX_LAYERS:,} layers, got {_amount(name, value):,}"
                )
    _check_product(config, path)


def _check_product(config: Mapping[Any, Any], path: str) -> None:
    """Layers times experts of one part of a model."""
    layers, experts = 1, 1
    if config.get("model_type") in _EXPERTS_ARE_ROWS:
        return
    for name, value in config.items():
        limit = _limit(str(name))
        if limit == MAX_EXPERTS:
            each = value if isinstance(value, list | tuple) else [value]  # a number for all layers, or one for each
            experts = max(experts, *(_amount(name, item) for item in each), 1)
        elif limit == MAX_LAYERS:
            layers = max(layers, _amount(name, value))
    if layers * experts > MAX_EXPERTS_IN_LAYERS:
        raise ValueError(
            f"config: {path}layers times experts must be at most {MAX_EXPERTS_IN_LAYERS:,}, "
            f"got {layers:,} × {experts:,} = {layers * experts:,}"
        )


def _amount(name: str, value: Any) -> int:
    """The number that a setting says, or the numbers of its stages together; 0 for anything else."""
    if isinstance(value, list | tuple) and _PER_STAGE.search(name):
        return sum(_amount(name, item) for item in value)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def is_dimension(name: str) -> bool:
    """True for the name of a width, or of a number of layers, heads or experts.

    >>> is_dimension("n_embd"), is_dimension("rope_theta")
    (True, False)
    """
    return _limit(name) is not None


def _limit(name: str) -> int | None:
    """The largest value that a setting of this name may have; None when it is no dimension."""
    if name == "num_labels":
        return MAX_LABELS
    if _EXPERTS.search(name):
        return MAX_EXPERTS
    if _LAYERS.search(name) and not _NOT_LAYERS.search(name):
        return MAX_LAYERS
    return MAX_DIMENSION if _DIMENSION.search(name) else None


def _check_number(name: str, value: Any, limit: int) -> None:
    """Nested lists and mappings of a few exotic models pass; numbers must be whole and within the limit."""
    if isinstance(value, list | tuple | Mapping | bool) or value is None:
        return
    low = 1 if name.rpartition(".")[2] in _ESSENTIAL else 0
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole and not (isinstance(value, float) and _may_be_a_fraction(name)):
        raise ValueError(f"config: {name} must be a whole number between {low} and {limit:,}, got {_quoted(value)}")
    if not low <= value <= limit and not (value == -1 and low == 0):
        raise ValueError(f"config: {name} must be between {low} and {limit:,}, got {_quoted(value)}")


def _may_be_a_fraction(name: str) -> bool:
    """Ratios share the endings of dimensions in some configs."""
    return any(word in name for word in ("ratio", "scale", "rate", "factor", "multiplier"))


def _quoted(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10**60:  # Python writes no more than 4,300 digits
        return f"a number of about {round(value.bit_length() * 0.30103):,} digits"
    text = f"{value:,}" if isinstance(value, int) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
