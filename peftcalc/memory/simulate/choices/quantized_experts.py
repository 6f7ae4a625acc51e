"""Experts in 4 bits: each with linear layers of its own, as in transformers 4, in the place of fused stacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class SeparateExperts(nn.Module):
    """Experts of a gated MLP that share the tokens evenly, which is all that a trace without values can know.

    Args:
        stacks: a module with `gate_up_proj` (experts, 2·f, h), `down_proj` (experts, h, f) and `act_fn`.
        quantized: makes a 4-bit layer from a weight (out, in).
    """

    def __init__(self, stacks: Any, quantized: Callable[[torch.Tensor], nn.Module]) -> None:
        super().__init__()
        gates, downs = stacks.gate_up_proj, stacks.down_proj
        self.act_fn = stacks.act_fn
        halves = [gates.data.chunk(2, 1)[half] for half in (0, 1)]
        self.gates, self.ups = (nn.ModuleList(quantized(weight) for weight in half) for half in halves)
        self.downs = nn.ModuleList(quantized(weight) for weight in downs.data)

    def forward(self, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor) -> Any:
        """The experts' results, weighted and added: hidden (tokens, h), index and weights (tokens, visits)."""
        final = torch.zeros_like(hidden_states)
        tokens, visits, count = len(hidden_states), top_k_index.shape[-1], len(self.gates)
        rows = max(tokens * visits // count, 1)
        for gate, up, down in zip(self.gates, self.ups, self.downs, strict=True):
            chosen = torch.arange(rows, device=hidden_states.device) % tokens
            state = hidden_states[chosen]
            result = down(self.act_fn(gate(state)) * up(state)) * top_k_weights[chosen, 0, None]
            final.index_add_(0, chosen, result.to(final.dtype))
        return final


def separate_experts(model: nn.Module, quantized: Callable[[torch.Tensor], nn.Module]) -> None:
    """Replace every fused stack of gated experts.

    Raises:
        ValueError: experts that are stored in another way.
    """
    for name, module in list(model.named_modules()):
        if "experts" not in type(module).__name__.lower():
            continue
        tensors = {key: value for key, value in module.named_parameters(recurse=False) if value.dim() == 3}
        if not tensors:
            continue
        gates, downs = tensors.get("gate_up_proj"), tensors.get("down_proj")
        if gates is None or downs is None or gates.shape[1:] != (2 * downs.shape[2], downs.shape[1]):
            raise ValueError(
                f"4-bit experts of {type(module).__name__} are not simulated yet; estimate_memory has them"
            )
        model.set_submodule(name, SeparateExperts(module, quantized))
