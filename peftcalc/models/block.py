"""The block that a model repeats, of which a picture shows one."""

from __future__ import annotations

from peftcalc.models.shapes import ModelShapes, ModuleGroup

MATRICES = ("linear", "conv1d", "experts", "conv2d", "conv1d_nn")
MOST = 12
"""Matrices of a block that are shown."""


def block_groups(shapes: ModelShapes) -> list[ModuleGroup]:
    """The matrices of the most repeated block of the model; of the whole model when nothing repeats."""
    matrices = [group for group in shapes.groups if group.kind in MATRICES]
    repeated = [group for group in matrices if group.indices]
    if not repeated:
        return matrices[:MOST]
    blocks: dict[str, list[ModuleGroup]] = {}
    for group in repeated:
        blocks.setdefault(group.template.partition("{}")[0], []).append(group)
    block = max(blocks.values(), key=lambda groups: sum(group.parameters for group in groups))
    distinct = {group.template: group for group in block}
    return list(distinct.values())[:MOST]
