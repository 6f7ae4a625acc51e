"""Pictures in the sequence: the vision tower's activations, beside the traced step, by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from peftcalc import Full, LoRA, estimate_memory, fit, simulate_memory
from peftcalc.memory.kernels import matrix_workspaces
from peftcalc.memory.model_config import check_images, image_tokens

LANGUAGE = {"model_type": "llama", "hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 384}  # fmt: skip
TOWER = {"model_type": "clip_vision_model", "hidden_size": 256, "image_size": 224, "patch_size": 14,
         "intermediate_size": 512, "num_attention_heads": 4, "num_hidden_layers": 3, "projection_dim": 64}  # fmt: skip
LLAVA: dict[str, Any] = {"model_type": "llava", "vision_config": TOWER, "text_config": LANGUAGE}
EVERYWHERE = LoRA(rank=4, targets=["q_proj", "v_proj"])
LANGUAGE_ALONE = LoRA(rank=4, targets=r".*language_model.*\.q_proj")
PLAIN: dict[str, Any] = {"padding": False}


@pytest.mark.parametrize(("method", "options"), [(EVERYWHERE, {}), (Full(), {}), (EVERYWHERE, {"checkpointing": True})])
def test_the_estimate_lies_beside_the_traced_step(method, options) -> None:
    """Within 5 % beyond cuBLAS's constant: the tower's embeddings and the projector are not counted."""
    estimate, trace = (
        call(LLAVA, method, 1, 768, images=2, **PLAIN, **options) for call in (estimate_memory, simulate_memory)
    )
    own = matrix_workspaces(None)
    assert estimate.total - own == pytest.approx(trace.peak - own, rel=0.05)
    assert "2 images" in " ".join(trace.notes)
    assert "2 images, 512 of its 768 tokens" in " ".join(estimate.notes)


def test_a_tower_that_is_not_trained_keeps_nothing_and_another_does() -> None:
    def saved(method: Any, images: int) -> int:
        return estimate_memory(LLAVA, method, 1, 768, images=images, **PLAIN).saved_activations

    assert saved(LANGUAGE_ALONE, 2) == saved(LANGUAGE_ALONE, 0)
    one, two = (saved(EVERYWHERE, images) - saved(EVERYWHERE, 0) for images in (1, 2))
    assert two == pytest.approx(2 * one, rel=0.01)  # casts of A and B are there once
    trace = [simulate_memory(LLAVA, LANGUAGE_ALONE, 1, 768, images=images, **PLAIN).peak for images in (0, 2)]
    assert trace[1] == pytest.approx(trace[0], rel=0.01)


def test_checkpointing_keeps_the_inputs_of_the_towers_layers() -> None:
    """3 layers · 2 pictures · 256 pieces · 256 numbers · 2 bytes."""
    terms = estimate_memory(LLAVA, EVERYWHERE, 1, 768, images=2, checkpointing=True, **PLAIN).terms
    kept = [term.bytes for term in terms if term.name == "vision tower: inputs of the checkpointed layers"]
    assert kept == [3 * 2 * 256 * 256 * 2]


def test_a_picture_has_the_tokens_of_its_patches_or_those_that_are_pooled() -> None:
    assert image_tokens(LLAVA) == 16 * 16
    assert image_tokens(LLAVA | {"model_type": "gemma3", "mm_tokens_per_image": 64}) == 64
    assert image_tokens(LLAVA | {"model_type": "qwen2_vl"}) == 0


def test_pictures_of_a_size_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ValueError, match="are not counted: how many tokens"):
        check_images("this", {"model_type": "qwen2_vl", "vision_config": {}}, 1, 99)


def test_a_tower_that_says_no_sizes_has_its_class_s() -> None:
    silent = LLAVA | {"vision_config": {"model_type": "clip_vision_model", "num_hidden_layers": 2}}
    estimate = estimate_memory(silent, LANGUAGE_ALONE, 1, 768, images=1, **PLAIN)
    assert "1 image, 49 of its 768 tokens" in " ".join(estimate.notes)  # 224 / 32, squared


def test_the_largest_batch_is_smaller_with_pictures() -> None:
    text, pictures = (
        fit(LLAVA, "T4", [EVERYWHERE], 1, 768, images=images, **PLAIN)[0].largest_batch for images in (0, 3)
    )
    assert 0 < pictures < text


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (
            "openai-community/gpt2",
            {"images": 1},
            "images must be 0 for openai-community/gpt2, which has no vision tower",
        ),
        (LLAVA, {"images": 4}, "sequence must be at least 1,024 to hold images=4 of 256 tokens each, got 768"),
        (LLAVA, {"images": -1}, "images must be between 0 and"),
    ],
)
@pytest.mark.parametrize("call", [estimate_memory, simulate_memory])
def test_what_is_refused(call, model, options, said) -> None:
    with pytest.raises(ValueError, match=said):
        call(model, LoRA(rank=4), 1, 768, **options)
