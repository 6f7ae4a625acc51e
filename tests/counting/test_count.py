"""Counting: the closed forms, the published figures, what is refused, and that depth costs nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from peftcalc import DoRA, Full, LoRA, QDoRA, QLoRA, count
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes, ModuleGroup, Tensor

LLAMA_FIVE = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]
GPT3 = {"n_embd": 12288, "n_layer": 96, "n_head": 96, "n_positions": 2048, "vocab_size": 50257}


def dense(layers: int = 2, width: int = 8, wide: int = 12, bias: bool = False) -> ModelShapes:
    """An embedding, `layers` layers of two linears, a head."""
    indices = tuple(range(layers))

    def linear(name: str, out: int, inn: int) -> ModuleGroup:
        tensors = (Tensor("weight", (out, inn)), *((Tensor("bias", (out,)),) if bias else ()))
        return ModuleGroup(name, "linear", "Linear", tensors, indices if "{}" in name else (), inn, out)

    table = ModuleGroup("embed", "embedding", "Embedding", (Tensor("weight", (20, width)),), (), 20, width)
    up, down, head = (
        linear("layers.{}.up", wide, width),
        linear("layers.{}.down", width, wide),
        linear("head", 20, width),
    )
    return ModelShapes("dense", "Dense", {"model_type": "dense"}, (table, up, down, head), "embed", "head")


# Closed forms --------------------------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 40), st.integers(1, 5))
def test_lora_and_dora_of_a_linear_layer(width: int, wide: int, rank: int, layers: int) -> None:
    shapes = dense(layers, width, wide)
    lora, dora = count(shapes, LoRA(rank=rank)), count(shapes, DoRA(rank=rank))
    assert lora.trainable == layers * 2 * rank * (width + wide)
    assert dora.trainable - lora.trainable == layers * (width + wide)
    assert lora.total == shapes.total + lora.trainable
    assert lora.base == shapes.total
    assert lora.percent == pytest.approx(100 * lora.trainable / lora.total, rel=1e-12)


@pytest.mark.parametrize(("quantized", "plain"), [(QLoRA, LoRA), (QDoRA, DoRA)])
def test_a_quantized_base_is_counted_by_its_logical_parameters(quantized: type[LoRA], plain: type[LoRA]) -> None:
    ours, theirs = count(dense(), quantized(rank=3, alpha=5)), count(dense(), plain(rank=3, alpha=5))
    assert (ours.trainable, ours.total, ours.base) == (theirs.trainable, theirs.total, theirs.base)


def test_full_fine_tuning_trains_everything() -> None:
    result = count(dense(), Full())
    assert result.trainable == result.total == result.base == dense().total
    assert result.percent == 100


def test_full_fine_tuning_leaves_fixed_parameters_out() -> None:
    table, *others = dense().groups
    fixed = replace(table, tensors=(Tensor("weight", (20, 8), frozen=True),))
    result = count(replace(dense(), groups=(fixed, *others)), Full())
    assert result.base - result.trainable == 160
    assert "160" in result.notes[0]


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Embedding(20, 8), (20, 8), 3 * (20 + 8)),
        (nn.Conv2d(4, 6, (3, 5)), (6, 4, 3, 5), 3 * (4 * 15 + 6)),
        (nn.Conv2d(6, 9, 3, groups=3), (9, 2, 3, 3), 3 * 6 * 9 + 1 * 9),
        (nn.Conv1d(4, 6, 5), (6, 4, 5), 3 * (4 * 5 + 6)),
        (nn.Conv3d(4, 6, 2), (6, 4, 2, 2, 2), 3 * (4 * 8 + 6)),
    ],
    ids=["embedding", "conv2d", "grouped conv2d", "conv1d", "conv3d"],
)
def test_other_layers(layer: nn.Module, shape: tuple[int, ...], expected: int) -> None:
    assert tuple(layer.get_parameter("weight").shape) == shape
    model = nn.ModuleDict({"layer": layer})
    lora, dora = (count(model, kind(rank=3, alpha=5, targets=["layer"])) for kind in (LoRA, DoRA))
    assert lora.trainable == expected
    assert dora.trainable == expected + (shape[1] if isinstance(layer, nn.Embedding) else shape[0])


def test_an_expert_stack_has_one_pair_per_expert() -> None:
    stack = ModuleGroup("layers.{}.experts", "experts", "Experts", (Tensor("up", (4, 12, 8)),), (0, 1))
    shapes = ModelShapes("m", "M", {}, (stack,))
    result = count(shapes, LoRA(rank=3, alpha=5, targets=(), target_parameters=("experts.up",)))
    assert result.trainable == 2 * 4 * 3 * (12 + 8)
    assert list(result.by_module.index) == ["layers.0.experts.up", "layers.1.experts.up"]


def test_saved_modules_count_twice_in_the_total_and_tied_ones_too() -> None:
    head = dense().groups[-1]
    tied = replace(
        dense(), groups=(*dense().groups[:-1], replace(head, tensors=(Tensor("weight", (20, 8), "embed.weight"),)))
    )
    result = count(tied, LoRA(rank=2, targets=["up"], modules_to_save=["head"]))
    adapters = 2 * 2 * (8 + 12)
    assert result.trainable == adapters + 160
    assert result.total == tied.total + adapters + 160


@pytest.mark.parametrize(("bias", "expected"), [("none", 0), ("all", 2 * (12 + 8) + 20), ("lora_only", 2 * 12)])
def test_trained_biases(bias: str, expected: int) -> None:
    method = LoRA(rank=2, targets=["up"], bias=bias)
    assert count(dense(bias=True), method).trainable - 2 * 2 * (8 + 12) == expected


def test_lora_bias_adds_the_width_of_the_output() -> None:
    plain, biased = (count(dense(), LoRA(rank=2, targets=["up"], lora_bias=on)).trainable for on in (False, True))
    assert biased - plain == 2 * 12


def test_a_rank_pattern_gives_some_modules_their_own_rank() -> None:
    result = count(dense(3), LoRA(rank=2, rank_pattern={"down": 5, r"layers\.0\.up": 7}))
    assert result.by_module["rank"].to_dict() == {
        "layers.0.up": 7,
        "layers.1.up": 2,
        "layers.2.up": 2,
        "layers.0.down": 5,
        "layers.1.down": 5,
        "layers.2.down": 5,
    }


@pytest.mark.parametrize("names", ["up", r".*\.down", "a.up", "mlp"])
def test_a_pattern_of_names_is_held_against_one_layer_and_means_all(names: str) -> None:
    """The same expression in a group is held against every layer."""
    one, each = (LoRA(rank=2, rank_pattern={pattern: 5}) for pattern in (names, f"(?:{names})"))
    assert count(dense(3), one).parts == count(dense(3), each).parts


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"targets": ["up"], "layers_to_transform": (1,), "layers_pattern": "layers"}, ["layers.1.up"]),
        ({"targets": ["layers.2.up"], "layers_to_transform": (1,), "layers_pattern": "layers"}, ["layers.2.up"]),
        ({"targets": r"layers\.[02]\.up"}, ["layers.0.up", "layers.2.up"]),
        ({"targets": ["layers.2.down"]}, ["layers.2.down"]),
        ({"targets": ["up", "head"], "exclude": ["up"]}, ["head"]),
        ({"exclude": r".*[01].*"}, ["layers.2.up", "layers.2.down"]),
        ({"modules_to_save": ["layers.0", "layers.1"], "targets": ["up"]}, ["layers.2.up"]),
    ],
    ids=["layers", "a full name beats layers", "regex", "one name", "exclude", "exclude regex", "saved"],
)
def test_targets_that_tell_layers_apart(options: dict[str, Any], names: list[str]) -> None:
    table = count(dense(3), LoRA(rank=2, **options)).by_module
    assert list(table.index[table["how"] == "adapter"]) == names


# What the result offers ----------------------------------------------------------------------------------------------


def test_the_tables_add_up() -> None:
    result = count(dense(3, bias=True), DoRA(rank=2, alpha=3, bias="all", modules_to_save=["head"]))
    assert result.by_module["trainable"].sum() == result.by_kind["trainable"].sum() == result.trainable
    assert result.by_kind["percent"].sum() == pytest.approx(100, rel=1e-12)
    assert result.by_module["magnitude"].sum() == 3 * (12 + 8)


def test_bytes_on_disk_are_those_of_the_file_that_safetensors_writes(tmp_path: Any) -> None:
    from peft import LoraConfig, get_peft_model
    from safetensors import safe_open

    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 5))
    result = count(model, DoRA(rank=2, alpha=3))
    get_peft_model(model, LoraConfig(r=2, lora_alpha=3, target_modules="all-linear", use_dora=True)).save_pretrained(
        tmp_path
    )  # pyright: ignore[reportArgumentType]
    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
        payload = sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118
    assert result.adapter_bytes_fp32 == payload == 2 * result.adapter_bytes_fp16


def test_a_rank_above_the_smaller_side_is_allowed_and_called_wasteful() -> None:
    assert not count(dense(), LoRA(rank=8)).notes
    result = count(dense(), LoRA(rank=9))
    assert result.trainable == 2 * 2 * 9 * (8 + 12)
    assert "wasteful" in result.notes[0]
    assert "(8)" in result.notes[0]


@pytest.mark.parametrize("kind", [LoRA, DoRA])
def test_the_cost_does_not_grow_with_depth(kind: type[LoRA], monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in names that are spelled out, which a clock cannot make flaky."""
    spelled: list[str] = []
    original = ModuleGroup.name

    def name(group: ModuleGroup, index: int | None) -> str:
        spelled.append(group.template)
        return original(group, index)

    monkeypatch.setattr(ModuleGroup, "name", name)
    costs = []
    for layers in (2, 5_000):
        spelled.clear()
        count(dense(layers), kind(rank=2, alpha=3, targets=["up", "down"]))
        costs.append(len(spelled))
    assert costs[0] == costs[1] > 0


