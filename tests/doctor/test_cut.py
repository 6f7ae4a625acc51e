"""The smaller adapter: peft loads it, gives the truncated update, and nothing of its rank is nearer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapter_files import BASE, CONFIG, TENSORS, edit_config, edit_tensors, image_net, llama, peft_load, write_adapter
from safetensors.torch import load_file

from peftcalc import cut_adapter, inspect_adapter

CASES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "LoRA": (llama, {}),
    "DoRA": (llama, {"use_dora": True}),
    "rslora": (llama, {"use_rslora": True}),
    "patterns": (
        llama,
        {
            "target_modules": ["q_proj", "k_proj", "v_proj", "down_proj"],
            "rank_pattern": {"v_proj": 3, r"layers\.1\..*k_proj": 9, "down_proj": 2},
            "alpha_pattern": {r"model\.layers\.0\..*": 7, "down_proj": 5},
            "use_rslora": True,
        },
    ),
    "embeddings": (llama, {"target_modules": ["embed_tokens", "lm_head", "k_proj"], "use_dora": True}),
    "whole modules": (llama, {"modules_to_save": ["lm_head"], "lora_bias": True}),
    "convolutions": (image_net, {"target_modules": ["0", "1", "3"]}),
    "DoRA's convolution": (image_net, {"target_modules": ["1", "3"], "use_dora": True}),
}


def output(module: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        if hasattr(module, "config") and hasattr(module.config, "vocab_size"):
            return module(input_ids=torch.randint(0, 40, (2, 7), generator=generator)).logits
        return module(torch.randn(2, 4, 8, 8, generator=generator))


def truncated(dense: torch.Tensor, keep: int) -> torch.Tensor:
    U, values, Vt = torch.linalg.svd(dense, full_matrices=False)
    return (U[:, :keep] * values[:keep]) @ Vt[:keep]


def truncate_in_place(module: Any, rank: int) -> None:
    """Put the dense truncated product in place of peft's B A, as a full-rank pair of factors, by an SVD of B A."""
    from peft.tuners.lora import LoraLayer

    for layer in module.modules():
        if not isinstance(layer, LoraLayer):
            continue
        if "default" in layer.lora_embedding_A:
            A, B = layer.lora_embedding_A["default"], layer.lora_embedding_B["default"]
        else:
            A: Any = layer.lora_A["default"].weight  # pyright: ignore[reportAttributeAccessIssue]
            B: Any = layer.lora_B["default"].weight  # pyright: ignore[reportAttributeAccessIssue]
        groups = A.shape[0] // B.shape[1]
        keep = max(rank // groups, 1)
        with torch.no_grad():
            for g in range(groups):
                rows = slice(g * B.shape[1], (g + 1) * B.shape[1])
                outs = slice(g * B.shape[0] // groups, (g + 1) * B.shape[0] // groups)
                dense = truncated((B[outs].flatten(1) @ A[rows].flatten(1)).double(), keep)
                # B's own columns hold what is kept: B A_new = the truncated product, by least squares.
                new = torch.linalg.pinv(B[outs].flatten(1).double()) @ dense
                A[rows] = new.reshape(A[rows].shape).to(A.dtype)


@pytest.mark.parametrize("case", CASES)
def test_peft_loads_it_and_gives_the_truncated_update(case: str, tmp_path: Path) -> None:
    build, settings = CASES[case]
    write_adapter(tmp_path / "large", build, **settings)
    module = peft_load(tmp_path / "large", build)  # peft sorts overlapping patterns when it writes them
    before = output(module)
    cut = cut_adapter(tmp_path / "large", 4, tmp_path / "small")
    truncate_in_place(module, 4)
    expected = output(module)
    found = output(peft_load(tmp_path / "small", build))
    assert not torch.allclose(before, expected, atol=1e-3)
    # The factors are stored in float32; outputs are of order 1 to 10.
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    small = inspect_adapter(tmp_path / "small", base=build())
    assert small.sound
    assert cut.file_bytes == (tmp_path / "small" / TENSORS).stat().st_size


@pytest.mark.parametrize("case", CASES)
def test_ranks_scales_and_the_energy_lost_are_as_said(case: str, tmp_path: Path) -> None:
    build, settings = CASES[case]
    write_adapter(tmp_path / "large", build, **settings)
    large = inspect_adapter(tmp_path / "large", base=build())
    cut = cut_adapter(tmp_path / "large", 4, tmp_path / "small")
    small = inspect_adapter(tmp_path / "small", base=build())
    assert [layer.module for layer in small.layers] == [layer.module for layer in large.layers]
    for was, now, said in zip(large.layers, small.layers, cut.layers, strict=True):
        assert now.rank == min(was.rank, 4) == said.rank
        assert now.scale == pytest.approx(was.scale, rel=1e-12)
        kept = was.within(4)
        assert now.frobenius_norm**2 == pytest.approx(kept * was.frobenius_norm**2, rel=1e-5)
        assert said.energy_lost == pytest.approx((1 - kept) * said.energy, rel=1e-6, abs=1e-12)
    assert cut.energy_lost_percent == pytest.approx(100 * (1 - large.within(4)), rel=1e-9)


def test_modules_at_or_below_the_rank_keep_their_bytes(tmp_path: Path) -> None:
    write_adapter(tmp_path / "large", rank_pattern={"v_proj": 3}, modules_to_save=["lm_head"])
    cut_adapter(tmp_path / "large", 4, tmp_path / "small")
    before, after = load_file(tmp_path / "large" / TENSORS), load_file(tmp_path / "small" / TENSORS)
    assert before.keys() == after.keys()
    same = {
        name for name in before if before[name].shape == after[name].shape and torch.equal(before[name], after[name])
    }
    assert same == {name for name in before if "v_proj" in name or "lm_head" in name}
    config = json.loads((tmp_path / "small" / CONFIG).read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 10)  # 15 / 6 · 4
    assert config["rank_pattern"] == {"v_proj": 3}
    assert config["alpha_pattern"] == {"v_proj": 15}


def test_a_rank_that_nothing_exceeds_copies_the_adapter(saved: Path, tmp_path: Path) -> None:
    cut = cut_adapter(saved, 6, tmp_path / "small")
    assert cut.energy_lost_percent == 0
    assert load_file(tmp_path / "small" / TENSORS).keys() == load_file(saved / TENSORS).keys()
    config, before = (json.loads((folder / CONFIG).read_text()) for folder in (tmp_path / "small", saved))
    assert config == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn])
