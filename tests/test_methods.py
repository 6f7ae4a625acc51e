"""Methods as data: validation, and the real configuration objects of peft and transformers."""

from __future__ import annotations

import re

import pytest

from peftcalc.methods import METHODS, DoRA, Full, LoRA, QDoRA, QLoRA, make_method


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"rank": 0}, "rank must be between 1 and 1,000,000, got 0"),
        ({"rank": -3}, "got -3"),
        ({"rank": 2.5}, "rank must be a whole number between 1 and 1,000,000, got 2.5"),
        ({"rank": "8"}, "got '8'"),
        ({"rank": True}, "got True"),
        ({"rank": float("nan")}, "got nan"),
        ({"rank": 10**9}, "got 1,000,000,000"),
        ({"alpha": 0}, "alpha must be a positive number, got 0"),
        ({"alpha": float("inf")}, "got inf"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"dropout": -0.1}, "got -0.1"),
        ({"targets": ""}, "targets must name at least one module"),
        ({"targets": []}, "targets must name at least one module"),
        ({"targets": [3]}, "targets must be module names"),
        ({"bias": "some"}, "bias must be one of none, all, lora_only, got 'some'"),
        ({"rank_pattern": {"q": 0}}, "rank_pattern['q'] must be between"),
        ({"targets": ".*q", "layers_to_transform": [1]}, "layers_to_transform needs targets as a list"),
    ],
)
@pytest.mark.parametrize("kind", [LoRA, DoRA, QLoRA, QDoRA])
def test_bad_values_are_answered_by_a_sentence(kind, arguments, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        kind(**arguments)


def test_quantized_methods_check_their_format():
    with pytest.raises(ValueError, match="quant must be one of nf4, fp4, got 'nf3'; did you mean 'nf4'"):
        QLoRA(quant="nf3")


def test_two_adapters_times_two_bases():
    table = {name: (kind.has_adapter, kind.decomposed, kind.quantized) for name, kind in METHODS.items()}
    assert table == {
        "full": (False, False, False),
        "lora": (True, False, False),
        "dora": (True, True, False),
        "qlora": (True, False, True),
        "qdora": (True, True, True),
    }


def test_methods_can_key_a_cache():
    assert len({LoRA(rank=4), LoRA(rank=4), DoRA(rank=4), LoRA(rank=8)}) == 3
    assert LoRA(targets=["q_proj"]) == LoRA(targets=("q_proj",))
    assert hash(LoRA(rank_pattern={"q": 4})) != hash(LoRA(rank_pattern={"q": 5}))


def test_scaling_with_and_without_rank_stabilisation():
    assert LoRA(rank=16, alpha=8).scaling == 0.5
    assert LoRA(rank=16, alpha=8, rslora=True).scaling == 2.0


def test_unknown_method_names_the_nearest():
    with pytest.raises(ValueError, match="got 'dorra'; did you mean 'dora'"):
        make_method("dorra")


@pytest.mark.parametrize("method", [LoRA(rank=4, alpha=8, dropout=0.1), DoRA(rank=2, targets=["q_proj", "v_proj"])])
def test_the_real_lora_config(method):
    config = method.to_peft("CAUSAL_LM")
    assert (config.r, config.lora_alpha, config.lora_dropout) == (method.rank, method.alpha, method.dropout)
    assert config.use_dora is method.decomposed
    assert config.target_modules == ("all-linear" if method.targets == "all-linear" else set(method.targets))
    assert Full().to_peft() is None


def test_every_option_reaches_peft():
    method = LoRA(
        rank=4,
        alpha=8,
        targets=["query"],
        rslora=True,
        bias="all",
        lora_bias=False,
        modules_to_save=["classifier"],
        exclude=["skip"],
        rank_pattern={"query": 2},
        alpha_pattern={"query": 4},
        layers_to_transform=(0, 2),
        layers_pattern="layer",
    )
    config = method.to_peft()
    assert config is not None
    assert config.use_rslora
    assert config.bias == "all"
    assert config.modules_to_save == ["classifier"]
    assert config.exclude_modules == {"skip"}
    assert config.rank_pattern == {"query": 2}
    assert config.alpha_pattern == {"query": 4}
    assert config.layers_to_transform == [0, 2]
    assert config.layers_pattern == "layer"


def test_the_real_quantization_config():
    config = QDoRA(quant="fp4", double_quant=False).to_bitsandbytes()
    assert config is not None
    assert (config.load_in_4bit, config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant) == (True, "fp4", False)
    assert LoRA().to_bitsandbytes() is None


@pytest.mark.parametrize("name", METHODS)
def test_the_code_text_builds_the_same_configuration(name):
    method = make_method(name, rank=4, alpha=12, dropout=0.05, targets=["q_proj"])
    text = method.to_code()
    compile(text, "code", "exec")
    if not isinstance(method, LoRA):
        assert "peft" not in text
        return
    start = text.index("config = LoraConfig(")
    names: dict = {}
    exec("from peft import LoraConfig\n" + text[start : text.index(")\n", start) + 2], names)
    assert names["config"] == method.to_peft("CAUSAL_LM")


@pytest.mark.parametrize(
    "method", [DoRA(rank=4, init="pissa"), QLoRA(rank=4, init="pissa_niter_4"), LoRA(init="gaussian")]
)
def test_a_start_reaches_peft_and_the_code(method):
    config = method.to_peft("CAUSAL_LM")
    assert config.init_lora_weights == method.init
    text = method.to_code()
    compile(text, "code", "exec")
    assert f'init_lora_weights="{method.init}"' in text
    assert ('save_pretrained("rest")' in text) == method.quantized
    assert LoRA().to_peft().init_lora_weights is True


def test_a_frozen_a_is_in_the_code_and_not_in_pefts_config():
    assert LoRA(freeze_a=True).to_peft() == LoRA().to_peft()
    assert "requires_grad_(False)" in LoRA(freeze_a=True).to_code()
    assert "requires_grad_(False)" not in LoRA().to_code()
    assert repr(LoRA(freeze_a=True)) == "LoRA(rank=8, freeze_a=True)"


def test_repr_shows_what_differs():
    assert repr(DoRA(rank=4, alpha=16)) == "DoRA(rank=4)"
    assert eval(repr(QLoRA(rank=4, alpha=32, targets=["q"]))) == QLoRA(rank=4, alpha=32, targets=["q"])
