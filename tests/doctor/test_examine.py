"""`inspect_adapter`: peft's own files are sound and measured as the dense product is, broken ones are said to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapter_files import BASE, CONFIG, TENSORS, edit_config, edit_tensors, image_net, llama, peft_load, write_adapter

from peftcalc import inspect_adapter, read_adapter_config
from peftcalc.geometry.spectrum import rank_of

PREFIX = "base_model.model."

CASES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "LoRA": (llama, {}),
    "DoRA": (llama, {"use_dora": True}),
    "rslora and patterns": (
        llama,
        {"use_rslora": True, "rank_pattern": {"v_proj": 3}, "alpha_pattern": {r"layers\.1\..*q_proj": 7}},
    ),
    "modules_to_save": (llama, {"modules_to_save": ["lm_head"]}),
    "embeddings": (llama, {"target_modules": ["embed_tokens", "k_proj"], "use_dora": True}),
    "head": (llama, {"target_modules": ["lm_head", "down_proj"], "bias": "all"}),
    "bias of B": (llama, {"lora_bias": True}),
    "tokens": (llama, {"trainable_token_indices": [1, 5]}),
    "convolutions": (image_net, {"target_modules": ["1", "3"]}),
    "rank above the width": (llama, {"r": 40}),
}


def deltas(module: Any) -> dict[str, torch.Tensor]:
    """peft's own dense updates by module, (out, rest) in float64."""
    from peft.tuners.lora import LoraLayer

    found = {}
    for name, layer in module.named_modules():
        if isinstance(layer, LoraLayer) and "default" in layer.scaling:
            delta = layer.get_delta_weight("default").detach().double()  # pyright: ignore[reportCallIssue]
            is_table = "default" in layer.lora_embedding_A
            found[name.removeprefix(PREFIX)] = (delta.T if is_table else delta).flatten(1)
    return found


@pytest.mark.parametrize("case", CASES)
def test_every_update_is_measured_as_pefts_dense_one(case: str, tmp_path: Path) -> None:
    build, settings = CASES[case]
    module = write_adapter(tmp_path, build, **settings)
    result = inspect_adapter(tmp_path, base=build())
    assert result.faults == ()
    assert result.sound
    dense = deltas(module)
    assert [layer.module for layer in result.layers] == list(dict.fromkeys(layer.module for layer in result.layers))
    assert {layer.module for layer in result.layers} == set(dense)
    for layer in result.layers:
        W = dense[layer.module].numpy()
        # The file and peft's product are float32; the measure is float64.
        assert layer.frobenius_norm == pytest.approx(np.linalg.norm(W), rel=1e-5)
        if layer.sharing == 1:
            spectrum = rank_of(W)
            assert layer.spectral_norm == pytest.approx(spectrum.singular_values[0], rel=1e-5)
            assert layer.within(2) == pytest.approx(spectrum.within(2), rel=1e-5)
        base = dict(build().named_parameters())[f"{layer.module}.weight"]
        assert layer.relative_norm == pytest.approx(layer.frobenius_norm / float(base.detach().norm()), rel=1e-5)


def test_stacked_experts_are_measured_one_by_one(tmp_path: Path) -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    sizes = {name: value for name, value in BASE.items() if name not in ("model_type", "architectures")}

    def mixture() -> Any:
        torch.manual_seed(0)
        return MixtralForCausalLM(MixtralConfig(**sizes, num_local_experts=3)).eval()

    targets = ["experts.gate_up_proj", "experts.down_proj"]
    write_adapter(tmp_path, mixture, target_modules=["q_proj"], target_parameters=targets)
    result = inspect_adapter(tmp_path, base=mixture())
    assert result.faults == ()
    assert [layer.kind for layer in result.layers].count("experts") == 4
    stacks = [layer for layer in result.layers if layer.kind == "experts"]
    assert {layer.rank for layer in stacks} == {6}
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / TENSORS)
    for layer in stacks:
        A = tensors[f"{PREFIX}{layer.module}.lora_A.weight"].reshape(3, 6, -1).double()
        B = tensors[f"{PREFIX}{layer.module}.lora_B.weight"].reshape(layer.out_features, 6, 3).double()
        dense = 15 / 6 * torch.einsum("ore,eri->eoi", B, A)
        assert layer.frobenius_norm == pytest.approx(float(dense.norm()), rel=1e-9)


