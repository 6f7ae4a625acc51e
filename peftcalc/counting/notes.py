"""What a person should know about a count: names that match nothing, a wasteful rank, tied weights, packed totals.

Nothing here changes a number. What matches is found in the groups that are adapted anyway, so that a count in which
every name matches pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial

from peftcalc import units
from peftcalc.checks import nearest
from peftcalc.counting.adapted_modules import Adapted
from peftcalc.counting.packed_base import is_packed, packed_total
from peftcalc.methods import LoRA
from peftcalc.models.experts import stacked_targets
from peftcalc.models.shapes import LINEAR_KINDS, ModelShapes
from peftcalc.targets import is_named, layer_of, pattern_value

_MOST = 12
"""Entries and names that one note lists; a file may hold thousands."""
_CODE = set("*+?|()[]{}^$\\")


def adapter_notes(
    shapes: ModelShapes, method: LoRA, adapted: Sequence[Adapted], roots: Sequence[str], trainable: int, total: int
) -> Iterator[str]:
    """The notes of a count of adapters.

    Args:
        shapes: the model.
        method: what was asked for.
        adapted: what is adapted.
        roots: modules that are trained in full, as copies.
        trainable, total: the numbers of the count.
    """
    yield from unmatched_notes(shapes, method, adapted, roots)
    yield from _wasteful(method, adapted)
    if method.freeze_a and any(entry.group.kind == "embedding" for entry in adapted):
        yield "an embedding's A starts at zero and is trained all the same, as peft's create_lorafa_optimizer leaves it"
    if shapes.expert_names and any(entry.parameter for entry in adapted):
        yield "expert projections are stacked parameters in this model; peft adapts them by target_parameters"
    yield from tied_notes(shapes, adapted, roots)
    if is_packed(shapes, method):
        yield from packed_notes(shapes, trainable, total)


def _wasteful(method: LoRA, adapted: Iterable[Adapted]) -> Iterator[str]:
    """Ranks that no update can use."""
    wasteful = {}
    for entry in adapted:
        group = entry.group
        smaller = min(entry.parameter.shape[-2:]) if entry.parameter else min(group.in_features, group.out_features)
        if entry.rank > smaller:
            owner = f"{entry.group.suffix}." if entry.parameter else ""
            wasteful[f"{owner}{entry.suffix}"] = smaller
    if wasteful:
        sides = ", ".join(f"{name} ({side:,})" for name, side in wasteful.items())
        yield f"rank {method.rank:,} is wasteful: above the smaller side of {sides}, which no update's rank can exceed"


def tied_notes(shapes: ModelShapes, adapted: Iterable[Adapted], roots: Iterable[str]) -> Iterator[str]:
    """Said when one of two modules that share their weights is adapted or copied: either end of the tie."""
    pairs = [
        (f"{group.template}.{tensor.name}", tensor.tied_to)
        for group in shapes.groups
        for tensor in group.tensors
        if tensor.tied_to and not group.indices
    ]
    if not pairs:
        return
    touched = {
        f"{entry.group.template}.{entry.parameter.name if entry.parameter else 'weight'}"
        for entry in adapted
        if not entry.indices
    }
    ends = {end for pair in pairs for end in pair}
    if ends & touched or any(end.startswith(f"{root}.") for root in roots for end in ends):
        yield "the input and output embeddings are tied in this model; training a copy or an adapter of one unties them"


def packed_notes(shapes: ModelShapes, trainable: int, total: int) -> Iterator[str]:
    """What older stacks print as the total of a base in 4 bits."""
    printed = packed_total(shapes, total)
    if printed != total:
        yield (
            f"older stacks, and scripts that add up numel(), print {printed:,} parameters in all "
            f"({units.percent(100 * trainable / printed)} trained) for this base in 4 bits: two weights lie in a byte, "
            f"and bytes are counted; the logical total is {total:,}"
        )


# Names that match nothing --------------------------------------------------------------------------------------------


def unmatched_notes(
    shapes: ModelShapes, method: LoRA, adapted: Sequence[Adapted], roots: Sequence[str]
) -> Iterator[str]:
    """A sentence for each option that names a module, a parameter or a layer that the model does not have."""
    yield from _unmatched_targets(shapes, method, adapted)
    yield from _unmatched(
        shapes, "modules_to_save", method.modules_to_save, lambda name: _is_saved(shapes, roots, name)
    )
    if isinstance(method.exclude, str):
        yield from _unmatched(shapes, "exclude", (method.exclude,), partial(_some_name_is, shapes), pattern=True)
    elif method.exclude:
        yield from _unmatched(shapes, "exclude", method.exclude, _module_finder(shapes))
    for option in ("rank_pattern", "alpha_pattern"):
        for pattern in _unmatched_patterns(getattr(method, option), adapted):
            names = dict.fromkeys(entry.suffix for entry in adapted)
            yield f"{option} gives a value for {_entry(pattern, names)}, which matches no adapted module"
    yield from _unmatched_parameters(shapes, method)
    yield from _unmatched_layers(shapes, method, adapted)


def _unmatched_targets(shapes: ModelShapes, method: LoRA, adapted: Sequence[Adapted]) -> Iterator[str]:
    """Only a list can match in part: of a pattern, and of all-linear, nothing at all is an error."""
    if isinstance(method.targets, str):
        return
    suffixes = {entry.group.suffix for entry in adapted}
    if all(target in suffixes for target in method.targets):
        return
    targets = method.targets
    if shapes.expert_names:  # names of single experts mean parameters
        kept = set(stacked_targets(shapes, method).targets)
        targets = tuple(target for target in targets if target in kept)
    yield from _unmatched(shapes, "targets", targets, _module_finder(shapes))


def _unmatched(
    shapes: ModelShapes, option: str, entries: Iterable[str], matches: Callable[[str], bool], pattern: bool = False
) -> Iterator[str]:
    missing = [entry for entry in entries if not matches(entry)]
    if not missing:
        return
    names = list(_names_of(shapes, (*LINEAR_KINDS, "embedding"))) if option == "targets" else list(_names_of(shapes))
    listed = ", ".join(repr(entry) if pattern else _entry(entry, names) for entry in missing[:_MOST])
    more = f" and {len(missing) - _MOST:,} more" if len(missing) > _MOST else ""
    verb = "matches" if len(missing) == 1 else "match"
    hint = "" if all(_near(entry, names) for entry in missing) else f"; this model has {_listed(names)}"
    if not pattern and any(_CODE & set(entry) for entry in missing):
        hint += "; a list holds names, a regular expression is given as one string"
    yield f"{option}: {listed}{more} {verb} no module of this model{hint}"


def _module_finder(shapes: ModelShapes) -> Callable[[str], bool]:
    """Whether a module has such a name, or one that ends with it after a dot; asked of the layers once for all."""
    groups = (*shapes.groups, *shapes.bare)
    templates = {ending for group in groups for ending in _endings(group.template)}

    @lru_cache(maxsize=1)
    def spelled() -> set[str]:
        return {ending for group in groups for name in group.names for ending in _endings(name)}

    def found(entry: str) -> bool:
        numbered = any(segment.isdecimal() for segment in entry.split("."))
        return entry in (spelled() if numbered else templates)

    return found


def _endings(name: str) -> Iterator[str]:
    """`a.b.c`, `b.c`, `c`."""
    while name:
        yield name
        name = name.partition(".")[2]


def _some_name_is(shapes: ModelShapes, pattern: str) -> bool:
    return any(is_named(name, pattern) for group in (*shapes.groups, *shapes.bare) for name in group.names if name)


def _is_saved(shapes: ModelShapes, roots: Sequence[str], entry: str) -> bool:
    """peft copies every module whose full name ends with the entry, whatever stands before."""
    if any(root.endswith(entry) for root in roots):
        return True
    return any(name.endswith(entry) for group in (*shapes.groups, *shapes.bare) for name in group.names if name)


def _unmatched_patterns(patterns: Iterable[str], adapted: Sequence[Adapted]) -> Iterator[str]:
    suffixes = {entry.suffix for entry in adapted} if patterns else set()
    for pattern in patterns:
        if pattern not in suffixes and not any(
            pattern_value({pattern: True}, name, False) for entry in adapted for name in entry.names()
        ):
            yield pattern


def _unmatched_parameters(shapes: ModelShapes, method: LoRA) -> Iterator[str]:
    if not method.target_parameters:
        return
    full = {
        f"{name}.{tensor.name}": tensor for group in shapes.groups for name in group.names for tensor in group.tensors
    }
    stacked = dict.fromkeys(
        f"{group.suffix}.{tensor.name}" for group in shapes.groups for tensor in group.tensors if len(tensor.shape) > 1
    )
    for target in method.target_parameters:
        if target not in full and not any(name.endswith(f".{target}") for name in full):
            hint = "" if _near(target, stacked, whole=True) else f"; this model has {_listed(stacked)}"
            yield f"target_parameters: {_entry(target, stacked, whole=True)} matches no parameter of this model{hint}"


def _unmatched_layers(shapes: ModelShapes, method: LoRA, adapted: Sequence[Adapted]) -> Iterator[str]:
    if not method.layers_to_transform:
        return
    layers = {layer_of(name, method.layers_pattern) for entry in adapted for name in entry.names()}
    missing = [layer for layer in dict.fromkeys(method.layers_to_transform) if layer not in layers]
    if missing:
        found_in = (layer_of(name, method.layers_pattern) for group in shapes.groups for name in group.names)
        every = {layer for layer in found_in if layer is not None}
        depth = f"{min(every)} to {max(every)}" if every else "no layers"
        for beyond, what in ((True, "no layer of this model"), (False, "no layer with a target")):
            found = [layer for layer in missing if (layer not in every) == beyond]
            if found:
                listed = ", ".join(map(str, found[:_MOST])) + (", …" if len(found) > _MOST else "")
                verb = "names" if len(found) == 1 else "name"
                yield f"layers_to_transform: {listed} {verb} {what}, which has {depth}"
    patterns = method.layers_pattern or ()
    lists = dict.fromkeys(
        group.template.partition(".{}")[0].rpartition(".")[2] for group in shapes.groups if ".{}" in group.template
    )
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        if all(layer_of(name, pattern) is None for group in shapes.groups for name in group.names):
            yield f"layers_pattern: {_entry(pattern, lists)} matches no list of layers; this model has {_listed(lists)}"


def _names_of(shapes: ModelShapes, kinds: tuple[str, ...] | None = None) -> Iterable[str]:
    """The names by which modules are chosen, of these kinds."""
    groups = shapes.groups if kinds else (*shapes.groups, *shapes.bare)
    suffixes = dict.fromkeys(group.suffix for group in groups if kinds is None or group.kind in kinds)
    return [suffix for suffix in suffixes if suffix and suffix != "{}" and not suffix.isdigit()]


def _near(entry: str, names: Iterable[str], whole: bool = False) -> list[str]:
    """The name that is spelled most alike, best of all one that the entry is a part of (up_proj in gate_up_proj)."""
    word = entry if whole else entry.rpartition(".")[2]
    larger = [name for name in names if f"_{name}_".find(f"_{word}_") >= 0]
    return larger[:1] or nearest(word, names, 1)


def _entry(entry: str, names: Iterable[str], whole: bool = False) -> str:
    """The entry and the name that is spelled most like it."""
    near = _near(entry, names, whole)
    return f"{entry!r} (nearest: {near[0]})" if near else repr(entry)


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:24]) + (", …" if len(listed) > 24 else "")
