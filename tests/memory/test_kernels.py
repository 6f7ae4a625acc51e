"""Which kernel runs where, what it keeps, and the measured rows that say so."""

from __future__ import annotations

from typing import Any

import pytest

from peftcalc import DoRA, Full, LoRA, QLoRA
from peftcalc.memory.cards import all_gpus, gpu
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.fit import fit, largest_models, largest_sequence
from peftcalc.memory.kernels import attention_kernel, matrix_workspaces, shares_heads
from peftcalc.methods import make_method
from peftcalc.speed.estimate import estimate_speed

TABLE = [
    ("A100 80GB", "bfloat16", False, False, 128, "flash"),
    ("A100 80GB", "bfloat16", True, False, 128, "flash"),
    ("A100 80GB", "bfloat16", False, True, 128, "efficient"),
    ("A100 80GB", "bfloat16", True, True, 128, "math"),
    ("A100 80GB", "float32", False, False, 128, "efficient"),
    ("RTX 4080", "float32", True, False, 128, "math"),
    ("RTX 4080", "bfloat16", False, False, 224, "efficient"),
    ("RTX 4080", "bfloat16", False, False, 256, "flash"),
    ("H100 80GB", "bfloat16", False, False, 224, "flash"),
    ("A100 80GB", "float16", False, False, 320, "efficient"),
    ("T4", "float16", False, False, 64, "efficient"),
    ("T4", "float16", True, False, 64, "math"),
    ("T4", "float32", False, True, 64, "efficient"),
    ("V100 16GB", "bfloat16", False, False, 64, "math"),
    ("MI300X", "bfloat16", True, False, 128, "flash"),
]


@pytest.mark.parametrize(("card", "dtype", "grouped", "masked", "width", "kernel"), TABLE)
def test_the_kernel_by_card_type_heads_and_mask(card, dtype, grouped, masked, width, kernel):
    assert attention_kernel(gpu(card), dtype, grouped, masked, width) == kernel


def test_values_of_another_width_and_masks_decide_as_well():
    assert attention_kernel(None, "bfloat16", False, False, 192, 128) == "efficient"
    assert [shares_heads(False, 128), shares_heads(True, 128), shares_heads(False, 512)] == [True, False, False]
    assert not shares_heads(False, 192, 128)


def test_every_card_of_the_table_has_a_kernel_and_a_workspace():
    for card in all_gpus():
        assert attention_kernel(card, card.dtype, False, False, 128) in ("flash", "efficient")
        assert matrix_workspaces(card) in (2 * 8_519_680, 2 * 2**25, 2 * 2**27)
    assert matrix_workspaces(gpu("T4")) == 17_039_360
    assert matrix_workspaces(gpu("H100 80GB")) == 67_108_864


TINY = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}
PLAIN = {"autocast": False, "padding": False, "keep_outputs": False}


def kept(model=TINY, method=None, **options):
    """Bytes by name of what the four layers keep of attention at 1 × 1024."""
    result = estimate_memory(model, method or LoRA(rank=8, targets=["q_proj"]), 1, 1024, **PLAIN, **options)
    return result.kernel, {term.name: term.bytes for term in result.terms if "attention" in term.name}


def test_what_each_kernel_keeps_by_hand():
    """h = 256, 8 heads of 32 and 2 of keys, S = T = 1024, four layers; bfloat16, MATH in float32."""
    tokens = 4 * 1024
    flash = {"queries, keys, values and output of attention": tokens * (2 * (2 * 256 + 2 * 64) + 4 * 8)}
    assert kept() == ("flash", flash)
    efficient = {"queries, keys, values and output of attention": tokens * (2 * 4 * 256 + 4 * 8)}
    assert kept(kernel="efficient") == ("efficient", efficient)
    math = {
        "queries, keys and values of attention in float32": tokens * 12 * 256,
        "probabilities of attention, float32": tokens * 4 * 8 * 1024,
    }
    assert kept(kernel="math") == ("math", math)
    assert kept(card="T4", dtype="float16") == ("math", math)
    assert kept(card="T4", dtype="float16", kernel="efficient") == ("efficient", efficient)
    assert kept(card="T4", dtype="float16", attention="flash") == ("flash", flash)


def test_the_kernel_that_was_not_asked_for_is_said():
    said = estimate_memory(TINY, LoRA(rank=8), 1, 64, card="T4", dtype="float16", padding=False).notes
    assert any("MATH kernel on T4" in note and "48633" not in note for note in said)
    assert not estimate_memory(TINY, LoRA(rank=8), 1, 64).notes
    flash = estimate_memory(TINY, LoRA(rank=8), 1, 64, card="T4", dtype="float16", attention="flash").notes
    assert any("needs compute capability 8.0" in note for note in flash)


