"""What leaves the GPU before a step is over: activations to the host, gradients to their own update or to the host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from peftcalc.memory.simulate.choices.optimizers import Optimizer
from peftcalc.memory.simulate.trace import StorageLedger

SMALLEST = 1024
"""Bytes below which a saved tensor stays (torchtune's and TRL's `min_offload_size`)."""


class HostActivations(torch.autograd.graph.saved_tensors_hooks):
    """While open, what autograd saves goes to the host's memory, and comes back as a new tensor when it is read.

    Weights stay, and small tensors. The transfer is taken to be over before the next operator begins.

    Args:
        model: whose parameters and buffers stay.
        ledger: which leaves out what is on the host.
    """

    def __init__(self, model: nn.Module, ledger: StorageLedger) -> None:
        own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}

        def pack(tensor: torch.Tensor) -> tuple[torch.Tensor, bool]:
            if tensor.nbytes < SMALLEST or tensor.untyped_storage()._cdata in own:
                return tensor, False
            copy = tensor.detach().clone()
            ledger.ignore([copy])
            return copy, True

        def unpack(packed: tuple[torch.Tensor, bool]) -> torch.Tensor:
            tensor, away = packed
            return tensor.clone() if away else tensor

        super().__init__(pack, unpack)


def release_gradients(
    parameters: Iterable[nn.Parameter], optimizers: dict[nn.Parameter, Optimizer], ledger: StorageLedger
) -> list[Any]:
    """Handles of hooks that update each weight once its gradient is there, and free the gradient.

    Args:
        parameters: those that are trained.
        optimizers: one for each parameter; empty where the update is made on the host.
        ledger: which is told that it is a gradient.
    """

    def hook(parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            ledger.note(parameter.grad, "gradients")
        if parameter in optimizers:
            optimizers[parameter].step()  # type: ignore[index]
        parameter.grad = None

    return [parameter.register_post_accumulate_grad_hook(hook) for parameter in parameters]
