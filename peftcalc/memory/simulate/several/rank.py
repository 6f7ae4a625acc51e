"""One rank of a step on several GPUs, on the same fake tensors: what it owns, gathers and reduces, and when.

    rank            weights       gradients     states        beside them
    alone, ddp      whole         whole         whole         ddp: buckets as large as all gradients
    zero1           whole         whole         1 / GPUs      -
    zero2           whole         1 / GPUs      1 / GPUs      a unit's gradients and the buffer that is reduced
    zero3           1 / GPUs      1 / GPUs      1 / GPUs      that, and the units that are gathered (FSDP1)
    fsdp2           1 / GPUs      1 / GPUs      1 / GPUs      as zero3, with buffers of their own (FSDP2)

The fake weights keep their shapes, so that operators run as ever; the ledger counts a rank's share of them, and what is
gathered is a tensor of its own beside it. (ZeRO paper, arXiv:1910.02054, section 5; PyTorch FSDP paper,
arXiv:2304.11277, sections 3.2 and 4; PyTorch DDP paper, arXiv:2006.15704, section 3.2.)
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.simulate.several.units import ROOT, Units
from peftcalc.memory.simulate.trace import StorageLedger


class Rank:
    """A rank that holds everything: one GPU alone, and what the others are told apart from.

    Args:
        trained: parameters that the step trains, whole.
        ledger: of the step.
    """

    def __init__(self, trained: list[nn.Parameter], ledger: StorageLedger) -> None:
        self.trained, self.ledger = trained, ledger
        self.owned = trained
        """What this rank updates: of each trained parameter all, or its share."""
        self.accumulating = trained
        """Parameters in whose `grad` earlier batches are added up."""

    def load(self) -> None:
        """The weights are in the ledger; what else stays from step to step is added."""

    def begin_forward(self) -> None:
        """Before the model's forward pass."""

    def begin_backward(self) -> None:
        """The loss is there."""

    def begin_update(self) -> None:
        """All gradients are there."""


class Replica(Rank):
    """DDP: all of everything, and buckets in which gradients travel, beside the gradients themselves.

    (torch 2.13, distributed/csrc/c10d/reducer.cpp: buckets are made with the model and stay; gradients are copied into
    them unless `gradient_as_bucket_view`, which is off by default.)
    """

    def load(self) -> None:
        self.buckets = buffers_of(self.trained)
        self.ledger.mark(self.buckets, "gradients")


class DividedStates(Rank):
    """ZeRO stage 1: each rank updates its share of the weights."""

    def __init__(self, trained: list[nn.Parameter], ledger: StorageLedger, gpus: int) -> None:
        super().__init__(trained, ledger)
        self.gpus = gpus
        self.owned = [nn.Parameter(share_of(parameter.data, gpus)) for parameter in trained]

    def begin_update(self) -> None:
        for whole, own in zip(self.trained, self.owned, strict=True):
            own.grad = None if whole.grad is None else share_of(whole.grad, self.gpus)


class DividedGradients(DividedStates):
    """ZeRO stage 2: the gradients of a unit are reduced to this rank's share as soon as they are there.

    Args:
        model: on fake tensors, with its adapters.
        checkpointing: whether layers are computed again.
    """

    def __init__(
        self, model: nn.Module, trained: list[nn.Parameter], ledger: StorageLedger, gpus: int, checkpointing: bool
    ) -> None:
        super().__init__(trained, ledger, gpus)
        self.accumulating = self.owned
        self.own = dict(zip(trained, self.owned, strict=True))
        frozen = len(trained) < len(list(model.parameters()))
        self.units = Units(model, self, holds=self.holds_inputs and frozen and checkpointing)
        self.ahead = not checkpointing
        """Whether the next unit is fetched while one works backward: FSDP1 does so for outputs that need a gradient,
        and under reentrant checkpointing none does when it is first computed (torch 2.13, fsdp/_runtime_utils.py,
        `_register_pre_backward_hooks`)."""
        self.units.watch()

    holds_inputs = False

    def begin_forward(self) -> None:
        self.gather(ROOT)

    def begin_backward(self) -> None:
        self.fetch(self.units.last)

    def begin_update(self) -> None:
        self.reduce(self.trained)
        self.units.end()

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """Gradients are copied into one buffer, which is reduced and scattered: a share of it is what stays."""
        ready = [parameter for parameter in parameters if parameter in self.own and parameter.grad is not None]
        if not ready:
            return
        buffers = buffers_of(ready)
        for whole in ready:
            whole.grad = None
        for whole in ready:
            share = torch.empty_like(self.own[whole])
            if self.own[whole].grad is None:
                self.own[whole].grad = share
                self.ledger.note(share, "gradients")
        self.reduced(buffers)

    def reduced(self, buffers: list[torch.Tensor]) -> None:
        """What becomes of the buffers: they are let go."""

    def gather(self, unit: int) -> None:
        """A unit is about to be used; its weights are whole already."""

    def fetch(self, unit: int) -> None:
        """A unit will be used next."""

    def release(self, unit: int) -> None:
        """A unit has been used."""


