"""What a model keeps of the tokens that it has read, layer by layer, so that the next one costs no more than itself.

Read from the shapes of the weights, which tell it in every family: keys and values are as wide as their projections,
a latent is as wide as what makes it, a state is as large as the decay that it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from peftcalc.memory.model_config import first, language_config
from peftcalc.models.configs.unsaid import settings
from peftcalc.models.shapes import ModelShapes, ModuleGroup

FULL = "full attention"
SLIDING = "sliding attention"
LATENT = "latent attention"
CROSS = "attention to the encoder"
STATE = "state space"
LINEAR = "linear attention"
CONVOLUTION = "short convolution"

_FORMULAS = {
    FULL: ("2 · kv_heads · d · e · tokens", "keys and values of each token, for the heads that have their own"),
    SLIDING: ("2 · kv_heads · d · e · min(tokens, window)", "keys and values of the latest tokens"),
    LATENT: ("(r_kv + d_rope) · e · tokens", "DeepSeek-V2, arXiv:2405.04434, section 2.1: one latent for all heads"),
    CROSS: ("2 · heads · d · e · tokens read", "keys and values of what the encoder read"),
    STATE: ("4 · inner · state + e · channels · kernel", "Mamba, arXiv:2312.00752, section 3: a state of fixed size"),
    LINEAR: ("4 · value width · key width of a head + e · channels · kernel", "a state of fixed size"),
    CONVOLUTION: ("e · channels · kernel", "the latest inputs of a convolution"),
}

_FUSED = ("qkv_proj", "query_key_value", "Wqkv", "c_attn", "qkv", "qkv_lin")
_KEYS = ("k_proj", "key", "k_lin", "k", "key_proj")
_VALUES = ("v_proj", "value", "v_lin", "v", "value_proj")
_LATENTS = ("kv_a_proj_with_mqa", "kv_a_proj")
_TOWERS = re.compile(r"(^|\.)(vision|visual|audio|image)")
_ENCODERS = re.compile(r"(^|\.)encoder\.")
_CROSSING = re.compile(r"encoder_attn|EncDecAttention|crossattention|cross_attn")

_FULL_EVERY = {"gemma2": 2, "gemma3_text": 6, "gemma3": 6, "gemma3n_text": 5, "cohere2": 4, "gpt_oss": 2}
"""Kinds of models of whose layers every such one sees all tokens, where the configuration has no `layer_types`
(transformers 5.23, the families' configurations); the others slide."""
_SOMETIMES = ("qwen2", "qwen3", "qwen2_moe", "qwen3_moe", "smollm3")
"""Kinds of models whose window is used only if `use_sliding_window` says so, and then from `max_window_layers` on."""
_STATE_KEYS = ("mamba_d_state", "ssm_state_size", "state_size", "d_state")
_GROUP_KEYS = ("mamba_n_groups", "mamba_ngroups", "n_groups")
_HEAD_KEYS = ("num_attention_heads", "n_head", "num_heads", "n_heads")
_WIDTH_KEYS = ("hidden_size", "n_embd", "d_model", "dim")


@dataclass(frozen=True)
class LayerCache:
    """What equal layers keep of one sequence.

    >>> LayerCache("full attention", 32, per_token=2048).numbers(4096) == 32 * 2048 * 4096
    True
    """

    kind: str
    layers: int
    per_token: int = 0
    """Numbers that a layer keeps of each token."""
    window: int = 0
    """Most tokens of which it keeps them; 0 for all."""
    fixed: int = 0
    """Numbers that it keeps whatever the context."""
    state: int = 0
    """The same in float32."""

    def numbers(self, context: int) -> int:
        """Numbers in the cache's type, of all layers."""
        return self.layers * (self.per_token * min(context, self.window or context) + self.fixed)

    def bytes(self, context: int, each: int = 2) -> int:
        """Bytes of all layers after `context` tokens, `each` for a number of the cache's type."""
        return each * self.numbers(context) + 4 * self.layers * self.state

    @property
    def formula(self) -> str:
        """Of one layer; e = bytes of a number, d = width of a head."""
        return _FORMULAS[self.kind][0]

    @property
    def source(self) -> str:
        """Why it is so."""
        return _FORMULAS[self.kind][1]


@lru_cache(maxsize=256)
def layer_caches(shapes: ModelShapes) -> tuple[LayerCache, ...]:
    """The layers of a model by what they keep; none for a model that does not generate.

    Raises:
        ValueError: layers that keep something which is not known here.

    >>> from peftcalc.models.load import load_model
    >>> [(one.kind, one.layers, one.per_token) for one in layer_caches(load_model("meta-llama/Llama-3.1-8B"))]
    [('full attention', 32, 2048)]
    """
    config = language_config(settings(shapes))
    groups = [group for group in shapes.groups if group.indices and not _TOWERS.search(group.template)]
    decodes = any(re.search(r"(^|\.)decoder\.", group.template) for group in groups)
    if not decodes and (not shapes.output_embedding or any(_ENCODERS.search(group.template) for group in groups)):
        return ()
    if decodes:
        groups = [group for group in groups if not _ENCODERS.search(group.template) or _CROSSING.search(group.template)]
    kept: dict[tuple[int, LayerCache], int] = {}
    shared = int(first(config, ("num_kv_shared_layers",), 0))
    depth = 1 + max((max(group.indices) for group in groups), default=0)
    for parent, members in _by_parent(groups).items():
        for index in sorted({index for group in members.values() for index in group.indices}):
            here = {suffix: group for suffix, group in members.items() if index in group.indices}
            for cache in _of_layer(parent, here, config, index):
                if index < depth - shared or cache.kind not in (FULL, SLIDING):
                    kept[index, cache] = kept.get((index, cache), 0) + 1
    if not kept:
        name = shapes.id or "this model"
        raise ValueError(f"what the layers of {name} keep from token to token is not known here")
    return tuple(_together(kept))


def _together(kept: Mapping[tuple[int, LayerCache], int]) -> Iterator[LayerCache]:
    """Equal layers as one entry."""
    layers: dict[LayerCache, int] = {}
    for (_, cache), times in kept.items():
        layers[cache] = layers.get(cache, 0) + times
    for cache, times in layers.items():
        yield LayerCache(cache.kind, times, cache.per_token, cache.window, cache.fixed, cache.state)


def _by_parent(groups: Iterable[ModuleGroup]) -> dict[str, dict[str, ModuleGroup]]:
    """Modules by the module that holds them; the holder itself is there under the empty name."""
    found: dict[str, dict[str, ModuleGroup]] = {}
    for group in groups:
        parent, _, suffix = group.template.rpartition(".")
        found.setdefault(parent, {})[suffix] = group
    for group in groups:
        if group.template in found:
            found[group.template][""] = group
    return found


def _of_layer(
    parent: str, members: Mapping[str, ModuleGroup], config: Mapping[str, Any], index: int
) -> Iterator[LayerCache]:
    """What one module of one layer keeps."""
    convolution = next(
        (g for suffix, g in members.items() if g.kind == "conv1d_nn" and suffix.startswith("conv")), None
    )
    latent = next((members[name] for name in _LATENTS if name in members), None)
    if convolution is not None:
        yield _recurrent(members, convolution, config)
    elif latent is not None:
        yield LayerCache(LATENT, 1, latent.out_features)
    elif "receptance" not in members and (width := _keys_and_values(members, config)):
        if _CROSSING.search(parent):
            yield LayerCache(CROSS, 1, width, int(first(config, ("max_source_positions",), 0)))
        elif "output_gate" in members:  # lightning attention (MiniMax): a state of d × d for each head
            yield LayerCache(LINEAR, 1, state=width // 2 * _head_width(config))
        else:
            window = _window(config, index)
            yield LayerCache(SLIDING if window else FULL, 1, width, window)


def _keys_and_values(members: Mapping[str, ModuleGroup], config: Mapping[str, Any]) -> int:
    """Numbers of a token's keys and values together; 0 for a module without."""
    fused = next((members[name] for name in _FUSED if name in members), None)
    if fused is not None:
        heads = int(first(config, _HEAD_KEYS, 1))
        return fused.out_features - heads * _head_width(config)
    key = next((members[name] for name in _KEYS if name in members), None)
    value = next((members[name] for name in _VALUES if name in members), key)
    return key.out_features + value.out_features if key and value else 0


def _recurrent(members: Mapping[str, ModuleGroup], convolution: ModuleGroup, config: Mapping[str, Any]) -> LayerCache:
    """A layer with a short convolution, and a state behind it if it has a decay."""
    weight = convolution.tensors[0].shape
    channels, kernel = weight[0], weight[-1]
    holder = members.get("")
    decay = holder.tensor("A_log") if holder else None
    inner = next((members[name].in_features for name in ("out_proj", "o_proj") if name in members), channels)
    fixed = channels * kernel
    if decay is None:  # RecurrentGemma's gate has one number a channel (Griffin, arXiv:2402.19427, section 2.4)
        return LayerCache(
            STATE if "rg_lru" in members else CONVOLUTION, 1, 0, 0, fixed, channels * ("rg_lru" in members)
        )
    if len(decay.shape) == 2:  # Mamba: a row of states for each channel
        return LayerCache(STATE, 1, fixed=fixed, state=decay.numel)
    if config.get("linear_key_head_dim") or "in_proj_qkvz" in members or "in_proj_qkv" in members:
        return LayerCache(LINEAR, 1, fixed=fixed, state=inner * int(first(config, ("linear_key_head_dim",), 128)))
    groups = int(first(config, _GROUP_KEYS, 1))
    states = int(first(config, _STATE_KEYS, (channels - inner) // (2 * groups)))
    return LayerCache(STATE, 1, fixed=fixed, state=inner * states)


def _head_width(config: Mapping[str, Any]) -> int:
    heads = int(first(config, _HEAD_KEYS, 1))
    return int(first(config, ("head_dim", "kv_channels"), 0)) or int(first(config, _WIDTH_KEYS, 0)) // heads


def _kind(config: Mapping[str, Any], index: int) -> str:
    """What the configuration calls a layer; empty where it does not."""
    kinds = config.get("layer_types")
    return str(kinds[index]) if isinstance(kinds, list) and index < len(kinds) else ""


def _window(config: Mapping[str, Any], index: int) -> int:
    """Tokens that a layer's attention sees; 0 for all."""
    window = int(first(config, ("sliding_window", "attention_chunk_size", "attention_window_size"), 0))
    model, kind = str(config.get("model_type")), _kind(config, index)
    if kind:
        return window if kind in ("sliding_attention", "chunked_attention") else 0
    if model in _SOMETIMES or "use_sliding_window" in config:
        used = config.get("use_sliding_window", False) and index >= int(first(config, ("max_window_layers",), 0))
        return window if used else 0
    if model.startswith("llama4"):
        return window if (index + 1) % 4 else 0
    every = int(first(config, ("sliding_window_pattern", "_sliding_window_pattern"), _FULL_EVERY.get(model, 0)))
    return window if not every or (index + 1) % every else 0
