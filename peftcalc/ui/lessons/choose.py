"""What the Choose page teaches with."""

from __future__ import annotations

from peftcalc.advice.advise import advise
from peftcalc.memory.serving.tasks import serving
from peftcalc.methods import LoRA
from peftcalc.ui.lessons.lesson import Lesson, Prediction, Preset, TryThis

LLAMA_8B = "meta-llama/Llama-3.1-8B"
PHI = "microsoft/Phi-3-mini-4k-instruct"
LLAMA_70B = "meta-llama/Llama-3.1-70B"

CHOOSE = Lesson(
    notebook="05_memory_and_choice",
    presets=(
        Preset("Llama-3.1-8B on a 24 GB card", {"model": LLAMA_8B, "gpu": "RTX 4090", "priority": "balance"}),
        Preset("An 8B model on the free T4", {"model": LLAMA_8B, "gpu": "T4", "priority": "memory"}),
        Preset("Phi-3-mini on a V100", {"model": PHI, "gpu": "V100 16GB", "priority": "balance"}),
        Preset("A 70B model for 50 customers", {"model": LLAMA_70B, "gpu": "H200", "priority": "balance", "tasks": 50}),
    ),
    prediction=Prediction(
        "Fifty fine-tuned variants of an 8B model are to be served. How much less memory do one base and fifty "
        "adapters of rank 16 take than fifty whole models?",
        ("About 5 times less", "About 40 times less", "About 500 times less"),
        lambda: "About 40 times less" if 30 < serving(LLAMA_8B, LoRA(rank=16), 50).times_less < 50 else "",
        "An adapter of rank 16 is half a percent of the model, so fifty of them are a quarter of it.",
    ),
    try_this=(
        TryThis(
            "Ask for quality with a large card and one task, then for twenty tasks.",
            {"model": LLAMA_8B, "gpu": "H200", "priority": "quality", "tasks": 20},
            "Does the advice stay with full fine-tuning?",
            "No: twenty whole models would have to be kept, so an adapter is advised.",
            lambda: (
                advise(LLAMA_8B, "H200", "quality").method.name == "full"
                and advise(LLAMA_8B, "H200", "quality", tasks=20).method.has_adapter
            ),
        ),
        TryThis(
            "Move the 8B model from the H200 to the free T4.",
            {"model": LLAMA_8B, "gpu": "T4", "priority": "balance", "tasks": 1},
            "Which method is left?",
            "QLoRA, with checkpointing: the weights alone take 16 GB in 16 bits, more than the card has.",
            lambda: advise(LLAMA_8B, "T4").method.name == "qlora" and advise(LLAMA_8B, "H200").method.name == "lora",
        ),
    ),
)
