"""LoRA-FA, A frozen and B trained: peft's own optimizer for it says which parameters train; steps are those of AdamW.

peft's `create_lorafa_optimizer` also bends the gradient of B by (A Aᵀ)⁻¹ / s² before its step. That is a matter of the
optimizer, not of the layer, and stays peft's; along its path outputs and gradients here are the same as there.
Tolerance: float32 sums in another order, 1e-5 of the largest after ten steps.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import peft
import pytest
import torch
from peft.optimizers import create_lorafa_optimizer
from safetensors.torch import load_file
from torch import nn
from transformers.pytorch_utils import Conv1D

import peftcalc as pc
from peftcalc.adapters.attach import activate
from peftcalc.adapters.layers.dora import DoRALinear
from peftcalc.adapters.layers.lora import LoRALinear
from peftcalc.adapters.layers.quantized_linear import QuantizedLinear
from peftcalc.adapters.state import adapter_tensors, adapters, trainable

SIZES = {"rank": 4, "alpha": 10, "targets": ["0", "2"], "freeze_a": True}
NETS = {
    "linears": lambda: nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 12, bias=False)),
    "conv1ds": lambda: nn.Sequential(Conv1D(16, 20), nn.Tanh(), Conv1D(12, 16)),
    "embeddings": lambda: nn.Sequential(nn.Embedding(30, 16), nn.Tanh(), nn.Linear(16, 12)),
    "convolutions": lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.Tanh(), nn.Conv2d(6, 12, 1)),
}
INPUTS = {
    "linears": lambda: torch.randn(3, 5, 20),
    "conv1ds": lambda: torch.randn(3, 5, 20),
    "embeddings": lambda: torch.randint(0, 30, (3, 5)),
    "convolutions": lambda: torch.randn(3, 4, 8, 8),
}
CASES = [
    ("linears", pc.LoRA(**SIZES)),
    ("linears", pc.LoRA(**SIZES, dropout=0.3, rslora=True)),
    ("linears", pc.LoRA(**SIZES, bias="all")),
    ("linears", pc.LoRA(**{**SIZES, "targets": ["0"]}, lora_bias=True)),
    ("linears", pc.LoRA(**{**SIZES, "targets": ["0"]}, modules_to_save=("2",))),
    ("linears", pc.LoRA(**SIZES, init="pissa")),
    ("linears", pc.DoRA(**SIZES)),
    ("linears", pc.DoRA(**SIZES, dropout=0.3)),
    ("conv1ds", pc.LoRA(**SIZES)),
    ("embeddings", pc.LoRA(**SIZES)),
    ("convolutions", pc.LoRA(**SIZES)),
    ("convolutions", pc.DoRA(**SIZES)),
]


def pair(net: str, method: pc.LoRA) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The plain module, ours, and peft's with A frozen by its own optimizer's maker."""
    torch.manual_seed(3)
    base = NETS[net]()
    torch.manual_seed(0)
    theirs = peft.get_peft_model(copy.deepcopy(base), method.to_peft())
    create_lorafa_optimizer(theirs, r=method.rank, lora_alpha=10, lr=1e-2)
    torch.manual_seed(0)
    return base, pc.attach(copy.deepcopy(base), method), theirs


def trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")  # peft corrects it itself and says so
@pytest.mark.filterwarnings("ignore:`lora_bias=True` was passed")
@pytest.mark.parametrize(("net", "method"), CASES, ids=repr)
def test_ten_steps_of_adamw_train_what_peft_trains(net, method):
    base, ours, theirs = pair(net, method)
    counted = pc.count(base, method)
    assert trainable(ours) == counted.trainable == theirs.get_nb_trainable_parameters()[0]
    assert counted.total == theirs.get_nb_trainable_parameters()[1]
    assert counted.adapter == sum(tensor.numel() for tensor in adapter_tensors(ours).values())
    x = INPUTS[net]()
    target = torch.randn_like(base(x))
    optimizers = [torch.optim.AdamW(trained(model), lr=1e-2) for model in (ours, theirs)]
    start = {name: tensor.detach().clone() for name, tensor in adapter_tensors(ours).items()}
    for step in range(10):
        outputs = []
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            torch.manual_seed(step)  # the same dropout mask
            optimizer.zero_grad()
            outputs.append(model(x))
            (outputs[-1] - target).square().mean().backward()
            optimizer.step()
        torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-5, atol=1e-5)
    for name, tensor in adapter_tensors(ours).items():
        assert torch.equal(tensor, start[name]) == ("lora_A" in name), name


def test_the_trained_count_is_that_of_b():
    module = pc.attach(NETS["linears"](), pc.LoRA(**SIZES))
    assert trainable(module) == 4 * (16 + 12)
    counted = pc.count(NETS["linears"](), pc.LoRA(**SIZES))
    assert (counted.trainable, counted.adapter) == (4 * (16 + 12), 4 * (20 + 16 + 16 + 12))
    assert counted.total == counted.base + counted.adapter
    note = pc.count(NETS["embeddings"](), pc.LoRA(**SIZES)).notes[-1]
    assert "an embedding's A starts at zero" in note


