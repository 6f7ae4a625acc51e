"""The choices that change how much memory a training step takes, each named, none hidden.

The closed-form estimate and the traced simulation take the same choices, by the same names and with the same defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from peftcalc.checks import one_of, whole_number
from peftcalc.memory.cards import Gpu, gpu

MAX_BATCH = 1_000_000
MAX_SEQUENCE = 100_000_000
MAX_GPUS = 100_000

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
"""Bytes of one number of each floating-point type that weights may be stored in."""

CHOICES: dict[str, dict[str, str]] = {
    "dtype": {
        "bfloat16": "Weights are stored and multiplied in bfloat16, 2 bytes a number.",
        "float16": "Weights are stored and multiplied in float16, 2 bytes a number, for cards without bfloat16.",
        "float32": "Weights are stored in float32, 4 bytes a number.",
    },
    "attention": {
        "sdpa": "torch's fused attention: no matrix of sequence × sequence is kept.",
        "flash": "The flash-attention package: as sdpa, and always the flash kernel.",
        "eager": "Attention written out: the scores and probabilities, sequence × sequence for each head, are kept.",
    },
    "kernel": {
        "auto": "The kernel that torch chooses for fused attention on the card, by its architecture, the type and the "
        "mask; without a card, as on compute capability 8.0.",
        "flash": "The flash kernel: queries, keys, values and output are kept in half precision; no mask is used.",
        "efficient": "The memory-efficient kernel: keys and values are repeated for every query head.",
        "math": "torch's fallback, written out in float32: the probabilities, sequence × sequence for each head, are "
        "kept.",
    },
    "optimizer": {
        "adamw": "AdamW of torch: two moments of the trained weight's type, updated for all tensors at once.",
        "adamw_fused": "The same AdamW in one kernel, without temporary copies: the default of transformers' Trainer.",
        "adamw_8bit": "AdamW of bitsandbytes with both moments in 8 bits and a float32 scale for each block of 256.",
        "paged_adamw_8bit": "The 8-bit moments in memory that the driver may move to the host: none is counted here.",
        "paged_adamw_32bit": "Float32 moments in memory that the driver may move to the host: none is counted here.",
        "sgd": "Plain gradient descent without momentum: no states.",
        "sgd_momentum": "Gradient descent with momentum: one buffer of the trained weight's type.",
    },
    "loss": {
        "standard": "The logits of all positions are made, copied to float32 and kept for the backward pass.",
        "shifted": "The standard loss of earlier releases of transformers 4 (4.48 among them): the float32 logits are "
        "copied once more, shifted by one position.",
        "chunked": "Logits are made for 1,024 positions at a time, and once more in the backward pass; none are kept.",
        "fused": "Logits and gradients are made in chunks in the forward pass, as Liger's kernel does; none are kept.",
    },
    "autocast_scope": {
        "forward": "Autocast is left after the forward pass, as under transformers' Trainer: the half-precision copies "
        "of trained weights that it caches are there while the loss is computed, and gone in the backward pass.",
        "step": "Autocast stays open over the backward pass: with checkpointing the cached copies stay until the last "
        "layer has been computed again.",
    },
    "experts": {
        "float": "Fused stacks of experts stay in half precision: bitsandbytes quantizes linear layers only.",
        "4bit": "Experts are quantized like the linear layers, as where each expert has linear layers of its own "
        "(transformers 4).",
    },
    "sharding": {
        "ddp": "Every GPU holds everything; each takes its own batch.",
        "zero1": "ZeRO stage 1: the optimizer's states are divided over the GPUs.",
        "zero2": "ZeRO stage 2: gradients and optimizer states are divided.",
        "zero3": "ZeRO stage 3 or FSDP: weights, gradients and optimizer states are divided.",
    },
}
"""Choices among names: for each option its values, each with one sentence of what it does."""

SWITCHES: dict[str, str] = {
    "autocast": "Matrix products run in the dtype even where an operand is float32; casts of trained weights are kept.",
    "float32_masters": "Full fine-tuning keeps its weights in float32 and multiplies in the dtype under autocast "
    "(mixed precision); without it the weights themselves have the dtype (pure).",
    "adapters_float32": "Adapters are trained in float32 over a half-precision base, as peft does by default.",
    "kbit_upcast": "peft's `prepare_model_for_kbit_training` casts what is not quantized (embeddings, head, norms, "
    "but no experts) to float32.",
    "padding": "Sequences of a batch are padded, so attention gets a mask: keys and values are repeated for every "
    "query head, and the memory-efficient kernel takes the place of flash. A single sequence needs no padding.",
    "keep_outputs": "The training loop holds the model's output until the step ends, and with it the logits (those of "
    "the last chunk where the loss is chunked); transformers' Trainer lets them go.",
    "checkpointing": "Only the input of each layer is kept, and the layer is computed again in the backward pass.",
}
"""Options that are on or off, each with one sentence of what "on" does."""


@dataclass(frozen=True)
class MemoryOptions:
    """One training set-up. The defaults are peft's and transformers' own; see `CHOICES` and `SWITCHES` for each.

    Args:
        batch: sequences in one forward pass on one GPU.
        sequence: tokens of each.
        accumulation: forward and backward passes before one optimizer step.
        gpus: data-parallel GPUs over which `sharding` divides.
        card: a name from `gpus()`, or a `Gpu`, by whose architecture torch chooses its kernels; None for one of compute
            capability 8.0.
        dtype: `make_options`, and so all that takes options by name, gives a card without bfloat16 float16 by default.

    Raises:
        ValueError: a value that is not among the choices or out of its range.

    >>> MemoryOptions(batch=4, sequence=768).tokens
    3072
    """

    batch: int = 1
    sequence: int = 2048
    dtype: str = "bfloat16"
    checkpointing: bool = False
    attention: str = "sdpa"
    kernel: str = "auto"
    optimizer: str = "adamw"
    autocast: bool = True
    float32_masters: bool = False
    adapters_float32: bool = True
    kbit_upcast: bool = True
    loss: str = "standard"
    padding: bool = True
    keep_outputs: bool = True
    accumulation: int = 1
    gpus: int = 1
    sharding: str = "ddp"
    autocast_scope: str = "forward"
    experts: str = "float"
    card: str | Gpu | None = None

    def __post_init__(self) -> None:
        limits = {"batch": MAX_BATCH, "sequence": MAX_SEQUENCE, "accumulation": MAX_BATCH, "gpus": MAX_GPUS}
        for name, limit in limits.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), 1, limit))
        for name, values in CHOICES.items():
            one_of(name, getattr(self, name), values)
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if self.card is not None:
            object.__setattr__(self, "card", gpu(self.card))

    @property
    def chosen_card(self) -> Gpu | None:
        """The card as a record; None where none is given."""
        return self.card if isinstance(self.card, Gpu) else None

    def resized(self, batch: Any, sequence: Any) -> MemoryOptions:
        """The same choices for another batch and sequence, which are taken as they are.

        >>> MemoryOptions(loss="fused").resized(2, 512).tokens
        1024
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, batch=batch, sequence=sequence)
        return other

    def on(self, card: Gpu | None) -> MemoryOptions:
        """The same choices on another card."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, card=card)
        return other

    @property
    def tokens(self) -> int:
        """Tokens in one forward pass: batch · sequence."""
        return self.batch * self.sequence

    @property
    def masked(self) -> bool:
        """Whether attention gets a mask: a batch of more than one sequence, padded."""
        return self.padding and self.batch > 1

    def explain(self) -> dict[str, str]:
        """For each named choice, the sentence that says what it does here; switches that are off are left out.

        >>> MemoryOptions(optimizer="sgd").explain()["optimizer"]
        'Plain gradient descent without momentum: no states.'
        """
        chosen: dict[str, Any] = {name: values[getattr(self, name)] for name, values in CHOICES.items()}
        return chosen | {name: text for name, text in SWITCHES.items() if getattr(self, name)}


def make_options(**options: Any) -> MemoryOptions:
    """`MemoryOptions` from keyword arguments; without a `dtype`, or with None, the half precision that the card has.

    Raises:
        ValueError: a name that is no option, with the nearest; a value out of its range.

    >>> make_options(card="T4").dtype, make_options().dtype
    ('float16', 'bfloat16')
    """
    for name in options:
        one_of("option", name, [field.name for field in fields(MemoryOptions)])
    if options.get("dtype") is None:
        card = options.get("card")
        options["dtype"] = MemoryOptions.dtype if card is None else gpu(card).dtype
    return MemoryOptions(**options)