def test_what_is_trained_is_the_exact_count(saved: Path) -> None:
    result = inspect_adapter(saved, base=BASE)
    expected = read_adapter_config(saved, base=BASE)
    assert (result.trainable, result.method) == (expected.trainable, "LoRA")
    assert result.stored_parameters == expected.trainable
    assert result.file_bytes == (saved / TENSORS).stat().st_size


def test_doras_magnitudes_are_measured_against_the_bases_rows(tmp_path: Path) -> None:
    module = write_adapter(tmp_path, use_dora=True)
    layer = inspect_adapter(tmp_path, base=llama()).layers[0]
    inside: Any = module.get_submodule(PREFIX + layer.module)
    m = inside.lora_magnitude_vector["default"].weight.detach().double()
    norms = inside.base_layer.weight.detach().double().norm(dim=1)
    assert layer.magnitude_mean == pytest.approx(float(m.mean()), rel=1e-6)
    assert layer.magnitude_smallest == pytest.approx(float(m.min()), rel=1e-6)
    assert layer.magnitude_largest == pytest.approx(float(m.max()), rel=1e-6)
    assert layer.magnitude_change_percent == pytest.approx(float(100 * ((m - norms).abs() / norms).mean()), rel=1e-5)


def test_a_folder_with_the_bases_weights_gives_the_relative_size(saved: Path, tmp_path: Path) -> None:
    llama().save_pretrained(tmp_path / "base")
    from_folder, from_module = inspect_adapter(saved, base=tmp_path / "base"), inspect_adapter(saved, base=llama())
    assert from_folder.layers == from_module.layers
    assert inspect_adapter(saved, base=BASE).layers[0].relative_norm is None


def test_by_layer_is_a_table_of_the_layers(saved: Path) -> None:
    result = inspect_adapter(saved, base=BASE)
    table = result.by_layer
    assert list(table.index) == [layer.module for layer in result.layers]
    assert list(table["frobenius_norm"]) == [layer.frobenius_norm for layer in result.layers]
    assert list(table["energy_4"]) == [layer.within(4) for layer in result.layers]
    assert list(result.energy) == [1, 2, 4, 6]
    total = sum(layer.frobenius_norm**2 for layer in result.layers)
    kept = sum(layer.frobenius_norm**2 * layer.within(2) for layer in result.layers)
    assert result.within(2) == pytest.approx(kept / total)
    assert result.within(result.rank_for(0.9)) >= 0.9 > result.within(result.rank_for(0.9) - 1)


