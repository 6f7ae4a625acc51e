"""A small adapter that comes with the tool: what this section shows before a visitor brings one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from peftcalc.doctor.report import AdapterInspection
from peftcalc.doctor.strangers import inspect_given

FOLDER = Path(__file__).parent / "example"
SAYS = (
    "The example: a LoRA of rank 8 on all 28 linear layers of this tool's own small character model, trained for 200 "
    'steps on names from Japan (`pc.finetune("names", pc.LoRA(rank=8, alpha=16), steps=200, seed=0)`).'
)


@cache
def files() -> tuple[str, bytes]:
    """Its config and its tensors, in float16."""
    config = (FOLDER / "adapter_config.json").read_text(encoding="utf-8")
    return config, (FOLDER / "adapter_model.safetensors").read_bytes()


@cache
def inspection() -> AdapterInspection:
    """What the doctor says of it: known files, 40 ms once."""
    return inspect_given(*files(), None)
