"""Expert stacks beside peft's `target_parameters`: the same numbers, outputs and gradients, and its files both ways.

Tolerance as in test_adapters: float32 sums in another order.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
import transformers as tf
from torch import nn

import peftcalc as pc
from peftcalc.adapters.state import adapted, adapter_tensors, trainable

SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS: dict[str, Any] = {
    **SIZE,
    "num_experts": 4,
    "moe_intermediate_size": 16,
    "num_experts_per_tok": 2,
    "head_dim": 8,
}
DEEPSEEK: dict[str, Any] = {
    **SIZE,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
}
LLAMA4: dict[str, Any] = {
    **SIZE,
    "num_local_experts": 4,
    "num_experts_per_tok": 1,
    "intermediate_size_mlp": 40,
    "head_dim": 8,
    "interleave_moe_layer_step": 1,
}

MODELS: dict[str, Callable[[], nn.Module]] = {
    "Mixtral": lambda: tf.MixtralForCausalLM(tf.MixtralConfig(**SIZE, num_local_experts=4, num_experts_per_tok=2)),
    "Qwen3-MoE": lambda: tf.Qwen3MoeForCausalLM(tf.Qwen3MoeConfig(**EXPERTS)),
    "gpt-oss": lambda: tf.GptOssForCausalLM(
        tf.GptOssConfig(**SIZE, num_local_experts=4, num_experts_per_tok=2, head_dim=8)
    ),
    "DeepSeek-V3": lambda: tf.DeepseekV3ForCausalLM(tf.DeepseekV3Config(**DEEPSEEK)),
    "Llama 4": lambda: tf.Llama4ForCausalLM(tf.Llama4TextConfig(**LLAMA4)),
}
STACKS = ("experts.gate_up_proj", "experts.down_proj")
METHODS: dict[str, pc.LoRA] = {
    "all-linear": pc.LoRA(rank=3, alpha=12),
    "stacks": pc.LoRA(rank=3, alpha=12, targets=("q_proj", "q_a_proj"), target_parameters=STACKS),
    "stacks alone": pc.LoRA(rank=3, alpha=12, targets=(), target_parameters=STACKS, rslora=True),
    "patterns": pc.LoRA(
        rank=3,
        alpha=12,
        targets=(),
        target_parameters=STACKS,
        rank_pattern={"down_proj": 2},
        alpha_pattern={"experts.gate_up_proj": 5},
    ),
}
QUICK = [("Mixtral", "all-linear"), ("gpt-oss", "stacks"), ("Llama 4", "patterns")]
REFUSED = ("Llama 4", "all-linear")  # its router, a linear layer that returns two tensors; peft fails in forward
REST = [(m, k) for m in MODELS for k in METHODS if (m, k) not in (*QUICK, REFUSED)]
CASES = [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in REST)]
IDS = torch.arange(2, 26).view(2, 12)


@pytest.fixture(autouse=True)
def _tell_me_nothing_of_merging():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's and transformers' advice; not what is tested
        yield


def plain(name: str) -> Any:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # some stacks are born empty, and small ones would hide a scale
            parameter.copy_(torch.randn_like(parameter) * 0.1)
    return model


def pair(model: str, method: pc.LoRA) -> tuple[Any, Any]:
    """Ours and peft's, from the same weights and the same seed."""
    base = plain(model)
    torch.manual_seed(5)
    theirs = peft.get_peft_model(copy.deepcopy(base), method.to_peft())
    torch.manual_seed(5)
    return pc.attach(base, method), theirs


def peft_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    found = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return {name.removeprefix("base_model.model.").replace(".default", ""): p for name, p in found.items()}