def test_the_type_of_the_factors_stays(dtype: torch.dtype, saved: Path, tmp_path: Path) -> None:
    edit_tensors(saved, lambda t: {name: value.to(dtype) for name, value in t.items()})
    cut_adapter(saved, 4, tmp_path / "small")
    small = load_file(tmp_path / "small" / TENSORS)
    assert {value.dtype for value in small.values()} == {torch.float32 if dtype.itemsize == 1 else dtype}
    large = inspect_adapter(saved, base=BASE)
    after = inspect_adapter(tmp_path / "small", base=BASE)
    # bfloat16 rounds each number by at most 2^-9 of itself, in both factors.
    for was, now in zip(large.layers, after.layers, strict=True):
        assert now.frobenius_norm == pytest.approx(was.frobenius_norm * np.sqrt(was.within(4)), rel=2**-8)


def test_numbers_beyond_float16_are_written_in_float32(saved: Path, tmp_path: Path) -> None:
    def huge(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: torch.full_like(value, 60_000).half() for name, value in tensors.items()}

    edit_tensors(saved, huge)
    cut_adapter(saved, 4, tmp_path / "small")
    assert inspect_adapter(tmp_path / "small", base=BASE).sound


def test_a_closed_form(tmp_path: Path) -> None:
    """σ = 5 · (4, 3, 2, 1) by hand: rank 2 loses (4 + 1) / (16 + 9 + 4 + 1) = 1/6 of the energy, whatever s."""
    write_adapter(tmp_path / "large", r=4, lora_alpha=20)

    def by_hand(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found = {}
        for name, value in tensors.items():
            row = torch.eye(*value.shape)
            found[name] = row * torch.tensor([4.0, 3.0, 2.0, 1.0]) if "lora_B" in name else row
        return found

    edit_tensors(tmp_path / "large", by_hand)
    layer = inspect_adapter(tmp_path / "large", base=BASE).layers[0]
    assert layer.singular_values == pytest.approx((20, 15, 10, 5))
    cut = cut_adapter(tmp_path / "large", 2, tmp_path / "small")
    assert cut.energy_lost_percent == pytest.approx(100 / 6)


def test_dora_says_what_is_nearest(tmp_path: Path) -> None:
    write_adapter(tmp_path / "large", use_dora=True)
    notes = cut_adapter(tmp_path / "large", 2, tmp_path / "small").notes
    assert any("the magnitudes stay" in note for note in notes)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: edit_config(f, init_lora_weights="pissa_niter_4"), "changes the base's weights"),
        (lambda f: edit_config(f, use_qalora=True), "use_qalora"),
        (lambda f: edit_config(f, peft_type="VERA"), "peft_type must be LORA"),
        (lambda f: edit_config(f, r=5), "do not fit each other"),
        (lambda f: (f / CONFIG).unlink(), "needs both"),
        (lambda f: (f / TENSORS).unlink(), "needs both"),
        (
            lambda f: edit_tensors(f, lambda t: {k: v * float("nan") for k, v in t.items()}),
            "not finite numbers, so nothing is cut",
        ),
        (lambda f: edit_tensors(f, lambda t: {k: v for k, v in t.items() if "lora_A" in k}), "no pair of A and B"),
    ],
    ids=["pissa", "qalora", "vera", "rank", "no config", "no tensors", "nan", "no pair"],
)
def test_what_cannot_be_cut_is_a_sentence_and_writes_nothing(
    harm: Callable[[Path], Any], words: str, saved: Path, tmp_path: Path
) -> None:
    harm(saved)
    with pytest.raises(ValueError, match=words):
        cut_adapter(saved, 2, tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_the_larger_adapter_is_never_overwritten(saved: Path) -> None:
    with pytest.raises(ValueError, match="another folder"):
        cut_adapter(saved, 2, saved.parent / "." / saved.name)
    for rank in (0, -1, 2.5, "4"):
        with pytest.raises(ValueError, match="rank must be"):
            cut_adapter(saved, rank, saved.parent / "small")  # pyright: ignore[reportArgumentType]
