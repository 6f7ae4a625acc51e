"""Reading modules: the totals of torch itself, ties, kinds, and layers gathered."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

from peftcalc.models.read import read_module

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 64,
}


def llama(**changes: object) -> nn.Module:
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**SMALL, **changes}))


def kinds(module: nn.Module) -> dict[str, str]:
    return {group.template: group.kind for group in read_module(module).groups}


@pytest.mark.parametrize("tied", [False, True])
def test_the_total_is_that_of_torch(tied: bool) -> None:
    module = llama(tie_word_embeddings=tied)
    assert read_module(module).total == sum(parameter.numel() for parameter in module.parameters())


def test_a_tied_head_points_to_its_owner() -> None:
    head = read_module(llama(tie_word_embeddings=True)).groups[-1]
    assert (head.template, head.tensors[0].tied_to) == ("lm_head", "model.embed_tokens.weight")


def test_layers_are_gathered_whatever_the_depth() -> None:
    shallow, deep = (read_module(llama(num_hidden_layers=depth)) for depth in (2, 12))
    assert len(shallow.groups) == len(deep.groups) == 12
    assert deep.groups[1].indices == tuple(range(12))


def test_every_kind_of_module_is_told_apart() -> None:
    module = nn.ModuleDict(
        {
            "linear": nn.Linear(3, 4),
            "table": nn.Embedding(5, 6),
            "image": nn.Conv2d(2, 4, (3, 5), groups=2),
            "sound": nn.Conv1d(2, 4, 3),
            "film": nn.Conv3d(2, 4, 3),
            "attention": nn.MultiheadAttention(8, 2),
            "norm": nn.LayerNorm(8),
            "gpt2": transformers.pytorch_utils.Conv1D(4, 3),
            "activation": nn.ReLU(),
        }
    )
    assert kinds(module) == {
        "linear": "linear",
        "table": "embedding",
        "image": "conv2d",
        "sound": "conv1d_nn",
        "film": "conv3d",
        "attention": "attention",
        "attention.out_proj": "linear",
        "norm": "norm",
        "gpt2": "conv1d",
    }
    shapes = read_module(module)
    image = next(group for group in shapes.groups if group.template == "image")
    assert (image.in_features, image.out_features, image.kernel, image.convolution_groups) == (2, 4, (3, 5), 2)
    assert "activation" in [group.template for group in shapes.bare]


def test_conv1d_of_gpt2_has_its_widths_the_right_way_round() -> None:
    group = read_module(nn.Sequential(transformers.pytorch_utils.Conv1D(12, 4))).groups[0]
    assert (group.in_features, group.out_features, group.tensors[0].shape) == (4, 12, (4, 12))


def test_widths_that_a_config_made_by_torch_are_read_from_the_weight() -> None:
    """`inkling_mm_model` does; on the meta device such a width has no value, and no record can be written of it."""
    with torch.device("meta"):
        module = nn.ModuleDict(
            {
                "linear": nn.Linear(3, 4),
                "table": nn.Embedding(5, 6),
                "image": nn.Conv2d(8, 10, (3, 5), groups=2),
                "attention": nn.MultiheadAttention(8, 2),
            }
        )
        module["linear"].in_features = module["table"].embedding_dim = torch.tensor(7)
        module["image"].in_channels = module["attention"].embed_dim = torch.tensor(7)
        module["image"].kernel_size = (torch.tensor(7), 5)
    found = {group.template: group for group in read_module(module).groups}
    widths = {name: (group.in_features, group.out_features) for name, group in found.items()}
    assert {name: widths[name] for name in module} == {
        "linear": (3, 4),
        "table": (5, 6),
        "image": (8, 10),
        "attention": (8, 24),
    }
    assert found["image"].kernel == (3, 5)
    assert all(type(number) is int for pair in widths.values() for number in pair)


def test_a_model_whose_getter_of_embeddings_raises_has_none() -> None:
    with torch.device("meta"):
        module = transformers.PoolFormerForImageClassification(transformers.PoolFormerConfig(num_encoder_blocks=0))
    with pytest.raises(IndexError):
        module.get_input_embeddings()
    assert read_module(module).input_embedding is None


def test_a_module_used_twice_is_one_module() -> None:
    shared = nn.Linear(4, 4)
    assert read_module(nn.ModuleDict({"first": shared, "second": shared})).total == 20


def test_expert_stacks_are_experts_and_know_their_naming() -> None:
    with torch.device("meta"):
        module = transformers.MixtralForCausalLM(transformers.MixtralConfig(**SMALL, num_local_experts=4))
    shapes = read_module(module)
    assert kinds(module)["model.layers.{}.mlp.experts"] == "experts"
    assert shapes.expert_names == "mixtral"
    assert read_module(llama()).expert_names is None


def test_parameters_that_are_never_trained_are_marked() -> None:
    with torch.device("meta"):
        module = transformers.WhisperForConditionalGeneration(
            transformers.WhisperConfig(d_model=36, encoder_layers=1, decoder_layers=1, vocab_size=60_000)
        )
    frozen = [group.template for group in read_module(module).groups for tensor in group.tensors if tensor.frozen]
    assert frozen == ["model.encoder.embed_positions"]


def test_a_module_without_layers_keeps_its_names() -> None:
    assert [group.template for group in read_module(nn.Linear(2, 2)).groups] == [""]
