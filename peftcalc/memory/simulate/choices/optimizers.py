"""Optimizers as they hold memory on a GPU: torch's own on fake tensors, and bitsandbytes' 8-bit and paged ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import nn

BLOCK = 256
"""Values that share one float32 scale in an 8-bit state (bitsandbytes.optim, block-wise optimizers)."""

SMALLEST_8BIT = 4096
"""Tensors of fewer values keep float32 states (bitsandbytes' `min_8bit_size`)."""


class Optimizer(Protocol):
    """What a traced step needs of an optimizer."""

    def warm_up(self) -> None:
        """Create the states, as the first step of a training does."""

    def step(self) -> None:
        """Update the parameters from their gradients."""

    def device_states(self) -> Iterator[torch.Tensor]:
        """States that lie on the GPU."""
        ...

    def host_states(self) -> Iterator[torch.Tensor]:
        """States that lie in the host's memory: step counters, paged states."""
        ...


class TorchOptimizer:
    """One of torch's optimizers with the implementation that it would choose on a GPU (for all tensors at once)."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def warm_up(self) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()
        for parameter in parameters:
            parameter.grad = None

    def step(self) -> None:
        self.optimizer.step()

    def _states(self) -> Iterator[tuple[str, torch.Tensor]]:
        for state in self.optimizer.state.values():
            yield from ((name, tensor) for name, tensor in state.items() if isinstance(tensor, torch.Tensor))

    def device_states(self) -> Iterator[torch.Tensor]:
        fused = bool(self.optimizer.defaults.get("fused"))
        return (tensor for name, tensor in self._states() if fused or name != "step")

    def host_states(self) -> Iterator[torch.Tensor]:
        fused = bool(self.optimizer.defaults.get("fused"))
        return (tensor for name, tensor in self._states() if not fused and name == "step")


class BlockwiseAdamW:
    """The memory of bitsandbytes' AdamW: two moments, in 8 bits with a float32 scale for each block of 256, or float32.

    Its kernels update parameters and states in place, one tensor after another, and allocate nothing. The 8-bit states
    share two code tables of 256 float32 values.

    Args:
        bits: 8 or 32.
        paged: the moments lie in memory that the driver moves between host and GPU, outside torch's allocator.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], bits: int, paged: bool) -> None:
        self.parameters = list(parameters)
        self.bits = bits
        self.paged = paged
        self.moments: list[torch.Tensor] = []
        self.scales: list[torch.Tensor] = []

    def warm_up(self) -> None:
        eight_bit = [p for p in self.parameters if self.bits == 8 and p.numel() >= SMALLEST_8BIT]
        for parameter in self.parameters:
            small = parameter.numel() < SMALLEST_8BIT or self.bits == 32
            dtype = torch.float32 if small else torch.uint8
            self.moments += [torch.zeros_like(parameter, dtype=dtype, requires_grad=False) for _ in range(2)]
        for parameter in eight_bit:
            self.scales += [torch.zeros(-(-parameter.numel() // BLOCK)) for _ in range(2)]
        if eight_bit:
            self.scales += [torch.zeros(256), torch.zeros(256)]

    def step(self) -> None:
        with torch.no_grad():
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.add_(parameter.grad)  # in place, as the kernel: nothing is allocated

    def device_states(self) -> Iterator[torch.Tensor]:
        return iter(self.scales if self.paged else [*self.moments, *self.scales])

    def host_states(self) -> Iterator[torch.Tensor]:
        return iter(self.moments if self.paged else [])


class HostOptimizer:
    """States and update in the host's memory: nothing of them is on the GPU but the weights that come back in place."""

    def warm_up(self) -> None:
        """Its states are not on the GPU."""

    def step(self) -> None:
        """Weights are written over."""

    def device_states(self) -> Iterator[torch.Tensor]:
        return iter(())

    def host_states(self) -> Iterator[torch.Tensor]:
        return iter(())


def make_optimizer(name: str, parameters: Sequence[nn.Parameter]) -> Optimizer:
    """The optimizer of this name (see `options.CHOICES`) over these parameters."""
    if name in ("adamw_8bit", "paged_adamw_8bit"):
        return BlockwiseAdamW(parameters, 8, name.startswith("paged"))
    if name == "paged_adamw_32bit":
        return BlockwiseAdamW(parameters, 32, True)
    if name == "adafactor":
        from transformers.optimization import Adafactor

        return TorchOptimizer(Adafactor(parameters, lr=1e-4, scale_parameter=False, relative_step=False))
    if name == "adamw_fused":
        return TorchOptimizer(torch.optim.AdamW(parameters, lr=1e-4, fused=True))
    settings: dict[str, Any] = {"lr": 1e-4, "foreach": True}
    if name == "adamw":
        return TorchOptimizer(torch.optim.AdamW(parameters, **settings))
    return TorchOptimizer(torch.optim.SGD(parameters, momentum=0.9 if name == "sgd_momentum" else 0.0, **settings))
