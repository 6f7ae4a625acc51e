"""The method that an `adapter_config.json` describes; what the file leaves out stands at peft's default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from peftcalc.checks import whole_number
from peftcalc.counting.adapter_files.kinds import kind_of, start_of
from peftcalc.counting.adapter_files.other_adapters import AdaLoRA, OtherAdapter, VeRA
from peftcalc.counting.counts import Count, Part
from peftcalc.lazy import explained
from peftcalc.methods import DoRA, LoRA
from peftcalc.methods.starts import STARTS as KNOWN_STARTS
from peftcalc.models.parts import first_name
from peftcalc.models.shapes import CONVOLUTION_KINDS, LINEAR_KINDS, ModelShapes

_MAX_RANK = 1_000_000


def lora_of(config: Mapping[str, Any], shapes: ModelShapes) -> LoRA:
    """LoRA or DoRA.

    Raises:
        ValueError: a value that peft does not take, or settings that it refuses together.
    """
    start, doubled = start_of(config.get("init_lora_weights", True)), bool(config.get("use_dora"))
    if start == "mica" and doubled:
        raise ValueError("peft refuses use_dora together with init_lora_weights 'mica'")
    if config.get("lora_bias") and start not in ("True", "False"):
        raise ValueError(f"peft refuses lora_bias together with init_lora_weights {config['init_lora_weights']!r}")
    targets = config.get("target_modules")
    parameters = _list(config, "target_parameters")
    return (DoRA if doubled else LoRA)(
        rank=whole_number("r", config.get("r", 8), 1, _MAX_RANK),
        alpha=config.get("lora_alpha", 8),
        dropout=config.get("lora_dropout", 0.0),
        targets=_default_targets(shapes, "LORA", bool(parameters)) if targets is None else targets,
        rslora=bool(config.get("use_rslora", False)),
        bias=config.get("bias", "none"),
        lora_bias=bool(config.get("lora_bias", False)),
        modules_to_save=_list(config, "modules_to_save"),
        exclude=config.get("exclude_modules") or (),
        rank_pattern=_mapping(config, "rank_pattern"),
        alpha_pattern=_mapping(config, "alpha_pattern"),
        layers_to_transform=_layers(config),
        layers_pattern=config.get("layers_pattern"),
        target_parameters=parameters,
        init=str(config["init_lora_weights"]) if start == "pissa" else start if start in KNOWN_STARTS else "default",
    )


def other_of(config: Mapping[str, Any], shapes: ModelShapes) -> OtherAdapter:
    """VeRA or AdaLoRA.

    Raises:
        ValueError: a value that peft does not take, or settings that it refuses together.
    """
    kind = kind_of(config.get("peft_type"))
    targets = config.get("target_modules")
    if targets is None:
        targets = _default_targets(shapes, kind)
    bias = config.get("bias") or "none"
    if config.get("target_parameters") and kind == "ADALORA":
        raise ValueError("peft refuses target_parameters in AdaLoRA; it adapts whole modules")
    common: dict[str, Any] = {
        "targets": targets,
        "modules_to_save": _list(config, "modules_to_save"),
        "layers_to_transform": None if isinstance(targets, str) else _layers(config),
        "layers_pattern": None if isinstance(targets, str) else config.get("layers_pattern"),
        "bias": "lora_only" if bias == "vera_only" else bias,
    }
    if kind == "VERA":
        saved = bool(config.get("save_projection", True))
        return VeRA(rank=whole_number("r", config.get("r", 256), 1, _MAX_RANK), save_projection=saved, **common)
    if config.get("use_dora"):
        raise ValueError("peft refuses use_dora in AdaLoRA")
    return AdaLoRA(
        rank=whole_number("init_r", config.get("init_r", 12), 1, _MAX_RANK),
        target_rank=whole_number("target_r", config.get("target_r", 8), 0, _MAX_RANK),
        alpha=config.get("lora_alpha", 8),
        exclude=config.get("exclude_modules") or (),
        **common,
    )


def started(result: Count, config: Mapping[str, Any]) -> Count:
    """The count after what `init_lora_weights` changes: MiCA trains A alone, OLoRA has no rank above the weight's, an
    orthogonal start needs an even one.

    Raises:
        ValueError: a module that cannot start so.
    """
    start = start_of(config.get("init_lora_weights", True))
    adapters = [part for part in result.parts if part.how == "adapter"]
    if start == "orthogonal":
        for part in adapters:
            _refuse_orthogonal(part)
    change = {"mica": _only_first, "olora": _of_the_weight}.get(start)
    if change is None:
        return result
    parts = tuple(change(part) if part.how == "adapter" else part for part in result.parts)
    trainable = sum(part.trainable for part in parts)
    less = sum(part.held for part in result.parts) - sum(part.held for part in parts)
    return replace(result, parts=parts, trainable=trainable, total=result.total - less, adapter=result.adapter - less)


def _refuse_orthogonal(part: Part) -> None:
    """An embedding starts as ever; a convolution has no such start, nor a stack of experts, which has no `weight`."""
    if part.kind in CONVOLUTION_KINDS or (part.kind == "experts" and not part.module.endswith(".weight")):
        raise ValueError(f"peft has no orthogonal start for {_named(part)}, of kind {part.kind}")
    if part.kind != "embedding" and part.rank % 2:
        raise ValueError(f"peft needs an even rank for an orthogonal start, got {part.rank} on {_named(part)}")


def _of_the_weight(part: Part) -> Part:
    """A QR decomposition has no more columns than the weight's smaller side; peft leaves it at that."""
    rank = min(part.rank, part.in_features, part.out_features) if part.kind in LINEAR_KINDS else part.rank
    return replace(part, rank=rank, each=part.each - (part.rank - rank) * (part.in_features + part.out_features))


