"""Every work of a step by hand: bytes or operations of one token in one layer, and the kernels that the host starts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from peftcalc import DoRA, Full, LoRA, QDoRA, QLoRA
from peftcalc.memory.cards import gpu
from peftcalc.methods import Method
from peftcalc.models.load import load_model
from peftcalc.speed.adapters import adapters
from peftcalc.speed.attention import attention
from peftcalc.speed.elementwise import elementwise
from peftcalc.speed.ends import accumulated, head_and_loss, update
from peftcalc.speed.estimate import estimate_speed, speed_setup
from peftcalc.speed.machine import SET
from peftcalc.speed.products import products
from peftcalc.speed.work import Work

H, KV, F, V, LAYERS = 3072, 1024, 8192, 128256, 28
"""Llama-3.2-3B: width, width of its keys, width of its MLP, vocabulary, layers."""
TOKENS = 8 * 2048
"""So many that no tensor of them fits into an A100's cache."""
HALF, FLOAT32, BANDWIDTH = 312e12, 19.5e12, 2039e9
WEIGHTS = 2 * H * H + 2 * H * KV + 3 * H * F
WIDTHS = 9 * H + 2 * KV + 3 * F
"""In and out of the seven matrices of a layer: q, k, v, gate and up read h; o and down give it; q gives it too."""

Q_AND_V = ("q_proj", "v_proj")
SETUPS: dict[str, tuple[Method, dict[str, Any]]] = {
    "lora": (LoRA(rank=16, targets=Q_AND_V), {}),
    "recomputed": (LoRA(rank=16, targets=Q_AND_V), {"checkpointing": True}),
    "dropout": (LoRA(rank=16, targets=Q_AND_V, dropout=0.1), {}),
    "frozen A": (LoRA(rank=16, targets=Q_AND_V, freeze_a=True), {}),
    "plain": (LoRA(rank=16, targets=Q_AND_V), {"autocast": False}),
    "unsloth": (LoRA(rank=16, targets=Q_AND_V), {"kernels": "unsloth"}),
    "compiled": (LoRA(rank=16, targets=Q_AND_V), {"kernels": "compiled"}),
    "dora": (DoRA(rank=16, targets=Q_AND_V), {"autocast": False}),
    "qlora": (QLoRA(rank=16), {}),
    "qlora, recomputed": (QLoRA(rank=16), {"checkpointing": True}),
    "autogptq": (QLoRA(rank=16), {"dequantization": "autogptq", "checkpointing": True}),
    "qdora": (QDoRA(rank=16, targets=Q_AND_V), {}),
    "full": (Full(), {}),
    "masters": (Full(), {"float32_masters": True}),
    "float32": (Full(), {"dtype": "float32"}),
    "float32, unsloth": (LoRA(rank=16, targets=Q_AND_V), {"dtype": "float32", "kernels": "unsloth"}),
    "eager": (LoRA(rank=16, targets=Q_AND_V), {"attention": "eager"}),
    "flash": (LoRA(rank=16, targets=Q_AND_V), {"attention": "flash"}),
    "math": (LoRA(rank=16, targets=Q_AND_V), {"kernel": "math"}),
    "chunked": (Full(), {"loss": "chunked"}),
    "shifted": (LoRA(rank=16, targets=Q_AND_V), {"loss": "shifted"}),
    "liger": (LoRA(rank=16, targets=Q_AND_V), {"loss": "liger"}),
}


@cache
def works(setup: str) -> dict[str, Work]:
    method, options = SETUPS[setup]
    made = speed_setup("meta-llama/Llama-3.2-3B", method, "A100 80GB", 8, 2048, **options)
    rooms = (products(made), adapters(made), attention(made), elementwise(made), head_and_loss(made))
    return {work.name: work for room in rooms for work in room} | {
        work.name: work for work in (update(made), accumulated(made))
    }


@dataclass(frozen=True)
class ByHand:
    """What one work takes: bytes and operations of a token in a layer, or of everything; and all its kernels."""

    setup: str
    name: str
    moved: float = 0
    """Bytes through the card's memory."""
    operations: float = 0
    launches: float = 0
    of: float = TOKENS * LAYERS
    """How often that is done."""
    rate: float = SET.half * HALF
    moved_at: float = SET.bandwidth * BANDWIDTH

    @property
    def seconds(self) -> float:
        return self.of * (self.moved / self.moved_at + self.operations / self.rate)


