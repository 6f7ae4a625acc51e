"""The choices beside the usual step, by hand; what saves never costs; and the traced step where it makes the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc import DoRA, Full, LoRA, QDoRA, QLoRA
from peftcalc.memory.estimate.anatomy import anatomy
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.estimate.head import head_moments
from peftcalc.memory.options import CHOICES, MemoryOptions
from peftcalc.memory.precision import precision_of
from peftcalc.models.load import load_model

TINY = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
}
PLAIN = {"autocast": False, "padding": False, "keep_outputs": False, "kbit_upcast": False}
PACKED = 4 * (2 * 256 * 256 + 2 * 64 * 256 + 3 * 256 * 1024)
"""Weights of the tiny model's linear layers but the head."""
SHAPES = [(256, 256), (64, 256), (64, 256), (256, 256), (1024, 256), (1024, 256), (256, 1024)]
"""(out, in) of those of a layer."""


def terms(method, batch=1, sequence=1024, **options) -> dict[str, int]:
    """Bytes of the terms at the peak, by name."""
    result = estimate_memory(TINY, method, batch, sequence, **{**PLAIN, **options})
    assert sum(term.bytes for term in result.terms) == result.total == max(size for _, size in result.moments)
    assert all(term.formula and term.source for term in result.terms)
    return {term.name: term.bytes for term in result.terms}


def moments(method, **options) -> dict[str, int]:
    return dict(estimate_memory(TINY, method, 1, 1024, **{**PLAIN, **options}).moments)