def disturb_both(ours: nn.Module, theirs: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    mine, reference = adapter_tensors(ours), peft_tensors(theirs)
    assert mine.keys() == reference.keys()
    torch.manual_seed(6)
    with torch.no_grad():
        for name, tensor in reference.items():
            torch.testing.assert_close(mine[name], tensor, rtol=1e-6, atol=1e-7)
            tensor.add_(torch.randn_like(tensor), alpha=0.1)
            mine[name].copy_(tensor)
    return mine, reference


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_numbers_outputs_and_gradients_are_pefts(model, kind):
    method = METHODS[kind]
    ours, theirs = pair(model, method)
    assert trainable(ours) == theirs.get_nb_trainable_parameters()[0]
    assert trainable(ours) == pc.count(pc.load_model(MODELS[model]()), method).trainable
    with torch.no_grad():
        assert torch.equal(ours(IDS).logits, plain(model)(IDS).logits)
    mine, reference = disturb_both(ours, theirs)
    y, expected = ours(IDS).logits, theirs(IDS).logits
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    for logits in (y, expected):
        logits.square().mean().backward()
    for name, tensor in reference.items():
        torch.testing.assert_close(
            mine[name].grad, tensor.grad, rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("model", ["Mixtral", "gpt-oss"])
def test_merged_equals_apart_and_comes_off(model):
    ours, theirs = pair(model, METHODS["all-linear" if model == "Mixtral" else "stacks"])
    disturb_both(ours, theirs)
    with torch.no_grad():
        apart, base = ours(IDS).logits, plain(model)(IDS).logits
        torch.testing.assert_close(pc.merge(ours)(IDS).logits, apart, rtol=1e-4, atol=1e-5)
        assert torch.equal(pc.unmerge(ours)(IDS).logits, apart)
        with pc.disabled(ours):
            assert torch.equal(ours(IDS).logits, base)
        before = [layer.weight_before() for _, layer in adapted(ours)]
        assert all(weight.dim() == 2 for weight in before)
        merged = pc.detach(pc.merge(ours))
        torch.testing.assert_close(merged(IDS).logits, apart, rtol=1e-4, atol=1e-5)
    assert {type(m) for m in merged.modules()} == {type(m) for m in plain(model).modules()}
    assert merged.state_dict().keys() == plain(model).state_dict().keys()


@pytest.mark.parametrize(("model", "kind"), [("Mixtral", "all-linear"), ("gpt-oss", "patterns")])
def test_files_go_both_ways(model, kind, tmp_path):
    ours, theirs = pair(model, METHODS[kind])
    disturb_both(ours, theirs)
    with torch.no_grad():
        expected = theirs(IDS).logits
        theirs.save_pretrained(tmp_path / "theirs")
        pc.save_adapter(ours, tmp_path / "ours")
        read = peft.PeftModel.from_pretrained(plain(model), str(tmp_path / "ours"))
        torch.testing.assert_close(read(IDS).logits, expected, rtol=1e-4, atol=1e-5)
        for folder in ("theirs", "ours"):
            again = pc.load_adapter(plain(model), tmp_path / folder)
            torch.testing.assert_close(again(IDS).logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (pc.DoRA(rank=3), "experts.gate_up_proj.*DoRA|gate.weight.*DoRA"),
        (pc.LoRA(rank=3, dropout=0.1), "gate.*dropout"),
        (pc.LoRA(rank=3, lora_bias=True), "gate.*lora_bias"),
        (pc.LoRA(rank=3, targets=("w1", "q_proj")), "w1 cannot be a target without w3"),
        (pc.LoRA(rank=3, targets=("q_proj",), target_parameters=("q_proj.weight",)), "itself is a target"),
        (pc.LoRA(rank=3, targets=(), target_parameters=("input_layernorm.weight",)), "2 or 3 dimensions"),
        (pc.LoRA(rank=3, targets=("experts",)), "'model.layers.0.mlp.experts', a MixtralExperts"),
    ],
)
def test_what_cannot_be_adapted_is_refused_by_name(method, sentence):
    model = plain("Mixtral")
    before = dict(model.named_modules())
    with pytest.raises(ValueError, match=sentence):
        pc.attach(model, method)
    assert dict(model.named_modules()) == before


def test_a_router_that_returns_two_tensors_is_refused_where_peft_fails():
    model, kind = REFUSED
    with pytest.raises(AttributeError, match="tuple"):
        peft.get_peft_model(plain(model), METHODS[kind].to_peft())(IDS)
    with pytest.raises(ValueError, match=r"feed_forward.router', a Llama4Router"):
        pc.attach(plain(model), METHODS[kind])
    ours = pc.attach(plain(model), pc.LoRA(rank=3, exclude=("router",)))
    with torch.no_grad():
        assert torch.equal(ours(IDS).logits, plain(model)(IDS).logits)


def test_qlora_says_which_weights_stay_in_floats():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        module = pc.attach(plain("Mixtral"), pc.QLoRA(rank=3))
    words = [str(w.message) for w in said if "QLoRA" in str(w.message)]
    assert len(words) == 1
    stacks = 2 * (4 * 32 * 2 * 48 + 4 * 48 * 32 + 4 * 32)  # two layers of gate_up_proj, down_proj and the router
    assert f"{stacks:,} parameters" in words[0]
    assert "experts.gate_up_proj" in words[0]
    assert trainable(module) == pc.count(pc.load_model(MODELS["Mixtral"]()), pc.QLoRA(rank=3)).trainable
    with torch.no_grad():
        assert module(IDS).logits.isfinite().all()
