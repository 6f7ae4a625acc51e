"""From token ids to the loss, in the ways that change memory: all logits at once, in chunks, or fused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


def forward_function(
    model: Any,
    inputs: dict[str, torch.Tensor],
    loss: str,
    chunk_size: int = 1024,
    again: Callable[[], Any] = contextlib.nullcontext,
) -> Callable[[], tuple[torch.Tensor, Any]]:
    """One forward pass of a (peft) language model: the loss, and the output with the logits where they are all made.

    Args:
        model: in training mode.
        inputs: of `training_inputs`.
        loss: one of the options' losses.
        chunk_size: positions whose logits exist at the same time in the chunked and the fused loss.
        again: gives the context in which a chunk is computed again.

    Raises:
        ValueError: a chunked or fused loss of a model that has no head of its own.
    """
    if loss == "liger":
        raise ValueError("loss 'liger' is not simulated; estimate_memory has it, and 'fused' is torch's own")
    if loss == "shifted":
        return _shifted(model, inputs)
    if loss == "standard":

        def standard() -> tuple[torch.Tensor, Any]:
            output = model(**inputs)
            return loss_of_output(output), output

        return standard
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = whole.get_output_embeddings()
    body = getattr(whole, whole.base_model_prefix, None)
    if head is None or body is None or body is whole:
        raise ValueError(f"a {loss} loss needs a model with an output head, and {type(whole).__name__} has none")
    chunked = loss == "chunked"
    of_hidden = partial(_chunked, size=chunk_size, again=again) if chunked else partial(_fused, size=chunk_size)
    labels, others = inputs["labels"], _without_labels(inputs)

    def in_chunks() -> tuple[torch.Tensor, Any]:
        hidden = body(**others).last_hidden_state
        output = _last_logits(hidden, head, chunk_size) if chunked else None
        return of_hidden(hidden, head, labels), output

    return in_chunks


def _shifted(model: Any, inputs: dict[str, torch.Tensor]) -> Callable[[], tuple[torch.Tensor, Any]]:
    """Cross-entropy as in earlier releases of transformers 4: float32 logits, and a copy that is shifted."""
    labels, others = inputs["labels"], _without_labels(inputs)

    def forward() -> tuple[torch.Tensor, Any]:
        output = model(**others)
        logits = output.logits.float()
        shifted, targets = logits[..., :-1, :].contiguous(), labels[..., 1:].contiguous()
        return functional.cross_entropy(shifted.flatten(0, 1), targets.flatten()), output

    return forward


def _without_labels(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in inputs.items() if name != "labels"}


@torch.no_grad()
def _last_logits(hidden: torch.Tensor, head: Any, size: int) -> torch.Tensor:
    """Logits of the last chunk, for a loop that holds what it was given."""
    return head(hidden.flatten(0, 1)[-size:])


def loss_of_output(output: Any) -> torch.Tensor:
    """The model's own loss; for a model without one, the mean of what it returns first, in float32."""
    loss = getattr(output, "loss", None)
    return loss if loss is not None else output[0].float().mean()


def _chunk_loss(hidden: torch.Tensor, head: Any, labels: torch.Tensor) -> torch.Tensor:
    """Summed cross-entropy of one chunk, in float32."""
    return functional.cross_entropy(head(hidden).float(), labels, reduction="sum")


def _chunked(
    hidden: torch.Tensor, head: Any, labels: torch.Tensor, size: int, again: Callable[[], Any]
) -> torch.Tensor:
    """Cross-entropy over chunks of positions, each checkpointed: its logits are made again in the backward pass."""
    rows, targets = hidden.flatten(0, 1), labels.flatten()
    total = torch.zeros((), device=hidden.device)
    for start in range(0, len(rows), size):
        piece = slice(start, start + size)
        part: Any = checkpoint(
            _chunk_loss,
            rows[piece],
            head,
            targets[piece],
            use_reentrant=False,
            context_fn=lambda: (contextlib.nullcontext(), again()),
        )
        total = total + part
    return total / len(rows)


def _fused(hidden: torch.Tensor, head: Any, labels: torch.Tensor, size: int) -> torch.Tensor:
    """Cross-entropy whose gradients are made in the forward pass, chunk by chunk."""
    return _FusedLoss.apply(hidden.flatten(0, 1), head.weight, getattr(head, "bias", None), labels.flatten(), size)


class _FusedLoss(torch.autograd.Function):
    """`loss(h W^T)` with `dL/dh` and, where W is trained, `dL/dW` computed on the way (Liger, arXiv:2410.10989)."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: Any, labels: torch.Tensor, size: int
    ) -> torch.Tensor:
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        total = torch.zeros((), device=hidden.device)
        for start in range(0, len(hidden), size):
            rows, targets = hidden[start : start + size], labels[start : start + size]
            logits = functional.linear(rows, weight.to(rows.dtype), bias)  # (chunk, vocabulary)
            probabilities = torch.softmax(logits.float(), -1)
            total = total - probabilities.gather(1, targets[:, None]).log().sum()
            probabilities.scatter_add_(1, targets[:, None], torch.full_like(probabilities[:, :1], -1.0))
            gradient = probabilities.to(logits.dtype)
            hidden_gradient[start : start + size] = gradient @ weight.to(gradient.dtype)
            if weight_gradient is not None:
                weight_gradient += (gradient.T @ rows).to(weight_gradient.dtype)
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        hidden_gradient *= gradients[0]
        if weight_gradient is not None:
            weight_gradient *= gradients[0]
        return hidden_gradient, weight_gradient, None, None, None
