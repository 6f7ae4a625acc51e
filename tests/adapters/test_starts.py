"""Starts of an adapter against the real peft, over either base; and that the base comes back bit for bit.

Tolerance: a singular value decomposition in float32 is the same arithmetic on both sides (1e-6); what is left of a
bfloat16 weight is rounded to 2^-8 of it, so step 0 is the base to that rounding and no nearer, in peft too.
"""

from __future__ import annotations

import copy
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

import peftcalc as pc
from peftcalc.adapters.attach import activate
from peftcalc.adapters.layers.quantized_linear import QuantizedLinear
from peftcalc.adapters.layers.starts import STARTS as FILLERS
from peftcalc.adapters.layers.starts import fill_start
from peftcalc.adapters.state import adapted, adapter_bytes, adapter_tensors, trainable
from peftcalc.methods.starts import STARTS

SIZES = {"rank": 4, "alpha": 10, "targets": ["0", "2"]}
PISSA = {**SIZES, "init": "pissa"}


def linears() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 12, bias=False))


def conv1ds() -> nn.Module:
    return nn.Sequential(Conv1D(16, 20), nn.Tanh(), Conv1D(12, 16))


def embeddings() -> nn.Module:
    return nn.Sequential(nn.Embedding(30, 16), nn.Tanh(), nn.Linear(16, 12))


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 12, 1, bias=False))


INPUTS = {
    linears: lambda: torch.randn(3, 5, 20),
    conv1ds: lambda: torch.randn(3, 5, 20),
    embeddings: lambda: torch.randint(0, 30, (3, 5)),
    convolutions: lambda: torch.randn(3, 4, 8, 8),
}
CASES = [
    (linears, pc.LoRA(**PISSA)),
    (linears, pc.LoRA(**PISSA, rslora=True)),
    (linears, pc.LoRA(**PISSA, dropout=0.3, bias="all")),
    (linears, pc.LoRA(**PISSA, rank_pattern={"0": 2}, alpha_pattern={"2": 5})),
    (linears, pc.LoRA(**{**PISSA, "rank": 14})),  # above the second layer's smaller side, which has but 12 vectors
    (linears, pc.DoRA(**PISSA)),
    (linears, pc.LoRA(**{**SIZES, "init": "pissa_niter_4"})),
    (linears, pc.LoRA(**{**SIZES, "init": "gaussian"})),
    (linears, pc.LoRA(**{**SIZES, "init": "olora"})),
    (linears, pc.DoRA(**{**SIZES, "init": "olora", "rank": 14})),
    (conv1ds, pc.LoRA(**PISSA)),
    (conv1ds, pc.DoRA(**PISSA, bias="lora_only")),
    (embeddings, pc.LoRA(**PISSA)),
    (embeddings, pc.LoRA(**{**SIZES, "init": "gaussian"})),
    (convolutions, pc.LoRA(**{**SIZES, "init": "gaussian"})),
]


def peft_of(module: nn.Module, method: pc.LoRA) -> nn.Module:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")  # peft corrects it itself and says so
        return peft.get_peft_model(copy.deepcopy(module), method.to_peft())


def case(build, dtype=torch.float32) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(3)
    x = INPUTS[build]()
    return build().to(dtype), x.to(dtype) if x.is_floating_point() else x


def peft_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    named = model.named_parameters()
    return {
        name.removeprefix("base_model.model.").replace(".default", "").replace(".base_layer", ""): p
        for name, p in named
        if p.requires_grad
    }


def ours_of(module: nn.Module) -> dict[str, nn.Parameter]:
    tensors = adapter_tensors(module)
    return {name + ".weight" if name.endswith("magnitude_vector") else name: tensor for name, tensor in tensors.items()}


