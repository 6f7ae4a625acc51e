"""One rank of a sharded step on fake tensors: beside torch's own FSDP2, beside the closed form, and by hand."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from peftcalc import Full, LoRA, QLoRA, estimate_memory, simulate_memory
from peftcalc.memory.kernels import matrix_workspaces
from peftcalc.memory.simulate.course import course_of
from peftcalc.memory.simulate.several.rank import share_of
from peftcalc.memory.simulate.simulate_module import CPU_STEP, MemoryOptions
from peftcalc.memory.simulate.trace import StorageLedger
from peftcalc.memory.simulate.training_step import run_step

WIDTH, LAYERS, WORDS, TOKENS, GPUS = 256, 6, 512, 8, 2


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


def loss_of(net: nn.Module) -> torch.Tensor:
    return net(torch.zeros(1, TOKENS, dtype=torch.long)).float().sum()


def ours(wide: int, sharding: str) -> dict[str, int]:
    """Highest bytes of each phase of the same step, by our own rank."""
    options = MemoryOptions(**(CPU_STEP.__dict__ | {"gpus": GPUS, "sharding": sharding, "card": None}))
    ledger = StorageLedger(rounding=False)
    with FakeTensorMode():
        net = Net(wide)
        run_step(net, lambda: (loss_of(net), None), options, ledger, contextlib.nullcontext())
    course = course_of(ledger, None)
    return {
        phase: max(int(total) for total, name in zip(course.totals, course.phases, strict=True) if name == phase)
        for phase in ("forward", "backward", "optimizer")
    }


def torchs(wide: int) -> dict[str, int]:
    """The same by torch's tracker of FSDP2, in a process group without other processes."""
    import torch.distributed as dist
    from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=0, world_size=GPUS, store=FakeStore())
    found: dict[str, int] = {}
    try:
        mesh = init_device_mesh("cpu", (GPUS,))
        with FakeTensorMode():
            net = Net(wide)
            for layer in net.layers:
                fully_shard(layer, mesh=mesh)
            fully_shard(net, mesh=mesh)
            optimizer = torch.optim.AdamW(net.parameters(), foreach=True)
            tracker: Any = FSDPMemTracker(net, optimizer)

            def highest(name: str) -> None:
                found[name] = sum(sizes["Total"] for sizes in tracker.get_tracker_snapshot("peak").values())
                tracker.reset_mod_stats()
                tracker._peak_mem = {}

            with tracker:
                loss_of(net).backward()
                optimizer.step()
                optimizer.zero_grad()
                highest("first step")
                loss = loss_of(net)
                highest("forward")
                loss.backward()
                highest("backward")
                optimizer.step()
                highest("optimizer")
    finally:
        dist.destroy_process_group()
    return found
