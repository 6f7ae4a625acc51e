"""What people do with a module that carries adapters: listen to it, read its weights, cast, offload and save it."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from typing import Any

import pytest
import torch
import transformers as tf
from torch import nn

import peftcalc as pc
from peftcalc.adapters.layers.quantized_linear import QuantizedLinear
from peftcalc.adapters.state import active_adapter, adapter_tensors

METHODS = [pc.LoRA(rank=2, alpha=6), pc.DoRA(rank=2, alpha=6), pc.QLoRA(rank=2, alpha=6), pc.QDoRA(rank=2, alpha=6)]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))


def disturb(module: nn.Module) -> nn.Module:
    torch.manual_seed(7)
    with torch.no_grad():
        for tensor in adapter_tensors(module).values():
            tensor.add_(torch.randn(tensor.shape), alpha=0.1)  # the same for every dtype
    return module


class Twice(nn.Linear):
    def forward(self, input):  # noqa: A002  torch's name
        return 2 * super().forward(input)


class WithFactor(nn.Linear):
    def forward(self, input, factor):  # noqa: A002
        return factor * super().forward(input)


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("shape", [(0, 64), (2, 0, 64), (64,)])
def test_no_tokens_and_a_single_one(method, shape):
    module = disturb(pc.attach(net(), method))
    x = torch.ones(shape, requires_grad=True)
    y = module(x)
    assert y.shape == (*shape[:-1], 4)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == shape


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_float64_computes_in_float64(method):
    module = disturb(pc.attach(net().double(), method, seed=0))
    low = disturb(pc.attach(net(), method, seed=0))
    x = torch.randn(5, 64)
    y = module(x.double())
    assert y.dtype == torch.float64
    torch.testing.assert_close(y.float(), low(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_hooks_go_on_listening(method):
    module, heard = net(), []
    handle = module[0].register_forward_hook(lambda layer, inputs, output: heard.append(output))
    module(torch.ones(1, 64))
    pc.attach(module, method)
    y = module(torch.ones(1, 64))
    assert len(heard) == 2
    y.sum().backward()
    handle.remove()
    module(torch.ones(1, 64))
    assert len(heard) == 2
    module[0].base.register_forward_pre_hook(lambda layer, inputs: heard.append(inputs))
    pc.detach(module)(torch.ones(1, 64))
    assert len(heard) == 3


def test_a_forward_of_its_own_with_more_arguments():
    module, x = WithFactor(64, 4), torch.randn(3, 64)
    wrapped = pc.attach(module, pc.LoRA(rank=2))
    assert torch.equal(wrapped(x, 3), module(x, 3))
    assert torch.equal(wrapped(x, factor=3), module(x, 3))


def test_qlora_leaves_a_forward_of_its_own_in_floats_and_says_so():
    module, x = nn.Sequential(Twice(64, 16), nn.Linear(16, 4)), torch.randn(3, 64)
    with pytest.warns(UserWarning, match=r"stay in floats, 1,024 parameters: 0\.weight"):
        pc.attach(module, pc.QLoRA(rank=2, targets=["0"]))
    assert type(module[0].base) is Twice
    assert isinstance(module[1], QuantizedLinear)
    assert module(x).shape == (3, 4)


def test_code_that_reads_weights_reads_those_in_4_bits():
    torch.manual_seed(0)
    module = nn.TransformerEncoderLayer(64, 2, 96, dropout=0.0, batch_first=True).eval()
    x = torch.randn(2, 3, 64)
    with pytest.warns(UserWarning, match=r"self_attn\.in_proj_weight"):
        pc.attach(module, pc.QLoRA(rank=2, targets=["linear1"]))
    disturb(module)
    slow = module(x)
    with torch.no_grad():
        torch.testing.assert_close(module(x), slow, rtol=1e-5, atol=1e-5)  # the fast path reads every weight


@pytest.mark.parametrize("name", ["T5", "mT5", "Mamba"])
def test_models_that_read_weights(name):
    small: dict[str, Any] = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 64}
    ids = torch.arange(2, 10).view(1, 8)
    if name == "Mamba":
        config = tf.MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=64, state_size=4)
        model, targets = tf.MambaForCausalLM(config), ["in_proj", "x_proj"]
    else:
        kinds = {
            "T5": (tf.T5ForConditionalGeneration, tf.T5Config),
            "mT5": (tf.MT5ForConditionalGeneration, tf.MT5Config),
        }
        model = kinds[name][0](kinds[name][1](**small, decoder_start_token_id=0))
        targets = ["q", "v", "wo"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what stays in floats
        pc.attach(model, pc.QLoRA(rank=2, targets=targets))
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    assert all(tensor.grad is not None for key, tensor in adapter_tensors(model).items() if "lora_B" in key)


def test_mambas_own_refusals_are_pefts():
    model = tf.MambaForCausalLM(tf.MambaConfig(hidden_size=32, num_hidden_layers=1, vocab_size=64, state_size=4))
    for target in ("out_proj", "conv1d"):
        with pytest.raises(ValueError, match=f"mixer.{target}"):
            pc.attach(model, pc.LoRA(rank=2, targets=[target]))


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="accelerate is what offloads")
def test_an_offloaded_base_is_refused_by_name_and_left_alone():
    from accelerate import cpu_offload

    module, x = net(), torch.randn(3, 64)
    expected = module(x)
    cpu_offload(module, execution_device=torch.device("cpu"))
    for method in METHODS:
        with pytest.raises(ValueError, match=r"'0'.*meta device"):
            pc.attach(module, method)
    assert type(module[0]) is nn.Linear
    assert torch.equal(module(x), expected)


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="accelerate is what offloads")
def test_an_adapter_stays_where_it_is_when_its_base_is_offloaded():
    from accelerate import cpu_offload

    module = disturb(pc.attach(net(), pc.LoRA(rank=2)))
    x = torch.randn(3, 64)
    expected = module(x)
    for layer in (module[0].base, module[2].base):
        cpu_offload(layer, execution_device=torch.device("cpu"))
    assert module[0].base.weight.is_meta
    torch.testing.assert_close(module(x), expected)
    module(x).sum().backward()
    pc.activate(module, "default")
    assert not module[0].A.is_meta
    with pytest.raises(ValueError, match="meta device"):
        pc.merge(module)


def test_a_module_on_the_meta_device_gets_an_adapter_there():
    for method in METHODS[:2]:
        with torch.device("meta"):
            module = pc.attach(net(), method)
        assert all(tensor.is_meta for tensor in adapter_tensors(module).values())
        assert module(torch.ones(2, 64, device="meta")).shape == (2, 4)
    with torch.device("meta"), pytest.raises(ValueError, match="'0' is on the meta device"):
        pc.attach(net(), pc.QLoRA(rank=2))


@pytest.mark.parametrize("method", METHODS[:2], ids=repr)
def test_loading_into_a_merged_adapter_merges_the_new_values(method, tmp_path):
    first, x = disturb(pc.attach(net(), method, seed=1)), torch.randn(3, 64)
    pc.save_adapter(first, tmp_path)
    second = pc.merge(pc.attach(net(), method, seed=2))
    pc.load_adapter(second, tmp_path)
    torch.testing.assert_close(second(x), first(x), rtol=1e-5, atol=1e-6)
    assert torch.equal(pc.unmerge(second)(x), first(x))


def llama() -> Any:
    torch.manual_seed(0)
    size: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
    }
    return tf.LlamaForCausalLM(tf.LlamaConfig(**size, vocab_size=32)).eval()


@pytest.mark.parametrize("method", [*METHODS[1:3], pc.LoRA(rank=2, bias="all", modules_to_save=("lm_head",))], ids=repr)
def test_save_pretrained_saves_the_base_and_says_so(method, tmp_path):
    ids = torch.arange(6).view(1, 6)
    model = disturb(pc.attach(llama(), method))
    with torch.no_grad():
        apart = model(ids).logits
        with pc.disabled(model):
            base = model(ids).logits
        with pytest.warns(UserWarning, match="saves the base alone"):
            copy.deepcopy(model).save_pretrained(tmp_path)
        read = tf.LlamaForCausalLM.from_pretrained(tmp_path).eval()
        torch.testing.assert_close(read(ids).logits, base, rtol=1e-5, atol=1e-5)
        assert read.state_dict().keys() == llama().state_dict().keys()
        assert torch.equal(model(ids).logits, apart)
        pc.detach(model).save_pretrained(tmp_path / "plain")


def test_full_fine_tuning_saves_what_it_trained(tmp_path):
    model = pc.attach(llama(), pc.Full())
    with torch.no_grad():
        model.lm_head.weight.add_(1.0)
    model.save_pretrained(tmp_path)
    assert torch.equal(tf.LlamaForCausalLM.from_pretrained(tmp_path).lm_head.weight, model.lm_head.weight)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_disabled_is_the_base_for_a_moment(method):
    x = torch.randn(3, 64)
    module = pc.attach(net(), method, seed=0)
    base = module(x)
    disturb(module)
    apart = module(x)
    with pc.disabled(module) as plain, pc.disabled(module):
        assert plain is module
        assert torch.equal(module(x), base)
    assert torch.equal(module(x), apart)
    with pytest.raises(ZeroDivisionError), pc.disabled(pc.merge(module)):
        1 // int(not torch.equal(module(x), base))  # zero divides where the base alone has computed
    assert torch.equal(pc.unmerge(module)(x), apart)


def test_disabled_holds_for_a_single_layer_and_its_trained_bias():
    layer, x = nn.Linear(64, 4), torch.randn(3, 64)
    base = layer(x)
    wrapped = disturb(pc.attach(layer, pc.LoRA(rank=2, bias="all")))
    apart = wrapped(x)
    with pc.disabled(wrapped):
        assert torch.equal(wrapped(x), base)
    assert torch.equal(wrapped(x), apart)


def test_disabled_refuses_full_and_survives_a_detach_inside():
    with pytest.raises(ValueError, match="full fine-tuning"), pc.disabled(pc.attach(net(), pc.Full())):
        pass
    module = pc.attach(net(), pc.LoRA(rank=2))
    with pc.disabled(module):
        pc.detach(module)
    assert [type(layer) for layer in module] == [nn.Linear, nn.ReLU, nn.Linear]
    with pytest.raises(ValueError, match="no adapter"), pc.disabled(module):
        pass


def test_several_adapters_by_their_public_names():
    module, x = net(), torch.randn(3, 64)
    plain = module(x)
    pc.attach(module, METHODS[0], seed=0, adapter="one")
    one = disturb(module)(x)
    pc.attach(module, METHODS[1], seed=1, adapter="two")
    two = disturb(module)(x)
    assert pc.adapters(module) == {"one": METHODS[0], "two": METHODS[1]}
    assert torch.equal(pc.activate(module, "one")(x), one)
    assert pc.remove_adapter(module, "one") is module
    assert active_adapter(module) == "two"
    assert torch.equal(module(x), two)
    with pytest.raises(ValueError, match="adapter must be one of two, got 'one'"):
        pc.remove_adapter(module, "one")
    pc.merge(module)
    assert torch.equal(pc.remove_adapter(module, "two")(x), plain)
    assert pc.adapters(module) == {}
    layer = nn.Linear(64, 4)
    both = pc.attach(pc.attach(layer, METHODS[0], adapter="one"), METHODS[1], adapter="two")
    assert pc.adapters(pc.remove_adapter(both, "two")) == {"one": METHODS[0]}