def test_count_is_a_function_of_the_package_whatever_was_imported_before() -> None:
    import peftcalc
    import peftcalc.counting.count

    assert peftcalc.count is count


# Published figures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "method", "trainable", "total"),
    [
        ("meta-llama/Llama-2-7b-hf", LoRA(rank=8, targets=["q_proj", "v_proj"]), 4_194_304, 6_742_609_920),
        ("meta-llama/Llama-2-13b-hf", LoRA(rank=8, targets=["q_proj", "v_proj"]), 6_553_600, None),
        ("meta-llama/Meta-Llama-3-8B", LoRA(rank=16), 41_943_040, 8_072_204_288),
        ("meta-llama/Llama-3.2-1B", LoRA(rank=8, targets=["q_proj"]), 524_288, None),
        ("meta-llama/Meta-Llama-3-8B", DoRA(rank=8), 22_347_776, None),
        ("huggyllama/llama-7b", LoRA(rank=32, targets=LLAMA_FIVE), 56_098_816, None),
        ("huggyllama/llama-7b", DoRA(rank=16, targets=LLAMA_FIVE), 28_925_952, None),
        ("huggyllama/llama-7b", DoRA(rank=32, targets=LLAMA_FIVE), 56_975_360, None),
    ],
)
def test_published_counts(model: str, method: LoRA, trainable: int, total: int | None) -> None:
    result = count(model, method)
    assert result.trainable == trainable
    assert total is None or result.total == total


