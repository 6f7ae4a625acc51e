"""The trained numbers of K models as rows, so that one call of an optimizer's kernel updates a whole model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

ALIGNED = 16
"""Numbers: each tensor of a row begins where a processor's vectors do, as one by itself would."""


class Rows:
    """Numbers and their gradients, (models, columns): a row is a model's, some columns of it a tensor of that model.

    What fills a part up to its end is zero, gets no gradient, and stays.

    >>> rows = Rows(2, [(3,), (2, 2)])
    >>> rows.values.shape, [part.shape for part in rows.parts]
    (torch.Size([2, 32]), [torch.Size([2, 3]), torch.Size([2, 2, 2])])
    """

    def __init__(self, models: int, shapes: Sequence[tuple[int, ...]]) -> None:
        counts = [math.prod(shape) for shape in shapes]
        sizes = [-(-count // ALIGNED) * ALIGNED for count in counts]
        self.values, self.grads = (torch.zeros(models, sum(sizes)) for _ in range(2))
        self.parts, self.part_grads = (
            [
                part[:, :count].unflatten(1, shape)
                for part, count, shape in zip(whole.split(sizes, dim=1), counts, shapes, strict=True)
            ]
            for whole in (self.values, self.grads)
        )

    def row(self, model: int) -> Tensor:
        """One model's numbers with their gradient in `grad`, which stays where it is."""
        row = self.values[model]
        row.grad = self.grads[model]
        return row