def product(tokens: float, width: float, rank: int, size: int, times: float) -> tuple[float, float]:
    """Bytes, as far as they do not pass meanwhile, and operations of one side of an adapter, for each token."""
    return times * SET.overlap * size * (width + rank + rank * width / tokens), times * 2 * rank * width


def sides(rank: int, size: int, times: float, widths: tuple[int, ...]) -> dict[str, float]:
    each = [product(TOKENS, width, rank, size, times) for width in widths]
    return {"moved": sum(moved for moved, _ in each), "operations": sum(operations for _, operations in each)}


FORWARD, AGAIN = "matrix products, forward", "matrix products, computed again"
AROUND = "casts, dropout and sums of the adapters"
ADAPTERS = "products of A and B"
DENSE = "4-bit weights made dense"
SIDES = (H, H, H, KV)
"""In and out of q, in and out of v."""
OF_ALL = (H, H, H, KV, H, KV, H, H, H, F, H, F, F, H)
PARAMETERS = 3_212_749_824
TRAINED = LAYERS * 16 * (2 * H + H + KV)
NORM = "DoRA: the norm of W + s·B·A"
IN_CACHE = 0.5 + 4 * H * KV / (40 * 2**20)
"""Share of bytes that go through the card's memory where v's float32 norm, 12 MiB, finds reads in 40 MiB of cache."""
CAUSAL = 2 * 2048 / 2 * 2 * H
"""Two products of two operations on half of the scores, for each token."""

