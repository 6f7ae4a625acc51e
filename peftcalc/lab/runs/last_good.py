"""The weights of the last step that is known to be good, for a run that diverges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class LastGood:
    """Two copies of what is trained: the last weights whose loss was good, and those whose loss is being computed.

    The loss of step k is that of the weights after step k − 1. Where it is good, these are; where it is not, what is
    left are the weights after step k − 2.

    Args:
        trained: the tensors that a run trains.
        step: after how many steps they are as they are now.
    """

    def __init__(self, trained: Sequence[Tensor], step: int) -> None:
        self._trained = list(trained)
        self._good, self._next = self._copies(), self._copies()
        self._good_step = self._next_step = step

    def before(self, step: int) -> None:
        """Step `step` begins."""
        self._copy(self._trained, self._next)
        self._next_step = step - 1

    def proven(self) -> None:
        """The loss of the step that has begun is good."""
        self._good, self._next = self._next, self._good
        self._good_step = self._next_step

    def restore(self) -> int:
        """Put the last good weights back, and say after how many steps they were so."""
        self._copy(self._good, self._trained)
        return self._good_step

    def _copies(self) -> list[Tensor]:
        return [tensor.detach().clone() for tensor in self._trained]

    @torch.no_grad()
    def _copy(self, source: list[Tensor], target: list[Tensor]) -> None:
        for one, other in zip(source, target, strict=True):
            other.copy_(one)
