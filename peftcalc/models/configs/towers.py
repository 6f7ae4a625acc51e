"""Parts of a model that another library builds, timm, counted without it.

A ResNet of timm has the weights of transformers' own ResNet, which is built in its place. Any other tower of timm is
known only to timm: the rest of the model is built around an empty one, and a sentence says what is not in the count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

STAND_IN = "peftcalc_stand_in"
"""The model type of an empty tower."""

_BACKBONE_FIELDS = ("backbone", "use_timm_backbone", "use_pretrained_backbone", "backbone_kwargs")

_RESNETS = {
    "18": ("basic", (64, 128, 256, 512), (2, 2, 2, 2)),
    "34": ("basic", (64, 128, 256, 512), (3, 4, 6, 3)),
    "50": ("bottleneck", (256, 512, 1024, 2048), (3, 4, 6, 3)),
    "101": ("bottleneck", (256, 512, 1024, 2048), (3, 4, 23, 3)),
    "152": ("bottleneck", (256, 512, 1024, 2048), (3, 8, 36, 3)),
}
"""Block, widths and depths of the five ResNets (He and others, arXiv:1512.03385, table 1)."""


def with_backbone(config: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """The configuration with a backbone that it only names written out, so that nobody is asked for it.

    transformers would ask the hub whether such a name is a repository of its own.

    Raises:
        ValueError: the name is that of a repository, whose configuration is not here.

    >>> with_backbone({"backbone": "resnet50", "use_timm_backbone": True}, "detr")["backbone_config"]["backbone"]
    'resnet50'
    """
    from transformers import CONFIG_MAPPING

    config_class: Any = CONFIG_MAPPING[model_type]
    name, own = config.get("backbone"), config.get("backbone_config")
    if not isinstance(name, str) or own is not None or "backbone_config" not in config_class.sub_configs:
        return dict(config)
    if "/" in name or not config.get("use_timm_backbone", True):
        raise ValueError(
            f"the config names its backbone as a repository of the hub ({name[:80]!r}), which is not asked for; put "
            "the content of that repository's config.json into backbone_config"
        )
    given: Any = config.get("backbone_kwargs")
    given = given if isinstance(given, Mapping) else {}
    others = {key: value for key, value in config.items() if key not in _BACKBONE_FIELDS}
    backbone = {"model_type": "timm_backbone", "backbone": name, "out_indices": given.get("out_indices", [1, 2, 3, 4])}
    return others | {"backbone_config": backbone | {"num_channels": given.get("in_chans", 3)}}


def without_timm(config: Any) -> tuple[str, ...]:
    """Put towers that transformers builds itself in the place of timm's, in the configuration object; say what is lost.

    Args:
        config: transformers' configuration object of the whole model; it is changed.

    Returns:
        a sentence for each tower whose parameters will be missing.
    """
    lost = []
    for owner, name, part in list(_timm_parts(config)):
        resnet = re.fullmatch(r"resnet(18|34|50|101|152)(\..*)?", str(getattr(part, "backbone", "")))
        if resnet:
            vars(owner)[name] = _resnet(resnet[1], part)  # past the declared type of the part
            continue
        vars(owner)[name] = _empty(part)
        tower = getattr(part, "architecture", None) or getattr(part, "backbone", None) or type(part).__name__
        lost.append(
            f"the parameters of {name.removesuffix('_config')} are not in this count: {tower} is a model of timm, "
            "which is not installed; with `pip install timm` it is counted"
        )
    return tuple(lost)


def _timm_parts(config: Any, depth: int = 0) -> Iterator[tuple[Any, str, Any]]:
    """Every part that timm builds, with the configuration that holds it and its name there."""
    from transformers import PreTrainedConfig
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    for name, part in vars(config).items():
        if not isinstance(part, PreTrainedConfig) or depth > 4:
            continue
        built_as = MODEL_MAPPING_NAMES.get(part.model_type, "")
        if part.model_type.startswith("timm_") or str(built_as).startswith("Timm"):
            yield config, name, part
        else:
            yield from _timm_parts(part, depth + 1)


def _resnet(depth: str, part: Any) -> Any:
    from transformers import ResNetConfig

    block, widths, depths = _RESNETS[depth]
    indices = [index for index in part.out_indices or [] if 0 < index <= len(depths)]
    made: Any = ResNetConfig
    return made(
        layer_type=block,
        hidden_sizes=list(widths),
        depths=list(depths),
        embedding_size=64,
        num_channels=part.num_channels,
        out_indices=indices or None,
    )


def _empty(part: Any) -> Any:
    """A configuration with the same settings whose model has no parameters."""
    stand_in = _stand_in()()
    vars(stand_in).update(vars(part))
    return stand_in


@cache
def _stand_in() -> type[Any]:
    """The class of that configuration, made known to transformers' `AutoModel` once."""
    from transformers import (
        AutoBackbone,
        AutoModel,
        AutoModelForImageClassification,
        PreTrainedConfig,
        PreTrainedModel,
    )

    class StandInConfig(PreTrainedConfig):
        model_type = STAND_IN

    class StandIn(PreTrainedModel):
        config_class = StandInConfig

        def __init__(self, config: Any, *args: Any, **options: Any) -> None:
            super().__init__(config)
            self.post_init()

    AutoBackbone.register(StandInConfig, StandIn, exist_ok=True)
    AutoModel.register(StandInConfig, StandIn, exist_ok=True)
    AutoModelForImageClassification.register(StandInConfig, StandIn, exist_ok=True)
    return StandInConfig
