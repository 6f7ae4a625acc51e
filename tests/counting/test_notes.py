"""Names that match nothing are said, whatever the option; ties are said at either end; nothing without reason."""

from __future__ import annotations

from typing import Any

import pytest

from peftcalc import DoRA, LoRA, QLoRA, count, load_model, read_adapter_config
from peftcalc.models.shapes import ModuleGroup

LLAMA = "meta-llama/Llama-3.2-1B"
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TIED = "the input and output embeddings are tied"


@pytest.mark.parametrize(
    ("model", "targets", "trainable", "missing"),
    [
        (
            "microsoft/Phi-3.5-mini-instruct",
            SEVEN,
            8_912_896,
            {
                **dict.fromkeys(("q_proj", "k_proj", "v_proj"), "qkv_proj"),
                **dict.fromkeys(("gate_proj", "up_proj"), "gate_up_proj"),
            },
        ),
        ("microsoft/phi-1_5", ["fc1", "fc2", "Wqkv"], 7_864_320, {"Wqkv": ""}),
        (
            "gpt2",
            ["attn_c_proj", "c_attn", "c_fc", "mlp_c_proj"],
            1_327_104,
            {"attn_c_proj": "c_proj", "mlp_c_proj": "c_proj"},
        ),
        (LLAMA, ["q_proj", "layers.99.self_attn.v_proj"], 1_048_576, {"layers.99.self_attn.v_proj": "v_proj"}),
        (LLAMA, ["q_proj", "layers.9.self_attn.v_proj"], 1_048_576 + 16 * (2048 + 512), {}),
        (LLAMA, ["self_attn.q_proj"], 1_048_576, {}),
    ],
    ids=["fused", "unlike everything", "own names", "a layer too far", "one layer", "two segments"],
)
def test_targets_that_match_no_module(model: str, targets: list[str], trainable: int, missing: dict[str, str]) -> None:
    result = count(model, LoRA(rank=16, alpha=5, targets=targets))
    assert result.trainable == trainable
    if not missing:
        assert result.notes == ()
        return
    [note] = result.notes
    for name, near in missing.items():
        assert (f"'{name}' (nearest: {near})" if near else f"'{name}'") in note
    assert ("this model has" in note) is ("" in missing.values())
    for name in set(targets) - set(missing):
        assert f"'{name}'" not in note


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"modules_to_save": ["embed_token"]},
            "modules_to_save: 'embed_token' (nearest: embed_tokens) matches no module",
        ),
        ({"exclude": ["q_prj", "v_proj"]}, "exclude: 'q_prj' (nearest: q_proj) matches no module"),
        ({"exclude": r".*q_prj"}, "exclude: '.*q_prj' matches no module"),
        ({"rank_pattern": {"qproj": 4}}, "rank_pattern gives a value for 'qproj' (nearest: q_proj)"),
        ({"rank_pattern": {"v_proj": 4}}, "rank_pattern gives a value for 'v_proj' (nearest: q_proj)"),
        ({"alpha_pattern": {r"layers\.77\..*": 4}}, r"alpha_pattern gives a value for 'layers\\.77\\..*'"),
        ({"layers_to_transform": (0, 99)}, "layers_to_transform: 99 names no layer of this model, which has 0 to 15"),
        ({"layers_to_transform": (0,), "layers_pattern": ["layers", "layer"]}, "'layer' (nearest: layers)"),
        ({"target_parameters": ("norm.weigt",)}, "target_parameters: 'norm.weigt'"),
        ({"targets": ["q_proj", "q_proj|v_proj"]}, "a regular expression is given as one string"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_every_option_says_what_matches_nothing(options: dict[str, Any], said: str) -> None:
    known = {"targets": ["q_proj"], **options}
    result = count(LLAMA, LoRA(rank=8, alpha=5, **known))
    assert any(said in note for note in result.notes), result.notes
    plain = count(LLAMA, LoRA(rank=8, alpha=5, targets=["q_proj"]))
    assert result.trainable == plain.trainable // (16 if "layers_to_transform" in options else 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"targets": SEVEN, "exclude": ["q_proj"]},
        {"exclude": r".*\.3\..*"},
        {"targets": ["q_proj"], "modules_to_save": ["norm", "ayers.3.mlp"]},
        {"rank_pattern": {"q_proj": 4, r".*\.3\.mlp\.up_proj": 5}, "alpha_pattern": {"self_attn.k_proj": 3}},
        {"targets": ["q_proj"], "layers_to_transform": (0, 15), "layers_pattern": "layers"},
        {"targets": r".*\.(q|v)_proj"},
        {"targets": ["q_proj"], "target_parameters": ("down_proj.weight",)},
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [LoRA, DoRA])
def test_nothing_is_said_where_all_matches(kind: type[LoRA], options: dict[str, Any]) -> None:
    if kind is DoRA and "target_parameters" in options:
        return
    assert count("meta-llama/Llama-3.1-8B", kind(rank=8, alpha=5, **options)).notes == ()


def test_names_of_single_experts_are_no_missing_names() -> None:
    notes = count("mistralai/Mixtral-8x7B-v0.1", LoRA(rank=8, targets=["q_proj", "w1", "w2", "w3", "wo"])).notes
    [note] = [note for note in notes if note.startswith("targets")]
    assert note.startswith("targets: 'wo' matches no module of this model; this model has embed_tokens, q_proj, ")


def test_a_note_about_thousands_of_names_is_short() -> None:
    result = count(LLAMA, LoRA(targets=["q_proj", *(f"lora_unet_{index}" for index in range(3_000))]))
    assert len(result.notes[0]) < 1_500
    assert "and 2,988 more" in result.notes[0]


def test_an_adapter_file_says_it_too() -> None:
    config = {"peft_type": "LORA", "r": 16, "lora_alpha": 4, "target_modules": ["q_proj", "Wqkv"]}
    report = read_adapter_config(config, base=LLAMA)
    assert any("'Wqkv'" in sentence and sentence.startswith("Note: ") for sentence in report.explanation)


def test_a_match_costs_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every name matches, depth costs nothing; counted in names that are spelled out."""
    spelled: list[str] = []
    original = ModuleGroup.name
    monkeypatch.setattr(ModuleGroup, "name", lambda group, index: spelled.append("") or original(group, index))
    costs = []
    for model in ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-405B"):
        spelled.clear()
        count(load_model(model), QLoRA(rank=8, targets=SEVEN))
        costs.append(len(spelled))
    assert costs[0] == costs[1]


@pytest.mark.parametrize(
    "method",
    [
        LoRA(targets=["q_proj", "embed_tokens"]),
        LoRA(targets=["q_proj", "lm_head"]),
        LoRA(targets=["q_proj"], modules_to_save=("lm_head",)),
        LoRA(targets=["q_proj"], modules_to_save=("embed_tokens",)),
        DoRA(targets=r".*(q_proj|lm_head)"),
        LoRA(targets=["q_proj"], target_parameters=("lm_head.weight",)),
    ],
    ids=repr,
)
def test_either_end_of_a_tie_is_said(method: LoRA) -> None:
    assert any(TIED in note for note in count(LLAMA, method).notes)
    assert not any(TIED in note for note in count("meta-llama/Llama-3.1-8B", method).notes)


def test_other_modules_do_not_untie() -> None:
    assert count(LLAMA, LoRA(modules_to_save=("norm",))).notes == ()
