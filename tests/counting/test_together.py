"""Options of an adapter's file that meet: saved modules in saved modules, parameters beside modules, tokens in copies.

Found by drawing options at random and asking peft; each row once was another number than peft's, or was counted where
peft refuses, or refused where peft counts.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import transformers as tf
from torch import nn

from peftcalc import DoRA, LoRA, count, read_adapter_config
from peftcalc.models.load import load_model

SIZE: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 40,
}
GROUPED = {**SIZE, "num_key_value_heads": 2}
T5 = {"d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 4, "vocab_size": 40}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
MODELS: dict[str, Callable[[], Any]] = {
    "Llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**GROUPED)),
    "Llama classifier": lambda: tf.LlamaForSequenceClassification(tf.LlamaConfig(**GROUPED)),
    "Mixtral": lambda: tf.MixtralForCausalLM(tf.MixtralConfig(**GROUPED, **EXPERTS)),
    "OLMoE": lambda: tf.OlmoeForCausalLM(tf.OlmoeConfig(**GROUPED, num_experts=4, num_experts_per_tok=2)),
    "GPT-2": lambda: tf.GPT2LMHeadModel(tf.GPT2Config(n_embd=16, n_layer=2, n_head=4, vocab_size=40)),
    "GPT-NeoX": lambda: tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**SIZE)),
    "T5": lambda: tf.T5ForConditionalGeneration(tf.T5Config(**T5)),
    "BERT": lambda: tf.BertModel(tf.BertConfig(**SIZE)),
    "RoBERTa classifier": lambda: tf.RobertaForSequenceClassification(tf.RobertaConfig(**SIZE)),
    "Mamba": lambda: tf.MambaForCausalLM(tf.MambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=40)),
    "XLM": lambda: tf.XLMForSequenceClassification(
        tf.XLMConfig(emb_dim=16, n_layers=2, n_heads=4, vocab_size=40, max_position_embeddings=16)
    ),
    "ResNet": lambda: tf.ResNetForImageClassification(
        tf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 2], layer_type="basic")
    ),
    "plain": lambda: nn.Sequential(nn.Linear(6, 8), nn.Conv2d(4, 8, 3), nn.Embedding(10, 6), nn.Linear(16, 2)),
    "torch encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 4, 24), 2, enable_nested_tensor=False
    ),
}

COUNTED: dict[str, tuple[str, dict[str, Any]]] = {
    "a saved module in a saved one": ("Llama", {"modules_to_save": ["mlp", "down_proj"]}),
    "two levels below a saved one": ("Llama", {"modules_to_save": ["layers.1", "1.mlp.down_proj"]}),
    "three levels below a saved one": (
        "Llama",
        {"target_modules": ["lm_head"], "modules_to_save": ["model", "0.mlp.down_proj"]},
    ),
    "a head and its layer": (
        "RoBERTa classifier",
        {"target_modules": ["query"], "modules_to_save": ["classifier", "out_proj"]},
    ),
    "parameters of one layer, modules of another": (
        "Llama",
        {"target_modules": ["0.mlp.down_proj"], "target_parameters": ["1.mlp.down_proj.weight"]},
    ),
    "parameters of plain modules": ("plain", {"target_modules": ["3"], "target_parameters": ["0.weight"]}),
    "no targets, parameters, peft's own": ("T5", {"target_modules": None, "target_parameters": ["wi.weight"]}),
    "no targets, parameters, stacked experts": (
        "Mixtral",
        {"target_modules": None, "target_parameters": ["down_proj"]},
    ),
    "tokens in a saved module": (
        "XLM",
        {
            "target_modules": ["summary"],
            "modules_to_save": ["transformer"],
            "trainable_token_indices": {"position_embeddings": [0, 2]},
        },
    ),
    "tokens of a saved table": (
        "GPT-NeoX",
        {"target_modules": ["query_key_value"], "modules_to_save": ["embed_in"], "trainable_token_indices": [1]},
    ),
    "tokens of a plain table beside an adapter": (
        "plain",
        {"target_modules": ["3"], "trainable_token_indices": {"2": [0, 2]}},
    ),
    "an odd rank on an embedding": (
        "Llama",
        {"r": 3, "target_modules": ["embed_tokens"], "init_lora_weights": "orthogonal"},
    ),
    "an empty list of layers": ("Llama", {"layers_to_transform": []}),
    "an empty list of layers and a pattern": ("Llama", {"layers_to_transform": [], "layers_pattern": "layers"}),
}
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "a list of modules in a saved one": (
        "BERT",
        {"target_modules": ["query"], "modules_to_save": ["encoder", "layer"]},
    ),
    "a saved module whose parameter is adapted": (
        "Mixtral",
        {"target_parameters": ["down_proj"], "modules_to_save": ["experts"]},
    ),
    "a part of the adapters": ("BERT", {"target_modules": ["query"], "modules_to_save": ["dropout"]}),
    "tokens of a table whose weight is adapted": (
        "Llama",
        {"target_parameters": ["embed_tokens.weight"], "trainable_token_indices": [1]},
    ),
    "no targets, stacked experts": ("Mixtral", {"target_modules": None}),
    "the weight of a Conv1D": ("GPT-2", {"target_modules": ["c_fc"], "target_parameters": ["c_attn.weight"]}),
    "a parameter of a Mamba block": (
        "Mamba",
        {"target_modules": ["dt_proj"], "target_parameters": ["conv1d.weight"]},
    ),
    "an orthogonal start of a convolution": (
        "ResNet",
        {"target_modules": ["convolution"], "init_lora_weights": "orthogonal"},
    ),
    "an orthogonal start of experts": (
        "OLMoE",
        {"target_modules": ["k_proj"], "target_parameters": ["down_proj"], "init_lora_weights": "orthogonal"},
    ),
    "MiCA on a parameter": (
        "Llama",
        {"target_modules": ["q_proj"], "target_parameters": ["k_proj.weight"], "init_lora_weights": "mica"},
    ),
    "an empty list of layers and a pattern for names": (
        "Llama",
        {"target_modules": ".*q_proj", "layers_to_transform": []},
    ),
    "repeated layers of a plain module": (
        "torch encoder",
        {"target_modules": ["linear1"], "layer_replication": [[1, 2]]},
    ),
    "text of a classifier": ("Llama classifier", {"task_type": "CAUSAL_LM"}),
    "text of two sequences of a bare model": ("BERT", {"target_modules": ["query"], "task_type": "SEQ_2_SEQ_LM"}),
}
ANY = {"peft_type": "LORA", "r": 4, "lora_alpha": 12, "target_modules": ["q_proj"]}


def theirs(name: str, config: dict[str, Any]) -> tuple[int, int]:
    from peft import LoraConfig, get_peft_model

    settings = copy.deepcopy({key: value for key, value in config.items() if key != "peft_type"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_peft_model(MODELS[name](), LoraConfig(**settings)).get_nb_trainable_parameters()


def ours(name: str, config: dict[str, Any]) -> tuple[int, int]:
    report = read_adapter_config(config, base=MODELS[name]())
    assert sum(part.trainable for part in report.count.parts) == report.trainable
    return report.trainable, report.total


@pytest.mark.parametrize("what", COUNTED)
def test_what_peft_counts(what: str) -> None:
    name, options = COUNTED[what]
    assert ours(name, {**ANY, **options}) == theirs(name, {**ANY, **options})


@pytest.mark.parametrize("what", REFUSED)
def test_what_peft_refuses(what: str) -> None:
    name, options = REFUSED[what]
    with pytest.raises(Exception, match=r"\S") as said:  # of many kinds
        theirs(name, {**ANY, **options})
    assert isinstance(said.value, ValueError | TypeError | AttributeError)
    with pytest.raises(ValueError, match=r"\S") as caught:
        ours(name, {**ANY, **options})
    assert "\n" not in str(caught.value)


def test_a_layer_of_a_task_s_head_is_not_saved_twice() -> None:
    method = LoRA(targets=["query"], modules_to_save=("out_proj",))
    with pytest.raises(ValueError, match=r"classifier\.out_proj lies in another module that is saved"):
        count(load_model(MODELS["RoBERTa classifier"]()), method, "SEQ_CLS")


def test_a_parameter_of_the_same_layer_is_refused_by_its_name() -> None:
    method = DoRA(targets=["1.mlp.down_proj"], target_parameters=("down_proj.weight",))
    with pytest.raises(ValueError, match=r"layers\.1\.mlp\.down_proj is named by targets and its parameter weight"):
        count(load_model(MODELS["Llama"]()), method)
