"""Adapter files: peft reads ours, we read peft's, and what is damaged or hostile changes nothing."""

from __future__ import annotations

import copy
import json
import struct
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import peftcalc as pc
from peftcalc.adapters.state import adapter_tensors, adapters

TENSORS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(30, 16), nn.Tanh(), nn.Linear(16, 12), nn.Linear(12, 12), nn.Linear(12, 6)).eval()


def image_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(6 * 36, 6)).eval()


def llama() -> nn.Module:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, num_key_value_heads=2, **sizes)).eval()


def gpt2() -> nn.Module:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=16, n_embd=32, n_layer=2, n_head=4)).eval()


def output(module: nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 30, (2, 7), generator=generator)
    with torch.no_grad():
        if isinstance(module, nn.Sequential) and isinstance(module[0], nn.Embedding):
            return module(tokens)
        try:
            return module(input_ids=tokens).logits
        except TypeError:
            return module(torch.randn(2, 3, 8, 8, generator=generator) if "Conv" in repr(module) else tokens)


def disturb(tensors) -> None:
    torch.manual_seed(7)
    with torch.no_grad():
        for tensor in tensors:
            tensor.add_(torch.randn_like(tensor), alpha=0.2)


NAMED = {"rank": 4, "alpha": 10, "targets": ["2", "3"]}
CASES = [
    (net, pc.LoRA(**NAMED)),
    (net, pc.DoRA(**NAMED, rslora=True)),
    (net, pc.LoRA(**NAMED, lora_bias=True, bias="lora_only")),
    (net, pc.DoRA(rank=4, alpha=10, bias="lora_only", targets=["0", "2"], modules_to_save=("4",))),
    (net, pc.LoRA(rank=4, alpha=10, rank_pattern={"3": 2}, alpha_pattern={"2": 3}, bias="all")),
    (image_net, pc.DoRA(rank=4, alpha=10, targets=["0", "2"])),
    (llama, pc.LoRA(rank=4, alpha=10)),
    (llama, pc.DoRA(rank=4, alpha=10, targets=["q_proj", "embed_tokens"], modules_to_save=("lm_head",))),
    (llama, pc.LoRA(rank=4, alpha=10, targets=r".*\.1\.mlp\..*_proj")),
    (gpt2, pc.DoRA(rank=4, alpha=10, targets=["c_attn", "c_proj"], layers_to_transform=(1,))),
]
QUIET = [
    "ignore:`is_gradient_checkpointing` is deprecated",
    "ignore:fan_in_fan_out is set to False",
    "ignore:`lora_bias=True` was passed",
    "ignore:Setting `save_embedding_layers`",
    "ignore:Could not identify embedding layer",
    "ignore:Adapter 'default'.*invalid shape",  # peft takes its own lora_B.bias for an incomplete shard
]
pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]


@pytest.mark.parametrize(("build", "method"), CASES, ids=lambda v: v.__name__ if callable(v) else repr(v))
def test_peft_reads_ours_and_we_read_it_back(build, method, tmp_path: Path):
    module = pc.attach(build(), method, seed=0)
    disturb(adapter_tensors(module).values())
    expected = output(module)
    assert pc.save_adapter(module, tmp_path) == tmp_path
    theirs = peft.PeftModel.from_pretrained(build(), tmp_path).eval()
    torch.testing.assert_close(output(theirs), expected, rtol=1e-5, atol=1e-5)
    fresh = pc.load_adapter(build(), tmp_path)
    assert torch.equal(output(fresh), expected)
    again = pc.load_adapter(pc.attach(build(), method), tmp_path)
    assert torch.equal(output(again), expected)


