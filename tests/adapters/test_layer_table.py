"""Kinds of layers × methods × settings, over floats and over 4 bits, each beside peft: equal, or refused by both.

Over 4 bits the oracle is peft over the same net with what 4 bits leave of each weight. Tolerance as in test_adapters:
float32 sums in another order.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import four_bits
import peft
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

import peftcalc as pc
from peftcalc.adapters.state import adapter_tensors, trainable

RELATIVE = 1e-5


class Twice(nn.Linear):
    def forward(self, input):  # noqa: A002  torch's name
        return 2 * super().forward(input)


def hooked() -> nn.Module:
    layer = nn.Linear(12, 10)
    layer.register_forward_hook(lambda layer, inputs, output: output.tanh())
    return layer


class Net(nn.Module):
    """A layer of some kind, and a linear one behind it."""

    def __init__(self, first: nn.Module, x: torch.Tensor) -> None:
        super().__init__()
        self.first = first
        with torch.no_grad():
            width = self.through(x).shape[1]
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, 3)

    def through(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x, x, x) if "Attention" in type(self.first).__name__ else self.first(x)
        return (y[0] if isinstance(y, tuple) else y).flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.through(x)))


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


KINDS: dict[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    "Linear": (lambda: nn.Linear(12, 10), numbers(4, 12)),
    "Linear without bias": (lambda: nn.Linear(12, 10, bias=False), numbers(2, 4, 12)),
    "Conv1D": (lambda: Conv1D(10, 12), numbers(4, 12)),
    "Embedding": (lambda: nn.Embedding(20, 6), torch.arange(12).view(3, 4)),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2), numbers(2, 4, 9)),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), padding=1), numbers(2, 4, 5, 6)),
    "Conv2d of 1": (lambda: nn.Conv2d(4, 6, 1, bias=False), numbers(2, 4, 3, 3)),
    "Conv3d": (lambda: nn.Conv3d(2, 4, (1, 2, 3)), numbers(2, 2, 3, 4, 5)),
    "Conv1d in groups": (lambda: nn.Conv1d(4, 6, 3, groups=2), numbers(2, 4, 9)),
    "Conv2d in groups": (lambda: nn.Conv2d(4, 8, 3, groups=4), numbers(2, 4, 5, 5)),
    "attention": (lambda: nn.MultiheadAttention(8, 2, batch_first=True), numbers(2, 3, 8)),
    "attention of three widths": (lambda: nn.MultiheadAttention(8, 2, kdim=8, vdim=4), numbers(2, 3, 8)),
    "own forward": (lambda: Twice(12, 10), numbers(4, 12)),
    "hook": (hooked, numbers(4, 12)),
    "norm": (lambda: nn.LayerNorm(12), numbers(4, 12)),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "both layers": {"targets": ["first", "last"]},
    "all biases": {"bias": "all"},
    "own biases": {"bias": "lora_only"},
    "LoRA bias": {"lora_bias": True},
    "saved": {"modules_to_save": ("last",)},
    "rank-stabilised": {"rslora": True},
    "patterns": {"targets": ["first", "last"], "rank_pattern": {"first": 8}, "alpha_pattern": {"last": 3}},
    "dropout": {"dropout": 0.3},
}
QUICK = {"plain", "own biases", "dropout"}
FAILS_LATER = {"attention of three widths"}
"""Kinds whose own forward does not take the input of this net."""
CASES = [
    pytest.param(kind, setting, decomposed, quantized, marks=() if setting in QUICK else pytest.mark.slow)
    for kind in KINDS
    for setting in SETTINGS
    for decomposed in (False, True)
    for quantized in (False, True)
]


@pytest.fixture(autouse=True)
def _without_advice():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's about merging, ours about what stays in floats
        yield


def net(kind: str) -> nn.Module:
    torch.manual_seed(3)
    build, x = KINDS[kind]
    if kind in FAILS_LATER:
        return nn.ModuleDict({"first": build(), "last": nn.Linear(2, 2)})
    return Net(build(), x)


def peft_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            name = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
            name = name.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector")
            found[name if ".lora_" in name else name.replace(".base_layer", "")] = parameter
    return found


def methods(setting: str, decomposed: bool, quantized: bool) -> tuple[pc.LoRA, pc.LoRA]:
    """Ours, and the same over floats, which is what peft is given."""
    options = {"rank": 4, "alpha": 10, "targets": ["first"], **SETTINGS[setting]}
    plain = (pc.DoRA if decomposed else pc.LoRA)(**options)
    return (pc.QDoRA if decomposed else pc.QLoRA)(**options) if quantized else plain, plain


def rounded(module: nn.Module, like: nn.Module) -> nn.Module:
    """The net with what 4 bits leave of the weights that `like`, ours, stores in 4 bits."""
    with pc.disabled(like), torch.no_grad():
        for name, layer in module.named_modules():
            if hasattr(like.get_submodule(name), "codes"):
                W = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
                W.copy_(four_bits.quantized(W.contiguous(), quant_type="nf4", compress_statistics=True)[-1])
    return module


def linear_layers(base: nn.Module, setting: str) -> list[str]:
    """What there is to be stored in 4 bits; a layer with a forward of its own is not."""
    saved = SETTINGS[setting].get("modules_to_save", ())
    return [n for n, layer in base.named_modules() if type(layer) in (nn.Linear, Conv1D) and n not in saved]


def theirs_of(base: nn.Module, plain: pc.LoRA) -> Any:
    torch.manual_seed(0)
    return peft.get_peft_model(base, plain.to_peft())


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, what: object) -> None:
    assert (ours - theirs).norm() <= RELATIVE * theirs.norm() + 1e-7, what


@pytest.mark.parametrize(("kind", "setting", "decomposed", "quantized"), CASES)
def test_equal_to_peft_or_refused_by_both(kind, setting, decomposed, quantized):
    method, plain = methods(setting, decomposed, quantized)
    base = net(kind)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    try:
        theirs = theirs_of(copy.deepcopy(base), plain)
    except (ValueError, TypeError):
        method = plain if not linear_layers(base, setting) else method
        modules = dict(base.named_modules())
        with pytest.raises(ValueError, match=r"'first'|lora_bias|first|width"):
            pc.attach(base, method)
        assert dict(base.named_modules()) == modules
        assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
        return
    torch.manual_seed(0)
    if quantized and not linear_layers(base, setting):
        with pytest.raises(ValueError, match="stores linear layers in 4 bits, and Net has none"):
            pc.attach(base, method)
        return
    ours = pc.attach(copy.deepcopy(base), method)
    if quantized:
        theirs = theirs_of(rounded(copy.deepcopy(base), ours), plain)
    x = KINDS[kind][1]
    mine, reference = adapter_tensors(ours), peft_tensors(theirs)
    assert mine.keys() == reference.keys()
    assert trainable(ours) == theirs.get_nb_trainable_parameters()[0] == pc.count(pc.load_model(base), method).trainable
    with torch.no_grad():
        for name, tensor in reference.items():
            torch.testing.assert_close(mine[name], tensor, rtol=1e-5, atol=1e-6)
            mine[name].copy_(tensor.add_(torch.randn_like(tensor), alpha=0.1))
    for training in (True, False):
        outputs = []
        for model in (ours.train(training), theirs.train(training)):
            torch.manual_seed(9)  # the same dropout mask
            model.zero_grad()
            outputs.append(model(x))
            outputs[-1].square().mean().backward()
        assert_close(*outputs, "outputs")
        for name, tensor in reference.items():
            assert (mine[name].grad is None) == (tensor.grad is None) or not tensor.grad.any(), name
            if tensor.grad is not None:
                assert_close(mine[name].grad, tensor.grad, name)
    _merge_both(ours, theirs, x, quantized)
    assert [type(module) for module in pc.detach(ours).modules()] == [type(module) for module in base.modules()]


def _merge_both(ours: nn.Module, theirs: Any, x: torch.Tensor, quantized: bool) -> None:
    """Merged as peft merges, or refused; over 4 bits merging loses something, and is tested elsewhere."""
    with torch.no_grad():
        apart = ours(x)
        try:
            expected = theirs.merge_and_unload(safe_merge=True)(x)
        except (NotImplementedError, RuntimeError):
            with pytest.raises(ValueError, match="merged"):
                pc.merge(ours)
            return
        if not quantized and (expected - apart).norm() > 1e-3 * apart.norm():  # peft's output is another, unsaid
            with pytest.raises(ValueError, match="a forward or a hook of its own"):
                pc.merge(ours)
            return
        if quantized and "hook" in str(vars(ours.first)):
            return
        pc.merge(ours)
        if not quantized:
            assert (ours(x) - apart).norm() <= 1e-4 * apart.norm() + 1e-6
            assert (ours(x) - expected).norm() <= 1e-4 * expected.norm() + 1e-6
        assert torch.equal(pc.unmerge(ours)(x), apart)


@pytest.mark.parametrize("kind", ["attention", "Conv1d", "Conv2d in groups"])
def test_files_go_both_ways(kind, tmp_path):
    method = pc.LoRA(rank=4, alpha=10, targets=["first"], bias="lora_only")
    theirs = theirs_of(net(kind), method)
    ours, x = pc.attach(net(kind), method, seed=0), KINDS[kind][1]
    mine, reference = adapter_tensors(ours), peft_tensors(theirs)
    with torch.no_grad():
        for name, tensor in reference.items():
            mine[name].copy_(tensor.add_(torch.randn_like(tensor), alpha=0.1))
        expected = theirs(x)
        theirs.save_pretrained(tmp_path / "theirs")
        pc.save_adapter(ours, tmp_path / "ours")
        read = peft.PeftModel.from_pretrained(net(kind), str(tmp_path / "ours"))
        assert_close(read(x), expected, "peft reads ours")
        for folder in ("theirs", "ours"):
            assert_close(pc.load_adapter(net(kind), tmp_path / folder)(x), expected, folder)


def test_the_table_would_notice_another_scale():
    method, plain = methods("plain", False, False)
    theirs = theirs_of(net("Conv1d"), plain)
    torch.manual_seed(0)
    ours = pc.attach(net("Conv1d"), replace(method, alpha=11))
    mine, reference = adapter_tensors(ours), peft_tensors(theirs)
    with torch.no_grad():
        for name, tensor in reference.items():
            mine[name].copy_(tensor.add_(0.1))
    with pytest.raises(AssertionError):
        assert_close(ours(KINDS["Conv1d"][1]), theirs(KINDS["Conv1d"][1]), "outputs")
