"""A whole training script: model, data, method, transformers' `Trainer`, what it reached, and the saved result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peftcalc.checks import flag, one_of, positive, whole_number
from peftcalc.memory.options import CHOICES, MAX_BATCH, MAX_SEQUENCE
from peftcalc.methods import Method
from peftcalc.models.shapes import ModelShapes
from peftcalc.recipes.model_class import AS_THE_MODEL, model_class
from peftcalc.recipes.model_source import ModelSource, model_source
from peftcalc.recipes.objective import Objective
from peftcalc.recipes.objectives import objective
from peftcalc.recipes.python_code import (
    DTYPES,
    SHARED_HEADS,
    adapter_lines,
    dtype_lines,
    from_weights,
    import_lines,
    loraplus_lines,
    plus,
    repeated_heads,
)

TESTED_WITH = {"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2", "accelerate": "1.15.0"}
"""The releases with which the scripts were run; bitsandbytes besides, for 4 bits."""
BITSANDBYTES = "0.50.2"

LEARNING_RATES = {"full": 2e-5, "lora": 2e-4, "dora": 2e-4, "qlora": 2e-4, "qdora": 2e-4}
"""A first try: QLoRA's for 7 and 13 billion parameters (arXiv:2305.14314, table 9), a tenth where all is trained."""

OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_fused": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "paged_adamw_32bit": "paged_adamw_32bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
}
"""Our names of optimizers, and the Trainer's."""

CLASSES = {
    "adamw": ("torch.optim.AdamW",),
    "adamw_fused": ("torch.optim.AdamW", "fused=True"),
    "adamw_8bit": ("bitsandbytes.optim.AdamW8bit",),
    "paged_adamw_8bit": ("bitsandbytes.optim.PagedAdamW8bit",),
    "paged_adamw_32bit": ("bitsandbytes.optim.PagedAdamW32bit",),
    "adafactor": ("transformers.optimization.Adafactor", "scale_parameter=False", "relative_step=False"),
    "sgd": ("torch.optim.SGD",),
}
"""The same as classes with their arguments, for an optimizer that the Trainer is given (LoRA+)."""

FOLDER = "model"
"""Where a model is looked for that has no name."""

ANY_PATH = """\
rows = DATA
if isinstance(DATA, str):
    with open(DATA, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]"""
SCALER = """\
for parameter in model.parameters():
    if parameter.requires_grad and parameter.dtype == torch.float16:
        parameter.data = parameter.data.float()  # gradients in float16 are scaled, which needs float32 weights"""


@dataclass(frozen=True)
class TrainingSettings:
    """How the script trains.

    Args:
        batch, sequence: sequences in a batch, and the most tokens of each.
        accumulation: batches before an update.
        checkpointing: recompute activations in the backward pass.
        optimizer, attention: names of `MemoryOptions`.
        dtype: "bfloat16", "float16" or "float32"; None for a line that asks the card.
        float32_masters: full fine-tuning keeps its weights in float32 (mixed precision); in float16 it does anyway.
        learning_rate: None for `LEARNING_RATES`.
        epochs, seed: of the run.
        task_type, num_labels: as for `Method.to_code`.

    Raises:
        ValueError: a value out of its range.
    """

    batch: int = 1
    sequence: int = 2048
    accumulation: int = 1
    checkpointing: bool = False
    optimizer: str = "adamw"
    attention: str = "sdpa"
    dtype: str | None = None
    float32_masters: bool = False
    learning_rate: float | None = None
    epochs: int = 3
    seed: int = 0
    task_type: str | None = AS_THE_MODEL
    num_labels: int | None = None

    def __post_init__(self) -> None:
        whole_number("batch", self.batch, 1, MAX_BATCH)
        whole_number("sequence", self.sequence, 1, MAX_SEQUENCE)
        whole_number("accumulation", self.accumulation, 1, MAX_BATCH)
        whole_number("epochs", self.epochs, 1, 1_000_000)
        whole_number("seed", self.seed, 0, 2**31 - 1)
        for name in ("checkpointing", "float32_masters"):
            flag(name, getattr(self, name))
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("attention", self.attention, CHOICES["attention"])
        if self.dtype is not None:
            one_of("dtype", self.dtype, DTYPES)
        if self.learning_rate is not None:
            positive("learning_rate", self.learning_rate)

    @property
    def attention_name(self) -> str:
        """transformers' name of the attention."""
        return "flash_attention_2" if self.attention == "flash" else self.attention

    def rate(self, method: Method) -> float:
        """The learning rate, or the one that a first try with this method has."""
        return self.learning_rate or LEARNING_RATES[method.name]


