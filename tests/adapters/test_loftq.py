"""LoftQ: A and B begin as what 4 bits lose of a weight.

Oracle: bitsandbytes' NF4 and peft's decomposition, in the turns of peft's `loftq_init`, which itself runs on no
processor (it moves the weight to a card). Singular value decompositions in float32 agree to 1e-5.
"""

from __future__ import annotations

import copy

import bitsandbytes as bnb
import pytest
import torch
from peft.utils.loftq_utils import _low_rank_decomposition
from torch import nn

import peftcalc as pc
from peftcalc.adapters.files.adapter_config import config_of, method_of
from peftcalc.adapters.state import adapted

RANK, ALPHA = 4, 10


def linears() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 48, bias=False))


def pefts(W, turns):
    """What peft's base and its product B A are after so many turns."""
    rest = W
    for _ in range(turns):
        Q = bnb.functional.dequantize_4bit(*bnb.functional.quantize_4bit(rest, quant_type="nf4"))
        parts = _low_rank_decomposition(W - Q, RANK)
        rest = W - parts["L"] @ parts["R"]
    return Q, parts["L"] @ parts["R"]


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize("method", [pc.LoRA, pc.QLoRA])
def test_base_and_product_are_pefts(method, turns):
    init = "loftq" if turns == 1 else f"loftq_niter_{turns}"
    over = {"double_quant": False} if method is pc.QLoRA else {}
    module = linears()
    attached = pc.attach(copy.deepcopy(module), method(rank=RANK, alpha=ALPHA, init=init, **over))
    for name, layer in adapted(attached):
        Q, product = pefts(module.get_submodule(name).weight.detach(), turns)
        held = layer.base.dequantize() if method is pc.QLoRA else layer.base.weight
        torch.testing.assert_close(held, Q, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(layer.scale * layer.B @ layer.A, product, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", [pc.LoRA, pc.DoRA, pc.QLoRA, pc.QDoRA])
def test_each_turn_comes_nearer_to_the_weight(method):
    module, x = linears(), torch.randn(5, 128)

    def lost(init):
        attached = pc.attach(copy.deepcopy(module), method(rank=RANK, alpha=ALPHA, init=init))
        return sum(
            float((layer.weight_now() - module.get_submodule(name).weight).detach().norm())
            for name, layer in adapted(attached)
        ), float((attached(x) - module(x)).detach().norm())

    alone, _ = lost("default") if method in (pc.QLoRA, pc.QDoRA) else (lost_in_nf4(module), 0)
    once, turned = lost("loftq"), lost("loftq_niter_5")
    assert turned[0] < 0.97 * once[0] < 0.97 * 0.95 * alone
    assert once[1] < 0.2 * float(module(x).detach().norm())


def lost_in_nf4(module):
    weights = [part.weight.detach() for part in module if isinstance(part, nn.Linear)]
    return sum(float((pc.quantize(W, "nf4").dequantize() - W).norm()) for W in weights)


def test_the_base_comes_back_and_a_base_in_4_bits_is_kept():
    module = linears()
    attached = pc.attach(copy.deepcopy(module), pc.LoRA(rank=RANK, alpha=ALPHA, init="loftq"))
    assert all(layer.base is not layer.pretrained for _, layer in adapted(attached))
    assert all(torch.equal(a, b) for a, b in zip(pc.detach(attached).parameters(), module.parameters(), strict=True))
    plain = pc.attach(copy.deepcopy(module), pc.QLoRA(rank=RANK, alpha=ALPHA))
    begun = pc.attach(copy.deepcopy(module), pc.QLoRA(rank=RANK, alpha=ALPHA, init="loftq"))
    for (_, one), (_, other) in zip(adapted(plain), adapted(begun), strict=True):
        assert torch.equal(one.base.codes, other.base.codes)
        assert other.own_base_bytes() == 0


@pytest.mark.parametrize("method", [pc.LoRA, pc.QLoRA])
def test_a_saved_adapter_comes_back(method, tmp_path):
    module, x = linears(), torch.randn(3, 128)
    attached = pc.attach(copy.deepcopy(module), method(rank=RANK, alpha=ALPHA, init="loftq_niter_2"))
    with torch.no_grad():
        for _, layer in adapted(attached):
            layer.B += 0.1
    pc.save_adapter(attached, tmp_path)
    again = pc.load_adapter(copy.deepcopy(module), tmp_path)
    torch.testing.assert_close(again(x), attached(x), rtol=1e-5, atol=1e-6)


def test_the_file_says_what_pefts_says():
    method = pc.DoRA(rank=2, alpha=3, targets=("0",), init="loftq_niter_4")
    config = config_of(method, ["0"], linears())
    assert config["init_lora_weights"] == "loftq"
    assert config["loftq_config"] == method.to_peft().loftq_config == {"loftq_bits": 4, "loftq_iter": 4}
    assert method_of(config) == method
    assert method_of({**config, "loftq_config": {}}).init == "loftq"
    with pytest.raises(ValueError, match="loftq_bits must be 4 to be read here, got 8"):
        method_of({**config, "loftq_config": {"loftq_bits": 8}})
    with pytest.raises(ValueError, match="loftq_iter must be a whole number"):
        method_of({**config, "loftq_config": {"loftq_iter": "x"}})


@pytest.mark.parametrize(
    ("module", "targets", "message"),
    [
        (nn.Sequential(nn.Embedding(5, 4)), ["0"], "'0' is an embedding, which stays in floats"),
        (nn.Sequential(nn.Conv1d(4, 4, 1)), ["0"], "init='loftq' reads one matrix and does not exist for '0'"),
    ],
)
def test_what_has_no_4_bits_is_refused(module, targets, message):
    with pytest.raises(ValueError, match=message):
        pc.attach(module, pc.LoRA(rank=1, targets=targets, init="loftq"))


def test_names_and_sizes():
    with pytest.raises(ValueError, match="the number of iterations in init must be between 1 and 1,000, got 0"):
        pc.LoRA(init="loftq_niter_0")
    shapes = pc.load_model("microsoft/Phi-3-mini-4k-instruct")
    plain, begun = (pc.QLoRA(rank=8, init=init) for init in ("default", "loftq"))
    assert pc.count(shapes, begun).trainable == pc.count(shapes, plain).trainable
    assert pc.estimate_memory(shapes, begun).total == pc.estimate_memory(shapes, plain).total
