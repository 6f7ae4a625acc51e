"""What a configuration says about a model's layers that its weights do not show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from peftcalc.models.shapes import ModuleGroup

_HIDDEN = ("resid_pdrop", "residual_dropout", "hidden_dropout", "hidden_dropout_prob", "dropout", "dropout_rate")
_PROBABILITIES = ("attention_probs_dropout_prob", "attn_pdrop", "attention_dropout", "attn_dropout")
_EMBEDDED = ("embd_pdrop", "embed_dropout", "embedding_dropout")
"""Names of the rates of dropouts: of a block's result, of the probabilities of attention, of the embeddings."""


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
    r"(?!ModernBert|EuroBert|Esmc|NeoMME|Ultrabert).*ForMaskedLM|(XLM|Flaubert)WithLMHeadModel|XLNetLMHeadModel"
    r"|(Pegasus|PegasusX|BigBirdPegasus|Bart|MBart|PLBart|Marian|Blenderbot|BlenderbotSmall|Mvp|TrOCR|Whisper)ForCausalLM"
    r"|(PegasusX|M2M100|FSMT|Whisper|Speech2Text|[UM]?M?T5|LongT5|SwitchTransformers|NllbMoe)ForConditionalGeneration"
)
"""Classes that call torch's cross-entropy themselves, where the others have transformers' `loss_function`."""


def keeps_logits_half(architecture: str) -> bool:
    """Whether a class takes the loss of its logits as they are, where others make them float32 first.

    >>> [keeps_logits_half(name) for name in ("BertForMaskedLM", "BertLMHeadModel", "T5ForConditionalGeneration")]
    [True, False, True]
    """
    return re.fullmatch(_OWN_LOSS, architecture) is not None


_BIASED = (
    r"(Bart|MBart|PLBart|Pegasus|BigBirdPegasus|Blenderbot|BlenderbotSmall|LED|Mvp)ForConditionalGeneration"
    r"|MarianMTModel"
)


def widens_logits(architecture: str) -> bool:
    """Whether a class adds a float32 buffer to its logits (`final_logits_bias`), which makes them float32."""
    return re.fullmatch(_BIASED, architecture) is not None


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


_WRITTEN_OUT = (
    *("big_bird", "bigbird_pegasus", "bloom", "codegen", "convbert", "deberta", "deberta-v2", "flaubert", "fsmt"),
    *("gemma2", "gpt_neo", "gpt_neox_japanese", "gpt_oss", "gptj", "ibert", "imagegpt", "led", "longt5", "luke"),
    *("megatron-bert", "mpnet", "mpt", "mvp", "nllb-moe", "openai-gpt", "pegasus_x", "prophetnet", "rembert"),
    *("roformer", "speech_to_text", "switch_transformers", "tapas", "trocr", "vaultgemma", "xglm", "xlm", "xlnet"),
)


def is_written_out(config: Mapping[str, Any]) -> bool:
    """Whether transformers always writes attention out for this model (its classes' `_supports_sdpa` is False)."""
    return config.get("model_type") in _WRITTEN_OUT


_OWN_LAYERS = ("big_bird", "convbert", "funnel", "longformer", "longt5", "mobilebert", "mra", "nystromformer", "yoso")


def has_own_layers(config: Mapping[str, Any]) -> bool:
    """Whether a model's layers do more than attention and an MLP: bottlenecks, convolutions, attention by blocks."""
    return config.get("model_type") in _OWN_LAYERS


def shares_layers(config: Mapping[str, Any]) -> bool:
    """Whether one layer's weights work in many places (ALBERT), so that weights do not show how deep it is."""
    return config.get("model_type") == "albert"


def is_t5(config: Mapping[str, Any]) -> bool:
    """T5 and its kin: a bias by distance in attention, dropout everywhere, and `wo` in float32 whatever the dtype.

    (transformers 5.23, models/t5/modeling_t5.py, `_keep_in_fp32_modules`.)
    """
    return config.get("model_type") in ("t5", "mt5", "umt5")