def training_script(method: Method, model: ModelShapes | Any = None, settings: TrainingSettings | None = None) -> str:
    """Python that fine-tunes a model with a method, from its first import to the saved adapter.

    Args:
        method: one of the five.
        model: what `load_model` returns or accepts; None for a small open model. A configuration without a name gets
            the folder "model", where its weights and its tokenizer must lie.
        settings: how it trains.

    Raises:
        ValueError: a kind of model that no script is written for.

    >>> from peftcalc.methods import LoRA
    >>> print(training_script(LoRA(rank=4)).splitlines()[0])
    \"\"\"Fine-tune HuggingFaceTB/SmolLM2-135M with LoRA: to continue text.
    """
    chosen, source = settings or TrainingSettings(), model_source(model)
    loaded = model_class(source.shapes, chosen.task_type, chosen.num_labels)
    learning = objective(source.shapes, loaded)
    imports = import_lines(method, loaded, more=(*learning.names, "Trainer", "TrainingArguments", "set_seed"))
    standard = [line for line in learning.imports if line in ("import os", "import wave")]
    other = [line for line in learning.imports if line not in standard]
    if plus(method) and CLASSES[chosen.optimizer][0].startswith("bitsandbytes"):
        other.insert(0, "import bitsandbytes")
    eager = [f'attn_implementation="{chosen.attention_name}"'] if chosen.attention != "sdpa" else []
    repeated = repeated_heads(source.shapes, chosen.dtype) if chosen.attention == "sdpa" else []
    imports += [SHARED_HEADS] if repeated else []
    parts = [
        _first_lines(method, source.name or FOLDER, learning),
        "\n".join(["import json", *standard]),
        "\n".join([*other, *imports]),
        "\n".join([_constants(source, learning, chosen), *repeated]),
        f"set_seed({chosen.seed})\n{ANY_PATH}",
        learning.prepare.rstrip("\n"),
        "\n".join(
            [
                *from_weights(method, loaded, _loaded_as(method, chosen), eager),
                *([learning.loaded] if learning.loaded else []),
                *adapter_lines(method, source.shapes, loaded),
            ]
        ),
        _training(method, chosen, learning),
    ]
    return "\n\n".join(parts) + "\n"


def _first_lines(method: Method, name: str, learning: Objective) -> str:
    """What the script does, and what it was run with."""
    releases = TESTED_WITH | ({"bitsandbytes": BITSANDBYTES} if method.quantized else {})
    tested = ", ".join(f"{package} {release}" for package, release in releases.items())
    how = f"with {method.label}" if method.has_adapter else "in full"
    return f'"""Fine-tune {name} {how}: {learning.learns}.\n\nTested with {tested}.\n"""'


def _constants(source: ModelSource, learning: Objective, settings: TrainingSettings) -> str:
    """Model and data first; then what the script is set to."""
    name, longest = source.name, longest_sequence(source.shapes)
    missing = "" if name else "  # the folder with this configuration, its weights and its tokenizer"
    cut = "  # the model has no more positions" if settings.sequence > longest else ""
    rows = "".join(f"    {row},\n" for row in learning.rows)
    return (
        f'MODEL = "{name or FOLDER}"{missing}\n'
        f"DATA = [  # or the path of a file with one such dictionary a line, as JSON\n{rows}]\n"
        f"{dtype_lines(settings.dtype)}\nSEQUENCE = {min(settings.sequence, longest)}{cut}"
    )


def longest_sequence(shapes: ModelShapes) -> int:
    """Tokens for which a model has learned positions; no limit where positions are rotated or relative.

    >>> from peftcalc.models.load import load_model
    >>> longest_sequence(load_model("google-bert/bert-base-uncased")), longest_sequence(load_model("smollm2-135m"))
    (512, 100000000)
    """
    config = shapes.config
    if any(key.startswith(("rope", "rotary", "relative", "alibi", "global_rope")) for key in config):
        return MAX_SEQUENCE
    keys = ("n_positions", "max_target_positions", "max_position_embeddings")
    positions = next((config[key] for key in keys if isinstance(config.get(key), int)), MAX_SEQUENCE)
    before = 2 if "Roberta" in shapes.architecture else 0  # its positions begin behind that of the padding
    return max(1, positions - before)


def _loaded_as(method: Method, settings: TrainingSettings) -> str:
    """The weights' type: gradients in float16 are scaled, which needs float32 weights where all of them are trained."""
    if settings.float32_masters and not method.has_adapter:
        return "torch.float32"
    if method.has_adapter or settings.dtype in ("bfloat16", "float32"):
        return "DTYPE"
    return "torch.float32" if settings.dtype else "torch.float32 if DTYPE == torch.float16 else DTYPE"


def _training(method: Method, settings: TrainingSettings, learning: Objective) -> str:
    """The training arguments, the run, and what is kept of it."""
    output = f"{method.name}-output"
    arguments = {
        "output_dir": f'"{output}"',
        "per_device_train_batch_size": settings.batch,
        "gradient_accumulation_steps": settings.accumulation,
        "num_train_epochs": settings.epochs,
        "learning_rate": f"{settings.rate(method):g}",
        "optim": f'"{OPTIMIZERS[settings.optimizer]}"',
        "seed": settings.seed,
        "bf16": "on_card and DTYPE == torch.bfloat16",
        "fp16": "on_card and DTYPE == torch.float16",
        **({"gradient_checkpointing": True} if settings.checkpointing else {}),
        **({"gradient_checkpointing_kwargs": '{"use_reentrant": False}'} if settings.checkpointing else {}),
        "remove_unused_columns": False,
        "logging_steps": 1,
        "save_strategy": '"no"',
        "report_to": '"none"',
    }
    lines = [
        *([SCALER] if method.has_adapter and settings.dtype in (None, "float16") else []),
        "on_card = torch.cuda.is_available()",
        "arguments = TrainingArguments(",
        *(f"    {name}={value}," for name, value in arguments.items()),
        ")",
        *_own_optimizer(method, settings),
        f"trainer = {learning.trainer}(model=model, args=arguments, train_dataset=examples, data_collator=collate"
        f"{', optimizers=(optimizer, None)' if plus(method) else ''})",
        "result = trainer.train()",
        f'trainer.save_model("{output}")',
        f'print(f"training loss {{result.training_loss:.4f}} after {{result.global_step}} steps, saved in {output}")',
    ]
    return "\n".join(lines)


def _own_optimizer(method: Method, settings: TrainingSettings) -> list[str]:
    """Lines that make the optimizer where the Trainer's would give all parameters one rate."""
    if not plus(method):
        return []
    kind, *arguments = CLASSES[settings.optimizer]
    return loraplus_lines(method, kind, f"lr={settings.rate(method):g}", *arguments)