class DividedWeights(DividedGradients):
    """ZeRO stage 3 as FSDP1 does it: a unit's weights are whole while it works, those of the root unit throughout."""

    holds_inputs = True

    def load(self) -> None:
        self.gathered: dict[int, torch.Tensor] = {}
        for parameter in self.units.parameters():
            record = self.ledger.note(parameter.data)
            if record is not None:
                record.size = self.ledger.round(-(-parameter.untyped_storage().nbytes() // self.gpus))

    def begin_update(self) -> None:
        super().begin_update()
        self.gathered.clear()

    def gather(self, unit: int) -> None:
        if unit not in self.gathered:
            self.gathered[unit] = self.whole(unit)

    def fetch(self, unit: int) -> None:
        if self.ahead:
            self.gather(unit)

    def release(self, unit: int) -> None:
        self.gathered.pop(unit, None)

    def whole(self, unit: int) -> torch.Tensor:
        """Room for the weights of a unit."""
        room = torch.empty(self.units.sizes[unit], dtype=torch.uint8)
        self.ledger.note(room, "temporary_buffers")
        return room


class DividedTwice(DividedWeights):
    """FSDP2: weights come in a buffer and are copied out of it, gradients leave by one that stays until the next.

    In the forward pass the buffer is there until the next unit's has been filled, in the backward pass until its
    weights are copied out, which they are when the unit begins to work. (torch 2.13, fsdp/_fully_shard/
    _fsdp_param_group.py, `unshard`, `wait_for_unshard`, `post_backward`; _fsdp_collectives.py, `foreach_reduce`.)
    """

    holds_inputs = False

    def load(self) -> None:
        super().load()
        self.ahead = True
        self.buffers: dict[int, torch.Tensor] = {}
        self.sent: list[torch.Tensor] = []

    def begin_backward(self) -> None:
        self.buffers.clear()
        super().begin_backward()

    def begin_update(self) -> None:
        super().begin_update()
        self.buffers.clear()
        self.sent = []

    def fetch(self, unit: int) -> None:
        if unit not in self.gathered and unit not in self.buffers:
            self.buffers[unit] = self.whole(unit)

    def gather(self, unit: int) -> None:
        if unit in self.gathered:
            return
        self.fetch(unit)
        if not self.units.backward:
            self.buffers = {unit: self.buffers[unit]}
        super().gather(unit)
        if self.units.backward:
            del self.buffers[unit]

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        parameters = list(parameters)
        if any(parameter.grad is not None for parameter in parameters):
            self.sent = []
        super().reduce(parameters)

    def reduced(self, buffers: list[torch.Tensor]) -> None:
        self.sent = buffers


def rank_of(model: nn.Module, trained: list[nn.Parameter], options: MemoryOptions, ledger: StorageLedger) -> Rank:
    """The rank that these options ask for.

    Raises:
        ValueError: gradients that do not wait for the update, where they are divided.
    """
    if options.gpus == 1:
        return Rank(trained, ledger)
    if options.sharding == "ddp":
        return Replica(trained, ledger)
    if not options.gradients_stay:
        raise ValueError(
            f"sharding {options.sharding} is not simulated where gradients do not wait for the update "
            "(optimizer_in_backward, optimizer_offload='gradients'); estimate_memory has it"
        )
    if options.sharding == "zero1":
        return DividedStates(trained, ledger, options.gpus)
    kinds = {"zero2": DividedGradients, "zero3": DividedWeights, "fsdp2": DividedTwice}
    return kinds[options.sharding](model, trained, ledger, options.gpus, options.checkpointing)


def share_of(tensor: torch.Tensor, gpus: int) -> torch.Tensor:
    """The first of as many equal shares: rows where there are enough, else numbers.

    >>> share_of(torch.empty(10, 3), 4).shape, share_of(torch.empty(2, 3), 4).shape
    (torch.Size([3, 3]), torch.Size([2]))
    """
    rows = tensor if tensor.dim() > 1 and len(tensor) >= gpus else tensor.reshape(-1)
    return rows[: -(-len(rows) // gpus)]


def buffers_of(parameters: Iterable[nn.Parameter]) -> list[torch.Tensor]:
    """One flat tensor for each type, as large as the gradients of all these."""
    sizes: dict[torch.dtype, int] = {}
    for parameter in parameters:
        sizes[parameter.dtype] = sizes.get(parameter.dtype, 0) + parameter.numel()
    return [torch.empty(size, dtype=dtype) for dtype, size in sizes.items()]
