"""One training step under a ledger: forward, backward and optimizer, in the steady state."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.simulate.choices.early import HostActivations, release_gradients
from peftcalc.memory.simulate.choices.optimizers import HostOptimizer, Optimizer, make_optimizer
from peftcalc.memory.simulate.cuda_rules import cuda_autocast
from peftcalc.memory.simulate.several.rank import rank_of
from peftcalc.memory.simulate.trace import StorageLedger

_FACTOR_A = re.compile(r"(^|\.)(lora_A\..*|A)$")
"""How peft and our own layers name A, which has no gradient where it is frozen."""


def run_step(
    model: nn.Module,
    forward: Callable[[], tuple[torch.Tensor, Any]],
    options: MemoryOptions,
    ledger: StorageLedger,
    rules: AbstractContextManager[Any],
) -> None:
    """Run one step of the steady state and leave its storages in the ledger.

    The optimizer's states exist before the step begins, and with accumulation so do the gradients; what is traced is
    the last forward and backward pass before the optimizer's step, and that step.

    Args:
        model: in training mode, on fake or real tensors.
        forward: one forward pass: the loss, and the output that the training loop may keep.
        options: of these `autocast`, `autocast_scope`, `dtype`, `optimizer`, `accumulation` and `keep_outputs` count.
        rules: entered beside the ledger: `CudaRules`, or a null context to trace what the CPU does.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("nothing is trained: no parameter of the model requires a gradient")
    rank = rank_of(model, trained, options, ledger)
    optimizers = _optimizers(options, rank.owned)
    for optimizer in dict.fromkeys(optimizers.values()):
        optimizer.warm_up()
    if options.accumulation > 1:
        for parameter in rank.accumulating:
            parameter.grad = torch.zeros_like(parameter)
    _take_inventory(model, dict.fromkeys(optimizers.values()), trained, ledger)
    ledger.mark((p.grad for p in rank.accumulating if p.grad is not None), "gradients")
    rank.load()
    ledger.weights = frozenset(tuple(p.shape) for p in trained if p.dim() == 2)
    ledger.loaded = len(ledger.events)
    hooks = [] if options.gradients_stay else release_gradients(trained, optimizers, ledger)
    away = HostActivations(model, ledger) if options.activation_offload else contextlib.nullcontext()
    stays_open = _autocast(options) if options.autocast_scope == "step" else contextlib.nullcontext()
    with ledger, rules, stays_open:
        ledger.phase = "forward"
        rank.begin_forward()
        with _autocast(options), away:
            loss, output = forward()
        if not options.keep_outputs:
            del output
        ledger.phase = "backward"
        rank.begin_backward()
        loss.backward()
        del loss
        ledger.mark((p.grad for p in rank.accumulating if p.grad is not None), "gradients")
        rank.begin_update()
        ledger.phase = "optimizer"
        if options.gradients_stay:
            for optimizer in dict.fromkeys(optimizers.values()):
                optimizer.step()
        if ledger.phases[-1] != "optimizer":
            ledger.point("weights are updated already, or on the host")
    for hook in hooks:
        hook.remove()
    for parameter in (*trained, *rank.owned):
        parameter.grad = None


def _optimizers(options: MemoryOptions, trained: list[nn.Parameter]) -> dict[nn.Parameter, Optimizer]:
    """The optimizer of each parameter: one for all, one for each where gradients do not wait, or one on the host."""
    if options.optimizer_offload != "none":
        return dict.fromkeys(trained, HostOptimizer())
    if options.gradients_stay:
        return dict.fromkeys(trained, make_optimizer(options.optimizer, trained))
    return {parameter: make_optimizer(options.optimizer, [parameter]) for parameter in trained}


@contextlib.contextmanager
def _autocast(options: MemoryOptions) -> Iterator[None]:
    """Autocast to the dtype, where it is asked for; in float32 there is nothing to cast to."""
    dtype = getattr(torch, options.dtype)
    enabled = options.autocast and dtype != torch.float32
    with torch.autocast("cpu", dtype=dtype if enabled else torch.bfloat16, enabled=enabled), cuda_autocast():
        yield


def _take_inventory(
    model: nn.Module, optimizers: Iterable[Optimizer], trained: list[nn.Parameter], ledger: StorageLedger
) -> None:
    """Points of the load phase: weights in the model's order, then what earlier steps left behind.

    What is trained in a model that is otherwise frozen counts as an adapter, and a frozen A with it.
    """
    ledger.phase = "load"
    frozen_base = len(trained) < len(list(model.parameters()))
    for owner, module in model.named_modules():
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        if not tensors:
            continue
        ledger.point(f"load {type(module).__name__}")
        for name, tensor in tensors:
            of_adapter = tensor.requires_grad or _FACTOR_A.search(f"{owner}.{name}") is not None
            role = "adapters" if frozen_base and of_adapter else "base_weights"
            ledger.note(tensor.data, role)
            ledger.mark(_constants(tensor), "quantization_constants")
    ledger.point("optimizer states")
    for optimizer in optimizers:
        ledger.mark(optimizer.device_states(), "optimizer_states")
        ledger.ignore(optimizer.host_states())


def _constants(parameter: torch.Tensor) -> Iterator[torch.Tensor]:
    """Tensors of a 4-bit parameter's quantization state, nested ones included."""
    state: Any = getattr(parameter, "quant_state", None)
    while state is not None:
        yield from (t for t in (state.absmax, state.code, state.offset) if isinstance(t, torch.Tensor))
        state = state.state2
