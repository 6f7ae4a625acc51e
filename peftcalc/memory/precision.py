"""How many bytes one number takes at each place of a training step."""

from __future__ import annotations

from dataclasses import dataclass

from peftcalc.memory.options import DTYPE_BYTES, MemoryOptions
from peftcalc.methods import Method


@dataclass(frozen=True)
class Precision:
    """Bytes of one number, place by place; see `peftcalc.memory.estimate.terms` for the symbols.

    >>> from peftcalc.methods import Full, LoRA, QLoRA
    >>> precision_of(LoRA(), MemoryOptions(autocast=False)).adapter_input
    4
    >>> precision_of(QLoRA(), MemoryOptions()).stream, precision_of(Full(), MemoryOptions()).stream
    (4, 2)
    """

    dtype: int
    """e: the dtype of matrix products."""
    weight: int
    """Of a base weight that is not quantized; the head and embeddings included."""
    norm: int
    """Of a norm's weight."""
    stream: int
    """a: of the hidden states between layers."""
    product: int
    """p: of a matrix product's result in a layer, and so of what lies between an MLP's products."""
    attention: int
    """q: of queries, keys and values as attention keeps them."""
    logits: int
    """Of the head's result, before it is cast to float32."""
    adapter: int
    """g: of A, B and their gradients."""
    adapter_input: int
    """i: of what an adapter keeps of its input."""
    adapter_output: int
    """Of an adapter's result, before it is added to the base's."""
    own_copy: bool
    """True when an adapter's input is cast, so that every adapter keeps a copy of its own."""
    autocast: bool
    """True when matrix products of float32 operands are cast to the dtype."""


def precision_of(
    method: Method, options: MemoryOptions, layer_norms: bool = False, scaled_blocks: bool = False
) -> Precision:
    """The bytes that this method has under these options.

    Autocast has no effect in float32. `float32_masters` concerns full fine-tuning only. A 4-bit layer answers in the
    type of its input, so norms that answer in float32 make float32 hidden states: norms cast by `kbit_upcast` or TRL's
    older preparation, and under autocast every LayerNorm, since that is on autocast's float32 list. DoRA's float32
    magnitude makes them too under autocast, for peft does not cast its result back then (peft 0.21, tuners/lora/bnb.py
    and dora.py). The products of GPTQ and AWQ are torch's own, which autocast casts; peft leaves a GPTQ model as it is.

    Args:
        method, options: the set-up.
        layer_norms: True for a model with torch's LayerNorm, False for one with RMSNorms.
        scaled_blocks: True where DoRA's magnitude scales a layer whose result reaches the hidden states.
    """
    dtype = DTYPE_BYTES[options.dtype]
    autocast = options.autocast and dtype < 4
    masters = options.float32_masters and not method.has_adapter
    prepared = options.preparation if method.quantized else "peft"
    upcast = method.quantized and options.kbit_upcast and prepared == "peft" and options.base_format != "gptq"
    float_norms = upcast or prepared == "trl_norms"
    follows = method.quantized and not (autocast and options.base_format in ("gptq", "awq"))
    adapter = 4 if options.adapters_float32 and prepared == "peft" else dtype
    widened = autocast and (layer_norms or (scaled_blocks and adapter == 4))
    answers_in_float32 = follows and (float_norms or widened)
    weight = 4 if masters or upcast else dtype
    stream = 4 if answers_in_float32 or float_norms else weight
    product = 4 if answers_in_float32 else dtype if autocast else weight
    return Precision(
        dtype=dtype,
        weight=weight,
        norm=4 if float_norms else weight,
        stream=stream,
        product=product,
        attention=dtype if autocast else product,
        logits=dtype if autocast else weight,
        adapter=adapter,
        adapter_input=dtype if autocast else adapter,
        adapter_output=dtype if autocast else adapter,
        own_copy=(stream if not autocast else max(stream, adapter)) != (dtype if autocast else adapter),
        autocast=autocast,
    )