def test_a_card_without_bfloat16_is_counted_in_float16_and_that_is_said():
    """As a kind: whatever takes a card and no type takes the card's own; a type that is named stays."""
    said = "T4 has no bfloat16: the step is counted in float16, which takes the same bytes"
    chosen: dict[str, Any] = {"batch": 1, "sequence": 64}
    for card, dtype in (("T4", "float16"), ("A10", "bfloat16")):
        named = estimate_memory(TINY, LoRA(rank=8), card=card, dtype=dtype, **chosen)
        estimates = [
            estimate_memory(TINY, LoRA(rank=8), card=card, **chosen),
            fit(TINY, card, [LoRA(rank=8)], **chosen)[0].estimate,
            fit(TINY, card, [LoRA(rank=8)], dtype=None, **chosen)[0].estimate,
        ]
        for estimate in estimates:
            assert (estimate.total, estimate.kernel) == (named.total, named.kernel)
            assert (said in estimate.notes) == (card == "T4")
        assert largest_sequence(TINY, LoRA(rank=8), card) == largest_sequence(TINY, LoRA(rank=8), card, dtype=dtype)
    other = fit(TINY, "T4", [LoRA(rank=8)], dtype="bfloat16", **chosen)[0].estimate
    assert "T4 has no bfloat16: choose float16, which takes the same bytes" in other.notes
    assert any("has no bfloat16" in note for note in estimate_speed(TINY, LoRA(rank=8), "T4", **chosen).notes)


def test_a_card_is_fitted_with_its_own_kernel():
    """On a T4 shared heads fall to MATH, which keeps S × S: the same step needs more there than on an A10."""
    chosen = {"batch": 1, "sequence": 2048, "dtype": "float16"}
    upcast = fit("meta-llama/Llama-3.2-1B", "A10", [QLoRA(rank=16)], autocast=False, **chosen)[0]
    assert upcast.estimate.kernel == "math"  # float32 queries after the k-bit upcast
    old, new = (fit("meta-llama/Llama-3.2-1B", card, [LoRA(rank=16)], **chosen)[0] for card in ("T4", "A10"))
    assert (old.estimate.kernel, new.estimate.kernel) == ("math", "flash")
    assert old.needed.peak_bytes > 1.5 * new.needed.peak_bytes
    assert old.largest_sequence < new.largest_sequence / 2
    with pytest.raises(ValueError, match="did you mean 'kernel'"):
        largest_models(["T4"], [LoRA(rank=8)], kernl="math")


# fmt: off
QKVO = ("q_proj", "k_proj", "v_proj", "o_proj")
T4 = {"dtype": "float16", "autocast": False, "checkpointing": True, "padding": False, "card": "T4"}
FMS = {"checkpointing": True, "attention": "flash", "padding": False, "keep_outputs": False, "kbit_upcast": False,
       "card": "A100 80GB"}
DORA = {"checkpointing": True, "attention": "flash", "optimizer": "sgd", "loss": "chunked", "padding": False,
        "accumulation": 8, "autocast_scope": "step", "card": "B200"}