@pytest.mark.parametrize(("build", "method"), CASES, ids=lambda v: v.__name__ if callable(v) else repr(v))
def test_we_read_pefts(build, method, tmp_path: Path):
    theirs = peft.get_peft_model(build(), method.to_peft())
    disturb(p for p in theirs.parameters() if p.requires_grad)
    theirs.eval().save_pretrained(tmp_path)
    ours = pc.load_adapter(build(), tmp_path)
    torch.testing.assert_close(output(ours), output(theirs), rtol=1e-5, atol=1e-5)
    before = load_file(tmp_path / TENSORS)
    pc.save_adapter(ours, tmp_path / "ours")
    after = load_file(tmp_path / "ours" / TENSORS)
    assert after.keys() <= before.keys()  # peft writes copies and the base's embedding as well
    assert all(torch.equal(after[name], before[name]) for name in after)


@pytest.mark.parametrize(
    "method", [pc.QLoRA(rank=4, alpha=10), pc.QDoRA(rank=4, alpha=10, quant="fp4", double_quant=False)]
)
def test_a_quantized_base_is_quantized_again_on_loading(method, tmp_path: Path):
    module = pc.attach(llama(), method)
    disturb(adapter_tensors(module).values())
    pc.save_adapter(module, tmp_path)
    fresh = pc.load_adapter(llama(), tmp_path)
    assert torch.equal(output(fresh), output(module))
    assert type(adapters(fresh)["default"]) is type(method)


def test_several_adapters_from_files_share_one_base(tmp_path: Path):
    module = pc.attach(net(), pc.LoRA(**NAMED), adapter="one")
    disturb(adapter_tensors(module).values())
    pc.save_adapter(module, tmp_path / "one")
    first = output(module)
    pc.attach(module, pc.DoRA(**NAMED), adapter="two")
    pc.save_adapter(module, tmp_path / "two")
    pc.save_adapter(module, tmp_path / "one again", adapter="one")
    assert load_file(tmp_path / "one" / TENSORS).keys() == load_file(tmp_path / "one again" / TENSORS).keys()
    fresh = pc.load_adapter(pc.load_adapter(net(), tmp_path / "two", adapter="a"), tmp_path / "one", adapter="b")
    assert list(adapters(fresh)) == ["a", "b"]
    assert torch.equal(output(fresh), first)
    with pytest.raises(ValueError, match="adapter must be one of a, b"):
        pc.save_adapter(fresh, tmp_path, adapter="c")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    module = pc.attach(net(), pc.DoRA(**NAMED))
    disturb(adapter_tensors(module).values())
    return pc.save_adapter(module, tmp_path / "saved")


def cut(folder: Path) -> None:
    path = folder / TENSORS
    path.write_bytes(path.read_bytes()[:-40])


def empty(folder: Path) -> None:
    (folder / TENSORS).write_bytes(b"")


def huge_header(folder: Path) -> None:
    (folder / TENSORS).write_bytes(struct.pack("<Q", 2**62) + b"{}")


def pickle_only(folder: Path) -> None:
    (folder / TENSORS).rename(folder / "adapter_model.bin")