@pytest.mark.parametrize(("rank", "trainable"), [(1, 4_718_592), (8, 37_748_736)])
def test_gpt3_query_and_value_as_in_the_lora_paper(rank: int, trainable: int) -> None:
    """LoRA paper, table 4 and section 7.1: W_q and W_v of 96 layers of width 12,288, as separate matrices."""
    names = ("q_proj", "v_proj")
    layers, width = tuple(range(GPT3["n_layer"])), GPT3["n_embd"]
    groups = tuple(
        ModuleGroup(f"h.{{}}.{name}", "linear", "Linear", (Tensor("weight", (width, width)),), layers, width, width)
        for name in names
    )
    assert count(ModelShapes("gpt3", "GPT3", {}, groups), LoRA(rank=rank, targets=names)).trainable == trainable


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (LoRA(targets=["upp"]), "'upp' match no module; this model has embed, up, down, head; nearest: up"),
        (LoRA(targets=["up"], exclude=["up"]), "taken out again"),
        (LoRA(targets=["up"], layers_to_transform=(7,)), "layers_to_transform"),
        (LoRA(layers_to_transform=(1,)), "layers_to_transform together with all-linear"),
        (LoRA(targets=["up"], layers_pattern="layers"), "layers_pattern without layers_to_transform"),
        (LoRA(targets="(up"), "not a regular expression"),
        (LoRA(targets=(), target_parameters=("gate",)), "target_parameters 'gate' match no parameter"),
        (DoRA(lora_bias=True), "lora_bias together with DoRA"),
        (LoRA(targets=["up"], target_parameters=("up.weight",)), "one or the other"),
        (LoRA(targets=["head"], bias="all", modules_to_save=["ead"]), "adapted and in modules_to_save"),
    ],
    ids=["nothing", "excluded", "layers", "all layers", "pattern", "regex", "parameter", "bias", "both", "saved"],
)
def test_what_cannot_be_counted_is_a_sentence(method: LoRA, words: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        count(dense(), method)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [DoRA(rank=4), QDoRA(rank=4), LoRA(rank=4, dropout=0.1)])
def test_what_peft_refuses_on_experts_is_refused(method: LoRA) -> None:
    with pytest.raises(ValueError, match=r"peft refuses (DoRA|dropout) on model\.layers\.0\.mlp.*experts"):
        count("mistralai/Mixtral-8x7B-v0.1", method)