def _drops(config: Mapping[str, Any], keys: Iterable[str]) -> bool:
    """Whether any of these rates is above 0."""
    return any(isinstance(config.get(key), float) and config[key] > 0 for key in keys)


def dropouts(config: Mapping[str, Any]) -> int:
    """Dropouts of hidden states in a layer: two where there are any."""
    return 2 if _drops(config, _HIDDEN) else 0


def drops_probabilities(config: Mapping[str, Any]) -> bool:
    """Whether the probabilities of attention pass through a dropout."""
    return _drops(config, _PROBABILITIES)


def distances(config: Mapping[str, Any]) -> tuple[int, int]:
    """DeBERTa's distances: how many attention tells apart, and how often it scores them; 0 and 0 elsewhere.

    (He et al. 2021, arXiv:2006.03654, equation 4: content to position, and position to content.)
    """
    if config.get("model_type") != "deberta-v2" or not config.get("relative_attention"):
        return 0, 0
    furthest = _size(config, "max_relative_positions", _size(config, "max_position_embeddings", 512))
    kinds = str(config.get("pos_att_type"))
    return 2 * _size(config, "position_buckets", furthest), sum(kind in kinds for kind in ("c2p", "p2c"))


def stays_float32(config: Mapping[str, Any], suffix: str) -> bool:
    """True for a weight that transformers keeps in float32."""
    return suffix == "wo" and is_t5(config)


def _sees(template: str) -> bool:
    return is_of_tower(template) or "multi_modal" in template


def is_of_tower(template: str) -> bool:
    """True for a module of the part that sees pictures."""
    return any(name in template.split(".") for name in ("vision_tower", "vision_model", "visual", "vision_encoder"))


def stacks_of(modules: Iterable[ModuleGroup]) -> dict[str, set[int]]:
    """Numbers of the layers by what their names begin with: an encoder's and a decoder's are two stacks."""
    stacks: dict[str, set[int]] = {}
    for group in modules:
        stacks.setdefault(group.template.partition("{}")[0], set()).update(group.indices)
    return stacks


@dataclass(frozen=True)
class Ends:
    """What lies before the first layer of each stack, in numbers a token, and behind the last one."""

    normed: int
    """Numbers that LayerNorms of the embeddings read."""
    dropped: int
    """Numbers that pass a dropout."""
    followed: int
    """Numbers of the embeddings themselves, where they are not yet what the first layer reads."""
    norms_behind: bool
    """True when a layer hands on what a norm made (BERT, BART), which is why no norm follows the last layer."""
    last_norm: bool
    """True when there is a norm before the logits all the same: behind the last layer, or the head's own."""


def ends_of(groups: Iterable[ModuleGroup], width: int, stacks: int, config: Mapping[str, Any]) -> Ends:
    """Read from a model's modules, of hidden states so wide.

    Whisper's encoder reads no words. DeBERTa's norm outside its layers is one of distances.
    """
    outside = {group.template: group for group in groups if not (group.indices or _sees(group.template))}
    beside = {name: group for name, group in outside.items() if "emb" in name or "wpe" in name}
    normed = sum(group.tensors[0].numel for group in beside.values() if group.kind == "norm")
    dropped = _drops(config, _EMBEDDED) or bool(normed and dropouts(config))
    positions = any("pos" in name or "wpe" in name for name in beside)
    each = 0 if is_t5(config) else width * (1 if config.get("max_source_positions") else stacks)
    norms = [name for name, group in outside.items() if group.kind == "norm" and name not in beside]
    if str(config.get("model_type")).startswith("deberta"):
        norms = [name for name in norms if not name.endswith("encoder.LayerNorm")]
    of_head = [name for name in norms if any(word in name for word in ("head", "cls", "vocab", "predictions"))]
    followed = bool(dropped or positions or normed)
    return Ends(normed, each * dropped, each * followed, len(norms) == len(of_head), bool(norms))


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