def no_files(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def edit_tensors(change) -> object:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        change(tensors)
        save_file(tensors, folder / TENSORS)

    return edit


def edit_config(**changes) -> object:
    def edit(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(config | changes))

    return edit


def write_config(text: str) -> object:
    return lambda folder: (folder / CONFIG).write_text(text)


A = "base_model.model.2.lora_A.weight"
DAMAGE = {
    "truncated": (cut, "cannot be read"),
    "empty": (empty, "cannot be read"),
    "huge header": (huge_header, "cannot be read"),
    "pickle": (pickle_only, "pickle"),
    "nothing": (no_files, "cannot read adapter_config.json"),
    "missing tensor": (edit_tensors(lambda t: t.pop(A)), "lacks"),
    "missing magnitude": (
        edit_tensors(lambda t: t.pop("base_model.model.2.lora_magnitude_vector")),
        "lacks 2.lora_magn",
    ),
    "foreign tensor": (edit_tensors(lambda t: t.update({"../../etc/passwd": torch.zeros(2)})), "does not belong"),
    "changed base": (
        edit_tensors(lambda t: t.update({"base_model.model.2.weight": torch.zeros(12, 16)})),
        "does not bel",
    ),
    "wrong width": (edit_tensors(lambda t: t.update({A: torch.zeros(4, 17)})), "shape"),
    "wrong rank": (edit_tensors(lambda t: t.update({A: torch.zeros(5, 16)})), "rank 4"),
    "nan": (edit_tensors(lambda t: t[A].fill_(float("nan"))), "finite"),
    "integers": (edit_tensors(lambda t: t.update({A: torch.zeros(4, 16, dtype=torch.int64)})), "finite"),
    "rank bomb": (edit_config(r=1_000_000), "rank 1,000,000"),
    "rank in words": (edit_config(r="eight"), "rank must be"),
    "negative alpha": (edit_config(lora_alpha=-1), "alpha must be"),
    "alpha as list": (edit_config(lora_alpha=[1]), "alpha must be"),
    "pattern as list": (edit_config(rank_pattern=[1]), "rank_pattern must give values to names"),
    "other method": (edit_config(peft_type="VERA"), "peft_type must be LORA"),
    "unknown start": (edit_config(init_lora_weights="corda"), "changed base"),
    "endless start": (edit_config(init_lora_weights="pissa_niter_99999999999"), "changed base"),
    "unknown setting": (edit_config(use_bdlora={"x": 1}), "use_bdlora"),
    "no targets": (edit_config(target_modules=None), "target_modules"),
    "other targets": (edit_config(target_modules=["9"]), "match no module"),
    "slow pattern": (edit_config(target_modules=r"(\d+)+\d+x" + "()" * 3), "match"),
    "not json": (write_config("{"), "not readable JSON"),
    "not an object": (write_config("[]"), "must hold names"),
    "deep": (write_config("[" * 100_000), "not readable JSON"),
    "big": (write_config(" " * 6_000_000), "at most"),
    "binary": (lambda folder: (folder / CONFIG).write_bytes(b"\x80\x04\x95"), "not readable JSON"),
    "bad quantization": (
        lambda folder: (folder / "peftcalc.json").write_text('{"quant": "nf9", "double_quant": true}'),
        "nf4",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("attached", [False, True])
def test_a_bad_file_is_one_sentence_and_changes_nothing(damage, attached, saved: Path):
    module = net()
    if attached:
        pc.attach(module, pc.DoRA(**NAMED), seed=1)
        disturb(adapter_tensors(module).values())
    before, state, layers = output(module), copy.deepcopy(module.state_dict()), list(module)
    harm, sentence = DAMAGE[damage]
    harm(saved)
    with pytest.raises(ValueError, match=sentence):
        pc.load_adapter(module, saved)
    assert torch.equal(output(module), before)
    assert list(module) == layers
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert list(adapters(module)) == (["default"] if attached else [])
    assert all(p.requires_grad for p in module.parameters()) or attached


def test_another_scale_is_not_taken_for_the_same_adapter(saved: Path):
    module = pc.attach(net(), pc.DoRA(rank=4, alpha=20, targets=["2", "3"]))
    with pytest.raises(ValueError, match=r"scales the update of 2 by 2\.5, and adapter 'default' by 5"):
        pc.load_adapter(module, saved)


def test_full_and_bare_modules_have_nothing_to_save(tmp_path: Path):
    with pytest.raises(ValueError, match="no adapter"):
        pc.save_adapter(net(), tmp_path)
    with pytest.raises(ValueError, match="full fine-tuning"):
        pc.save_adapter(pc.attach(net(), pc.Full()), tmp_path)


def test_a_single_layer_travels_too(tmp_path: Path):
    layer = nn.Linear(6, 4)
    wrapped = pc.attach(layer, pc.DoRA(rank=2))
    disturb(adapter_tensors(wrapped).values())
    pc.save_adapter(wrapped, tmp_path)
    x = torch.randn(3, 6)
    assert torch.equal(pc.load_adapter(copy.deepcopy(layer).requires_grad_(True), tmp_path)(x), wrapped(x))
