"""The total that older stacks print for a base in 4 bits, against transformers' own replacement of its layers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers as tf

from peftcalc import DoRA, LoRA, QDoRA, QLoRA, count
from peftcalc.counting.packed_base import packed_total
from peftcalc.models.load import load_model

SIZE: dict[str, Any] = {
    "hidden_size": 40,
    "intermediate_size": 95,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 127,
}
GPT = {"n_embd": 36, "n_layer": 3, "n_head": 4, "vocab_size": 127}
T5 = {"d_model": 63, "d_kv": 5, "d_ff": 95, "num_layers": 3, "num_heads": 3, "vocab_size": 127}
MODELS: dict[str, Callable[[], Any]] = {
    "Llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**SIZE, num_key_value_heads=2)),
    "Llama tied": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**SIZE, tie_word_embeddings=True, attention_bias=True)),
    "Llama classifier": lambda: tf.LlamaForSequenceClassification(tf.LlamaConfig(**SIZE, num_labels=3)),
    "GPT-2": lambda: tf.GPT2LMHeadModel(tf.GPT2Config(**GPT)),
    "GPT-J": lambda: tf.GPTJForCausalLM(tf.GPTJConfig(**GPT, rotary_dim=4)),
    "GPT-NeoX": lambda: tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**SIZE)),
    "Mixtral": lambda: tf.MixtralForCausalLM(tf.MixtralConfig(**SIZE, num_key_value_heads=2, num_local_experts=3)),
    "T5": lambda: tf.T5ForConditionalGeneration(tf.T5Config(**T5)),
    "T5 untied": lambda: tf.T5ForConditionalGeneration(tf.T5Config(**T5, tie_word_embeddings=False)),
    "BERT masked": lambda: tf.BertForMaskedLM(tf.BertConfig(**SIZE)),
    "OPT": lambda: tf.OPTForCausalLM(
        tf.OPTConfig(
            hidden_size=36,
            ffn_dim=95,
            num_hidden_layers=3,
            num_attention_heads=4,
            vocab_size=127,
            word_embed_proj_dim=17,
        )
    ),
}


def built(name: str) -> Any:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[name]()


def in_four_bits(module: Any, skip: list[str] | None = None) -> int:
    """What adding up `numel()` gives once transformers has put in the layers of bitsandbytes, which pack on loading."""
    from transformers.integrations import replace_with_bnb_linear
    from transformers.quantizers.base import HfQuantizer

    settings = tf.BitsAndBytesConfig(load_in_4bit=True)
    kept = HfQuantizer.get_modules_to_not_convert(module, skip, module._keep_in_fp32_modules)
    replaced = replace_with_bnb_linear(module, kept, settings)
    return sum(
        -(-parameter.numel() // 2) if type(parameter).__name__ == "Params4bit" else parameter.numel()
        for parameter in replaced.parameters()
    )


@pytest.mark.parametrize("name", MODELS)
def test_the_layers_are_those_that_transformers_replaces(name: str) -> None:
    shapes = load_model(built(name))
    printed = in_four_bits(built(name))
    assert packed_total(shapes, shapes.total) == printed < shapes.total


@pytest.mark.parametrize(
    "skip", [[], ["lm_head"], ["q_proj"], ["model.layers.1"], ["mlp"], ["lm_head", "c_attn", "encoder"]], ids=str
)
@pytest.mark.parametrize("name", ["Llama", "GPT-J", "GPT-NeoX", "Mixtral"])
def test_a_list_of_what_is_kept_takes_the_place_of_the_head(name: str, skip: list[str]) -> None:
    shapes = load_model(built(name))
    settings = {"quantization_config": {"load_in_4bit": True, "llm_int8_skip_modules": skip}}
    listed = replace(shapes, config={**shapes.config, **settings})
    assert packed_total(listed, shapes.total) == in_four_bits(built(name), skip)


def test_bitsandbytes_packs_two_numbers_in_a_byte() -> None:
    """An odd number too: the last byte is half empty."""
    import bitsandbytes as bnb

    for rows, columns in ((6, 8), (5, 7)):
        packed = bnb.nn.Params4bit(torch.randn(rows, columns), requires_grad=False, quant_type="nf4").to("cpu")
        assert packed.numel() == -(-rows * columns // 2)


def test_a_head_stays_in_floats_as_older_transformers_kept_it() -> None:
    """The last module; transformers 5.23 spells a last bias wrongly, and quantizes heads that have one."""
    shapes = load_model(tf.BertForSequenceClassification(tf.BertConfig(**SIZE, num_labels=3)))
    linear = [group for group in shapes.groups if group.kind == "linear" and group.template != "classifier"]
    assert shapes.total - packed_total(shapes, shapes.total) == sum(
        group.repeats * (group.tensors[0].numel // 2) for group in linear
    )


def test_classes_derived_from_linear_were_replaced_too() -> None:
    """Falcon's; older releases asked for `isinstance`, transformers 5.23 asks for the exact class."""
    config = tf.FalconConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=128)
    shapes = load_model(tf.FalconForCausalLM(config))
    in_a_layer = 64 * (64 + 2 * 16) + 64 * 64 + 2 * 64 * 256  # one key and value head for all
    assert shapes.total - packed_total(shapes, shapes.total) == 2 * in_a_layer // 2


@pytest.mark.parametrize("kind", [QLoRA, QDoRA])
def test_the_published_total(kind: type[LoRA]) -> None:
    """peft#1020: GPT-NeoX-20B, rank 8 on query_key_value."""
    result = count("EleutherAI/gpt-neox-20b", kind(rank=8, alpha=32, targets=["query_key_value"]))
    magnitudes = result.trainable - 8_650_752
    assert result.total - magnitudes == 20_563_218_432
    assert f"print {10_597_552_128 + magnitudes:,} parameters in all (0.08" in result.notes[-1]
    assert f"the logical total is {result.total:,}" in result.notes[-1]


def test_only_a_base_in_four_bits_has_it() -> None:
    for kind in (LoRA, DoRA):
        assert not count("EleutherAI/gpt-neox-20b", kind(rank=8)).notes
    config = dict(tf.LlamaConfig(**SIZE).to_dict(), model_type="llama")
    settings = {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "llm_int8_skip_modules": ["lm_head", "model.layers.1.mlp"],
    }
    plain, packed = (count(c, QLoRA(rank=2)) for c in (config, config | {"quantization_config": settings}))
    both = [int(re.findall(r"print ([\d,]+)", result.notes[-1])[0].replace(",", "")) for result in (plain, packed)]
    assert both[1] - both[0] == 3 * (40 * 95 // 2)  # the second keeps one layer's feed-forward block in floats
    assert "older stacks" in count(config | {"quantization_config": settings}, LoRA(rank=2)).notes[-1]
    assert not count(torch.nn.Sequential(torch.nn.Linear(8, 8)), QLoRA(rank=2)).notes
