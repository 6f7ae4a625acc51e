"""The controls of the choices that change how much memory a step takes, each with its sentence."""

from __future__ import annotations

from typing import Any

from peftcalc.memory.options import CHOICES, SWITCHES, MemoryOptions
from peftcalc.ui import state
from peftcalc.ui.drawer import Drawer

CHUNKS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
GPUS = (1, 2, 4, 8, 16, 32, 64)
ACCUMULATION = (1, 2, 4, 8, 16)
OWN = "auto"
OF_THE_CARD = "The card's own half precision: bfloat16 where it has it, float16 otherwise."
WORDS = {
    "dtype": "Precision of the weights",
    "attention": "Attention",
    "kernel": "Kernel of fused attention",
    "optimizer": "Optimizer",
    "loss": "Loss",
    "autocast_scope": "Autocast stays open",
    "experts": "Experts under 4 bits",
    "sharding": "Several GPUs",
    "base_format": "Format of a quantized base",
    "preparation": "Preparation of a quantized base",
    "optimizer_offload": "Optimizer in the host's memory",
    "activation_offload": "Activations in the host's memory",
    "optimizer_in_backward": "Updates in the backward pass",
    "autocast": "Autocast",
    "float32_masters": "Float32 masters (mixed precision)",
    "adapters_float32": "Adapters in float32",
    "kbit_upcast": "Upcast of what is not quantized",
    "padding": "Padded batches",
    "keep_outputs": "The loop holds the logits",
    "checkpointing": "Gradient checkpointing",
}


def checkpointing_control() -> bool:
    """The choice that moves most, in sight."""
    return state.switch(WORDS["checkpointing"], "checkpointing", True, help=SWITCHES["checkpointing"])


def other_controls(drawer: Drawer) -> dict[str, Any]:
    """All other options of `MemoryOptions` but batch, sequence and card; no `dtype` means each card's own."""
    default = MemoryOptions()
    chosen: dict[str, Any] = {}
    if drawer.open:
        drawer.box.markdown("**Why does another calculator say something else?** Every choice that changes the answer:")
    for name, values in CHOICES.items():
        if name == "kernels":  # stands beside hours and money
            continue
        known, first = (values, getattr(default, name)) if name != "dtype" else ({OWN: OF_THE_CARD, **values}, OWN)
        sentences = "\n\n".join(f"**{value}**: {sentence}" for value, sentence in known.items())
        chosen[name] = drawer.menu(WORDS[name], list(known), name, first, help=sentences)
    if chosen["dtype"] == OWN:
        del chosen["dtype"]
    chosen["gpus"] = drawer.slider("GPUs", GPUS, "gpus", default.gpus)
    chosen["accumulation"] = drawer.slider("Batches before an update", ACCUMULATION, "accumulation", 1)
    chosen["chunk_size"] = drawer.slider("Positions in a chunk of the loss", CHUNKS, "chunk_size", default.chunk_size)
    for name, sentence in SWITCHES.items():
        if name != "checkpointing":
            chosen[name] = drawer.switch(WORDS[name], name, getattr(default, name), help=sentence)
    return chosen
