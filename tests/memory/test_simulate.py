"""The simulated step: what users see, what the choices change, and bad input."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import pytest
import torch

from peftcalc import DoRA, Full, LoRA, QDoRA, QLoRA, simulate_memory
from peftcalc.memory.cards import gpu
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.kernels import matrix_workspaces
from peftcalc.memory.records import PARTS, PHASES
from peftcalc.memory.simulate.trace import rounded
from peftcalc.methods import Method
from peftcalc.units import GIB

TINY = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 384,
    "max_position_embeddings": 64,
}
METHODS = [Full(), LoRA(rank=4), DoRA(rank=4), QLoRA(rank=4), QDoRA(rank=4)]
ids = [method.name for method in METHODS]


@pytest.mark.parametrize("method", METHODS, ids=ids)
def test_the_parts_add_up_to_the_peak(method: Any) -> None:
    trace = simulate_memory(TINY, method, batch=2, sequence=32)
    assert trace.peak == sum(getattr(trace.breakdown, part) for part in PARTS)
    assert trace.peak == max(point.allocated_bytes for point in trace.timeline)
    assert all(value >= 0 for point in trace.timeline for value in point.breakdown.to_dict().values())
    phases = [point.phase for point in trace.timeline]
    assert phases == sorted(phases, key=PHASES.index)
    assert set(phases) == set(PHASES)


def test_a_second_simulation_gives_the_same() -> None:
    first, second = (simulate_memory(TINY, QDoRA(rank=4), batch=2, sequence=32) for _ in range(2))
    assert (first.peak, first.timeline) == (second.peak, second.timeline)


def test_weights_gradients_and_moments_of_full_fine_tuning_by_hand() -> None:
    """bfloat16 throughout: 2 bytes a weight, 2 a gradient, 4 for two moments, and 2 for the copy of the square root."""
    trace = simulate_memory(TINY, Full(), batch=1, sequence=8, keep_outputs=False)
    shapes = (
        [(384, 64)] * 2 + [(64,)] + 2 * ([(64, 64)] * 2 + [(32, 64)] * 2 + [(160, 64)] * 2 + [(64, 160)] + [(64,)] * 2)
    )
    weights = sum(rounded(2 * torch.Size(shape).numel()) for shape in shapes)
    rotary = 2 * rounded(4 * 8)  # the frequencies and their original, float32
    assert trace.phase == "optimizer"
    assert trace.breakdown.base_weights == weights + rotary
    assert trace.breakdown.gradients == weights
    assert trace.breakdown.optimizer_states == 2 * weights
    assert trace.breakdown.temporary_buffers == weights + matrix_workspaces(None)


def test_a_quantized_base_by_hand() -> None:
    """Half a byte a weight; one byte for each block of 64 and 4 for each 256 of those; tables of 16 and 256 values."""
    trace = simulate_memory(TINY, QLoRA(rank=4), batch=1, sequence=8)
    matrices = ([(64, 64)] * 2 + [(32, 64)] * 2 + [(160, 64)] * 2 + [(64, 160)]) * 2
    constants = sum(
        rounded(n // 64) + rounded(-(-n // 64 // 256) * 4) + rounded(4) for n in (a * b for a, b in matrices)
    )
    tables = trace.breakdown.quantization_constants - constants
    assert tables % 512 == 0
    assert 0 < tables <= len(matrices) * (rounded(16 * 4) + rounded(256 * 4))
    codes = sum(rounded(a * b // 2) for a, b in matrices)
    rest = 2 * rounded(384 * 64 * 4) + 5 * rounded(64 * 4) + 2 * rounded(4 * 8)  # upcast to float32
    assert trace.breakdown.base_weights == codes + rest


@cache
def peak(method: Any = None, **options: Any) -> int:
    return simulate_memory(TINY, method or LoRA(rank=4), **({"batch": 2, "sequence": 64} | options)).peak


def test_each_choice_changes_the_answer_in_its_direction() -> None:
    assert peak(checkpointing=True) < peak()
    assert peak(attention="eager", sequence=256) > peak(sequence=256)
    assert peak(loss="chunked", batch=64) < peak(batch=64)
    assert peak(loss="fused", batch=64) < peak(batch=64)
    assert peak(keep_outputs=False) < peak()
    assert peak(padding=False) < peak()
    assert peak(adapters_float32=False) < peak()
    assert peak(QLoRA(rank=4), kbit_upcast=False) < peak(QLoRA(rank=4))
    assert peak(dtype="float32") > peak()
    assert peak(autocast=False) > peak()  # a float32 adapter without autocast keeps float32 copies of its input


def test_double_quantization_pays_where_a_matrix_has_many_blocks() -> None:
    """At 64 × 64 the rounding to 512 bytes eats the gain; at 512 × 512 a block costs 0.127 bits a weight, not 0.5."""
    wide = TINY | {"hidden_size": 512, "intermediate_size": 1024}
    single, double = (
        simulate_memory(wide, QLoRA(rank=4, double_quant=both), 1, 8).breakdown.quantization_constants
        for both in (False, True)
    )
    assert double < 0.5 * single


def test_the_order_of_optimizers() -> None:
    sizes = {
        name: simulate_memory(TINY, Full(), 1, 8, optimizer=name).breakdown.optimizer_states
        for name in (
            "adamw",
            "adamw_fused",
            "adamw_8bit",
            "paged_adamw_8bit",
            "paged_adamw_32bit",
            "sgd",
            "sgd_momentum",
        )
    }
    assert sizes["sgd"] == sizes["paged_adamw_32bit"] == 0
    assert sizes["paged_adamw_8bit"] < sizes["adamw_8bit"] < sizes["adamw"] == 2 * sizes["sgd_momentum"]
    assert sizes["adamw_fused"] > sizes["adamw"]  # its step counters lie on the device


def test_masters_double_what_is_trained() -> None:
    pure, mixed = (simulate_memory(TINY, Full(), 1, 8, float32_masters=masters) for masters in (False, True))
    assert mixed.breakdown.gradients == pytest.approx(2 * pure.breakdown.gradients, rel=0.02)
    assert mixed.breakdown.optimizer_states == pytest.approx(2 * pure.breakdown.optimizer_states, rel=0.02)


def test_accumulated_gradients_are_there_in_the_forward_pass() -> None:
    once, often = (simulate_memory(TINY, Full(), 1, 8, accumulation=steps) for steps in (1, 2))
    at_forward = [next(p for p in t.timeline if p.phase == "forward").breakdown.gradients for t in (once, often)]
    assert at_forward[0] == 0 < at_forward[1]


def test_dora_saves_more_than_lora() -> None:
    lora, dora = (simulate_memory(TINY, method, 2, 64) for method in (LoRA(rank=4), DoRA(rank=4)))
    assert dora.breakdown.saved_activations > lora.breakdown.saved_activations
    assert dora.breakdown.adapters > lora.breakdown.adapters


def test_a_frozen_a_is_stored_and_neither_trained_nor_fed() -> None:
    both, b_alone = (simulate_memory(TINY, LoRA(rank=4, freeze_a=frozen), 2, 64) for frozen in (False, True))
    assert b_alone.breakdown.adapters == both.breakdown.adapters
    assert b_alone.breakdown.base_weights == both.breakdown.base_weights
    assert b_alone.breakdown.optimizer_states < both.breakdown.optimizer_states
    assert b_alone.breakdown.saved_activations < both.breakdown.saved_activations


def test_a_start_changes_nothing_in_a_step() -> None:
    plain, *started = (simulate_memory(TINY, QLoRA(rank=4, init=init), 2, 64) for init in ("default", "pissa"))
    assert [trace.breakdown for trace in started] == [plain.breakdown]


def test_a_sequence_beyond_the_context_is_allowed_and_said() -> None:
    assert not simulate_memory(TINY, LoRA(rank=4), 1, 64).notes
    assert "beyond the model's context of 64" in simulate_memory(TINY, LoRA(rank=4), 1, 65).notes[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"batch": 0}, "batch must be between 1 and"),
        ({"sequence": 0}, "sequence must be between 1 and"),
        ({"sequence": 10**12}, "sequence must be between 1 and"),
        ({"batch": 1.5}, "batch must be a whole number"),
        ({"attention": "flesh"}, "did you mean 'flash'"),
        ({"checkpoint": True}, "did you mean 'checkpointing'"),
        ({"checkpointing": "yes"}, "must be True or False"),
        ({"limit_seconds": 0}, "limit_seconds must be a positive number"),
    ],
)
def test_bad_options_are_answered_with_a_sentence(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        simulate_memory(TINY, LoRA(rank=4), **arguments)


def test_a_simulation_beyond_its_limit_gives_no_result() -> None:
    with pytest.raises(TimeoutError, match=r"stopped after 0\.001 seconds"):
        simulate_memory(TINY, LoRA(rank=4), limit_seconds=0.001)


def test_what_cannot_be_traced_says_why() -> None:
    with pytest.raises(ValueError, match="cannot be traced: only models of the transformers library"):
        simulate_memory(torch.nn.Linear(4, 4), Full())
    with pytest.raises(ValueError, match="method must be one of Full, LoRA"):
        simulate_memory(TINY, "lora")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="peft cannot adapt this model"):
        simulate_memory(TINY, LoRA(rank=4, targets=["no_such_module"]))


MODEL = "meta-llama/Llama-3.2-3B"
PUBLISHED = [
    ("lora-r32", LoRA(rank=32, alpha=64, targets=["q_proj", "v_proj"]), 22_292_725_760, 20.24),
    ("dora-r32", DoRA(rank=32, alpha=64, targets=["q_proj", "v_proj"]), 24_532_484_096, 21.56),
    ("lora-mlp", LoRA(rank=10, alpha=20, targets=["gate_proj", "up_proj", "down_proj"]), 23.00 * GIB, 21.44),
    ("full", Full(), 36.20 * GIB, 34.45),
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "reserved", "trial"), [row[1:] for row in PUBLISHED], ids=[r[0] for r in PUBLISHED])
def test_pefts_published_runs(method: Any, reserved: float, trial: float) -> None:
    """PEFT's MetaMathQA runs (batch 4, up to 768 tokens, padded): reserved memory within 10 %, the trial's figures."""
    trace = simulate_memory(MODEL, method, batch=4, sequence=768)
    assert (trace.peak - matrix_workspaces(None)) / GIB == pytest.approx(trial, abs=0.006)
    assert trace.reserved == pytest.approx(reserved, rel=0.10)
    unscaled = simulate_memory(MODEL, method, batch=4, sequence=768, autocast=False)  # as that benchmark trains
    assert unscaled.peak == pytest.approx(reserved, rel=0.05)


@pytest.mark.slow
def test_405b_with_qlora_needs_little_memory() -> None:
    """In a process of its own: under 3 GiB of RAM (the time is in benchmarks/memory_simulation.py)."""
    program = (
        "import resource, peftcalc as pc\n"
        "trace = pc.simulate_memory('meta-llama/Llama-3.1-405B', pc.QLoRA(rank=16), 1, 2048, checkpointing=True)\n"
        "print(trace.peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    peak_bytes, resident = map(int, done.stdout.split())
    assert 200 * GIB < peak_bytes < 300 * GIB
    assert resident < 3 * GIB


MIXTRAL = TINY | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
QV = ("q_proj", "v_proj")
FALCON = {
    "model_type": "falcon",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 384,
}
# fmt: off
WHISPER = {"model_type": "whisper", "d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64,
           "encoder_attention_heads": 4, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "vocab_size": 384,
           "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
TRACED = [
    (MIXTRAL, QLoRA(rank=4, targets=QV), {}, "efficient"),
    (MIXTRAL, QLoRA(rank=4, targets=QV), {"experts": "4bit"}, "efficient"),
    (FALCON, LoRA(rank=4), {}, "math"),
    (TINY, LoRA(rank=4, dropout=0.1, targets=[*QV, "lm_head"]), {"loss": "chunked"}, "efficient"),
    (TINY, LoRA(rank=4), {"loss": "shifted", "padding": False}, "flash"),
    (TINY, LoRA(rank=4), {"autocast_scope": "step", "checkpointing": True, "card": "T4", "dtype": "float16"},
     "efficient"),
    (TINY, LoRA(rank=4), {"padding": False, "card": "T4", "dtype": "float16"}, "math"),
    (TINY, LoRA(rank=4), {"attention": "eager"}, "eager"),
]
# fmt: on


@pytest.mark.parametrize(("model", "method", "options", "kernel"), TRACED)
def test_families_and_choices_are_traced_and_name_their_kernel(model, method, options, kernel) -> None:
    """The estimate lies beside the trace: within 15 %, the project's bar for a row, beyond cuBLAS's constant."""
    trace = simulate_memory(model, method, 2, 64, **options)
    assert trace.kernel == kernel
    estimated, own = (
        estimate_memory(model, method, 2, 64, **options),
        matrix_workspaces(gpu(options.get("card", "A10"))),
    )
    assert estimated.kernel == kernel
    assert estimated.total - own == pytest.approx(trace.peak - own, rel=0.15)


def test_whispers_encoder_hears_1500_positions_whatever_the_sequence() -> None:
    short, long = (simulate_memory(WHISPER, LoRA(rank=4, targets=QV), 1, length) for length in (16, 17))
    assert "1,500 positions" in short.notes[0]
    assert long.peak - short.peak < 100_000 < short.peak


T5 = {"model_type": "t5", "d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_decoder_layers": 2,
      "num_heads": 4, "vocab_size": 384, "feed_forward_proj": "gated-gelu"}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "batch", "checkpointing"),
    [
        (LoRA(rank=4, targets=["q", "v"]), 1, False),
        (QLoRA(rank=4, targets=["q", "v"]), 4, False),
        pytest.param(LoRA(rank=4, targets=["q", "v"]), 4, False, marks=pytest.mark.slow),
        pytest.param(QLoRA(rank=4, targets=["q", "v"]), 4, True, marks=pytest.mark.slow),
        pytest.param(Full(), 4, False, marks=pytest.mark.slow),
    ],
)
def test_t5_lies_beside_its_trace(method: Method, batch: int, checkpointing: bool) -> None:
    """Biases by sequence and shared, dropouts, float32 down-projections, also under a 4-bit base: within 6 %.

    What the stacks' ends keep is not counted: of a step that is computed again it is a tenth in four such small layers.
    """
    own = matrix_workspaces(None)
    estimate = estimate_memory(T5, method, batch, 256, checkpointing=checkpointing)
    trace = simulate_memory(T5, method, batch, 256, checkpointing=checkpointing)
    assert estimate.kernel == trace.kernel == "efficient"
    assert estimate.base_weights == pytest.approx(trace.breakdown.base_weights, rel=1e-3)
    assert estimate.total - own == pytest.approx(trace.peak - own, rel=0.1 if checkpointing else 0.06)


def test_t5s_float32_down_projection_is_not_quantized() -> None:
    """Packed are q, k, v, o of six attentions (128 × 128) and two of the three matrices of four MLPs (128 × 256)."""
    packed = next(term for term in estimate_memory(T5, QLoRA(rank=4), 1, 16).terms if term.formula == "N₄ / 2")
    assert packed.bytes == (6 * 4 * 128 * 128 + 4 * 2 * 128 * 256) // 2
