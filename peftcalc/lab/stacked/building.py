"""A stack from its models: their order, the layers in one module, what is trained as rows, and the optimizer."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peftcalc.adapters.layers.base import AdaptedLayer
from peftcalc.lab.run_settings import RunSettings
from peftcalc.lab.runs.optimizer import FACTOR
from peftcalc.lab.stacked.layers import StackedLinear
from peftcalc.lab.stacked.rows import Rows
from peftcalc.lab.student import Student
from peftcalc.methods import LoRA, Method


@dataclass(frozen=True)
class Parts:
    """What a stack trains: its layers, and the rows of each block: of all numbers, or of A and of the others."""

    layers: list[StackedLinear]
    blocks: list[slice]
    full: Rows
    factors: list[tuple[Rows, Rows]]

    def optimizer(self, settings: Sequence[RunSettings]) -> tuple[list[list[Tensor]], torch.optim.AdamW]:
        """The rows of each model that are trained, and one AdamW with a group for each rate and weight decay."""
        groups: dict[tuple[float, float], list[Tensor]] = defaultdict(list)
        trained: list[list[Tensor]] = []
        for place, one in enumerate(settings):
            own = self._rows_by_rate(place, one)
            for rate, rows in own.items():
                groups[rate, one.weight_decay] += rows
            trained.append([row for rows in own.values() for row in rows])
        given = [{"params": rows, "weight_decay": decay, FACTOR: rate} for (rate, decay), rows in groups.items()]
        return trained, torch.optim.AdamW(given, fused=True)

    def _rows_by_rate(self, place: int, one: RunSettings) -> dict[float, list[Tensor]]:
        """See `runs.optimizer.rate_groups`."""
        method, rate = one.method, one.learning_rate
        if not isinstance(method, LoRA):
            return {rate: [self.full.row(place)]}
        number = next(number for number, block in enumerate(self.blocks[1:]) if place < block.stop)
        of_A, others = self.factors[number]
        inside = place - self.blocks[number + 1].start
        rows = {rate * method.lr_ratio: [others.row(inside)]}
        if not method.freeze_a:
            rows.setdefault(rate, []).append(of_A.row(inside))
        return rows


@torch.no_grad()
def stacked(module: nn.Module, students: Sequence[Student], methods: Sequence[Method]) -> tuple[list[int], Parts]:
    """Put K linear layers in the place of each of `module`, the task's own; the order of the students in them, and what
    is trained."""
    names = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    layers = [[student.module.get_submodule(name) for name in names] for student in students]
    keys = [_alike(method, own) for method, own in zip(methods, layers, strict=True)]
    order = sorted(range(len(students)), key=lambda index: keys[index])
    blocks = [slice(0, sum(not method.has_adapter for method in methods))]
    for _, group in itertools.groupby(order[blocks[0].stop :], key=lambda index: keys[index]):
        start = blocks[-1].stop
        blocks.append(slice(start, start + len(list(group))))
    replaced = []
    for place, name in enumerate(names):
        replaced.append(StackedLinear([layers[index][place] for index in order], blocks))
        module.set_submodule(name, replaced[-1])
    return order, _parts(replaced, blocks)


def _alike(method: Method, layers: Sequence[Any]) -> tuple[Any, ...]:
    """Models with the same key form a block, and blocks stand in this order: in full, with updates, decomposed. Where
    the rank is the same in each layer, so are the operations; a decomposed update's norm also has s as a number."""
    if not isinstance(method, LoRA):
        return (0,)
    adapted = [layer if isinstance(layer, AdaptedLayer) else None for layer in layers]
    ranks = tuple(layer.rank if layer is not None else 0 for layer in adapted)
    if not method.decomposed:
        return 1, ranks
    return 2, ranks, tuple(layer.scale if layer is not None else 0.0 for layer in adapted)


def _parts(layers: list[StackedLinear], blocks: list[slice]) -> Parts:
    """Rows for what is trained; every layer and update knows its parts of them, and has put its start into them."""
    full = Rows(blocks[0].stop, [shape for layer in layers for shape in layer.full_shapes])
    values, grads = iter(full.parts), iter(full.part_grads)
    for layer in layers:
        layer.full_weight, layer.grad_weight = next(values), next(grads)
        if layer.bias is not None:
            layer.full_bias, layer.grad_bias = next(values), next(grads)
        layer.begin()
    factors = []
    for block in blocks[1:]:
        updates = [update for layer in layers for update in layer.updates if update.models == block]
        size = block.stop - block.start
        of_A = Rows(size, [shape for update in updates for shape in update.shapes_A])
        others = Rows(size, [shape for update in updates for shape in update.shapes_B])
        a, b = ([iter(rows.parts), iter(rows.part_grads)] for rows in (of_A, others))
        for update in updates:
            update.take(
                *([next(own[0]) for _ in shapes] for own, shapes in ((a, update.shapes_A), (b, update.shapes_B)))
            )
            update.take_gradients(
                *([next(own[1]) for _ in shapes] for own, shapes in ((a, update.shapes_A), (b, update.shapes_B)))
            )
            update.begin()
        factors.append((of_A, others))
    return Parts(layers, blocks, full, factors)
