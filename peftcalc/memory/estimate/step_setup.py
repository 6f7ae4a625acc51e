"""What is estimated: a model's anatomy under a method and its options; and a term of what it keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from peftcalc.counting.counts import Part
from peftcalc.memory.base_formats import FORMATS
from peftcalc.memory.estimate.anatomy import HEADS, MLP_HIDDEN, Anatomy, Attention, Linear
from peftcalc.memory.kernels import attention_kernel, shares_heads
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.precision import Precision
from peftcalc.methods import LoRA, Method


@dataclass(frozen=True)
class Saved:
    """Bytes kept by one kind of operator in all layers."""

    name: str
    formula: str
    bytes: float
    source: str


@dataclass(frozen=True)
class Layer:
    """One layer as a model of its own, and what is trained of it."""

    body: Anatomy
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class StepSetup:
    """Everything that decides what is kept."""

    body: Anatomy
    method: Method
    parts: tuple[Part, ...]
    precision: Precision
    options: MemoryOptions
    kinds: tuple[Layer, ...] = ()
    """One layer of each kind; empty where all are alike."""

    def of_layer(self, layer: Layer) -> StepSetup:
        """The same step, of this layer alone."""
        return replace(self, body=layer.body, parts=layer.parts, kinds=())

    @property
    def trained(self) -> bool:
        """True for full fine-tuning."""
        return not self.method.has_adapter

    @cached_property
    def adapters(self) -> dict[str, list[Part]]:
        """Adapters by the template of the module that they adapt."""
        found: dict[str, list[Part]] = {}
        for part in self.parts:
            if part.how == "adapter":
                found.setdefault(part.module, []).append(part)
        return found

    @property
    def adapters_keep_inputs(self) -> bool:
        """False where A is frozen: the gradient of B needs `A x` alone (LoRA-FA, section 3.2)."""
        return not (isinstance(self.method, LoRA) and self.method.freeze_a)

    def converts(self, linear: Linear) -> bool:
        """Whether peft casts the input of this layer's adapter to the adapter's type before it multiplies.

        While autocast is on it does not over bitsandbytes' layers and AWQ's; T5's `wo` is not among them. (peft 0.21,
        tuners/lora/bnb.py and awq.py, `requires_conversion`; elsewhere `_cast_input_dtype`.)
        """
        own = self.method.quantized and self.options.base_format in ("4bit", "int8", "awq")
        kept_whole = self.body.t5 and linear.reads == MLP_HIDDEN
        return not (own and self.precision.autocast) or kept_whole

    def bytes_read(self, linear: Linear) -> int:
        """Of a number that this layer reads, and in which a quantized one answers."""
        precision = self.precision
        sizes = {HEADS: precision.attention, MLP_HIDDEN: precision.product}
        return sizes.get(linear.reads, max(precision.stream, precision.norm))

    @property
    def layers_end_in_norms(self) -> bool:
        """Whether a LayerNorm makes what a layer hands on; a norm without weights (OLMo) is not seen."""
        return self.body.ends.norms_behind and bool(self.body.norms)

    @property
    def keeps_hidden(self) -> bool:
        """True where the activation keeps its result, which the down-projection reads: ReLU."""
        return any(mlp.activation == "relu" and not mlp.gated for mlp in self.body.mlps)

    @property
    def handed_on(self) -> int:
        """Bytes of a number that one layer hands to the next.

        Under autocast a LayerNorm answers in float32, and so is what is added to its answer: be the norm a layer's last
        (BERT, BART) or that of the embeddings (BLOOM, ModernBERT).
        """
        widened = self.precision.autocast and (self.layers_end_in_norms or self.body.ends.normed > 0)
        return 4 if widened else self.precision.stream

    @property
    def written_out(self) -> bool:
        """True when attention is not fused: by choice, or because the model has no other."""
        return self.options.attention == "eager" or self.body.written_out

    @property
    def dense_bytes(self) -> int:
        """Bytes of the quantized layers' dense weights, where these stay from the forward product to the backward."""
        stored = FORMATS.get(self.options.base_format)
        if not (self.method.quantized and stored is not None and stored.dense):
            return 0
        return self.precision.dtype * sum(
            x.group.repeats * x.group.in_features * x.group.out_features for x in self.body.linears
        )

    @property
    def fused_norms(self) -> bool:
        """True where a norm is one kernel, which keeps its input as it is; they are written for RMSNorm."""
        return self.options.kernels in ("fused", "liger", "unsloth")

    @property
    def fused_activations(self) -> bool:
        """True where gate, activation and product are one kernel."""
        return self.options.kernels in ("liger", "unsloth")

    @property
    def hidden_bytes(self) -> int:
        """p: of a number between an MLP's products; fused experts that stay in half precision answer in their own."""
        fused = bool(self.body.experts) and self.method.quantized and self.options.experts == "float"
        return self.precision.dtype if fused else self.precision.product

    def kernel_of(self, block: Attention, masked: bool) -> str:
        """What computes this attention: "eager" where it is written out, else one of torch's kernels."""
        if self.written_out:
            return "eager"
        if self.options.kernel != "auto":
            return self.options.kernel
        if self.options.attention == "flash":
            return "flash"
        if self.body.broadcasts and block.key < block.query:
            return "math"
        width = block.query // max(block.heads, 1)
        dtype = "float32" if self.precision.attention == 4 else self.options.dtype
        grouped = block.key < block.query and shares_heads(masked, width)
        return attention_kernel(self.options.chosen_card, dtype, grouped, masked, width)

    @cached_property
    def masked_share(self) -> float:
        """Share of the layers whose attention gets a mask: all where sequences are padded, else those that slide.

        T5's bias by distance is a mask to the kernel.
        """
        if self.options.masked or self.body.t5:
            return 1.0
        return self.body.sliding if 0 < self.body.window <= self.options.sequence else 0.0

    @cached_property
    def kernels(self) -> tuple[str, ...]:
        """Names of all kernels that run, that of most layers first."""
        first = self.masked_share > 0.5
        shares = [masked for masked in (first, not first) if (self.masked_share if masked else 1 - self.masked_share)]
        return tuple(
            dict.fromkeys(self.kernel_of(block, masked) for masked in shares for block in self.body.attentions)
        )

    @property
    def possible_kernels(self) -> list[str]:
        """Of each attention, its kernel without a mask and with one, whatever the batch and the sequence."""
        return [self.kernel_of(block, masked) for block in self.body.attentions for masked in (False, True)]

    @property
    def keeps_output(self) -> bool:
        """True where the kernel keeps attention's output, which the output projection reads: the fused ones."""
        return self.kernels[0] in ("flash", "efficient")

    @cached_property
    def reached(self) -> float:
        """Share of the layers through which gradients flow: none below the first adapter.

        Checkpointing needs gradients at the first layer's input, so there it is 1.
        """
        lowest = [min(part.indices) for part in self.parts if part.how == "adapter" and part.indices]
        if self.trained or self.options.checkpointing or not lowest or len(lowest) < len(self.adapters):
            return 1.0
        return 1 - min(lowest) / self.body.layers