PAGED = {"autocast": False, "padding": False, "optimizer": "paged_adamw_8bit", "card": "RTX 4080"}
MEASURED = [
    # eager: softmax's backward pass and the shared mask; fitcheck-llm 0.3.1, t4-sweep
    ("HuggingFaceTB/SmolLM2-360M", QLoRA(rank=32, targets=QKVO, double_quant=False), 1, 4096,
     T4 | {"attention": "eager"}, 5_963_413_504, 0.01),
    ("HuggingFaceTB/SmolLM2-360M", LoRA(rank=32, targets=QKVO), 1, 4096,
     T4 | {"attention": "eager"}, 5_146_947_584, 0.01),
    # fused, with keys and values repeated by the measuring script
    ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", QLoRA(rank=32, targets=QKVO, double_quant=False), 1, 1024,
     T4 | {"kernel": "efficient"}, 1_932_602_368, 0.015),
    # MATH on 8.9 with float32 queries; can-i-finetune-this
    ("Qwen/Qwen2.5-1.5B", QLoRA(rank=16, targets=QKVO), 1, 1024, PAGED, 10_030_144_500, 0.02),
    # experts in 4 bits, transformers 4.48's loss; foundation-model-stack/fms-acceleration
    ("mistralai/Mixtral-8x7B-v0.1", QLoRA(rank=16, dropout=0.1, targets=QKVO), 8, 4096,
     FMS | {"experts": "4bit", "loss": "shifted"}, 48_770_183_680, 0.02),
    ("mistralai/Mistral-7B-v0.1", LoRA(rank=16, dropout=0.1, targets=QKVO), 8, 4096,
     FMS | {"autocast": False, "loss": "shifted"}, 38_742_912_512, 0.001),
    # autocast open over the backward pass; arXiv:2603.22276
    ("Qwen/Qwen3-8B", DoRA(rank=384), 1, 4096, DORA, 31_820_219_936, 0.005),
    # two GPUs; the update of full fine-tuning is 5 · 2 · N / 2 bytes (issue 17: 33.74 GiB)
    ("mistralai/Mistral-7B-v0.1", Full(), 1, 4096, FMS | {"gpus": 2, "sharding": "zero3", "autocast": False},
     33.74 * 2**30, 0.002),
    # inputs and gradients that FSDP's hooks hold, one layer and the root unit gathered, scales whole
    ("meta-llama/Llama-2-70b-hf", QLoRA(rank=16, dropout=0.1, targets=QKVO), 2, 4096,
     FMS | {"gpus": 2, "sharding": "zero3"}, 46_685_287_936, 0.001),
    ("mistralai/Mistral-7B-v0.1", QLoRA(rank=16, dropout=0.1, targets=QKVO), 2, 4096,
     FMS | {"gpus": 2, "sharding": "zero3"}, 8.78 * 2**30, 0.001),
    ("mistralai/Mistral-7B-v0.1", LoRA(rank=16, dropout=0.1, targets=QKVO), 4, 4096,
     FMS | {"gpus": 2, "sharding": "zero3", "autocast": False}, 21_959_827_968, 0.001),
]
# fmt: on


@pytest.mark.parametrize(("model", "method", "batch", "sequence", "options", "measured", "within"), MEASURED)
def test_measured_rows(model, method, batch, sequence, options, measured, within):
    """Rows by others, one for each mechanism; the tolerance is what the row lies within today, rounded up."""
    assert estimate_memory(model, method, batch, sequence, **options).total == pytest.approx(measured, rel=within)


def test_autocasts_copies_are_held_where_it_is_open():
    """Two bytes for each number of A and B: under the loss always, after it only where autocast stays open."""
    options = {"checkpointing": True, "loss": "chunked", "padding": False}
    method = make_method("lora", rank=64)
    inside, over = (
        dict(estimate_memory(TINY, method, 1, 1024, autocast_scope=scope, **options).moments)
        for scope in ("forward", "step")
    )
    trained = estimate_memory(TINY, method, 1, 1024).adapters // 4
    assert over["loss"] - inside["loss"] == over["last layer, again"] - inside["last layer, again"] == 2 * trained
    assert over["loss, forward"] == inside["loss, forward"]
    assert over["last layer"] == inside["last layer"]


def test_the_older_loss_copies_the_logits_once_more():
    new, old = (
        dict(estimate_memory(TINY, LoRA(rank=4), 1, 1024, loss=loss, **PLAIN).moments)
        for loss in ("standard", "shifted")
    )
    assert old["loss, forward"] - new["loss, forward"] == 4 * 1024 * 512
    assert old["loss"] == new["loss"]


MOE = "mistralai/Mixtral-8x7B-v0.1"


def test_fused_experts_are_named_and_not_cast():
    """8 experts · 32 layers · 3 · 4096 · 14336 weights at 2 bytes; quantized they take half a byte."""
    experts = 32 * 8 * 3 * 4096 * 14336
    lora, held, four = (
        estimate_memory(MOE, method, 1, 512, **options)
        for method, options in (
            (LoRA(rank=8, targets=QKVO), {}),
            (QLoRA(rank=8, targets=QKVO), {}),
            (QLoRA(rank=8, targets=QKVO), {"experts": "4bit"}),
        )
    )
    named = {term.name: term.bytes for term in held.terms if term.part == "base_weights"}
    assert named["fused experts, which are not quantized"] == 2 * experts
    assert named["weights that are not quantized: embeddings, head, norms"] < 2e9
    assert held.base_weights < lora.base_weights
    assert held.base_weights - four.base_weights == pytest.approx(1.5 * experts, rel=1e-6)
    assert any("45,097,156,608 weights" in note for note in held.notes)
    assert not any("does not quantize" in note for note in four.notes)


