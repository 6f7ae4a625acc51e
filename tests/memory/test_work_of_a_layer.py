"""What operators hold for a moment, by hand, in the units that the estimate adds up."""

from __future__ import annotations

from typing import Any

import pytest

from peftcalc import LoRA
from peftcalc.memory.allowances import reserved_allowance
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.estimate.head import head_moments
from peftcalc.memory.estimate.step_setup import StepSetup
from peftcalc.memory.estimate.study import studied
from peftcalc.memory.estimate.transients import backward_work
from peftcalc.memory.options import make_options
from peftcalc.methods import Method
from peftcalc.models.load import load_model

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


def setup_of(model: Any, method: Method, sequence: int, **options: Any) -> StepSetup:
    chosen = make_options(batch=1, sequence=sequence, autocast=False, padding=False, **options)
    return studied(load_model(model), method).setup(chosen)


def test_gate_and_up_with_adapters_hold_a_result_and_its_scaled_copy():
    """Two float32 numbers a hidden unit, which is more than three gradients; twelve bytes a unit of width besides."""
    setting = setup_of(TINY, LoRA(rank=8, targets=["gate_proj", "up_proj"]), 16)
    assert backward_work(setting) == 16 * (2 * 4 * 512 + 12 * 256)


def test_written_out_attention_works_when_what_lies_behind_it_is_free():
    """8 bytes a head and key, less the MLP's three gradients and the float32 input of the norm before it."""
    setting = setup_of(TINY, LoRA(rank=8, targets=["q_proj", "v_proj"]), 4096, attention="eager")
    assert backward_work(setting) == 4096 * (8 * 8 * 4096 - 3 * 2 * 512 - 4 * 256)


def test_soft_capped_logits_are_kept_once_more():
    setting = setup_of("google/gemma-2-2b", LoRA(rank=8), 100)
    ahead, backward = head_moments(setting.body, setting.precision, setting.options, False)
    assert backward.term.bytes == (12 + 2) * 100 * 256_000
    assert ahead.bytes == (8 + 2 + 2) * 100 * 256_000


@pytest.mark.parametrize(("name", "share"), [("low_bytes", 0), ("expected_bytes", 20), ("high_bytes", 100)])
def test_shares_of_a_pass_alone(name, share):
    assert getattr(reserved_allowance(1000), name) == share


@pytest.mark.parametrize(("sequence", "traced"), [(128, 1.306), (448, 1.672)])
def test_whispers_encoder_is_counted_at_its_own_positions(sequence, traced):
    """GiB of the simulation, in which the encoder hears 1,500 positions; it takes ten seconds, so its answer stands."""
    found = estimate_memory("openai/whisper-small", LoRA(rank=8), 1, sequence)
    assert found.total / 2**30 == pytest.approx(traced, rel=0.02)
