"""One rank of a sharded step on fake tensors: beside torch's own FSDP2, beside the closed form, and by hand."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore

from peftcalc import Full, LoRA, QLoRA, estimate_memory, simulate_memory
from peftcalc.memory.simulate.course import course_of
from peftcalc.memory.simulate.several.rank import share_of
from peftcalc.memory.simulate.simulate_module import CPU_STEP
from peftcalc.memory.simulate.trace import StorageLedger
from peftcalc.memory.simulate.training_step import run_step

WIDTH, LAYERS, WORDS, GPUS = 256, 6, 512, 2


class Block(nn.Module):
    def __init__(self, wide: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, wide, bias=False), nn.Linear(wide, WIDTH, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + self.down(torch.relu(self.up(hidden)))


class Net(nn.Module):
    _no_split_modules = ("Block",)

    def __init__(self, wide: int) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.layers = nn.ModuleList(Block(wide) for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.words(ids)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.head(hidden)


def loss_of(net: nn.Module, tokens: int) -> torch.Tensor:
    return net(torch.zeros(1, tokens, dtype=torch.long)).float().sum()


def adapted(wide: int, frozen: bool) -> Net:
    """The net, trained throughout or only in its down-projections."""
    net = Net(wide)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(not frozen or ".down." in name)
    return net


def ours(wide: int, tokens: int, frozen: bool, optimizer: str) -> int:
    """Highest bytes of the same step, by our own rank."""
    options = replace(CPU_STEP, gpus=GPUS, sharding="fsdp2", optimizer=optimizer)
    ledger = StorageLedger(rounding=False)
    with FakeTensorMode():
        net = adapted(wide, frozen)
        run_step(net, lambda: (loss_of(net, tokens), None), options, ledger, contextlib.nullcontext())
    course = course_of(ledger, None)
    return int(course.totals[course.peak])


def torchs(wide: int, tokens: int, frozen: bool, optimizer: str) -> int:
    """The same by torch's tracker of FSDP2, in a process group without other processes; its second step."""
    dist.init_process_group("fake", rank=0, world_size=GPUS, store=FakeStore())
    try:
        mesh = init_device_mesh("cpu", (GPUS,))
        with FakeTensorMode():
            net: Any = adapted(wide, frozen)
            for layer in (*net.layers, net):
                fully_shard(layer, mesh=mesh)
            kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer]
            updates = kind(net.parameters(), lr=0.1, foreach=True)
            tracker: Any = FSDPMemTracker(net, updates)
            with tracker:
                for step in range(2):
                    loss_of(net, tokens).backward()
                    updates.step()
                    updates.zero_grad()
                    if step == 0:
                        tracker.reset_mod_stats()
                        tracker._peak_mem, tracker._peak_mem_snap = {}, {}
            return sum(sizes["Total"] for sizes in tracker.get_tracker_snapshot("peak").values())
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("wide", "tokens", "frozen", "optimizer"),
    [(1024, 8, False, "sgd"), (1024, 512, False, "sgd"), (256, 8, True, "sgd"), (1024, 8, False, "adamw")],
)
def test_torchs_own_fsdp2_to_the_byte(wide, tokens, frozen, optimizer) -> None:
    """Where gradients, activations, weights and the update stand highest; torch counts AdamW's step numbers too."""
    steps = 4 * (2 * LAYERS + 2) if optimizer == "adamw" else 0
    assert ours(wide, tokens, frozen, optimizer) == torchs(wide, tokens, frozen, optimizer) - steps


TINY = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "vocab_size": 512,
    "max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (Full(), {"gpus": 2, "sharding": "zero3"}),
        (Full(), {"gpus": 8, "sharding": "fsdp2", "optimizer": "sgd", "checkpointing": True}),
        (Full(), {"gpus": 2, "sharding": "zero1"}),
        (LoRA(rank=8), {"gpus": 8, "sharding": "zero3", "checkpointing": True}),
    ],
)
def test_the_closed_form_lies_beside_the_simulation(method, options) -> None:
    """Within 0.3 %, as on one GPU: what differs is where the gradients of a tied head wait."""
    estimate, trace = (
        call("HuggingFaceTB/SmolLM2-135M", method, 1, 512, keep_outputs=False, **options)
        for call in (estimate_memory, simulate_memory)
    )
    assert estimate.total == pytest.approx(trace.peak, rel=0.003)


def test_ddp_holds_gradients_twice() -> None:
    one, two = (simulate_memory(TINY, Full(), 1, 8, gpus=gpus) for gpus in (1, 2))
    assert two.peak - one.peak == two.breakdown.gradients / 2 == pytest.approx(one.breakdown.gradients, rel=1e-3)


def test_a_share_is_of_rows_where_there_are_enough() -> None:
    assert [tuple(share_of(torch.empty(shape), 4).shape) for shape in ((10, 3), (2, 3), (7,))] == [(3, 3), (2,), (2,)]


def test_gradients_that_do_not_wait_are_refused_where_they_are_divided() -> None:
    with pytest.raises(ValueError, match="sharding zero3 is not simulated where gradients do not wait"):
        simulate_memory(TINY, Full(), 1, 8, gpus=2, sharding="zero3", optimizer_in_backward=True)


QKVO = ("q_proj", "k_proj", "v_proj", "o_proj")
FMS = {"checkpointing": True, "attention": "flash", "padding": False, "keep_outputs": False, "kbit_upcast": False,
       "card": "A100 80GB", "gpus": 2, "sharding": "zero3"}  # fmt: skip
MISTRAL = "mistralai/Mistral-7B-v0.1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "method", "batch", "options", "measured"),
    [
        (MISTRAL, Full(), 1, {"autocast": False}, 33.74 * 2**30),
        (MISTRAL, QLoRA(rank=16, dropout=0.1, targets=QKVO), 2, {}, 8.78 * 2**30),
        (MISTRAL, LoRA(rank=16, dropout=0.1, targets=QKVO), 4, {"autocast": False}, 21_959_827_968),
        ("meta-llama/Llama-2-70b-hf", QLoRA(rank=16, dropout=0.1, targets=QKVO), 2, {}, 46_685_287_936),
    ],
)
def test_measured_rows_of_two_cards_are_simulated(model, method, batch, options, measured) -> None:
    """foundation-model-stack/fms-acceleration, two A100s: within 1 %, rounded up from what it lies within today."""
    trace = simulate_memory(model, method, batch, 4096, **(FMS | options))
    assert trace.peak == pytest.approx(measured, rel=0.01)
