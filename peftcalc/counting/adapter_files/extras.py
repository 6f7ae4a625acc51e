"""What an adapter's file may do to its base besides adapting modules, as peft 0.21 does it.

`layer_replication` makes the model deeper, with layers that share their weights; `trainable_token_indices` trains
single rows of an embedding; `ensure_weight_tying` keeps what is trained of tied embeddings together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from peftcalc.checks import whole_number
from peftcalc.counting.adapted_modules import saved_roots
from peftcalc.counting.counts import Count, Part, part_of
from peftcalc.methods import ALL_LINEAR, LoRA
from peftcalc.models.shapes import ModelShapes, ModuleGroup, Tensor
from peftcalc.targets import is_named

MAX_LAYERS = 2_000
"""Of a model whose layers are repeated."""
_EMBEDDINGS = ("embed_tokens", "lm_head")
"""The names by which peft knows that an embedding is meant."""


# Layers that are repeated --------------------------------------------------------------------------------------------


def replicated(shapes: ModelShapes, layer_map: Any) -> ModelShapes:
    """The model with its layers stacked anew: `[[0, 4], [2, 5]]` makes 0, 1, 2, 3, 2, 3, 4; repeats share weights.

    Raises:
        ValueError: no such list of ranges, a layer that the model does not have, a model whose layers peft does not
            find, or more than `MAX_LAYERS` layers.
    """
    if not shapes.pretrained:
        raise ValueError("peft repeats layers (layer_replication) of models with a configuration; this module has none")
    path = _layers_path(shapes)
    prefix, depth = (
        f"{path}.{{}}",
        1 + max(i for g in shapes.groups if _in_layers(g, f"{path}.{{}}") for i in g.indices),
    )
    order = _order(layer_map, depth)
    first = {old: order.index(old) for old in set(order)}

    def copies(group: ModuleGroup) -> Iterator[ModuleGroup]:
        for new, old in enumerate(order):
            if old in group.indices:
                owner = f"{path}.{first[old]}{group.template.removeprefix(prefix)}"
                tied = tuple(_shared(tensor, f"{owner}.{tensor.name}", first[old] != new) for tensor in group.tensors)
                yield replace(group, tensors=tied, indices=(new,))

    def stacked(groups: Iterable[ModuleGroup]) -> tuple[ModuleGroup, ...]:
        return tuple(one for group in groups for one in (copies(group) if _in_layers(group, prefix) else (group,)))

    return replace(shapes, groups=stacked(shapes.groups), bare=stacked(shapes.bare))


def _shared(tensor: Tensor, owner: str, repeated: bool) -> Tensor:
    return replace(tensor, tied_to=owner) if repeated and not tensor.tied_to else tensor


def _in_layers(group: ModuleGroup, prefix: str) -> bool:
    return group.template == prefix or group.template.startswith(f"{prefix}.")


def _layers_path(shapes: ModelShapes) -> str:
    """Name of the list of layers, found as peft finds it: below every `model`, below `bert`, then by three names."""
    names = {part for group in (*shapes.groups, *shapes.bare) for part in _prefixes(group.template)}
    path = ""
    while f"{path}model" in names:
        path += "model."
    if f"{path}bert" in names:
        path += "bert."
    for places in ("layers", "encoder.layer", "h"):
        if f"{path}{places}" in names and f"{path}{places}.{{}}" in names:
            return f"{path}{places}"
    raise ValueError(
        "peft repeats layers (layer_replication) of models that are built like Llama or BERT; it does not find "
        f"those of {shapes.architecture}"
    )


def _prefixes(template: str) -> Iterator[str]:
    segments = template.split(".")
    return (".".join(segments[:length]) for length in range(1, len(segments) + 1))


def _order(layer_map: Any, depth: int) -> list[int]:
    """The old layer that stands at each new place."""
    order: list[int] = []
    for pair in layer_map if isinstance(layer_map, list | tuple) else (layer_map,):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError(f"layer_replication must be a list of [start, end] pairs, got {layer_map!r}")
        start, end = (whole_number("layer_replication", value, -depth, depth) for value in pair)
        order += [index % depth for index in range(start, end)]
        if len(order) > MAX_LAYERS:
            raise ValueError(f"layer_replication makes {len(order):,} layers; at most {MAX_LAYERS:,} are counted here")
    if not order:
        raise ValueError(f"layer_replication leaves no layer, got {layer_map!r}")
    return order


# Single rows of an embedding -----------------------------------------------------------------------------------------


def with_tokens(shapes: ModelShapes, result: Count, tokens: Any, tied: bool) -> Count:
    """The count with `k · d` more: `trainable_token_indices` trains k rows of width d, apart from the table.

    Args:
        shapes: the model.
        result: the count without them.
        tokens: row numbers of the input embedding, or lists of them by module name.
        tied: `ensure_weight_tying`.

    Raises:
        ValueError: a module that is not there or is trained already, or a row that the table does not have.
    """
    if tokens is None:
        return result
    parts = tuple(_token_parts(shapes, result, _tables(shapes, tokens), tied))
    added = sum(part.trainable for part in parts)
    return replace(
        result,
        trainable=result.trainable + added,
        total=result.total + added,
        adapter=result.adapter + added,
        parts=(*result.parts, *parts),
    )


def _tables(shapes: ModelShapes, tokens: Any) -> dict[str, Any]:
    if isinstance(tokens, Mapping):
        return {str(name): rows for name, rows in tokens.items()}
    return {shapes.input_embedding or "embed_tokens": tokens}


def _token_parts(shapes: ModelShapes, result: Count, tables: Mapping[str, Any], tied: bool) -> Iterator[Part]:
    saved = getattr(result.method, "modules_to_save", ())
    roots = saved_roots(shapes, saved)
    ends = _tied_ends(shapes)
    touched = [name for name in tables if any(end.endswith(name) for end in ends)]
    different = any(tables[name] != tables[touched[0]] for name in touched)
    if different and tied:
        raise ValueError(f"ensure_weight_tying needs the same trainable_token_indices for {' and '.join(touched)}")
    shared = set(ends[1:]) if not different and any(ends[0].endswith(name) for name in touched) else set()
    for name, rows in tables.items():
        groups = [group for group in shapes.groups if any(full.endswith(name) for full in group.names)]
        if not groups:
            raise ValueError(f"trainable_token_indices names {name!r}, which is no module of this model")
        for group in groups:
            if group.template in shared:  # it uses the rows of the input embedding
                continue
            part = _token_part(group, rows, result, (name, *saved))
            yield part
            if any(_found_twice(group.template, root, name) for root in roots):
                yield part


def _found_twice(full: str, root: str, name: str) -> bool:
    """A table inside a saved module: peft finds it by its name in the original and in the copy."""
    return full.startswith(f"{root}.") and f"{root}.original_module{full.removeprefix(root)}".endswith(name)


def _token_part(group: ModuleGroup, rows: Any, result: Count, names: Sequence[str]) -> Part:
    name, *saved = names
    weight = group.tensor("weight")
    if group.kind not in ("embedding", "linear") or weight is None:
        raise ValueError(f"trainable_token_indices names {name!r}, a {group.type}; peft trains rows of embeddings")
    if name in saved:
        raise ValueError(
            f"{group.template} is in modules_to_save and in trainable_token_indices; peft takes one of them"
        )
    adapters = (part for part in result.parts if part.how == "adapter")
    adapted = {part.module.replace("{}", str(index), 1) for part in adapters for index in part.indices or ("{}",)}
    if any(full in adapted or f"{full}.weight" in adapted for full in group.names):
        raise ValueError(f"{group.template} has an adapter and trainable_token_indices; peft takes one of them")
    if not isinstance(rows, list | tuple) or not rows:
        raise ValueError(f"trainable_token_indices must be a list of row numbers, got {rows!r}")
    for row in rows:
        whole_number("trainable_token_indices", row, 0, weight.shape[0] - 1)
    return replace(part_of(group, "tokens", len(rows) * weight.shape[1], group.indices), rank=0)


def _tied_ends(shapes: ModelShapes) -> list[str]:
    """The input embedding and every module that shares its table, the embedding first; empty where nothing is tied."""
    source = shapes.input_embedding
    if source is None or shapes.config.get("tie_word_embeddings") is False:
        return []
    weights = {
        f"{group.template}.weight": tensor.tied_to or f"{group.template}.weight"
        for group in shapes.groups
        for tensor in group.tensors
        if tensor.name == "weight" and not group.indices
    }
    owner = weights.get(f"{source}.weight")
    ends = [name.removesuffix(".weight") for name, own in weights.items() if own == owner]
    return [source, *(name for name in ends if name != source)] if len(ends) > 1 else []


# Tied embeddings that stay tied --------------------------------------------------------------------------------------


def kept_tied(shapes: ModelShapes, method: LoRA) -> LoRA:
    """The method as `ensure_weight_tying` changes it, unchanged where no tied embedding is named.

    Among `modules_to_save` the copy is one, of the input embedding, and the tied modules use it. Among the targets both
    get an adapter; that of the tied module starts as the transpose of the embedding's and is counted by peft as well.
    """
    ends = _tied_ends(shapes)
    if not ends:
        return method
    source, others = ends[0], ends[1:]
    if any(name.rpartition(".")[2] in _EMBEDDINGS for name in method.modules_to_save):
        kept = [name for name in method.modules_to_save if not any(_inside(name, other) for other in others)]
        return replace(method, modules_to_save=tuple(dict.fromkeys([*kept, source])))
    if isinstance(method.targets, str):
        if method.targets == ALL_LINEAR or not any(is_named(name, method.targets) for name in _EMBEDDINGS):
            return method
        return replace(method, targets="|".join([f"(?:{method.targets})", *map(re.escape, ends)]))
    if any(name.rpartition(".")[2] in _EMBEDDINGS for name in method.targets):
        return replace(method, targets=tuple(dict.fromkeys([*method.targets, *ends])))
    return method


def _inside(name: str, full: str) -> bool:
    return full == name or full.endswith(f".{name}") or full.startswith(f"{name}.") or f".{name}." in full
