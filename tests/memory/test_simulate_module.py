"""On the CPU, always: the simulated step against the storages of a real one, counted in two ways."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

import peftcalc
from peftcalc import DoRA, Full, LoRA, QDoRA, QLoRA
from peftcalc.lab.character_model import CharacterModel, ModelConfig
from peftcalc.memory.simulate.course import Course
from peftcalc.memory.simulate.simulate_module import measure_module, simulate_module
from peftcalc.models.configs.transformers_classes import quiet

METHODS = [Full(), LoRA(rank=4, alpha=12), DoRA(rank=4, alpha=12), QLoRA(rank=4, alpha=12), QDoRA(rank=4, alpha=12)]
Loss = Callable[[torch.nn.Module], torch.Tensor]


def character_loss(model: torch.nn.Module) -> torch.Tensor:
    codes = torch.zeros(4, 64, dtype=torch.long)
    logits = model(codes)
    return functional.cross_entropy(logits.flatten(0, 1), codes.flatten())


def character_model(method: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    model = CharacterModel(ModelConfig(layers=2))
    if method.has_adapter:
        peftcalc.attach(model, method)
    return model.train()


def profiled_peak(module: torch.nn.Module, loss_of: Loss, before: int) -> int:
    """The peak by torch's profiler, which hears of every allocation and release of the CPU allocator."""
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, foreach=True)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        loss_of(module).backward()
        optimizer.step()
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    events = [(e.start_ns(), e.nbytes()) for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    return before + int(np.cumsum([size for _, size in sorted(events)]).max())


def bytes_before(course: Course) -> int:
    """Weights and optimizer states, before the forward pass."""
    return int(course.totals[len([phase for phase in course.phases if phase == "load"]) - 1])


@pytest.mark.parametrize("method", METHODS, ids=[method.name for method in METHODS])
def test_the_labs_model(method: Any) -> None:
    """Within 1 % of the ledger over real tensors, and of the CPU allocator's own account."""
    module = character_model(method)
    simulated = simulate_module(module, character_loss, vocabulary=96)
    real = measure_module(copy.deepcopy(module), character_loss, vocabulary=96)
    assert simulated.totals.max() == pytest.approx(real.totals.max(), rel=0.01)
    assert simulated.phases[simulated.peak] == real.phases[real.peak]
    account = profiled_peak(module, character_loss, bytes_before(real))
    assert simulated.totals.max() == pytest.approx(account, rel=0.01)


@pytest.mark.parametrize("method", [LoRA(rank=4, alpha=12), DoRA(rank=4, alpha=12)], ids=["lora", "dora"])
def test_a_transformers_model_with_peft(method: Any) -> None:
    """The stack that users run, at toy size, on real tensors: to within 1 %."""
    import peft
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4, vocab_size=384
    )
    config._attn_implementation = "eager"
    with quiet():
        model = peft.get_peft_model(transformers.LlamaForCausalLM(config), method.to_peft("CAUSAL_LM")).train()

    def loss_of(module: Any) -> torch.Tensor:
        codes = torch.zeros(2, 32, dtype=torch.long)
        return module(input_ids=codes, labels=codes, attention_mask=torch.ones_like(codes), use_cache=False).loss

    simulated = simulate_module(model, loss_of, vocabulary=384)
    real = measure_module(copy.deepcopy(model), loss_of, vocabulary=384)
    assert simulated.totals.max() == pytest.approx(real.totals.max(), rel=0.01)
    assert simulated.totals.max() == pytest.approx(profiled_peak(model, loss_of, bytes_before(real)), rel=0.01)


def test_the_module_is_left_as_it_was() -> None:
    module = character_model(LoRA(rank=4))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    simulate_module(module, character_loss)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_nothing_trained_is_said() -> None:
    with pytest.raises(ValueError, match="nothing is trained"):
        simulate_module(torch.nn.Linear(4, 4).requires_grad_(False), lambda m: m(torch.ones(1, 4)).sum())