def up(size: float) -> int:
    """Rounded as CUDA's allocator does."""
    return -(-int(size) // 512) * 512


@pytest.mark.parametrize(
    ("base_format", "bits", "beside"),
    [
        ("int8", 8, lambda out, _: (4 * out,)),
        ("awq", 4, lambda out, inside: (2 * out * inside / 128, out * inside / 256)),
        ("gptq", 4, lambda out, inside: (2 * out * inside / 128, out * inside / 256, 4 * inside)),
        ("mxfp4", 4, lambda out, inside: (out * inside / 32,)),
    ],
)
def test_a_base_format_by_hand(base_format, bits, beside):
    result = estimate_memory(TINY, QLoRA(rank=8), 1, 64, base_format=base_format, **PLAIN)
    codes = [term.bytes for term in result.terms if f"in {bits} bits" in term.name]
    assert codes == [PACKED * bits // 8]
    assert result.quantization_constants == 4 * sum(up(size) for pair in SHAPES for size in beside(*pair))


def test_mxfp4_is_the_format_of_experts_where_there_are_any():
    result = estimate_memory("openai/gpt-oss-20b", QLoRA(rank=8, targets=["q_proj"]), base_format="mxfp4", **PLAIN)
    (packed,) = [term for term in result.terms if "in 4 bits" in term.name]
    assert packed.bytes == 24 * 32 * (2880 * 5760 + 2880 * 2880) // 2
    as_layers = estimate_memory("openai/gpt-oss-20b", QLoRA(rank=8, targets=["q_proj"]), **PLAIN)
    assert packed.bytes > 10 * next(t for t in as_layers.terms if "in 4 bits" in t.name).bytes


def test_int8_keeps_the_inputs_that_one_tensor_feeds_once_and_checkpointing_does_not_free_them():
    """One for q, k, v, one for gate and up, the product for down; attention's output is kept by its kernel."""
    inputs = 4 * 1024 * 2 * (256 + 256 + 1024)
    found = terms(QLoRA(rank=8, targets=["q_proj"]), base_format="int8", optimizer="sgd")
    assert found["inputs of the 8-bit layers"] == inputs
    again = terms(QLoRA(rank=8, targets=["q_proj"]), base_format="int8", optimizer="sgd", checkpointing=True)
    assert again["inputs of the 8-bit layers"] == inputs + 4 * 1024 * 2 * 256
    assert again["inputs of the checkpointed layers"] == 4 * 1024 * 2 * 256


def test_gptq_keeps_dense_weights_until_their_backward_product():
    found = terms(QLoRA(rank=8), base_format="gptq", optimizer="sgd")
    assert found["dense weights of the quantized layers"] == 2 * PACKED
    one = moments(QLoRA(rank=8), base_format="gptq", checkpointing=True)["last layer"]
    assert one < moments(QLoRA(rank=8), base_format="gptq")["last layer"] - 2 * PACKED // 2


def test_only_a_quantized_method_has_a_base_format_and_a_preparation():
    plain = estimate_memory(TINY, LoRA(rank=8))
    for name in ("base_format", "preparation"):
        for value in CHOICES[name]:
            assert estimate_memory(TINY, LoRA(rank=8), **{name: value}).total == plain.total


@pytest.mark.parametrize(
    ("options", "weight", "norm", "stream", "product", "adapter"),
    [
        ({}, 4, 4, 4, 4, 4),
        ({"preparation": "trl"}, 2, 2, 2, 2, 2),
        ({"preparation": "trl_norms"}, 2, 4, 4, 4, 2),
        ({"base_format": "int8"}, 4, 4, 4, 4, 4),
        ({"base_format": "gptq"}, 2, 2, 2, 2, 4),
        ({"base_format": "awq"}, 4, 4, 4, 2, 4),
    ],
)
def test_the_precision_that_a_preparation_leaves(options, weight, norm, stream, product, adapter):
    found = precision_of(QLoRA(), MemoryOptions(**options))
    assert (found.weight, found.norm, found.stream, found.product) == (weight, norm, stream, product)
    assert found.adapter == adapter


def test_adafactors_states_are_a_number_a_row_and_a_column():
    a_and_b = [(8, 256), (256, 8), (8, 256), (64, 8)]  # (rows, columns) of q and v
    states = estimate_memory(TINY, LoRA(rank=8, targets=["q_proj", "v_proj"]), optimizer="adafactor").optimizer_states
    assert states == 4 * 4 * sum(rows + columns for rows, columns in a_and_b)


def test_adafactors_update_holds_four_copies_of_the_largest_weight_in_half_precision():
    """16 bytes a number of the last of gate, up and down, and 4 of the update before: each has 256 · 1024 numbers."""
    rest = moments(Full(), optimizer="adafactor")["end of the backward pass"]
    assert moments(Full(), optimizer="adafactor")["update"] - rest == 20 * 256 * 1024


def test_gradients_that_do_not_wait_are_one_weights():
    free = moments(Full(), optimizer_in_backward=True)
    kept = moments(Full())
    assert "update" not in free
    trained = PACKED + 2 * 1024 * 256 + 9 * 256
    assert kept["update"] - free["end of the backward pass"] == 2 * trained * 2 - 2 * 2 * 1024 * 256
    assert moments(Full(), optimizer_in_backward=True, accumulation=2) == moments(Full(), accumulation=2)


def test_an_optimizer_on_the_host_leaves_nothing_and_gradients_follow():
    trained = 2 * (PACKED + 2 * 1024 * 256 + 9 * 256)
    kept, states = moments(Full()), moments(Full(), optimizer_offload="states")
    assert kept["update"] - states["update"] == 3 * trained  # two moments and their roots
    gone = moments(Full(), optimizer_offload="gradients")
    assert states["update"] - gone["end of the backward pass"] == trained - 2 * 1024 * 256
    assert estimate_memory(TINY, Full(), optimizer_offload="states").optimizer_states == 0


def test_activations_on_the_host_leave_one_kind_at_work_or_two_inputs():
    away = terms(LoRA(rank=8, targets=["q_proj"]), activation_offload=True, checkpointing=True, optimizer="sgd")
    (two,) = [size for name, size in away.items() if name.startswith("inputs of two")]
    assert two == 2 * 1024 * 2 * 256
    away = terms(LoRA(rank=8, targets=["q_proj"]), activation_offload=True, optimizer="sgd")
    assert away["gate, activation and up-projection of the MLP, one layer"] == 1024 * 6 * 1024


def test_fused_kernels_keep_inputs_of_norms_and_two_of_three_in_the_mlp():
    found = terms(LoRA(rank=8, targets=["q_proj"]), kernels="liger", optimizer="sgd")
    assert found["inputs of RMSNorms, one kernel each"] == 4 * 2 * 1024 * (2 * 256 + 4)
    assert found["gate and up-projection of the MLP"] == 4 * 1024 * 4 * 1024
    half = terms(LoRA(rank=8, targets=["q_proj"]), kernels="fused", optimizer="sgd")
    assert half["gate, activation and up-projection of the MLP"] == 4 * 1024 * 6 * 1024
    wide = estimate_memory("openai-community/gpt2", LoRA(rank=8), kernels="liger")
    assert wide.total == estimate_memory("openai-community/gpt2", LoRA(rank=8)).total  # LayerNorm, no gate


def test_a_chunk_is_as_many_positions_as_it_says_and_ligers_a_power_of_two():
    """V / h = 4, so Liger takes T / 4 of 1,024 positions, and 512 of 1,025."""
    made = {size: moments(LoRA(rank=8), loss="chunked", chunk_size=size)["loss"] for size in (64, 256, 4096)}
    assert made[256] - made[64] == 12 * (256 - 64) * 1024
    assert made[4096] - made[256] == 12 * (1024 - 256) * 1024  # there are 1,024 tokens
    for tokens, chunk in ((1024, 256), (1025, 512), (3, 1)):
        options = MemoryOptions(sequence=tokens, loss="liger")
        head = head_moments(anatomy(load_model(TINY)), precision_of(Full(), options), options, True)[1]
        assert (head.term.bytes, head.phase) == (2 * 2 * chunk * 1024 + 2 * 256 * tokens + 2 * 1024 * 256, "forward")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_format": "int-8"}, "int8"),
        ({"preparation": "trl-norms"}, "trl_norms"),
        ({"optimizer_offload": "state"}, "states"),
        ({"optimizer": "adafacter"}, "adafactor"),
        ({"activation_ofload": True}, "activation_offload"),
        ({"chunk_size": 0}, "chunk_size must be"),
        ({"optimizer_in_backward": "yes"}, "must be True or False"),
    ],
)
def test_what_is_not_known_is_answered_with_the_nearest(options, said):
    with pytest.raises(ValueError, match=said):
        estimate_memory(TINY, QLoRA(), **options)


