"""Each start and a frozen A over each kind of layer, beside peft: equal, or refused by both, and nothing is changed.

Tolerance as in test_starts and test_layer_table: float32 sums in another order, 1e-5 of the whole.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers as tf
from peft.optimizers import create_lorafa_optimizer
from torch import nn
from torch.nn.utils import parametrizations
from transformers.pytorch_utils import Conv1D

import peftcalc as pc
from peftcalc.adapters.layers.quantized_linear import QuantizedLinear
from peftcalc.adapters.state import adapted, adapter_bytes, adapter_tensors, trainable


class Twice(nn.Linear):
    def forward(self, input):  # noqa: A002  torch's name
        return 2 * super().forward(input)


class Router(nn.Module):
    """A bare matrix, as routers have it, and a vector beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(5, 12)), nn.Parameter(torch.randn(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T + self.bias


class Stack(nn.Module):
    """Three experts, of which every input sees the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Parameter(torch.randn(3, 6, 12)), nn.Parameter(torch.randn(3, 4, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ehi,bi,eoh->bo", self.up, x, self.down)


def hooked() -> nn.Module:
    layer = nn.Linear(12, 10)
    layer.register_forward_hook(lambda layer, inputs, output: output.tanh())
    return layer


class Net(nn.Module):
    def __init__(self, first: nn.Module) -> None:
        super().__init__()
        self.first = first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x, x, x)[0] if "Attention" in type(self.first).__name__ else self.first(x)
        return y.flatten(1)


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[str, ...]]] = {
    "linear": (lambda: nn.Linear(12, 10), (4, 12), ()),
    "own forward": (lambda: Twice(12, 10), (4, 12), ()),
    "hook": (hooked, (4, 12), ()),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3), (2, 4, 9), ()),
    "Conv2d in groups": (lambda: nn.Conv2d(4, 8, 3, groups=2), (2, 4, 5, 5), ()),
    "Conv3d": (lambda: nn.Conv3d(2, 4, (1, 2, 3)), (2, 2, 3, 4, 5), ()),
    "attention": (lambda: nn.MultiheadAttention(8, 2, batch_first=True), (2, 3, 8), ()),
    "router": (Router, (4, 12), ("first.weight",)),
    "stack": (Stack, (4, 12), ("first.up", "first.down")),
}
STARTS = ("gaussian", "pissa", "pissa_niter_4")
CASES = [(kind, init, frozen) for kind in KINDS for init in STARTS for frozen in (False, True)]
CASES += [(kind, "default", True) for kind in KINDS]
REFUSED = {(kind, init) for kind in KINDS for init in STARTS[1:] if "Conv" in kind or kind in ("attention", "stack")}


@pytest.fixture(autouse=True)
def _without_advice():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's about parameters and merging, ours about what stays in floats
        yield


def method_for(kind: str, init: str, frozen: bool = False, rank: int = 4) -> pc.LoRA:
    parameters = KINDS[kind][2]
    targets = () if parameters else ("first",)
    return pc.LoRA(
        rank=rank, alpha=10, targets=targets, target_parameters=parameters, init=init, freeze_a=frozen
    )  # fmt: skip


def case(kind: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(3)
    build, shape, _ = KINDS[kind]
    return Net(build()), torch.randn(shape)


def theirs_of(base: nn.Module, method: pc.LoRA) -> Any:
    torch.manual_seed(0)
    model = peft.get_peft_model(base, method.to_peft())
    if method.freeze_a:
        create_lorafa_optimizer(model, r=method.rank, lora_alpha=10, lr=1e-2)
    return model


def peft_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    named = ((n.removeprefix("base_model.model.").replace(".default", ""), p) for n, p in model.named_parameters())
    return {name: parameter for name, parameter in named if ".lora_" in name}


def close(ours: torch.Tensor, theirs: torch.Tensor, what: str) -> None:
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm() + 1e-6, what


@pytest.mark.parametrize(("kind", "init", "frozen"), CASES)
def test_equal_to_peft_or_refused_by_both(kind, init, frozen):
    base, x = case(kind)
    method, before, parts = method_for(kind, init, frozen), copy.deepcopy(base.state_dict()), list(base.modules())
    if (kind, init) in REFUSED:
        with pytest.raises((ValueError, AttributeError)):
            theirs_of(copy.deepcopy(base), method)
        with pytest.raises(ValueError, match=rf"init='{init}' reads .*first"):
            pc.attach(base, method)
        assert list(base.modules()) == parts
        assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
        return
    theirs = theirs_of(copy.deepcopy(base), method)
    torch.manual_seed(0)
    ours = pc.attach(base, method)
    mine, reference = adapter_tensors(ours), peft_tensors(theirs)
    assert mine.keys() == reference.keys()
    counted = pc.count(pc.load_model(case(kind)[0]), method)
    assert trainable(ours) == theirs.get_nb_trainable_parameters()[0] == counted.trainable
    with torch.no_grad():
        for name, tensor in reference.items():
            close(mine[name], tensor, name)
            assert mine[name].requires_grad == tensor.requires_grad == (not frozen or "lora_A" not in name)
        close(ours(x), theirs(x), "step 0")
        for name, tensor in reference.items():
            mine[name].copy_(tensor.add_(torch.randn_like(tensor), alpha=0.1))
    outputs = [model(x) for model in (ours, theirs)]
    close(*outputs, "outputs")
    for output in outputs:
        output.square().mean().backward()
    for name, tensor in reference.items():
        if tensor.requires_grad:
            close(mine[name].grad, tensor.grad, name)
        else:
            assert mine[name].grad is None, name
    pc.detach(ours)
    assert list(base.modules()) == parts
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("kind", "init"), [("router", "pissa"), ("stack", "gaussian"), ("attention", "gaussian")])
def test_files_travel_to_peft_and_back(kind, init, frozen, tmp_path: Path):
    base, x = case(kind)
    method = method_for(kind, init, frozen, rank=7)  # above the router's smaller side, which has but 5 vectors
    theirs = theirs_of(copy.deepcopy(base), method)
    torch.manual_seed(0)
    ours = pc.attach(copy.deepcopy(base), method)
    with torch.no_grad():
        for name, tensor in peft_tensors(theirs).items():
            adapter_tensors(ours)[name].copy_(tensor.add_(torch.randn_like(tensor), alpha=0.1))
    theirs.save_pretrained(tmp_path / "theirs")
    pc.save_adapter(ours, tmp_path / "ours")
    close(peft.PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path / "ours"))(x), theirs(x), "peft reads ours")
    for folder in ("ours", "theirs"):
        loaded = pc.load_adapter(copy.deepcopy(base), tmp_path / folder)
        close(loaded(x), theirs(x), folder)
        close(pc.load_adapter(loaded, tmp_path / folder)(x), theirs(x), "into the attached one")
    assert trainable(pc.load_adapter(copy.deepcopy(base), tmp_path / "ours")) == trainable(ours)


def test_a_routers_principal_part_merges_and_comes_back():
    base, x = case("router")
    before, weight = base(x), base.first.weight
    ours = pc.attach(base, pc.LoRA(rank=2, alpha=6, targets=(), target_parameters=("first.weight",), init="pissa"))
    (_, layer), *_ = adapted(ours)
    assert torch.equal(layer.weight_before(), weight)
    assert adapter_bytes(ours)["default"] == 4 * (2 * (12 + 5) + 12 * 5)
    with torch.no_grad():
        layer.B.add_(0.3)
    apart = ours(x)
    close(pc.merge(ours)(x), apart, "merged")
    assert torch.equal(pc.unmerge(ours)(x), apart)
    assert torch.equal(pc.detach(ours)(x), before)
    assert base.first.weight is weight


def test_mixtral_starts_its_stacks_with_a_normal_a_of_each_experts_rank():
    """peft's standard deviation is that of one expert's rank, not of all ranks in one matrix."""
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "vocab_size": 64}
    config = tf.MixtralConfig(
        **sizes, num_attention_heads=4, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2
    )
    torch.manual_seed(0)
    model, method = tf.MixtralForCausalLM(config), pc.LoRA(rank=3, alpha=12, init="gaussian", freeze_a=True)
    counted, theirs = pc.count(model, method), theirs_of(copy.deepcopy(model), method)
    torch.manual_seed(0)
    mine = adapter_tensors(pc.attach(model, method))
    for name, tensor in peft_tensors(theirs).items():
        assert torch.equal(mine[name], tensor), name
    assert trainable(model) == theirs.get_nb_trainable_parameters()[0] == counted.trainable


@pytest.mark.parametrize("to", [torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("kind", [pc.LoRA, pc.DoRA, pc.QLoRA, pc.QDoRA])
def test_what_was_set_aside_is_cast_with_its_module(kind, to):
    """The pretrained weight beside what is left of it, copies trained in full, biases: all adapters see one type."""
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 64), nn.Linear(64, 8)), torch.randn(3, 64)
    pc.attach(module, kind(rank=2, targets=["0", "1"], init="pissa", bias="all", modules_to_save=("2",)))
    pc.attach(module, pc.LoRA(rank=3, bias="all", modules_to_save=("2",)), adapter="second")
    expected = {name: pc.activate(module, name)(x) for name in ("default", "second")}
    with pc.disabled(module):
        plain = module(x)
    module.to(to)
    tolerance = 0.05 if to.itemsize == 2 else 1e-5  # 2^-8 of each of three products
    for name in ("second", "default", "second", "default"):
        y = pc.activate(module, name)(x.to(to))
        assert y.dtype == to
        assert (y.to(x) - expected[name]).norm() <= tolerance * plain.norm()
        with pc.disabled(module):
            y = module(x.to(to))
        assert y.dtype == to
        assert (y.to(x) - plain).norm() <= tolerance * plain.norm()
    for layer in module.modules():
        if isinstance(layer, QuantizedLinear):
            assert layer.block_scales().dtype == torch.float32
    assert {parameter.dtype for parameter in pc.detach(module).parameters()} == {to}
    assert (module(x.to(to)).to(x) - plain).norm() <= tolerance * plain.norm()


@pytest.mark.parametrize("kind", [pc.LoRA, pc.QLoRA])
def test_a_file_of_the_rank_that_the_weight_has_goes_into_the_attached_adapter(kind, tmp_path: Path):
    """Its config asks for 14, and W has but 12 vectors, in floats and in 4 bits alike."""
    torch.manual_seed(0)
    base, x = nn.Sequential(nn.Linear(64, 12)), torch.randn(3, 64)
    method = kind(rank=14, alpha=10, init="pissa")
    ours = pc.attach(copy.deepcopy(base), method)
    with torch.no_grad():
        adapter_tensors(ours)["0.lora_B.weight"].add_(0.2)
    pc.save_adapter(ours, tmp_path)
    other = pc.load_adapter(pc.attach(copy.deepcopy(base), method), tmp_path)
    assert adapter_tensors(other)["0.lora_A.weight"].shape == (12, 64)
    assert torch.equal(other(x), ours(x))


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("kind", [pc.LoRA, pc.QLoRA])
def test_code_that_reads_a_conv1ds_weight_reads_it_as_that_stores_it(kind, merged):
    """GPT-2's layers store (in, out), in 4 bits too."""
    torch.manual_seed(0)
    base, x = nn.Sequential(Conv1D(8, 64)), torch.randn(3, 64)
    ours = pc.attach(base, kind(rank=2))
    ours = pc.merge(ours) if merged else ours
    assert ours[0].weight.shape == (64, 8)
    torch.testing.assert_close(x @ ours[0].weight + ours[0].bias, ours(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("init", ["default", "pissa"])
def test_a_forward_bound_to_its_layer_reads_the_new_weight(init):
    """accelerate binds a layer's forward to that very object; another's weight would then never be read."""
    base, x = nn.Sequential(nn.Linear(12, 10)), torch.randn(4, 12)
    layer = base[0]
    layer._old_forward = layer.forward  # type: ignore[assignment]
    layer.forward = functools.partial(lambda module, x: module._old_forward(x), layer)
    before = base(x)
    ours = pc.attach(base, pc.LoRA(rank=4, alpha=10, init=init))
    close(ours(x), before, "step 0")
    with torch.no_grad():
        adapter_tensors(ours)["0.lora_B.weight"].add_(0.2)
    apart = ours(x)
    close(pc.merge(ours)(x), apart, "merged")
    assert torch.equal(pc.detach(pc.unmerge(ours))(x), before)


def another_forward() -> nn.Module:
    layer = nn.Linear(12, 10)
    layer.forward = lambda x: x @ layer.weight.T
    return layer


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (another_forward, "given this Linear another forward"),
        (lambda: parametrizations.weight_norm(nn.Linear(12, 10)), "computes its weight from others"),
    ],
)
def test_what_cannot_have_another_weight_is_said_and_left_alone(build, reason):
    torch.manual_seed(0)
    base, x = nn.Sequential(build()), torch.randn(4, 12)
    before, state = base(x), copy.deepcopy(base.state_dict())
    with pytest.raises(ValueError, match=reason):
        pc.attach(base, pc.LoRA(rank=2, init="pissa"))
    assert torch.equal(base(x), before)
    ours = pc.attach(base, pc.LoRA(rank=2))
    with torch.no_grad():
        adapter_tensors(ours)["0.lora_B.weight"].add_(0.2)
    apart = ours(x)
    with pytest.raises(ValueError, match=reason):
        pc.merge(ours)
    assert torch.equal(ours(x), apart)
    assert torch.equal(pc.detach(ours)(x), before)
    assert all(torch.equal(value, state[name]) for name, value in base.state_dict().items())