BY_HAND = [
    ByHand("lora", FORWARD, SET.overlap * 2 * (WEIGHTS / TOKENS + WIDTHS), 2 * WEIGHTS, 7 * 28),
    ByHand("lora", "matrix products, backward", SET.overlap * 2 * (WEIGHTS / TOKENS + WIDTHS), 2 * WEIGHTS, 7 * 28),
    ByHand("recomputed", AGAIN, SET.overlap * 2 * (WEIGHTS / TOKENS + WIDTHS), 2 * WEIGHTS, 7 * 28),
    ByHand("full", "gradients of the weights", SET.overlap * 2 * (WEIGHTS / TOKENS + WIDTHS), 2 * WEIGHTS, 7 * 28),
    ByHand("float32", FORWARD, SET.overlap * 4 * (WEIGHTS / TOKENS + WIDTHS), 2 * WEIGHTS, 7 * 28, rate=0.7 * FLOAT32),
    # the input's cast to float32 (6) and autocast's back (6), again backward with the gradient's sum (6); scaling 4,
    # sum 6; backward 4. Kernels: two casts, scaling, sum, casts of A and B; backward five, two casts, two more
    ByHand("lora", AROUND, (12 + 18) * 2 * H + (10 + 4) * (H + KV), launches=56 * (6 + 9)),
    ByHand("recomputed", AROUND, (24 + 18) * 2 * H + (20 + 4) * (H + KV), launches=56 * (12 + 9)),
    ByHand("dropout", AROUND, (12 + 9 + 18 + 9) * 2 * H + (10 + 4) * (H + KV), launches=56 * (7 + 10)),
    # without autocast: one cast (6), scaling 8, sum 10, cast back 6; backward 6 + 6, 8, 6
    ByHand("plain", AROUND, (6 + 12) * 2 * H + (24 + 14) * (H + KV), launches=56 * (4 + 6)),
    ByHand("dora", AROUND, (6 + 12) * 2 * H + (24 + 20 + 14 + 40) * (H + KV), launches=56 * (12 + 16)),
    ByHand("unsloth", AROUND, 6 * 2 * H + 2 * (H + KV), launches=56 * 2),
    # float32 hidden states: one cast (6), scaling 4, copy 8, sum 10; backward 6 + 12, 4, 6
    ByHand("qlora", AROUND, (6 + 18) * (5 * H + H + F) + 32 * (2 * H + 2 * KV + 2 * F + H), launches=196 * (6 + 8)),
    ByHand("qdora", AROUND, (6 + 18) * 2 * H + (22 + 40 + 10 + 80) * (H + KV), launches=56 * (14 + 18)),
    ByHand("lora", ADAPTERS, **sides(16, 2, 3, SIDES), launches=2 * 3 * 56),
    ByHand("recomputed", ADAPTERS, **sides(16, 2, 4, SIDES), launches=2 * 4 * 56),
    ByHand("frozen A", ADAPTERS, **sides(16, 2, 2.5, SIDES), launches=2 * 2.5 * 56),
    ByHand("plain", ADAPTERS, **sides(16, 4, 3, SIDES), launches=2 * 3 * 56, rate=SET.float32 * FLOAT32),
    ByHand("qlora", ADAPTERS, **sides(16, 2, 3, OF_ALL), launches=2 * 3 * 196),
    ByHand("dora", "DoRA: B·A of an identity matrix", 0, 2 * 16 * (3 * H * H + H * KV), 168, 28, SET.float32 * FLOAT32),
    # identity 4 + 4; B·A 4, weight 2 + 4, scaling 8, sum 12, norm 4; a 4-bit weight is made dense too
    ByHand("dora", NORM, (8 + 34) * H**2 + IN_CACHE * (8 * H**2 + 34 * H * KV), 0, 9 * 56, LAYERS),
    ByHand("qdora", NORM, (6 + 34.53125) * H**2 + IN_CACHE * (6 * H**2 + 34.53125 * H * KV), 0, 9 * 56, LAYERS),
    ByHand("qlora", DENSE, 2 * 2.53125 * WEIGHTS, 0, 2 * 4 * 196, LAYERS, moved_at=SET.dequantize * BANDWIDTH),
    ByHand("qlora, recomputed", DENSE, 3 * 2.53125 * WEIGHTS, 0, 3 * 4 * 196, 28, moved_at=SET.dequantize * BANDWIDTH),
    ByHand("autogptq", DENSE, 2 * 30 * WEIGHTS, 0, 2 * 12 * 196, LAYERS),
    ByHand("qlora", "casts of float32 hidden states", 2 * 6 * WIDTHS, 0, 2 * 2 * 196),
    ByHand("qlora, recomputed", "casts of float32 hidden states", 3 * 6 * WIDTHS, 0, 3 * 2 * 196),
    ByHand("masters", "casts of float32 weights", 2 * 6 * WEIGHTS, 0, 2 * 196, LAYERS),
    # padding: the memory-efficient kernel at 0.7 of flash's rate, all scores; without a mask half of them
    ByHand(
        "lora",
        "attention",
        0,
        2 * CAUSAL / 0.7 * (2548 / 2048 / SET.attention_forward + 2.5 * 2748 / 2048 / SET.attention_backward),
        28 * (6 + 8),
        rate=HALF,
    ),
    ByHand(
        "flash",
        "attention",
        0,
        CAUSAL * (2548 / 2048 / SET.attention_forward + 2.5 * 2748 / 2048 / SET.attention_backward),
        28 * (6 + 8),
        rate=HALF,
    ),
    ByHand("eager", "attention, written out", 24 * 2048 * (22 + 28), 3 * 2 * CAUSAL, 28 * 26),
    ByHand("math", "attention, written out", 24 * 2048 * (36 + 44), 6 * CAUSAL, 28 * 26, rate=SET.float32 * FLOAT32),
    ByHand("lora", "keys and values of every query head", 2 * 2 * 2 * H * 2),
    ByHand("recomputed", "keys and values of every query head", 2 * 2 * 2 * H * 3),
    ByHand("flash", "keys and values of every query head", 0),
    # a norm in float32 copies forward 36 and backward 64 bytes; the final norm is no part of the layers
    ByHand("lora", "norms", 2 * H * (36 + 64), 0, 56 * (7 + 11)),
    ByHand("recomputed", "norms", 2 * H * (72 + 64), 0, 56 * (14 + 11)),
    ByHand("full", "norms", 2 * H * (36 + 64 + 6), 0, 56 * (7 + 11)),
    ByHand("unsloth", "norms", 2 * H * (4 + 6), 0, 56 * 2),
    ByHand("float32, unsloth", "norms", 2 * H * (8 + 12), 0, 56 * 2),
    ByHand("float32, unsloth", "rotary embedding", (H + KV) * (8 + 8), 0, 28 * (2 + 2)),
    ByHand("float32, unsloth", "activations", F * (12 + 20), 0, 28 * (2 + 3)),
    ByHand("float32, unsloth", AROUND, 3 * 4 * 2 * H + 4 * (H + KV), launches=56 * 2),
    ByHand("lora", "rotary embedding", (H + KV) * (20 + 32), 0, 28 * (10 + 14)),
    ByHand("unsloth", "rotary embedding", (H + KV) * (4 + 4), 0, 28 * (2 + 2)),
    ByHand("lora", "activations", F * (10 + 18), 0, 28 * (2 + 3)),
    ByHand("unsloth", "activations", F * (6 + 10), 0, 28 * (2 + 3)),
    # two sums forward; backward two, and one for each reader but one of the three tensors that several read
    ByHand("lora", "residual stream", 6 * H * (2 + 2 + 3), 0, 28 * (2 + 5)),
    ByHand("compiled", "residual stream", 2 * 2 * H * 2, 0, 28 * (2 + 5)),
    # the head: forward and its input's gradient; as often again where it is trained, and where chunks are made twice
    ByHand("lora", "the head", 2 * SET.overlap * 2 * (V * H / TOKENS + V + H), 2 * 2 * V * H, 2, TOKENS),
    ByHand("full", "the head", 3 * SET.overlap * 2 * (V * H / TOKENS + V + H), 3 * 2 * V * H, 3, TOKENS),
    ByHand("chunked", "the head", 4 * SET.overlap * 2 * (V * H / TOKENS + V + H), 4 * 2 * V * H, 4, TOKENS),
    ByHand("masters", "cast of the head's weight", 6 * V * H, 0, 1, 1),
    # cast 6, and back 6; log-probabilities 8, their gradient 12
    ByHand("lora", "cross-entropy", 32 * V, 0, 12, TOKENS),
    ByHand("shifted", "cross-entropy", 40 * V, 0, 12, TOKENS),
    ByHand("float32", "cross-entropy", 20 * V, 0, 12, TOKENS),
    ByHand("liger", "cross-entropy", 6 * V, 0, 12, TOKENS),
    ByHand("lora", "the update", 24 * 4 * TRAINED, 0, 2 * 2 * 56, 1),
    ByHand("full", "the update", 24 * 2 * PARAMETERS, 0, 2 * 2 * (9 * 28 + 2), 1),
    ByHand("masters", "the update", 24 * 4 * PARAMETERS, 0, 2 * 2 * (9 * 28 + 2), 1),
    ByHand("lora", "adding gradients", 3 * 4 * TRAINED, 0, 2 * 56, 1),
    ByHand("full", "adding gradients", 3 * 2 * PARAMETERS, 0, 2 * (9 * 28 + 2), 1),
]