def test_one_of_several_gpus_gathers_the_root_unit_and_nothing_in_the_update():
    options = {**PLAIN, "sharding": "zero3", "optimizer": "adamw"}
    one, two, four = (estimate_memory(TINY, Full(), 1, 8, gpus=gpus, **options) for gpus in (1, 2, 4))
    own = matrix_workspaces(None)
    update = [dict(result.moments)["update"] - own for result in (one, two, four)]
    assert update == pytest.approx([update[0], update[0] / 2, update[0] / 4], rel=1e-3)
    loss = estimate_memory(TINY, LoRA(rank=4), 1, 2048, gpus=2, **options)
    root = {term.name: term.bytes for term in loss.terms}["embeddings, last norm and head, gathered"]
    assert root == 2 * (2 * 512 * 256 + 256)
    assert two.total >= four.total


def test_what_is_gathered_when_and_what_hooks_hold():
    """With checkpointing a layer while it works, else the next as well; FSDP2 fetches always and holds nothing."""
    options = {**PLAIN, "sharding": "zero3", "checkpointing": True}
    method = LoRA(rank=4)
    one, two = (dict(estimate_memory(TINY, method, 1, 1024, gpus=gpus, **options).moments) for gpus in (1, 2))
    parts = estimate_memory(TINY, method, 1, 1024, checkpointing=True, **PLAIN)
    standing = (parts.base_weights + parts.adapters + parts.optimizer_states) / 2
    layer = 2 * (2 * 256 * 256 + 2 * 64 * 256 + 3 * 256 * 512 + 2 * 256) + parts.adapters / 4
    root = 2 * (2 * 512 * 256 + 256)
    grown = {name: two[name] - one[name] + standing - root for name in one}
    assert grown["loss, forward"] == pytest.approx(0, abs=4)
    assert grown["loss"] == pytest.approx(0, abs=4)
    assert grown["last layer"] == pytest.approx(layer, abs=4)
    for other, ahead in ((options | {"checkpointing": False}, 0), (options | {"sharding": "fsdp2"}, layer)):
        one_, two_ = (dict(estimate_memory(TINY, method, 1, 1024, gpus=gpus, **other).moments) for gpus in (1, 2))
        more = {name: two_[name] - one_[name] + standing - root for name in one_}
        assert more["loss, forward"] == pytest.approx(ahead, abs=4)
        assert more["loss"] == pytest.approx(layer, abs=4)
        assert more["last layer"] == pytest.approx(2 * layer, abs=4)
    hooks = 2 * 3 * 1024 * 256 * 2  # input and gradient of three of four layers
    gradients = 3 / 4 * parts.adapters / 2  # as large as what is trained
    assert grown["first layer"] == pytest.approx(layer + hooks - gradients, abs=4)
    full = estimate_memory(TINY, Full(), 1, 1024, gpus=2, **options)
    assert not any("hooks" in term.name for term in full.terms)


def test_scales_of_a_divided_base_lie_whole_on_every_gpu():
    whole, divided = (
        estimate_memory(TINY, QLoRA(rank=4), 1, 8, kbit_upcast=False, **PLAIN, **options)
        for options in ({}, {"gpus": 4, "sharding": "zero3"})
    )
    assert divided.quantization_constants == whole.quantization_constants
    assert divided.base_weights == pytest.approx(whole.base_weights / 4, abs=4)


def test_several_gpus_need_nccls_buffers_and_two_units_more():
    one, ddp, two = (
        estimate_memory(TINY, LoRA(rank=4), 1, 256, **PLAIN, **options)
        for options in ({}, {"gpus": 2}, {"gpus": 2, "sharding": "zero3"})
    )
    assert ddp.unshared_bytes - one.unshared_bytes == 2**30
    assert ddp.apart_bytes - one.apart_bytes - 2**30 == ddp.gradients - one.gradients == ddp.adapters  # DDP's buckets
    layer = 2 * (2 * 256 * 256 + 2 * 64 * 256 + 3 * 256 * 512 + 2 * 256)
    assert two.unshared_bytes >= 2**30 + 2 * layer


def test_a_model_holds_its_last_hidden_states_under_the_loss():
    """Beside logits, their copy and log-probabilities; a head that is trained keeps them anyway."""
    held = [
        dict(estimate_memory(TINY, LoRA(rank=4), 1, tokens, checkpointing=True, **PLAIN).moments)["loss, forward"]
        for tokens in (1024, 2048)
    ]
    inputs, norm, hidden = 4 * 2 * 256, 4 * 256, 2 * 256
    assert held[1] - held[0] == 1024 * (inputs + norm + hidden + 10 * 512)