def test_vocabulary_and_arithmetic_name_the_same_starts():
    assert FILLERS.keys() == STARTS.keys()
    with pytest.raises(ValueError, match=r"init must be one of default, .*, got 'pisa'; did you mean 'pissa'\?"):
        pc.LoRA(init="pisa")
    for wrong in ("pissa_niter_", "gaussian_niter_4", "pissa_niter_-1", None, True):
        with pytest.raises(ValueError, match="init must be one of"):
            pc.LoRA(init=wrong)
    with pytest.raises(ValueError, match="between 0 and 1,000, got 2,000"):
        pc.LoRA(init="pissa_niter_2000")
    with pytest.raises(ValueError, match="lora_bias needs init='default'"):
        pc.LoRA(init="gaussian", lora_bias=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("build", "method"), CASES, ids=lambda v: getattr(v, "__name__", repr(v)))
def test_factors_residual_and_outputs_are_pefts(build, method, dtype):
    module, x = case(build, dtype)
    torch.manual_seed(0)
    theirs = peft_of(module, method).eval()
    torch.manual_seed(0)
    ours = pc.attach(copy.deepcopy(module), method).eval()
    mine, reference = ours_of(ours), peft_tensors(theirs)
    assert mine.keys() == reference.keys()
    for name, tensor in reference.items():
        assert mine[name].dtype == torch.float32 or "bias" in name
        # peft rounds DoRA's norm over a 16-bit base to 16 bits, ours stays in float32
        rounding = 2**-7 if "magnitude" in name and dtype == torch.bfloat16 else 1e-6
        torch.testing.assert_close(mine[name].float(), tensor.float(), rtol=rounding, atol=1e-6)
    for name, layer in adapted(ours):
        assert torch.equal(layer.base.weight, theirs.get_submodule(f"base_model.model.{name}").base_layer.weight)
    near = {"rtol": 2**-6, "atol": 2**-6} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(ours(x), theirs(x), **near)
    torch.testing.assert_close(ours(x), module(x), **near)