def change_names(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda folder: edit_tensors(folder, lambda t: {change(name): value for name, value in t.items()})


def fill(name: str, value: float) -> Callable[[Path], None]:
    return lambda folder: edit_tensors(folder, lambda t: {k: v.fill_(value) if name in k else v for k, v in t.items()})


def drop(*words: str) -> Callable[[Path], None]:
    return lambda folder: edit_tensors(
        folder, lambda t: {k: v for k, v in t.items() if not all(word in k for word in words)}
    )


def shrink(folder: Path) -> None:
    edit_tensors(folder, lambda t: {k: torch.zeros(0) if "layers.1" in k else v for k, v in t.items()})


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no prefix": (change_names(lambda n: n.removeprefix(PREFIX)), "lacks the prefix base_model.model."),
    "half a prefix": (change_names(lambda n: n.replace(PREFIX, "base_model.")), "match no module of the base"),
    "twice": (change_names(lambda n: PREFIX + n), "prefix base_model.model. 2 times"),
    "compiled": (change_names(lambda n: n.replace(PREFIX, f"{PREFIX}_orig_mod.")), "torch.compile"),
    "compiled outside": (change_names(lambda n: f"_orig_mod.{n}"), "torch.compile"),
    "FSDP": (change_names(lambda n: f"_fsdp_wrapped_module.{n}"), "FSDP"),
    "DataParallel": (change_names(lambda n: f"module.{n}"), "DataParallel"),
    "another adapter's name": (change_names(lambda n: n.replace(".weight", ".chat.weight")), "'chat' was left in"),
    "a level too few": (change_names(lambda n: n.replace("model.layers", "layers")), "match no module of the base"),
    "a level too many": (change_names(lambda n: n.replace("layers", "model.layers")), "match no module of the base"),
    "diffusers": (change_names(lambda n: n.replace("lora_A", "lora.down").replace("lora_B", "lora.up")), "diffusers"),
    "mlx": (change_names(lambda n: n.replace("lora_A.weight", "lora_a").replace("lora_B.weight", "lora_b")), "mlx"),
    "not a target": (change_names(lambda n: n.replace("q_proj", "o_proj")), "q_proj"),
    "a layer is missing": (drop("layers.1.", "v_proj"), "of which the file has no tensors"),
    "A alone": (drop("layers.1.", "lora_B"), "have A and no B"),
    "B alone": (drop("layers.1.", "lora_A"), "have B and no A"),
    "ZeRO-3": (shrink, "DeepSpeed's ZeRO-3"),
    "NaN": (fill("layers.0.self_attn.q_proj.lora_A", float("nan")), "1 tensor holds NaN or infinity"),
    "infinity": (fill("lora_B", float("inf")), "4 tensors hold NaN or infinity"),
    "another rank": (lambda folder: edit_config(folder, r=5), "do not fit each other at rank 5"),
    "no magnitudes": (lambda folder: edit_config(folder, use_dora=True), "4 modules have no magnitude"),
    "another base": (
        lambda folder: edit_tensors(
            folder, lambda t: {k: v[:, :-1].clone() if "lora_A" in k else v for k, v in t.items()}
        ),
        "do not fit the base model",
    ),
    "an absurd scale": (lambda folder: edit_config(folder, lora_alpha=1e300), "larger than 1e+100"),
    "numbers beyond squares": (
        lambda folder: edit_tensors(folder, lambda t: {k: v.double() * 1e300 for k, v in t.items()}),
        "larger than 1e+100",
    ),
    "whole numbers": (
        lambda folder: edit_tensors(folder, lambda t: {k: v.to(torch.int8) for k, v in t.items()}),
        "hold whole numbers",
    ),
    "no tensors": (drop(), "holds no tensor"),
    "a head that is missing": (lambda folder: edit_config(folder, modules_to_save=["lm_head"]), "lm_head"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_adapter_is_said_to_be(case: str, saved: Path) -> None:
    harm, words = BROKEN[case]
    harm(saved)
    result = inspect_adapter(saved, base=BASE)
    assert not result.sound
    assert any(words in fault for fault in result.faults), result.faults


NAMES = [
    "no prefix", "half a prefix", "twice", "compiled", "compiled outside", "FSDP", "DataParallel",
    "another adapter's name", "a level too few", "a level too many",
]  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_peft_leaves_out_exactly_the_keys_that_are_called_unmatched(case: str, saved: Path) -> None:
    from safetensors.torch import load_file

    BROKEN[case][0](saved)
    stored = load_file(saved / TENSORS)
    loaded = [value for name, value in peft_load(saved).state_dict().items() if "lora_" in name]
    unread = [name for name, value in stored.items() if not any(torch.equal(value, one) for one in loaded)]
    assert sorted(inspect_adapter(saved, base=BASE).unmatched_keys) == sorted(unread)
    assert unread


def test_the_default_name_left_in_is_a_note_because_peft_reads_it(saved: Path) -> None:
    change_names(lambda n: n.replace(".weight", ".default.weight"))(saved)
    result = inspect_adapter(saved, base=BASE)
    assert result.sound
    assert any("'default' was left in" in note for note in result.notes)


def test_without_the_base_the_config_tells_what_is_missing(saved: Path) -> None:
    edit_config(saved, base_model_name_or_path=None)
    assert inspect_adapter(saved).faults == ()
    assert any("does not say its base" in note for note in inspect_adapter(saved).notes)
    edit_config(saved, target_modules=["q_proj", "up_proj"])
    faults = inspect_adapter(saved).faults
    assert any("v_proj" in fault and "does not name as targets" in fault for fault in faults)
    assert any("belongs to the target up_proj" in fault for fault in faults)


def test_magnitudes_that_the_config_does_not_expect(tmp_path: Path) -> None:
    write_adapter(tmp_path, use_dora=True)
    edit_config(tmp_path, use_dora=False)
    result = inspect_adapter(tmp_path, base=BASE)
    assert any("does not say use_dora" in fault for fault in result.faults)
    assert len(result.unmatched_keys) == 4


def test_updates_at_zero_are_noted(saved: Path) -> None:
    fill("layers.1.self_attn.v_proj.lora_B", 0)(saved)
    result = inspect_adapter(saved, base=BASE)
    assert result.sound
    assert result.untrained_modules == ("model.layers.1.self_attn.v_proj",)
    assert any("1 of 4 modules is exactly zero" in note for note in result.notes)
    fill("lora_", 0)(saved)
    result = inspect_adapter(saved, base=BASE)
    assert any("no gradient can move" in note for note in result.notes)
    assert (result.energy[6], result.rank_for(0.99)) == (1.0, 1)


def test_the_size_is_explained(tmp_path: Path) -> None:
    write_adapter(tmp_path, target_modules=["embed_tokens", "lm_head", "q_proj"])
    result = inspect_adapter(tmp_path, base=BASE)
    notes = " ".join(result.notes)
    assert "copies of the frozen base" in notes
    assert "model.embed_tokens" in notes
    assert "in bfloat16 the file would have" in notes
    by_part = {part.part: part for part in result.stored}
    assert by_part["copies of the base"].parameters == 2 * 40 * 32
    assert sum(part.nbytes for part in result.stored) < result.file_bytes
    edit_tensors(tmp_path, lambda t: {k: torch.ones(40, 32) if "base_layer" in k else v for k, v in t.items()})
    assert any("hold the same numbers twice" in note for note in inspect_adapter(tmp_path, base=BASE).notes)
    edit_tensors(tmp_path, lambda t: {k: v.to(torch.bfloat16) for k, v in t.items()})
    result = inspect_adapter(tmp_path, base=BASE)
    assert {part.dtype for part in result.stored} == {"bfloat16"}
    assert not any("in bfloat16 the file would have" in note for note in result.notes)


def test_a_resized_vocabulary_is_a_note(tmp_path: Path) -> None:
    write_adapter(tmp_path, modules_to_save=["lm_head"])
    edit_tensors(tmp_path, lambda t: {k: torch.ones(41, 32) if "lm_head" in k else v for k, v in t.items()})
    result = inspect_adapter(tmp_path, base=BASE)
    assert result.sound
    assert any("vocabulary" in note for note in result.notes)


def test_a_classifiers_head_is_no_stranger(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    write_adapter(tmp_path, lambda: LlamaForSequenceClassification(LlamaConfig(**BASE)), task_type="SEQ_CLS")
    assert inspect_adapter(tmp_path, base=BASE).faults == ()


def test_other_kinds_of_adapters_are_looked_at_as_far_as_possible(saved: Path) -> None:
    edit_config(saved, peft_type="VERA")
    result = inspect_adapter(saved, base=BASE)
    assert (result.method, result.layers, result.sound) == ("VERA", (), True)
    assert any("peft_type is VERA" in note for note in result.notes)
    fill("lora_B", float("nan"))(saved)
    assert not inspect_adapter(saved, base=BASE).sound


def test_a_config_alone_is_counted(saved: Path) -> None:
    config = json.loads((saved / CONFIG).read_text())
    result = inspect_adapter(config, base=BASE)
    assert result.trainable == inspect_adapter(saved, base=BASE).trainable
    assert result.layers == ()


def test_tensors_alone_are_measured_without_their_scale(saved: Path, tmp_path: Path) -> None:
    path = (saved / TENSORS).rename(tmp_path / "mine.safetensors")
    bare = inspect_adapter(path)
    path.rename(saved / TENSORS)
    scaled = inspect_adapter(saved / TENSORS, base=BASE)
    assert scaled.layers[0].frobenius_norm == pytest.approx(15 / 6 * bare.layers[0].frobenius_norm)
    assert any("scale s is not known" in note for note in bare.notes)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: [path.unlink() for path in f.iterdir()], "holds no adapter: neither"),
        (lambda f: (f / CONFIG).write_text("{"), "not complete JSON"),
        (lambda f: (f / CONFIG).write_text("[]"), "must be a JSON object"),
        (lambda f: (f / CONFIG).write_text(" " * 6_000_000), "at most 5,000,000"),
        (lambda f: (f / CONFIG).write_bytes(b"\x80\x04\x95"), "a pickle or a PyTorch checkpoint"),
        (lambda f: (f / TENSORS).write_bytes((f / TENSORS).read_bytes()[:-9]), "cut short"),
        (lambda f: (f / TENSORS).write_bytes(b"PK\x03\x04" + b"0" * 40), "pickle"),
    ],
    ids=["nothing", "half a config", "a list", "a large config", "binary config", "cut short", "pickle"],
)
def test_what_cannot_be_read_is_a_sentence(saved: Path, harm: Callable[[Path], Any], words: str) -> None:
    harm(saved)
    with pytest.raises(ValueError, match=words) as caught:
        inspect_adapter(saved, base=BASE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"r": "eight"},
        {"r": -1},
        {"lora_alpha": [1]},
        {"rank_pattern": [1]},
        {"rank_pattern": {"q": "x"}},
        {"rank_pattern": {"(": 3}},
        {"target_modules": 5},
        {"target_modules": [1, 2]},
        {"target_modules": "("},
        {"target_modules": r"(\w+)+\d\d" + "x" * 20},
        {"layers_to_transform": "all"},
        {"layers_to_transform": [[1]]},
        {"modules_to_save": {"a": 1}},
        {"modules_to_save": 3},
        {"bias": 7},
        {"base_model_name_or_path": 7},
        {"base_model_name_or_path": "/no/such/model"},
        {"target_parameters": [3]},
        {"exclude_modules": 3},
        {"task_type": {}},
        {"peft_type": ["LORA"]},
        {"lora_dropout": "none"},
        {"alpha_pattern": {"q_proj": float("inf")}},
    ],
    ids=repr,
)
def test_a_config_of_nonsense_is_a_sentence_not_a_traceback(saved: Path, changes: dict[str, Any]) -> None:
    edit_config(saved, **changes)
    for base in (BASE, None):
        result, refused = None, ""
        try:
            result = inspect_adapter(saved, base)
        except ValueError as error:
            refused = str(error)
        assert "\n" not in refused
        if result is not None:
            assert json.dumps(result.as_dict())
            assert result.faults or result.notes


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("adapter_model.bin", CONFIG), "adapter_model.bin is there, a pickle"),
        (("adapter_model.bin",), "a pickle"),
        (("pytorch_lora_weights.safetensors",), "diffusers"),
        (("config.json", "model.safetensors"), "whole model"),
        (("checkpoint-50/adapter_config.json",), "it lies in checkpoint-50"),
    ],
    ids=str,
)
def test_what_lies_there_instead_is_named(tmp_path: Path, files: tuple[str, ...], words: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    try:
        said = inspect_adapter(tmp_path).faults
    except ValueError as error:
        said = (str(error),)
    assert any(words in sentence for sentence in said)


@pytest.mark.parametrize("source", ["", "a\0b", 7, None, "x" * 10_000, "no such folder", "a/b/c"], ids=repr)
def test_no_adapter_at_all_is_a_sentence(source: Any) -> None:
    with pytest.raises(ValueError, match="adapter"):
        inspect_adapter(source)


def test_more_patterns_than_are_looked_up_are_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peftcalc.doctor.settings.MAX_LOOK_UPS", 100)
    edit_config(saved, rank_pattern={f"module{n}": 4 for n in range(200)})
    assert any("more than are looked up" in fault for fault in inspect_adapter(saved, base=BASE).faults)