SAVING = [
    {"activation_offload": True},
    {"optimizer_in_backward": True},
    {"optimizer_offload": "states"},
    {"optimizer_offload": "gradients"},
    {"kernels": "liger"},
    {"preparation": "trl"},
    {"chunk_size": 512},
]
OTHERS = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(list(CHOICES[name]))
        for name in ("base_format", "preparation", "kernels", "optimizer_offload", "loss", "sharding")
    }
    | dict.fromkeys(("activation_offload", "optimizer_in_backward", "checkpointing", "autocast"), st.booleans()),
)


@settings(deadline=None, derandomize=True, max_examples=15)
@given(
    method=st.sampled_from((Full(), LoRA(rank=8), DoRA(rank=8), QLoRA(rank=8), QDoRA(rank=8))),
    options=OTHERS,
    saving=st.sampled_from(SAVING),
    model=st.sampled_from(("meta-llama/Llama-3.2-1B", "openai-community/gpt2", "mistralai/Mistral-7B-v0.1")),
)
def test_what_is_there_to_save_never_costs_and_the_order_of_methods_and_gpus_stays(method, options, saving, model):
    def total(chosen=method, **other):
        return estimate_memory(model, chosen, 2, 700, **{**options, **other}).total

    assert total(**saving) <= total(**{name: getattr(MemoryOptions(), name) for name in saving})
    if not method.has_adapter:
        return
    plain = {DoRA: LoRA, QDoRA: QLoRA}.get(type(method))
    if plain:
        assert total() >= total(plain(rank=8))
    assert total(gpus=4) <= total(gpus=2)


TRACED = [
    (QLoRA(rank=16), {"base_format": "int8", "checkpointing": True}, 0.02, 0.02),
    (QLoRA(rank=16), {"preparation": "trl_norms"}, 0.02, 0.03),
    (LoRA(rank=16), {"kernels": "liger"}, 0.03, 0.03),
    (Full(), {"optimizer": "adafactor", "checkpointing": True}, 0.02, 0.02),
    (Full(), {"optimizer_in_backward": True, "loss": "chunked", "chunk_size": 64}, 0.03, 0.03),
    (LoRA(rank=16), {"activation_offload": True, "loss": "chunked", "chunk_size": 64}, 0.02, 0.15),
]
"""Method, options, and how far the estimate may lie below and above. Offload is bounded by the largest kind of operator
of a layer, whose tensors come back one by one: above."""


@pytest.mark.slow
@pytest.mark.parametrize(("method", "options", "below", "above"), TRACED, ids=lambda value: str(value)[:40])
def test_the_traced_step_agrees(method, options, below, above):
    from peftcalc.memory.simulate.simulate import simulate_memory

    wide = TINY | {"hidden_size": 512, "intermediate_size": 1536, "vocab_size": 8192}
    estimate = estimate_memory(wide, method, 2, 512, **options).total
    peak = simulate_memory(wide, method, 2, 512, **options).peak
    assert peak * (1 - below) <= estimate <= peak * (1 + above)


def test_what_is_estimated_alone_is_said():
    from peftcalc.memory.simulate.choices.losses import forward_function
    from peftcalc.memory.simulate.choices.quantized_base import quantize

    with pytest.raises(ValueError, match="not simulated"):
        forward_function(None, {}, "liger")
    with pytest.raises(ValueError, match="not simulated"):
        quantize(None, QLoRA(), MemoryOptions(base_format="gptq"))
