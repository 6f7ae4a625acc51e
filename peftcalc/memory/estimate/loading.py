"""What loading leaves in the caching allocator's blocks, beside the weights."""

from __future__ import annotations

from functools import lru_cache

from peftcalc.memory.estimate.study import Study
from peftcalc.memory.options import DTYPE_BYTES, MemoryOptions


@lru_cache(maxsize=256)
def upcast_bytes(known: Study, options: MemoryOptions) -> int:
    """Bytes that the float32 upcast of embeddings and head frees while a quantized model is loaded: `e · N_outside`.

    Their half-precision copies lay between other weights, so that the card does not get these bytes back, and a block
    as large as the logits does not fit into them. (peft 0.21, `prepare_model_for_kbit_training`; transformers 5.23
    takes one block for all weights, `caching_allocator_warmup`.)
    """
    if not (known.method.quantized and options.kbit_upcast) or options.dtype == "float32":
        return 0
    outside = (tensor for group in known.model.groups if not group.indices for tensor in group.tensors)
    return DTYPE_BYTES[options.dtype] * sum(tensor.numel for tensor in outside if not tensor.tied_to)