@pytest.mark.parametrize("hand", BY_HAND, ids=lambda hand: f"{hand.setup}: {hand.name}")
def test_a_work_by_hand(hand):
    work = works(hand.setup)[hand.name]
    assert work.seconds == pytest.approx(hand.seconds, rel=1e-6)
    assert work.launches == pytest.approx(hand.launches)


def test_what_a_set_up_does_not_do_is_not_there():
    assert "casts of float32 weights" not in works("full")
    assert "cast of the head's weight" not in works("full")
    assert "casts of float32 hidden states" not in works("lora")
    assert DENSE not in works("lora")
    assert NORM not in works("lora")
    assert "finding each expert's tokens" not in works("lora")


@pytest.mark.parametrize(
    ("options", "each"),
    [
        ({"optimizer": "adamw"}, 24 * 4),
        ({"optimizer": "adamw_fused"}, 10 * 4),
        ({"optimizer": "sgd"}, 6 * 4),
        ({"optimizer": "sgd_momentum"}, 9 * 4),
        ({"optimizer": "adafactor"}, 25 * 4),
        ({"optimizer": "adamw_8bit"}, 6 * 4 + 4),
        ({"optimizer": "paged_adamw_8bit"}, 6 * 4 + 4),
        ({"optimizer": "paged_adamw_32bit"}, 6 * 4 + 16),
        ({"optimizer_offload": "states"}, 2 * 4),
    ],
    ids=str,
)
def test_reads_and_writes_of_an_update(options, each):
    made = speed_setup("meta-llama/Llama-3.2-3B", LoRA(rank=16, targets=Q_AND_V), "A100 80GB", 8, 2048, **options)
    assert update(made).seconds == pytest.approx(each * TRAINED / (SET.bandwidth * BANDWIDTH))


