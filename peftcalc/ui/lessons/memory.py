"""What the Memory page teaches with."""

from __future__ import annotations

from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.fit import fit
from peftcalc.methods import DoRA, Full, LoRA, Method, QLoRA
from peftcalc.ui.lessons.lesson import Lesson, Prediction, Preset, TryThis

LLAMA_8B = "meta-llama/Llama-3.1-8B"
LLAMA_3B = "meta-llama/Llama-3.2-3B"
PHI = "microsoft/Phi-3-mini-4k-instruct"


def _grows(method: Method) -> int:
    """Bytes that the step takes more without checkpointing."""
    with_it, without = (estimate_memory(LLAMA_8B, method, checkpointing=on).total for on in (True, False))
    return without - with_it


MEMORY = Lesson(
    notebook="05_memory_and_choice",
    presets=(
        Preset(
            "Llama-3.1-8B on a 24 GB card",
            {"model": LLAMA_8B, "gpu": "RTX 4090", "batch": 1, "sequence": 2048, "checkpointing": True},
        ),
        Preset(
            "Phi-3-mini on a V100",
            {"model": PHI, "gpu": "V100 16GB", "batch": 1, "sequence": 1024, "checkpointing": True, "dtype": "float16"},
        ),
        Preset(
            "PEFT's published Llama-3.2-3B run",
            {"model": LLAMA_3B, "gpu": "L40S", "batch": 4, "sequence": 768, "checkpointing": False, "rank": 32},
        ),
        Preset(
            "Colab's free T4",
            {"model": LLAMA_3B, "gpu": "T4", "batch": 1, "sequence": 1024, "checkpointing": True},
        ),
    ),
    prediction=Prediction(
        "Turn checkpointing off, for Llama-3.1-8B with one sequence of 2,048 tokens: which method's bar grows most?",
        ("Full", "LoRA", "DoRA", "QLoRA"),
        lambda: max((Full(), LoRA(rank=16), DoRA(rank=16), QLoRA(rank=16)), key=_grows).label,
        "DoRA keeps each layer's result before it is scaled, beside what LoRA keeps: with checkpointing one layer's at "
        "a time, without it all layers'.",
        {"model": LLAMA_8B, "checkpointing": False, "batch": 1, "sequence": 2048, "rank": 16},
    ),
    try_this=(
        TryThis(
            "Turn checkpointing off for DoRA at 2,048 tokens.",
            {"model": LLAMA_8B, "checkpointing": False, "batch": 1, "sequence": 2048},
            "LoRA and DoRA train nearly the same number of parameters. Do they take the same memory?",
            "No: DoRA keeps each layer's result before it is scaled, several GiB more.",
            lambda: (
                estimate_memory(LLAMA_8B, DoRA(rank=16)).total - estimate_memory(LLAMA_8B, LoRA(rank=16)).total
                > 4 * 2**30
            ),
        ),
        TryThis(
            "Now turn checkpointing on again.",
            {"model": LLAMA_8B, "checkpointing": True, "batch": 1, "sequence": 2048},
            "How much of DoRA's extra memory is left?",
            "Next to nothing: what one layer keeps is made again when it is needed.",
            lambda: (
                estimate_memory(LLAMA_8B, DoRA(rank=16), checkpointing=True).total
                < 1.02 * estimate_memory(LLAMA_8B, LoRA(rank=16), checkpointing=True).total
            ),
        ),
        TryThis(
            "Switch the float32 upcast of what is not quantized off.",
            {"model": LLAMA_8B, "kbit_upcast": False, "checkpointing": True},
            "QLoRA has 4-bit weights. Why does a switch about 16 or 32 bits matter?",
            "Embeddings, head and norms are not quantized: a billion parameters that take twice as much in float32.",
            lambda: (
                estimate_memory(LLAMA_8B, QLoRA(), checkpointing=True).base_weights
                - estimate_memory(LLAMA_8B, QLoRA(), checkpointing=True, kbit_upcast=False).base_weights
                > 2 * 10**9
            ),
        ),
        TryThis(
            "Take the free T4.",
            {"model": LLAMA_3B, "gpu": "T4", "checkpointing": True, "batch": 1, "sequence": 1024},
            "Does full fine-tuning of the 3B model fit?",
            "No, not nearly; QLoRA does.",
            lambda: (
                [f.fits for f in fit(LLAMA_3B, "T4", (Full(), QLoRA(rank=16)), 1, 1024, checkpointing=True)]
                == [False, True]
            ),
        ),
    ),
)