@pytest.mark.parametrize(
    ("build", "method"), [CASES[i] for i in (0, 1, 3, 4, 5, 8, 10)], ids=lambda v: getattr(v, "__name__", repr(v)[:60])
)
def test_ten_steps_are_pefts(build, method):
    module, x = case(build)
    ours, theirs = pc.attach(copy.deepcopy(module), method), peft_of(module, method)
    target = torch.randn_like(module(x))
    optimizers = [torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-2) for m in (ours, theirs)]
    for _ in range(10):
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            (model(x) - target).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)  # 1e-7 of each of ten steps of AdamW
    assert trainable(ours) == theirs.get_nb_trainable_parameters()[0] == pc.count(module, method).trainable
    assert pc.count(module, method).total == theirs.get_nb_trainable_parameters()[1]


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_pissa_is_the_best_approximation_of_its_rank(scale):
    """Eckart and Young: what is left has the singular values that were not taken."""
    torch.manual_seed(0)
    W, A, B = torch.randn(9, 7), torch.empty(3, 7), torch.empty(9, 3)
    fill_start("pissa", A, B, lambda: W, scale, 3)
    left = torch.linalg.svdvals(W - scale * B @ A)
    torch.testing.assert_close(left[:4], torch.linalg.svdvals(W)[3:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(A @ A.T, B.T @ B, rtol=1e-5, atol=1e-5)  # the root of S on either side


METHODS = [
    pc.LoRA(**PISSA),
    pc.DoRA(**PISSA, bias="all"),
    pc.LoRA(**{**PISSA, "targets": ["0"]}, modules_to_save=("2",)),
]


def disturb(module: nn.Module) -> None:
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_the_base_comes_back_bit_by_bit(method, dtype):
    module, x = case(linears, dtype)
    state, layers, before = copy.deepcopy(module.state_dict()), list(module), module(x)
    weight = module[0].weight
    pc.attach(module, method)
    assert module[0].pretrained.weight is weight
    disturb(module)
    apart = module.eval()(x)
    assert not torch.equal(apart, before)
    merged = pc.merge(module)(x)
    torch.testing.assert_close(merged, apart, rtol=0.05, atol=0.05 if dtype == torch.bfloat16 else 1e-4)
    assert torch.equal(pc.unmerge(module)(x), apart)
    pc.detach(module)
    assert list(module) == layers
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert torch.equal(module(x), before)
    plain = pc.detach(pc.merge(pc.attach(module, method)))
    torch.testing.assert_close(plain(x), before, rtol=0.05, atol=0.05 if dtype == torch.bfloat16 else 1e-5)


def test_adapters_with_and_without_a_base_of_their_own_share_one_module():
    module, x = case(linears)
    before = module(x)
    pc.attach(module, pc.LoRA(**SIZES, bias="all"), adapter="plain")
    disturb(module)
    plain = module(x)
    pc.attach(module, pc.LoRA(**PISSA, bias="all"), adapter="pissa")
    assert torch.allclose(module(x), before, atol=1e-5), "its start is the base, not the other adapter's sum"
    disturb(module)
    pissa = module(x)
    pc.attach(module, pc.DoRA(rank=2, targets=["0"], init="pissa"), adapter="other")
    disturb(module)
    other = module(x)
    for name, expected in (("plain", plain), ("pissa", pissa), ("other", other), ("plain", plain)):
        assert torch.equal(activate(module, name)(x), expected)
    own = 4 * (4 * (20 + 16 + 16 + 12) + 16)
    assert adapter_bytes(module)["plain"] == own
    assert adapter_bytes(module)["pissa"] == own + 4 * (20 * 16 + 16 * 12)
    copied = copy.deepcopy(module)
    activate(module, "pissa")
    assert torch.equal(copied(x), plain)
    assert torch.equal(activate(copied, "pissa")(x), pissa)
    assert torch.equal(pc.detach(module)(x), before)


def test_what_moved_is_measured_from_the_pretrained_weight():
    module, _ = case(linears)
    weight = module[0].weight.detach().clone()
    (_, layer), *_ = adapted(pc.attach(module, pc.LoRA(**PISSA)))
    assert torch.equal(layer.weight_before(), weight)
    torch.testing.assert_close(layer.weight_now(), weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [pc.LoRA(**PISSA), pc.DoRA(**PISSA), pc.LoRA(**{**PISSA, "rank": 14})], ids=repr)
def test_files_travel_to_peft_and_back(method, tmp_path: Path):
    module, x = case(linears)
    ours = pc.attach(copy.deepcopy(module), method)
    disturb(ours)
    pc.save_adapter(ours, tmp_path / "ours")
    there = peft.PeftModel.from_pretrained(copy.deepcopy(module), tmp_path / "ours")
    torch.testing.assert_close(there(x), ours(x), rtol=1e-5, atol=1e-5)
    back = pc.load_adapter(copy.deepcopy(module), tmp_path / "ours")
    torch.testing.assert_close(back(x), ours(x), rtol=1e-6, atol=1e-6)

    theirs = peft_of(module, method)
    disturb(theirs)
    theirs.save_pretrained(tmp_path / "theirs")
    here = pc.load_adapter(copy.deepcopy(module), tmp_path / "theirs")
    torch.testing.assert_close(here(x), theirs(x), rtol=1e-5, atol=1e-5)
    ordinary = pc.attach(copy.deepcopy(module), replace(method, init="default"))
    with pytest.raises(ValueError, match="leaves of the weights"):
        pc.load_adapter(ordinary, tmp_path / "theirs")


def test_a_pissa_adapter_that_peft_has_converted_is_an_ordinary_one(tmp_path: Path):
    """`path_initial_model_for_weight_conversion` writes the difference from the start, at twice the rank."""
    module, x = case(linears)
    theirs = peft_of(module, pc.LoRA(**PISSA))
    theirs.peft_config["default"].init_lora_weights = True
    theirs.save_pretrained(tmp_path / "start")
    theirs.peft_config["default"].init_lora_weights = "pissa"
    disturb(theirs)
    expected = theirs(x).detach()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PiSSA changes the base weights")  # peft's, of the start beside the adapter
        theirs.save_pretrained(tmp_path / "after", path_initial_model_for_weight_conversion=str(tmp_path / "start"))
    here = pc.load_adapter(copy.deepcopy(module), tmp_path / "after")
    torch.testing.assert_close(here(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", [pc.QLoRA, pc.QDoRA])
def test_four_bits_hold_what_is_left_as_the_recipe_has_it(kind, dtype, tmp_path: Path):
    """peft refuses PiSSA over 4 bits; its recipe: start in floats, quantize what is left, load the adapter."""
    module, x = case(linears, dtype)
    recipe = peft_of(module, pc.LoRA(**PISSA))
    method = kind(**PISSA)
    ours = pc.attach(copy.deepcopy(module), method)
    for name, layer in adapted(ours):
        left = recipe.get_submodule(f"base_model.model.{name}")
        stored = QuantizedLinear(left.base_layer.weight.detach())
        assert torch.equal(layer.base.codes, stored.codes)
        assert torch.equal(layer.base.block_scales(), stored.block_scales())
        torch.testing.assert_close(layer.A, left.lora_A["default"].weight, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(layer.B, left.lora_B["default"].weight, rtol=1e-6, atol=1e-6)
        assert torch.equal(
            layer.weight_before(), QuantizedLinear(module.get_submodule(name).weight.detach()).dequantize().float()
        )
    disturb(ours)
    pc.save_adapter(ours, tmp_path)
    again = pc.load_adapter(copy.deepcopy(module), tmp_path)
    assert torch.equal(again(x), ours(x))
    with pytest.raises(ValueError, match="in 4 bits already"):
        pc.attach(ours, method, adapter="second")
    assert torch.equal(again(x), ours(x))
    plain = pc.detach(ours)
    expected = pc.detach(pc.attach(copy.deepcopy(module), replace(method, init="default")))
    assert torch.equal(plain(x), expected(x))


def test_a_convolution_has_no_principal_part_and_nothing_changes():
    module, x = case(convolutions)
    before, layers = module(x), list(module)
    with pytest.raises(ValueError, match="does not exist for '0', a Conv2d"):
        pc.attach(module, pc.LoRA(**PISSA))
    assert list(module) == layers
    assert torch.equal(module(x), before)
    assert all(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("method", [*METHODS, pc.LoRA(**SIZES, bias="all")], ids=repr)
def test_what_was_set_aside_follows_its_module_to_another_device(method):
    """The device that every machine has besides its processor is `meta`."""
    module = pc.attach(linears(), method)
    pc.attach(module, pc.LoRA(rank=2), adapter="second")
    activate(module, "default").to("meta")
    assert {p.device.type for p in activate(module, "second").parameters()} == {"meta"}
    assert {p.device.type for p in pc.detach(module).parameters()} == {"meta"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # bitsandbytes' and transformers' advice about their own deprecated names
def test_the_recipe_given_away_runs_with_peft_and_bitsandbytes(tmp_path: Path, monkeypatch):
    """The text of `to_code` makes the very codes, A and B that `attach` makes."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4}
    base = LlamaForCausalLM(LlamaConfig(vocab_size=40, num_key_value_heads=2, **sizes)).to(torch.bfloat16)
    base.save_pretrained("base")
    method = pc.QLoRA(rank=4, alpha=10, init="pissa", freeze_a=True)
    names: dict[str, Any] = {}
    code, replaced = re.subn(r'^MODEL = ".*"$', 'MODEL = "base"', method.to_code(), flags=re.MULTILINE)
    assert replaced == 1
    exec(code, names)
    ours = pc.attach(base, method)
    assert trainable(ours) == names["model"].get_nb_trainable_parameters()[0]
    for name, layer in adapted(ours):
        theirs = names["model"].get_submodule(f"base_model.model.{name}")
        assert torch.equal(theirs.base_layer.weight.data.view(-1), layer.base.codes)
        assert torch.equal(theirs.lora_A["default"].weight, layer.A)
        assert torch.equal(theirs.lora_B["default"].weight, layer.B)
