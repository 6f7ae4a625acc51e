"""What else an adapter's file may hold: peft itself is asked for every number, on small models of the real classes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as tf

from peftcalc import read_adapter_config
from peftcalc.counting.adapter_files.kinds import COUNTED, OTHER_KINDS, STARTS, kind_of, start_of

SIZE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 128,
}
LLAMA = {**SIZE, "num_key_value_heads": 2}
GPT = {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 128}
T5 = {"d_model": 64, "d_kv": 24, "d_ff": 96, "num_layers": 3, "num_heads": 4, "vocab_size": 128}

MODELS: dict[str, Callable[[], Any]] = {
    "Llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**LLAMA)),
    "Llama tied": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**LLAMA, tie_word_embeddings=True, attention_bias=True)),
    "Mixtral": lambda: tf.MixtralForCausalLM(tf.MixtralConfig(**LLAMA, num_local_experts=4)),
    "GPT-2": lambda: tf.GPT2LMHeadModel(tf.GPT2Config(**GPT)),
    "GPT-NeoX": lambda: tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**SIZE)),
    "Gemma": lambda: tf.GemmaForCausalLM(tf.GemmaConfig(**LLAMA, head_dim=32)),
    "T5": lambda: tf.T5ForConditionalGeneration(tf.T5Config(**T5)),
    "BERT": lambda: tf.BertModel(tf.BertConfig(**SIZE)),
    "BERT classifier": lambda: tf.BertForSequenceClassification(tf.BertConfig(**SIZE)),
    "RoBERTa classifier": lambda: tf.RobertaForSequenceClassification(tf.RobertaConfig(**SIZE)),
    "Mamba": lambda: tf.MambaForCausalLM(tf.MambaConfig(hidden_size=64, num_hidden_layers=2, vocab_size=128)),
    "ViT classifier": lambda: tf.ViTForImageClassification(
        tf.ViTConfig(**{k: v for k, v in SIZE.items() if k != "vocab_size"}, image_size=32, patch_size=8)
    ),
}


def built(name: str) -> Any:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[name]()


def theirs(name: str, config: dict[str, Any]) -> tuple[int, int] | None:
    """(trainable, all) as peft counts them, None when peft refuses.

    Real weights, since what peft shares between modules is no longer shared on the meta device.
    """
    from peft import get_peft_model
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    settings = {key: value for key, value in config.items() if key != "peft_type"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            described = PEFT_TYPE_TO_CONFIG_MAPPING[config["peft_type"]](**settings)
            return get_peft_model(MODELS[name](), described).get_nb_trainable_parameters()
        except (ValueError, TypeError, IndexError, AttributeError):  # the last where a table of tokens has no weight
            return None


def ours(name: str, config: dict[str, Any]) -> tuple[int, int] | None:
    try:
        report = read_adapter_config(config, base=built(name))
    except ValueError:
        return None
    assert sum(part.trainable for part in report.count.parts) == report.trainable
    return report.trainable, report.total


LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "down_proj"]}
EXTRAS: dict[str, dict[str, Any]] = {
    "tokens": {"trainable_token_indices": [1, 5, 77]},
    "tokens by name": {"trainable_token_indices": {"embed_tokens": [1, 5]}},
    "tokens of the head": {"trainable_token_indices": {"lm_head": [3]}},
    "tokens of both": {"trainable_token_indices": {"embed_tokens": [1, 5], "lm_head": [1, 5]}},
    "tokens of both, the head first": {"trainable_token_indices": {"lm_head": [1, 5], "embed_tokens": [1, 5]}},
    "other tokens of both": {"trainable_token_indices": {"embed_tokens": [1, 5], "lm_head": [1]}},
    "other tokens of both, tied": {
        "trainable_token_indices": {"embed_tokens": [1, 5], "lm_head": [1]},
        "ensure_weight_tying": True,
    },
    "tokens and a copy": {"trainable_token_indices": {"embed_tokens": [1]}, "modules_to_save": ["embed_tokens"]},
    "tokens and another copy": {"trainable_token_indices": [1], "modules_to_save": ["norm"]},
    "tokens and an adapter": {"trainable_token_indices": [1], "target_modules": ["q_proj", "embed_tokens"]},
    "tokens of nothing": {"trainable_token_indices": {"embed_token": [1]}},
    "tokens and biases": {"trainable_token_indices": [1, 2], "bias": "all"},
    "layers": {"layer_replication": [[0, 3], [1, 4]]},
    "fewer layers": {"layer_replication": [[1, 3]]},
    "layers and biases": {"layer_replication": [[0, 4], [2, 4]], "bias": "all"},
    "layers, own biases": {"layer_replication": [[0, 4], [2, 4]], "bias": "lora_only", "use_dora": True},
    "layers and a copy": {"layer_replication": [[0, 2], [0, 2]], "modules_to_save": ["layers.3.mlp"]},
    "layers, all linear": {"layer_replication": [[0, 2], [0, 2]], "target_modules": "all-linear"},
    "layers, some": {"layer_replication": [[0, 4], [2, 4]], "layers_to_transform": [0, 5]},
    "layers beyond the model": {"layer_replication": [[0, 5]]},
    "tied copy of the embedding": {"ensure_weight_tying": True, "modules_to_save": ["embed_tokens"]},
    "tied copy of the head": {"ensure_weight_tying": True, "modules_to_save": ["lm_head"]},
    "tied copy of both": {"ensure_weight_tying": True, "modules_to_save": ["lm_head", "embed_tokens", "norm"]},
    "tied adapter": {"ensure_weight_tying": True, "target_modules": ["q_proj", "embed_tokens"]},
    "tied adapter of the head": {"ensure_weight_tying": True, "target_modules": ["q_proj", "lm_head"]},
    "tied adapter by pattern": {"ensure_weight_tying": True, "target_modules": r".*(q_proj|embed_tokens)"},
    "tied for nothing": {"ensure_weight_tying": True},
    "aLoRA": {"alora_invocation_tokens": [1, 2], "task_type": "CAUSAL_LM"},
}


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("name", ["Llama", "Llama tied"])
def test_extras_are_counted_as_peft_counts_them(name: str, extra: str) -> None:
    config = {**LORA, **EXTRAS[extra]}
    assert ours(name, config) == theirs(name, config)


def test_peft_counts_most_extras() -> None:
    """Were peft to refuse them all, the comparison above would prove nothing."""
    refused = {extra for extra, settings in EXTRAS.items() if theirs("Llama tied", {**LORA, **settings}) is None}
    assert len(refused) <= 6


@pytest.mark.parametrize("name", ["GPT-2", "GPT-NeoX", "BERT", "BERT classifier", "RoBERTa classifier", "T5", "Gemma"])
def test_layers_are_repeated_where_peft_finds_them(name: str) -> None:
    config = {**LORA, "target_modules": "all-linear", "layer_replication": [[0, 2], [1, 3]]}
    assert ours(name, config) == theirs(name, config)


WIDE = {"r": 40, "target_modules": ["k_proj", "q_proj"]}
"""A rank above the smaller side of k_proj."""


@pytest.mark.parametrize("start", [*STARTS, "pissa_niter_4", "pissa_niter_x", "nonsense", "OLoRA", "GAUSSIAN", "PiSSA"])
@pytest.mark.parametrize("extra", [{}, {"use_dora": True}, {"lora_bias": True}, {"r": 5}, WIDE], ids=repr)
def test_starts_train_what_peft_trains(start: str, extra: dict[str, Any]) -> None:
    """Those that need data, gradients or a GPU are only read."""
    value = {"True": True, "False": False}.get(start, start)
    settings = {**LORA, "init_lora_weights": value, **extra}
    if start in ("eva", "corda", "lora_ga", "loftq"):
        report = read_adapter_config({**settings, "lora_bias": False}, base=built("Llama"))
        assert STARTS[start] in " ".join(report.explanation)
        same = "pissa" if start == "loftq" else True  # both take their vectors from W, which has no more than its side
        assert report.total == ours("Llama", {**settings, "init_lora_weights": same, "lora_bias": False})[1]  # pyright: ignore
        return
    assert ours("Llama", settings) == theirs("Llama", settings)


@pytest.mark.parametrize("modules", [["embed_tokens"], ["q_proj", "lm_head"]])
def test_mica_trains_the_first_factor_alone(modules: list[str]) -> None:
    config = {**LORA, "target_modules": modules, "init_lora_weights": "mica"}
    assert ours("Llama", config) == theirs("Llama", config)


OTHERS: dict[str, dict[str, Any]] = {
    "VeRA": {"peft_type": "VERA", "r": 40, "target_modules": "all-linear"},
    "VeRA by names": {"peft_type": "VERA", "r": 7, "target_modules": ["q_proj", "query", "c_attn", "q", "x_proj"]},
    "VeRA biases": {"peft_type": "VERA", "target_modules": ["q_proj", "query", "c_attn"], "bias": "all"},
    "VeRA own biases": {"peft_type": "VERA", "target_modules": r".*(q_proj|query|c_attn|fc)", "bias": "vera_only"},
    "VeRA layers": {"peft_type": "VERA", "target_modules": ["q_proj", "query"], "layers_to_transform": [1]},
    "VeRA copies": {"peft_type": "VERA", "target_modules": ["q_proj"], "modules_to_save": ["norm", "classifier"]},
    "VeRA defaults": {"peft_type": "VERA"},
    "VeRA on embeddings": {"peft_type": "VERA", "target_modules": ["embed_tokens", "wte", "word_embeddings"]},
    "VeRA on Mamba": {"peft_type": "VERA", "target_modules": ["out_proj"]},
    "AdaLoRA": {"peft_type": "ADALORA", "init_r": 6, "target_r": 3, "total_step": 10, "target_modules": "all-linear"},
    "AdaLoRA by names": {
        "peft_type": "ADALORA",
        "total_step": 10,
        "lora_alpha": 5,
        "target_modules": ["q_proj", "query", "c_attn", "projection", "q"],
        "bias": "lora_only",
    },
    "AdaLoRA defaults": {"peft_type": "ADALORA", "total_step": 10, "bias": "all"},
    "AdaLoRA excludes": {
        "peft_type": "ADALORA",
        "total_step": 10,
        "target_modules": "all-linear",
        "exclude_modules": ["down_proj", "value"],
        "modules_to_save": ["lm_head"],
    },
    "AdaLoRA layers": {
        "peft_type": "ADALORA",
        "total_step": 10,
        "target_modules": ["q_proj", "query"],
        "layers_to_transform": [0, 2],
        "trainable_token_indices": [1, 2],
    },
    "AdaLoRA deeper": {
        "peft_type": "ADALORA",
        "total_step": 10,
        "target_modules": ["q_proj"],
        "layer_replication": [[0, 2], [0, 2]],
    },
    "AdaLoRA with DoRA": {"peft_type": "ADALORA", "total_step": 10, "target_modules": ["q_proj"], "use_dora": True},
    "AdaLoRA on embeddings": {"peft_type": "ADALORA", "total_step": 10, "target_modules": ["embed_tokens", "wte"]},
    "AdaLoRA on Mamba": {"peft_type": "ADALORA", "total_step": 10, "target_modules": ["out_proj", "x_proj"]},
}


QUICK = ("Llama", "GPT-2", "BERT classifier", "Mamba")


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in MODELS])
def test_vera_and_adalora_are_counted_as_peft_counts_them(name: str, other: str) -> None:
    assert ours(name, OTHERS[other]) == theirs(name, OTHERS[other])


def test_most_of_them_are_counted() -> None:
    counted = sum(theirs(name, OTHERS[other]) is not None for other in OTHERS for name in ("Llama", "GPT-2", "BERT"))
    assert counted >= 30


def test_the_file_of_vera_holds_the_shared_matrices(tmp_path: Any) -> None:
    from peft import VeraConfig, get_peft_model
    from safetensors import safe_open

    for saved in (True, False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            described = VeraConfig(r=5, target_modules=["q_proj", "down_proj"], save_projection=saved)
            get_peft_model(MODELS["Llama"](), described).save_pretrained(tmp_path)
        report = read_adapter_config(tmp_path, base=built("Llama"))
        with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
            held = sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118
        assert report.count.adapter_bytes_fp32 == held
        assert ("are in the file" in " ".join(report.explanation)) is saved
    assert (report.peft_type, repr(report.method)) == (
        "VERA",
        f"VeRA(rank=5, targets={report.method.targets!r}, save_projection=False)",
    )


def test_adalora_says_what_its_budget_left() -> None:
    config = {**OTHERS["AdaLoRA"], "rank_pattern": {"a.lora_E": [True, False, True], "b.lora_E": [False, True, True]}}
    report = read_adapter_config(config, base=built("Llama"))
    text = " ".join(report.explanation)
    for words in ("AdaLoRA", "starts at rank 6", "cut to 3", "4 ranks are left in 2 layers", f"{report.trainable:,}"):
        assert words in text


def test_extras_are_explained() -> None:
    config = {
        **LORA,
        "trainable_token_indices": [7, 9],
        "layer_replication": [[0, 4], [2, 4]],
        "init_lora_weights": "pissa",
    }
    text = " ".join(read_adapter_config(config, base=built("Llama")).explanation)
    for words in (
        "2 rows of model.embed_tokens",
        "128 parameters",
        "Layers are repeated",
        "'pissa'",
        "largest singular",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trainable_token_indices": [128]}, "trainable_token_indices must be between 0 and 127, got 128"),
        ({"trainable_token_indices": "all"}, "must be a list of row numbers"),
        ({"trainable_token_indices": {"q_projj": [1]}}, "'q_projj', which is no module"),
        ({"trainable_token_indices": {"norm": [1]}}, "peft trains rows of embeddings"),
        ({"layer_replication": [[0, 9]]}, "layer_replication must be between -4 and 4, got 9"),
        ({"layer_replication": [0, 2]}, "[start, end] pairs"),
        ({"layer_replication": [[2, 2]]}, "leaves no layer"),
        ({"layer_replication": [[0, 4]] * 501}, "at most 2,000"),
        ({"init_lora_weights": "pisa"}, "did you mean 'pissa'?"),
        ({"init_lora_weights": "orthogonal", "r": 3}, "an even rank"),
        ({"init_lora_weights": "mica", "r": 200}, "rank of at most 64"),
        ({"peft_type": "ADALORA", "target_parameters": ["q_proj.weight"]}, "peft refuses target_parameters"),
        ({"peft_type": "VERA", "target_modules": ["embed_tokens"]}, "VeRA adapts linear and conv1d layers"),
        ({"peft_type": "LOAR"}, "did you mean LORA?"),
    ],
)
def test_extras_that_cannot_be_are_sentences(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        read_adapter_config({**LORA, **change}, base=built("Llama"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_type_that_peft_knows_has_its_sentence() -> None:
    from peft import PeftType

    assert {kind.value for kind in PeftType} | {"BONE"} == {*COUNTED, *OTHER_KINDS}
    for kind, what in OTHER_KINDS.items():
        with pytest.raises(ValueError, match=r"peft_type must be LORA .*, got ") as caught:
            kind_of(kind.lower())
        assert what in str(caught.value)


def test_every_start_that_peft_lists_has_its_sentence() -> None:
    from peft import LoraConfig

    listed = str(LoraConfig.__dataclass_fields__["init_lora_weights"].type)
    for start in STARTS:
        assert start in ("True", "False", "lora_ga") or f"'{start}'" in listed.replace('"', "'")
    assert start_of("pissa_niter_16") == "pissa"
