"""One transformer block: its matrices in true proportion, what is frozen and trained; targets are chosen by a click."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

from peftcalc.checks import one_of
from peftcalc.counting.counts import Count, Part
from peftcalc.methods import LoRA
from peftcalc.models.block import MOST, block_groups
from peftcalc.models.shapes import ModelShapes, ModuleGroup
from peftcalc.ui.components.mount import mount
from peftcalc.ui.components.parts import Numbers, Parts

MOST_NAMES = 100
"""Names of targets at most."""


def block(
    shapes: ModelShapes,
    every: Count,
    names: Sequence[str],
    chosen: Collection[str],
    *,
    key: str = "block",
    locked: bool = False,
    moved: Callable[[list[str]], None],
) -> None:
    """Show one block of a model; a click on a matrix gives it an adapter or takes it away.

    Args:
        shapes: the model.
        every: what is trained while nothing is chosen.
        names: by which targets are chosen, of the whole model.
        chosen: those that are; none for every one.
        key: as for `mount`; the choice itself stands in the link where `moved` puts it.
        locked: whether targets are chosen elsewhere.
        moved: called with the names that a visitor has chosen, before the script runs again.
    """
    names = list(names)[:MOST_NAMES]
    data = block_data(shapes, every, names, locked=locked)
    here = [place for place, name in enumerate(names) if name in chosen]
    start = {"chosen": here} if here and not locked else None

    def take(state: dict[str, Any]) -> None:
        moved([names[int(place)] for place in state.get("chosen", []) if int(place) < len(names)])

    mount("block", data, block_parts(), key, start=start, link=False, moved=take)


def block_data(shapes: ModelShapes, every: Count, names: Sequence[str], *, locked: bool = False) -> dict[str, Any]:
    """What the view shows, checked; also for a page without a server (`mount.payload`)."""
    method = every.method
    assert isinstance(method, LoRA)
    places = {} if locked else {name: place for place, name in enumerate(names)}
    adapted = [part for part in every.parts if part.how == "adapter"]
    boxes = []
    for group in _groups(shapes, adapted):
        parts = [part for part in adapted if _within(part, group)]
        rank = parts[0].rank if parts else method.rank
        wide, tall = sides(group)
        plain = group.kind in ("linear", "conv1d")
        by_rank = rank * (wide + tall) + (tall if method.decomposed else 0)
        adds = sum(part.each for part in parts) if parts else by_rank if plain else 0
        boxes.append(
            {
                "name": group.suffix[:60],
                "path": path_of(group)[:60],
                "wide": wide,
                "tall": tall,
                "numbers": group.parameters_each,
                "adds": adds,
                "sum": _sum(rank, wide, tall, adds, method) if plain else f"{adds:,}",
                "blocks": group.repeats,
                "lit": int(bool(parts)),
                "pick": places.get(group.suffix, -1) if plain else -1,
            }
        )
    return {
        "boxes": boxes,
        "names": len(places),
        "model": every.model[:200],
        "rank": method.rank,
        "four": int(method.quantized),
        "method": one_of("method", method.name, ("lora", "dora", "qlora", "qdora")),
    }


def block_parts() -> Parts:
    """What can be moved: the names that are chosen, by their places; none for every one."""
    return {"chosen": Numbers(MOST_NAMES, 0, MOST_NAMES - 1)}


def _groups(shapes: ModelShapes, adapted: Sequence[Part]) -> list[ModuleGroup]:
    """The block's matrices, and what else in it gets an adapter: peft adapts the routers of expert stacks too."""
    groups = block_groups(shapes)
    blocks = {group.template.partition("{}")[0] for group in groups if group.indices}
    others = [
        group
        for group in shapes.groups
        if group not in groups
        and group.indices
        and group.template.partition("{}")[0] in blocks
        and any(_within(part, group) for part in adapted)
    ]
    return (groups + others)[:MOST]


def _within(part: Part, group: ModuleGroup) -> bool:
    """Whether the adapter is this module's own, or of a bare parameter in it, such as a stack of experts."""
    return part.module == group.template or part.module.startswith(f"{group.template}.")


def sides(group: ModuleGroup) -> tuple[int, int]:
    """Inputs and outputs; of what has none of its own, a square of as many numbers."""
    root = max(1, math.isqrt(group.parameters_each))
    return group.in_features or root, group.out_features or root


def path_of(group: ModuleGroup) -> str:
    """Where in its block the matrix stands: "self_attn"; empty right in it."""
    return group.template.rpartition("{}.")[2].rpartition(".")[0]


def _sum(rank: int, wide: int, tall: int, adds: int, method: LoRA) -> str:
    """`16 · (4,096 + 1,024) = 81,920`, with DoRA's magnitudes."""
    magnitudes = f" + {tall:,}" if method.decomposed else ""
    same = rank * (wide + tall) + (tall if method.decomposed else 0) == adds
    return f"{rank} · ({wide:,} + {tall:,}){magnitudes} = {adds:,}" if same else f"{adds:,}"
