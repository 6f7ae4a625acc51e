"""Attaching, switching, merging and detaching: the module ends as it began, and counts agree with peft."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from torch import nn

import peftcalc as pc
from peftcalc.adapters.attach import activate
from peftcalc.adapters.state import active_adapter, adapted, adapter_bytes, adapters, trainable

METHODS = [
    pc.LoRA(rank=3, alpha=12),
    pc.DoRA(rank=3, alpha=12),
    pc.LoRA(rank=3, alpha=12, bias="all"),
    pc.DoRA(rank=3, alpha=12, bias="lora_only", rslora=True),
    pc.LoRA(rank=3, alpha=12, lora_bias=True, targets=["0"], modules_to_save=("2",)),
    pc.LoRA(rank=3, alpha=12, rank_pattern={"0": 2}, alpha_pattern={"2": 5}),
]


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 12))


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(5, 20, generator=torch.Generator().manual_seed(1))


def disturb(module: nn.Module) -> None:
    """Move every trained parameter, so that nothing is at its initial value."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_as_many_parameters_are_trained_as_peft_and_count_say(method):
    ours = trainable(pc.attach(small_net(), method))
    theirs = peft.get_peft_model(small_net(), method.to_peft()).get_nb_trainable_parameters()[0]
    assert ours == theirs == pc.count(small_net(), method).trainable


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_detach_restores_everything(method, x):
    module = small_net()
    module[0].weight.requires_grad_(False)
    before, children = copy.deepcopy(module.state_dict()), list(module)
    flags = [p.requires_grad for p in module.parameters()]
    assert pc.attach(module, method) is module
    disturb(module)
    assert pc.detach(module) is module
    assert list(module) == children
    assert list(module.state_dict()) == list(before)
    assert all(torch.equal(module.state_dict()[key], before[key]) for key in before)
    assert [p.requires_grad for p in module.parameters()] == flags
    with pytest.raises(ValueError, match="no adapter is attached"):
        pc.detach(module)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_merged_equals_unmerged_and_comes_apart_again(method, x):
    module = pc.attach(small_net(), method, seed=0).eval()
    disturb(module)
    apart = module(x)
    pc.merge(module)
    torch.testing.assert_close(module(x), apart, rtol=1e-5, atol=1e-5)
    pc.unmerge(module)
    assert torch.equal(module(x), apart)
    plain = pc.detach(pc.merge(module))
    assert [type(layer) for layer in plain] == [nn.Linear, nn.ReLU, nn.Linear]
    torch.testing.assert_close(plain(x), apart, rtol=1e-5, atol=1e-5)


def test_full_trains_everything_and_comes_off(x):
    module = small_net().requires_grad_(False)
    pc.attach(module, pc.Full())
    assert trainable(module) == sum(p.numel() for p in module.parameters())
    pc.detach(module)
    assert trainable(module) == 0


def test_one_base_serves_many_adapters(x):
    module = small_net()
    weight = module[0].weight
    pc.attach(module, pc.LoRA(rank=2, bias="all"), seed=0, adapter="one")
    disturb(module)
    first = module(x)
    pc.attach(module, pc.DoRA(rank=4), seed=1, adapter="two")
    assert active_adapter(module) == "two"
    assert torch.equal(module(x), small_net()(x))
    disturb(module)
    second = module(x)
    assert torch.equal(activate(module, "one")(x), first)
    assert torch.equal(activate(module, "two")(x), second)
    assert all(
        layer.base.weight is w for (_, layer), w in zip(adapted(module), [weight, module[2].base.weight], strict=True)
    )
    assert list(adapters(module)) == ["one", "two"]
    assert adapter_bytes(module) == {
        "one": 4 * (2 * (20 + 16 + 16 + 12) + 28),
        "two": 4 * (4 * (20 + 16 + 16 + 12) + 28),
    }
    assert torch.equal(pc.detach(module)(x), small_net()(x))


def test_a_single_layer_is_wrapped_and_handed_back(x):
    layer = nn.Linear(20, 4)
    wrapped = pc.attach(layer, pc.DoRA(rank=2))
    assert torch.equal(wrapped(x), layer(x))
    disturb(wrapped)
    apart = wrapped(x)
    torch.testing.assert_close(pc.merge(wrapped)(x), apart, rtol=1e-5, atol=1e-6)
    assert pc.detach(pc.unmerge(wrapped)) is layer


def test_a_seed_gives_the_same_adapter_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two = (pc.attach(small_net(), pc.LoRA(rank=2), seed=3) for _ in range(2))
    torch.manual_seed(5)
    three = pc.attach(copy.deepcopy(pc.detach(one)), pc.LoRA(rank=2), seed=3)
    assert torch.rand(1) == expected
    assert torch.equal(two[0].A, three[0].A)


class Unsupported(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (pc.LoRA(targets=["fcc"]), "nearest: fc"),
        (pc.LoRA(targets=["fc", "norm"]), "'norm', a LayerNorm"),
        (pc.LoRA(targets=["fc"], modules_to_save=("head",)), "head"),
        (pc.LoRA(targets=["fc"], target_parameters=("experts",)), "target_parameters"),
        (pc.DoRA(lora_bias=True), "lora_bias"),
        ("lora", "a method is Full"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(method, sentence):
    module = Unsupported()
    fc = module.fc
    with pytest.raises(ValueError, match=sentence):
        pc.attach(module, method)
    assert module.fc is fc
    assert all(p.requires_grad for p in module.parameters())
    assert adapters(module) == {}


def test_a_failure_halfway_leaves_the_module_and_its_first_adapter(monkeypatch, x):
    module = pc.attach(small_net(), pc.LoRA(rank=2), adapter="first")
    disturb(module)
    before = module(x)

    def fail(*_):
        raise RuntimeError("no memory")

    monkeypatch.setattr("peftcalc.adapters.attach.adapt", fail)
    with pytest.raises(RuntimeError):
        pc.attach(module, pc.LoRA(rank=2), adapter="second")
    assert list(adapters(module)) == ["first"]
    assert torch.equal(module(x), before)
    for method in (pc.LoRA(), pc.QLoRA()):
        plain = small_net()
        with pytest.raises(RuntimeError):
            pc.attach(plain, method)
        assert isinstance(plain[0], nn.Linear)
        assert plain[0].weight.requires_grad


@pytest.mark.parametrize("name", ["default", "", "a.b"])
def test_adapter_names_are_checked(name):
    module = pc.attach(small_net(), pc.LoRA())
    with pytest.raises(ValueError, match="adapter"):
        pc.attach(module, pc.LoRA(), adapter=name)
    with pytest.raises(ValueError, match="did you mean 'default'"):
        activate(module, "defualt")


def test_a_copy_is_independent(x):
    module = pc.attach(small_net(), pc.DoRA(rank=2))
    twin = copy.deepcopy(module)
    disturb(twin)
    assert torch.equal(module(x), small_net()(x))
    assert not torch.equal(twin(x), module(x))
    assert torch.equal(pc.detach(twin)(x), small_net()(x))


def test_layers_whose_weight_is_read_directly_compute_with_the_adapter():
    """nn.MultiheadAttention and the fast path of nn.TransformerEncoderLayer never call their linear layers."""
    torch.manual_seed(0)
    module = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
    x = torch.randn(2, 3, 8)
    pc.attach(module, pc.DoRA(rank=2))
    disturb(module)
    slow = module(x)
    with torch.no_grad():
        fast = module(x)
        merged = pc.detach(pc.merge(module))(x)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(merged, slow, rtol=1e-5, atol=1e-5)