def test_a_refusal_names_a_module_that_the_method_adapts() -> None:
    with pytest.raises(ValueError, match=r"on model\.layers\.3\.mlp"):
        count("mistralai/Mixtral-8x7B-v0.1", DoRA(targets=["q_proj"], target_parameters=("layers.3.mlp.gate.weight",)))
    with pytest.raises(ValueError, match=r"for model\.layers\.0\.mlp.*a bare parameter"):
        count("mistralai/Mixtral-8x7B-v0.1", LoRA(init="pissa"))
    with pytest.raises(ValueError, match=r"layers\.0\.up is named by targets"):
        count(dense(), LoRA(targets=["up"], target_parameters=("up.weight",)))


def test_a_wasteful_rank_says_whose_weight_is_small() -> None:
    notes = count("mistralai/Mixtral-8x7B-v0.1", LoRA(rank=16)).notes
    assert any("gate.weight (8)" in note for note in notes)


def test_half_of_a_fused_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="w1 cannot be a target without w3"):
        count("mistralai/Mixtral-8x7B-v0.1", LoRA(targets=["w1"]))


def test_a_block_is_no_target() -> None:
    with pytest.raises(ValueError, match=r"self_attn, a LlamaAttention, which peft cannot adapt"):
        count("meta-llama/Llama-3.2-1B", LoRA(targets=["self_attn"]))


@pytest.mark.parametrize("method", ["lora", None, LoRA])
def test_what_is_no_method(method: Any) -> None:
    with pytest.raises(ValueError, match="a method is"):
        count(dense(), method)


def test_a_module_on_the_meta_device_will_do() -> None:
    with torch.device("meta"):
        module = nn.Linear(10**6, 10**6, bias=False)
    result = count(nn.Sequential(module), LoRA(rank=8))
    assert result.trainable == 16 * 10**6
    assert load_model(nn.Sequential(module)).total == 10**12
