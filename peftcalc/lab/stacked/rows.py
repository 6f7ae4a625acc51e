"""The trained numbers of K models as rows, so that one call of an optimizer's kernel updates a whole model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class Rows:
    """Numbers and their gradients, (models, columns): a row is a model's, some columns of it a tensor of that model.

    >>> rows = Rows(2, [(3,), (2, 2)])
    >>> rows.values.shape, [part.shape for part in rows.parts]
    (torch.Size([2, 7]), [torch.Size([2, 3]), torch.Size([2, 2, 2])])
    """

    def __init__(self, models: int, shapes: Sequence[tuple[int, ...]]) -> None:
        sizes = [math.prod(shape) for shape in shapes]
        self.values, self.grads = (torch.zeros(models, sum(sizes)) for _ in range(2))
        self.parts, self.part_grads = (
            [part.unflatten(1, shape) for part, shape in zip(whole.split(sizes, dim=1), shapes, strict=True)]
            for whole in (self.values, self.grads)
        )

    def row(self, model: int) -> Tensor:
        """One model's numbers with their gradient in `grad`, which stays where it is."""
        row = self.values[model]
        row.grad = self.grads[model]
        return row
