"""The settings of a configuration that add no parameters, taken out where a release of transformers cannot read them.

Positions (rope), number formats, kernels, dropout, generation: none of them changes the shape of a weight, so none may
be the reason why a model is not counted. `plain_config` takes out what is never needed, `readings` yields ever plainer
versions to try one after the other; a dimension is never among what is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_NEVER_NEEDED = frozenset(
    (
        *("auto_map", "quantization_config", "compression_config", "problem_type"),
        *("torch_dtype", "dtype", "_attn_implementation", "attn_implementation", "_attn_implementation_internal"),
        *("experts_implementation", "_experts_implementation", "_experts_implementation_internal"),
    )
)
"""Whether 4 or 16 bits, and which kernel computes it: a checkpoint is counted by its logical parameters."""

_POSITIONS = re.compile(r"^(rope|rotary)_|^partial_rotary_factor$|_rope_theta$|^rope$")
_BESIDES = re.compile(
    r"^_|_token_ids?$|_token_index$|^(bos|eos|pad|sep|cls|mask)_|(^|_)(eps|epsilon|std|range|momentum)$|^init|"
    r"drop(out|path)?(_|$)|pdrop$|drop_rate$|layerdrop$|_prob$|loss|_coef(ficient)?$|temperature|"
    r"^(output|return)_(?!size|dim|channels|hidden_size)|^(use_cache|gradient_checkpointing|torchscript|pruned_heads|prefix)$|"
    r"^(transformers_version|tokenizer_class|finetuning_task|task_specific_params|pretraining_tp|use_bfloat16)$"
)
_NOT_BESIDES = re.compile(r"_(size|dim|dims|layers?|heads?|channels|rank)$|^(num|n)_")
_LISTED = 8
"""How many names a sentence lists."""


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without number formats, kernels and foreign code, at every depth.

    >>> plain_config({"model_type": "gpt2", "torch_dtype": "auto", "text_config": {"dtype": "torch.float16"}})
    {'model_type': 'gpt2', 'text_config': {}}
    """
    return _without(config, _NEVER_NEEDED.__contains__)


def readings(config: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Ever plainer versions of a configuration, each with the names of the settings that it is without.

    First all that may matter; then without positions; then without anything that has no parameters, where a padding
    token beyond the vocabulary becomes the first one.
    """
    plain = plain_config(config)
    yield plain, ()
    without_positions = _without(plain, is_position)
    left_out = tuple(_names(plain, is_position))
    if left_out:
        yield without_positions, left_out
    besides = tuple(_names(plain, has_no_parameters))
    yield _without(plain, has_no_parameters) | {"pad_token_id": 0}, besides or ("pad_token_id",)


def is_position(name: str) -> bool:
    """True for a setting of rotary positions."""
    return bool(_POSITIONS.search(name))


def has_no_parameters(name: str) -> bool:
    """True for a setting that is known to change no weight's shape.

    >>> [name for name in ("rope_theta", "hidden_dropout", "qk_rope_head_dim", "d_model") if has_no_parameters(name)]
    ['rope_theta', 'hidden_dropout']
    """
    if name in _NEVER_NEEDED or is_position(name):
        return True
    return bool(_BESIDES.search(name)) and not _NOT_BESIDES.search(name)


def left_out_note(names: tuple[str, ...]) -> str:
    """The sentence for settings that could not be read."""
    shown = ", ".join(dict.fromkeys(names[:_LISTED])) + (f" and {len(names) - _LISTED} more" if names[_LISTED:] else "")
    return f"transformers cannot read this config as it is; it was read without {shown}, which have no parameters"


def _without(config: Mapping[str, Any], leave: Callable[[str], bool]) -> dict[str, Any]:
    return {
        name: _without(value, leave) if isinstance(value, Mapping) else value
        for name, value in config.items()
        if not leave(str(name))
    }


def _names(config: Mapping[str, Any], leave: Callable[[str], bool], path: str = "") -> Iterator[str]:
    for name, value in config.items():
        if leave(str(name)):
            yield f"{path}{name}"
        elif isinstance(value, Mapping):
            yield from _names(value, leave, f"{path}{name}.")