def test_experts_share_the_tokens_and_the_host_looks_for_them():
    """Mixtral: 32 layers of eight experts of 4,096 × 14,336, of which each token visits two."""
    made = speed_setup("mistralai/Mixtral-8x7B-v0.1", LoRA(rank=16, targets=Q_AND_V), "A100 80GB", 8, 2048)
    found = {work.name: work for work in (*products(made), *elementwise(made))}
    dense, expert = 2 * 4096**2 + 2 * 4096 * 1024, 3 * 4096 * 14336
    operations = 32 * TOKENS * 2 * (dense + 2 * expert)
    of_dense = dense + TOKENS * (5 * 4096 + 4096 + 2 * 1024)
    of_experts = 8 * expert + 2 * TOKENS * (2 * 4096 + 3 * 14336)
    moved = 32 * 2 * SET.overlap * (of_dense + of_experts)
    # the router is a small matrix of its own, 4,096 × 8
    router = 32 * (
        2 * TOKENS * 4096 * 8 / (SET.half * HALF)
        + SET.overlap * 2 * (4096 * 8 + TOKENS * 4104) / (SET.bandwidth * BANDWIDTH)
    )
    expected = operations / (SET.half * HALF) + moved / (SET.bandwidth * BANDWIDTH)
    assert found[FORWARD].seconds == pytest.approx(expected, rel=0.01)
    assert found[FORWARD].seconds > expected - router
    searched = found["finding each expert's tokens"]
    assert searched.seconds == pytest.approx(32 * 8 * (12 + 6) * SET.launch)
    assert (searched.launches, searched.bound) == (0, "host")
    # gate, activation and product of two visits; tokens gathered, weighed and added
    each = 2 * 2 * (5 * 14336 + 8 * 4096) + 2 * 2 * (9 * 14336 + 14 * 4096)
    assert found["activations"].seconds == pytest.approx(32 * TOKENS * each / (SET.bandwidth * BANDWIDTH))


@pytest.mark.parametrize(("window", "share"), [(4096, 4096 * (1 - 4096 / 16384)), (8192, 4096)])
def test_a_sliding_window_sees_what_lies_in_it(window, share):
    """Tokens see half of 8,192 on average; in Mistral's window of 4,096 the first fill it and the others keep to it."""
    config = dict(load_model("mistralai/Mistral-7B-v0.1").config)
    assert config["sliding_window"] == 4096
    options = {"attention": "flash", "padding": False}
    made = speed_setup(
        "mistralai/Mistral-7B-v0.1" if window == 4096 else "meta-llama/Llama-3.1-8B",
        LoRA(rank=16, targets=Q_AND_V),
        "A100 80GB",
        1,
        8192,
        **options,
    )
    work = next(work for work in attention(made) if work.name == "attention")
    one = 32 * 2 * 8192 * share * 2 * 4096
    ahead, back = SET.attention_forward * 8192 / 8692, SET.attention_backward * 8192 / 8892
    assert work.seconds == pytest.approx(one / HALF * (1 / ahead + 2.5 / back))


def test_layer_norms_and_a_written_out_gelu():
    """GPT-2 under autocast: in each of 12 layers two LayerNorms cast to float32 and GELU in eight operators."""
    made = speed_setup("openai-community/gpt2", LoRA(targets=["c_attn"]), "A100 80GB", 64, 1024)
    found = {work.name: work for work in elementwise(made)}
    each = 64 * 1024 * 12 / (SET.bandwidth * BANDWIDTH)
    assert found["norms"].seconds == pytest.approx(each * 2 * 768 * (6 + 8 + 6 + 12))
    assert found["norms"].launches == 24 * 4
    assert found["activations"].seconds == pytest.approx(each * 3072 * 2 * (2 + 14 + 3 + 28))
    assert found["activations"].launches == 12 * 8 * 5
    assert found["rotary embedding"].seconds == 0
    # two sums and two dropouts of 2·2 + 1 bytes forward, the same backward
    assert found["residual stream"].seconds == pytest.approx(each * 768 * 2 * 2 * (6 + 5))
    assert found["residual stream"].launches == 12 * 8


