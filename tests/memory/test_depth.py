"""Any depth from two small ones: equal to the trace of every layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from peftcalc import DoRA, Full, LoRA, QDoRA, QLoRA, simulate_memory
from peftcalc.memory.records import PARTS
from peftcalc.memory.simulate.course import Course
from peftcalc.memory.simulate.depth import Depths, extrapolate, repetition

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 384,
    "tie_word_embeddings": True,
}
GEMMA2 = LLAMA | {"model_type": "gemma2", "head_dim": 16, "num_hidden_layers": 9, "sliding_window": 16}
QWEN3 = LLAMA | {"model_type": "qwen3", "head_dim": 16, "num_hidden_layers": 6}
DEEPSEEK = LLAMA | {
    "model_type": "deepseek_v3",
    "num_key_value_heads": 4,
    "first_k_dense_replace": 2,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 32,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "num_hidden_layers": 8,
}
GPT2 = {"model_type": "gpt2", "n_embd": 64, "n_layer": 6, "n_head": 4, "vocab_size": 384}

CASES: list[tuple[str, dict[str, Any], Any, dict[str, Any]]] = [
    ("llama-lora", LLAMA, LoRA(rank=4, alpha=12, targets=["q_proj", "v_proj"]), {}),
    ("llama-dora", LLAMA, DoRA(rank=4, alpha=12), {"checkpointing": True}),
    ("llama-full", LLAMA, Full(), {"optimizer": "adamw_8bit"}),
    ("llama-masters", LLAMA, Full(), {"float32_masters": True, "checkpointing": True}),
    ("llama-qlora", LLAMA, QLoRA(rank=4, alpha=12), {"checkpointing": True, "optimizer": "paged_adamw_8bit"}),
    ("llama-qdora", LLAMA, QDoRA(rank=4, alpha=12), {"kbit_upcast": False, "loss": "chunked"}),
    ("llama-eager", LLAMA, LoRA(rank=4, alpha=12), {"attention": "eager", "accumulation": 4}),
    ("llama-sgd", LLAMA, Full(), {"optimizer": "sgd_momentum", "loss": "fused"}),
    ("gemma2-lora", GEMMA2, LoRA(rank=4, alpha=12), {}),
    ("qwen3-dora", QWEN3, DoRA(rank=4, alpha=12), {"autocast": False}),
    ("deepseek-lora", DEEPSEEK, LoRA(rank=4, alpha=12), {"checkpointing": True}),
    ("gpt2-lora", GPT2, LoRA(rank=4, alpha=12), {"adapters_float32": False}),
]


QUICK = ("llama-lora", "llama-masters", "gemma2-lora")


@pytest.mark.parametrize(
    ("config", "method", "options"),
    [pytest.param(*case[1:], id=case[0], marks=() if case[0] in QUICK else pytest.mark.slow) for case in CASES],
)
def test_the_extrapolated_step_is_the_full_one(config: dict[str, Any], method: Any, options: dict[str, Any]) -> None:
    """To the byte, part by part, phase by phase: everything is linear in the depth (issue's bar: 0.1 %)."""
    few = simulate_memory(config, method, batch=2, sequence=24, **options)
    all_layers = simulate_memory(config, method, batch=2, sequence=24, full_depth=True, **options)
    assert few.traced_layers != all_layers.traced_layers == (all_layers.layers,)
    assert few.breakdown == all_layers.breakdown
    assert (few.phase, few.operator, few.operators) == (all_layers.phase, all_layers.operator, all_layers.operators)
    assert few.timeline == all_layers.timeline


def test_repetition_finds_a_dense_head_and_an_alternation() -> None:
    assert repetition(["d", "d", "m", "m", "m", "m"]) == (2, 1)
    assert repetition(["s", "s", "f"] * 4) == (0, 3)
    assert repetition([]) == (0, 1)


def test_a_special_last_layer_is_not_a_repetition() -> None:
    start, period = repetition(["a", "a", "a", "a", "z"])
    assert start + period >= 4  # nothing is gained, so every layer is traced


def course(depth: int) -> Course:
    """A step whose layer k adds 3 and 5 bytes, between a head of 7 and a tail that frees it all."""
    names, totals, alive = ["head"], [7], 7
    for _ in range(depth):
        for name, size in (("a", 3), ("b", 5)):
            alive += size
            names.append(name)
            totals.append(alive)
    parts = np.zeros((len(names) + 1, len(PARTS)), dtype=np.int64)
    parts[:, 0] = [*totals, 0]
    return Course((*names, "tail"), ("forward",) * (len(names) + 1), parts)


def test_a_hand_worked_extrapolation() -> None:
    found = extrapolate(course(3), course(4), Depths(3, 1), 40)
    assert found is not None
    assert found.operators == course(40).operators
    assert np.array_equal(found.parts, course(40).parts)


def test_operators_that_do_not_repeat_are_not_extrapolated() -> None:
    other = course(4)
    strange = Course(("other", *other.operators[1:-1], "end"), other.phases, other.parts)
    assert extrapolate(course(3), strange, Depths(3, 1), 40) is None
