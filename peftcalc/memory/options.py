"""The choices that change how much memory a training step takes, each named, none hidden.

The closed-form estimate and the traced simulation take the same choices, by the same names and with the same defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from peftcalc.checks import one_of, whole_number
from peftcalc.memory.cards import Gpu, gpu

MAX_BATCH = 1_000_000
MAX_SEQUENCE = 100_000_000
MAX_GPUS = 100_000
MAX_IMAGES = 10_000

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
        "adafactor": "Adafactor of transformers without momentum: of each matrix one second moment a row and one a "
        "column; the update holds a few float32 copies of one tensor.",
        "sgd": "Plain gradient descent without momentum: no states.",
        "sgd_momentum": "Gradient descent with momentum: one buffer of the trained weight's type.",
    },
    "loss": {
        "standard": "The logits of all positions are made, copied to float32 and kept for the backward pass.",
        "shifted": "The standard loss of earlier releases of transformers 4 (4.48 among them): the float32 logits are "
        "copied once more, shifted by one position.",
        "chunked": "Logits are made for `chunk_size` positions at a time, and once more in the backward pass; none are "
        "kept.",
        "fused": "Logits and gradients are made in chunks in the forward pass, by torch's operators; none are kept.",
        "liger": "As fused, by Liger's kernel: gradients take the logits' place, and a chunk is as many positions as "
        "make the logits about as large as the hidden states, whatever `chunk_size` says.",
    },
    "autocast_scope": {
        "forward": "Autocast is left after the forward pass, as under transformers' Trainer: the half-precision copies "
        "of trained weights that it caches are there while the loss is computed, and gone in the backward pass.",
        "step": "Autocast stays open over the backward pass: with checkpointing the cached copies stay until the last "
        "layer has been computed again.",
    },
    "base_format": {
        "4bit": "bitsandbytes' 4 bits, as the method says: nf4 or fp4, doubly quantized or not.",
        "int8": "LLM.int8 of bitsandbytes: a byte a weight and a float32 scale a row; each layer keeps its input for "
        "the backward pass, in which the weight is made dense.",
        "gptq": "GPTQ in 4 bits and groups of 128: dense weights stay from a layer's forward product to its backward "
        "one, for GPTQModel's torch kernel multiplies by them.",
        "awq": "AWQ in 4 bits and groups of 128, trained through GPTQModel's torch kernel, like GPTQ.",
        "mxfp4": "MXFP4 in blocks of 32 that share a byte, as gpt-oss is published: its experts alone, where there are "
        "any, are in 4 bits. transformers makes it dense before it trains: choose LoRA for that.",
    },
    "preparation": {
        "peft": "What `kbit_upcast` and `adapters_float32` say.",
        "trl": "TRL from 0.24 on: nothing is cast to float32, and adapters over a quantized base are in the dtype.",
        "trl_norms": "TRL up to 0.23: norms in float32, and so the hidden states too; embeddings, head and adapters in "
        "the dtype.",
    },
    "kernels": {
        "eager": "transformers' and peft's own operators, one kernel each.",
        "fused": "Norms, rotary embedding and loss are one kernel each, and the sums around A and B where the base has "
        "4 bits (fms-acceleration): norms keep their input as it is.",
        "liger": "Norms, rotary embedding, activation and loss are one kernel each; adapters stay peft's own. Of "
        "the MLP, gate and up-projection are kept and the activation is computed again.",
        "unsloth": "As liger, and the sums around A and B belong to their products, over any base.",
        "compiled": "torch.compile joins elementwise operators, residual sums included, into few kernels; memory is "
        "counted as eager, which is more.",
    },
    "optimizer_offload": {
        "none": "The optimizer's states lie on the GPU.",
        "states": "States lie in the host's memory, where the update is made (torchao's CPUOffloadOptimizer).",
        "gradients": "Gradients too leave the GPU as soon as each is there; where batches are accumulated they stay.",
    },
    "experts": {
        "float": "Fused stacks of experts stay in half precision: bitsandbytes quantizes linear layers only.",
        "4bit": "Experts are quantized like the linear layers, as where each expert has linear layers of its own "
        "(transformers 4).",
    },
    "sharding": {
        "ddp": "Every GPU holds everything, gradients twice: DDP copies them into buckets to send them (unless "
        "`gradient_as_bucket_view` is set); each takes its own batch.",
        "zero1": "ZeRO stage 1: the optimizer's states are divided over the GPUs. DeepSpeed's buckets "
        "(`reduce_bucket_size`) and its float32 copies of the weights come on top.",
        "zero2": "ZeRO stage 2: gradients and optimizer states are divided, a layer's gradients once they are there. "
        "DeepSpeed's buckets and float32 copies come on top.",
        "zero3": "ZeRO stage 3, counted as FSDP1 does it: weights, gradients and optimizer states are divided; a layer "
        "is whole while it works, and without checkpointing the next one is fetched meanwhile; with checkpointing and "
        "a frozen base, hooks hold the layers' inputs and their gradients.",
        "fsdp2": "FSDP2 (`fully_shard`): as zero3, but what is gathered is copied once more out of the buffer in which "
        "it came, the next layer is always fetched, a layer's gradients stay in their buffer until the next are "
        "reduced, and nothing is held by hooks.",
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
    "activation_offload": "What the layers keep lies in the host's memory and comes back for one layer at a time, as "
    "under torchtune and TRL; with checkpointing, as under Unsloth, that is the layers' inputs.",
    "optimizer_in_backward": "Each weight is updated and its gradient freed as soon as the gradient is there "
    "(torchtune, LOMO); where batches are accumulated, gradients must stay and this does nothing.",
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
        images: pictures in each sequence, at the model's own size; their tokens are part of `sequence`. 0 for text.
        chunk_size: positions of which the chunked and the fused loss make logits at a time.
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
    chunk_size: int = 1024
    base_format: str = "4bit"
    preparation: str = "peft"
    kernels: str = "eager"
    optimizer_offload: str = "none"
    activation_offload: bool = False
    optimizer_in_backward: bool = False
    card: str | Gpu | None = None
    images: int = 0

    def __post_init__(self) -> None:
        limits = {"batch": MAX_BATCH, "sequence": MAX_SEQUENCE, "accumulation": MAX_BATCH, "gpus": MAX_GPUS}
        limits["chunk_size"] = MAX_SEQUENCE
        for name, limit in limits.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), 1, limit))
        object.__setattr__(self, "images", whole_number("images", self.images, 0, MAX_IMAGES))
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
    def gradients_stay(self) -> bool:
        """Whether every gradient waits on the GPU until the backward pass is over."""
        leave = self.optimizer_in_backward or self.optimizer_offload == "gradients"
        return self.accumulation > 1 or not leave

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


@cache
def option_names() -> tuple[str, ...]:
    """Of all options, batch, sequence and card among them."""
    return tuple(field.name for field in fields(MemoryOptions))


def make_options(**options: Any) -> MemoryOptions:
    """`MemoryOptions` from keyword arguments; without a `dtype`, or with None, the half precision that the card has.

    Raises:
        ValueError: a name that is no option, with the nearest; a value out of its range.

    >>> make_options(card="T4").dtype, make_options().dtype
    ('float16', 'bfloat16')
    """
    for name in options:
        one_of("option", name, option_names())
    if options.get("dtype") is None:
        card = options.get("card")
        options["dtype"] = MemoryOptions.dtype if card is None else gpu(card).dtype
    return MemoryOptions(**options)