def test_along_the_path_of_pefts_own_optimizer_the_gradients_are_pefts():
    _, ours, theirs = pair("linears", pc.LoRA(**SIZES))
    optimizer = create_lorafa_optimizer(theirs, r=4, lora_alpha=10, lr=1e-2)
    x = INPUTS["linears"]()
    target = torch.randn(3, 5, 12)
    for _ in range(10):
        for model in (ours, theirs):
            model.zero_grad()
            (model(x) - target).square().mean().backward()
        for mine, reference in zip(trained(ours), trained(theirs), strict=True):
            torch.testing.assert_close(mine.grad, reference.grad, rtol=1e-5, atol=1e-7)
        optimizer.step()
        with torch.no_grad():
            for mine, reference in zip(trained(ours), trained(theirs), strict=True):
                assert not torch.equal(mine, reference)
                mine.copy_(reference)


def saved_bytes(layer: nn.Module, x: torch.Tensor) -> int:
    """Bytes that backward keeps beside the layer's own tensors."""
    own = {tensor.data_ptr() for tensor in (*layer.parameters(), *layer.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = layer(x)
    y.sum().backward()
    return sum(kept.values())


@pytest.mark.parametrize("kind", [LoRALinear, DoRALinear])
@pytest.mark.parametrize("quantized", [False, True])
def test_backward_keeps_no_input(kind, quantized):
    x = torch.randn(6, 64, requires_grad=True)
    base = QuantizedLinear(torch.randn(32, 64)) if quantized else nn.Linear(64, 32, bias=False).requires_grad_(False)
    both, b_alone = (saved_bytes(kind(base, rank=4, freeze_a=frozen), x) for frozen in (False, True))
    assert both - b_alone == x.nbytes
    assert b_alone == 6 * 4 * 4 + (4 * (6 * 32 + 32 + 32) if kind is DoRALinear else 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("kind", [LoRALinear, DoRALinear])
def test_what_is_trained_gets_the_same_gradient(kind, dropout, dtype):
    """In bfloat16 the loops in C compute what torch does here, and round less often: 2^-7."""
    torch.manual_seed(0)
    base = nn.Linear(40, 24, dtype=dtype)
    gradients = []
    x, direction = torch.randn(6, 40).to(dtype).requires_grad_(), torch.randn(6, 24).to(dtype)
    for frozen in (False, True):
        torch.manual_seed(1)
        layer = kind(base, rank=3, alpha=5, dropout=dropout, freeze_a=frozen).train()
        with torch.no_grad():
            layer.B.normal_()
        (layer(x) * direction).sum().backward()
        assert (layer.A.grad is None) == frozen
        gradients.append((x.grad, layer.B.grad))
        x.grad = None
    near = {"rtol": 2**-6, "atol": 0.05} if dtype == torch.bfloat16 else {"rtol": 1e-10, "atol": 1e-12}
    for mine, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, reference, **near)


@pytest.mark.parametrize("kind", [pc.LoRA, pc.QDoRA])
def test_the_file_holds_a_and_b_and_a_stays_frozen(kind, tmp_path: Path):
    base, x = NETS["linears"](), INPUTS["linears"]()
    method = kind(**SIZES)
    ours = pc.attach(copy.deepcopy(base), method)
    with torch.no_grad():
        for parameter in trained(ours):
            parameter.normal_()
    pc.save_adapter(ours, tmp_path)
    assert json.loads((tmp_path / "peftcalc.json").read_text())["freeze_a"] is True
    stored = load_file(tmp_path / "adapter_model.safetensors")
    assert sum(tensor.numel() for tensor in stored.values()) == pc.count(base, method).adapter
    again = pc.load_adapter(copy.deepcopy(base), tmp_path)
    assert adapters(again)["default"].freeze_a
    assert trainable(again) == trainable(ours)
    assert torch.equal(again(x), ours(x))
    if kind is pc.LoRA:
        there = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path)
        torch.testing.assert_close(there(x), ours(x), rtol=1e-5, atol=1e-5)
    (tmp_path / "peftcalc.json").write_text('{"freeze_a": "yes"}')
    with pytest.raises(ValueError, match=r"peftcalc\.json must hold"):
        pc.load_adapter(copy.deepcopy(base), tmp_path)


def test_switching_trains_a_only_where_it_is_trained():
    module = pc.attach(NETS["linears"](), pc.LoRA(**SIZES), adapter="b alone")
    pc.attach(module, pc.LoRA(rank=4), adapter="both")
    assert trainable(module) == 4 * (20 + 16 + 16 + 12)
    assert trainable(activate(module, "b alone")) == 4 * (16 + 12)
    assert all(parameter.requires_grad for parameter in pc.detach(module).parameters())