def _only_first(part: Part) -> Part:
    if part.kind not in ("linear", "conv1d", "embedding") or part.module.endswith(".weight"):  # a bare parameter
        raise ValueError(f"peft starts linear layers and embeddings with 'mica'; {_named(part)} is of kind {part.kind}")
    smaller = min(part.in_features, part.out_features)
    if part.rank > smaller:
        raise ValueError(f"peft needs a rank of at most {smaller:,} for 'mica' on {_named(part)}, got {part.rank:,}")
    first = part.rank * part.in_features
    return replace(part, each=first, frozen=part.each + part.frozen - first)


def _default_targets(shapes: ModelShapes, kind: str, may_be_none: bool = False) -> Any:
    """What peft adapts when a file names no targets: its own tables by model type, where it names parameters too."""
    with explained("an adapter config without target_modules"):
        from peft.utils import constants

    table = getattr(constants, f"TRANSFORMERS_MODELS_TO_{kind}_TARGET_MODULES_MAPPING")
    model_type = shapes.config.get("model_type")
    if may_be_none and (model_type not in table or shapes.expert_names):
        return ()
    if shapes.expert_names and kind == "LORA":  # peft 0.21 takes "none" for an empty list where it renames experts
        raise ValueError(f"peft has no default target_modules for {model_type!r}, whose experts are stacked; name them")
    if model_type not in table:
        raise ValueError(f"the adapter config names no target_modules, and peft has no default for {model_type!r}")
    return table[model_type]


def _layers(config: Mapping[str, Any]) -> tuple[int, ...] | None:
    layers = config.get("layers_to_transform")
    if layers is None or isinstance(layers, int):
        return None if layers is None else (layers,)
    if not isinstance(layers, list | tuple):
        raise ValueError(f"layers_to_transform must be a number or a list of numbers, got {layers!r}")
    return tuple(layers)


def _list(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = config.get(name) or ()
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name} must be a list of names, got {value!r}")
    return tuple(value)


def _mapping(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must map names to numbers, got {value!r}")
    return dict(value)


def _named(part: Part) -> str:
    """The first of the modules, for a sentence."""
    return first_name(part.module, part.indices)