def test_granite_multiplies_what_it_adds():
    """40 layers of 4,096: both sums' operands are multiplied by a number, read and written once more each way."""
    made = speed_setup("ibm-granite/granite-3.1-8b-instruct", Full(), "A100 80GB", 8, 2048)
    work = next(work for work in elementwise(made) if work.name == "residual stream")
    each = 40 * TOKENS * 4096 * 2 / (SET.bandwidth * BANDWIDTH)
    assert work.seconds == pytest.approx(each * (2 * 3 + 4 + 5 * 3 + 4))


@pytest.mark.parametrize(
    ("method", "card", "options", "factors"),
    [
        (LoRA(), "A100 80GB", {}, (1.15, 1.15)),
        (QDoRA(), "A100 80GB", {}, (1.15 * 1.25, 1.15 * 1.25)),
        (QLoRA(), "A100 80GB", {}, (1.15, 1.15)),
        (DoRA(), "L40S", {}, (1.15, 1.15)),
        (LoRA(), "A100 80GB", {"sequence": 799}, (1.6, 1.6)),
        (LoRA(), "A100 80GB", {"sequence": 800}, (1.15, 1.15)),
        (LoRA(), "A100 80GB", {"gpus": 2}, (1.15 * 1.5, 1.15)),
        (LoRA(), "H100 80GB", {}, (1.5, 1.5)),
        (LoRA(), "H100 80GB", {"sequence": 100}, (1.6, 1.6)),
        (LoRA(), "T4", {}, (2, 2)),
        (LoRA(), "RTX 4090", {"sequence": 100}, (2, 2)),
    ],
    ids=str,
)
def test_how_wide_the_range_is(method, card, options, factors):
    found = estimate_speed("meta-llama/Llama-3.2-1B", method, card, **{"sequence": 2048} | options)
    low = found.tokens_per_second / found.low_tokens_per_second
    assert (low, found.high_tokens_per_second / found.tokens_per_second) == pytest.approx(factors)


NOTES = [
    ("never checked on the T4", {"card": "T4"}),
    ("has no bfloat16", {"card": "T4"}),
    ("fewer than 800 tokens", {"sequence": 799}),
    ("QDoRA was never checked", {"method": QDoRA()}),
    ("peak of the RTX 3060", {"card": "RTX 3060 12GB"}),
    ("rates are those of 2 GPUs", {"gpus": 2}),
    ("moments are taken to stay", {"optimizer": "paged_adamw_8bit"}),
    ("what is offloaded", {"optimizer_offload": "states"}),
    ("what is offloaded", {"activation_offload": True}),
    ("a base in gptq", {"method": QLoRA(), "base_format": "gptq"}),
    ("more than this model's context", {"sequence": 200_000}),
    ("fused kernels are written", {"model": "openai-community/gpt2", "kernels": "liger"}),
    ("experts are assumed", {"model": "mistralai/Mixtral-8x7B-v0.1"}),
    ("encoder and decoder", {"model": "google-t5/t5-small"}),
    ("an image is", {"model": "google/vit-base-patch16-224"}),
]
"""The beginning of a note, and what brings it."""


@pytest.mark.parametrize(("note", "changed"), NOTES, ids=[f"{note}, {sorted(changed)}" for note, changed in NOTES])
def test_a_note_is_there_where_it_holds(note, changed):
    asked: dict[str, Any] = {"model": "meta-llama/Llama-3.2-3B", "method": LoRA(targets="all-linear"), **changed}
    method = Full() if asked["model"].startswith(("google/vit", "mistralai")) else asked["method"]
    options = {"card": "A100 80GB", "sequence": 1024} | {k: v for k, v in asked.items() if k not in ("model", "method")}
    assert note in " ".join(estimate_speed(asked["model"], method, **options).notes)


def test_a_checked_card_has_nothing_to_say():
    assert estimate_speed("meta-llama/Llama-3.2-3B", LoRA(), "A100 80GB", sequence=1024).notes == ()
    assert gpu("A100 80GB").bfloat16
    said = estimate_speed("meta-llama/Llama-3.2-3B", LoRA(), "T4", sequence=1024, dtype="float32").notes
    assert "bfloat16" not in " ".join(said)
