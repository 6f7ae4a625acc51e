"""What stays from step to step: weights, quantization constants, adapters, gradients and the optimizer's states."""

from __future__ import annotations

from collections.abc import Iterator

from peftcalc.counting.counts import Count
from peftcalc.memory.base_formats import FORMATS, ROUNDING, rounded
from peftcalc.memory.estimate.optimizers import Trained, trained_bytes
from peftcalc.memory.estimate.terms import AUTOGRAD, EXPERTS, KBIT, PEFT, QLORA, TRL, Term
from peftcalc.memory.model_config import stays_float32
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.precision import Precision
from peftcalc.methods import Method, QLoRA
from peftcalc.models.shapes import LINEAR_KINDS, ModelShapes, ModuleGroup, Tensor

BLOCK = 64
"""Weights that share one scale in a 4-bit base."""

SCALE_BLOCK = 256
"""Scales that share one scale of their own when doubly quantized."""

_TABLES = 512 + 1024 + 512
"""Bytes of a doubly quantized layer's tables: 16 code values, 256 of the scales' code, one offset."""

_SHARDED_FROM = {"ddp": 4, "zero1": 1, "zero2": 2, "zero3": 3, "fsdp2": 3}


def is_quantized(group: ModuleGroup, shapes: ModelShapes) -> bool:
    """True for what transformers replaces by 4-bit layers: every linear layer but the head, and what stays float32."""
    heads = (shapes.output_embedding, *shapes.classification_head)
    return group.kind in LINEAR_KINDS and group.template not in heads and not stays_float32(shapes.config, group.suffix)


def quantizes(tensor: Tensor, group: ModuleGroup, shapes: ModelShapes, options: MemoryOptions) -> bool:
    """Whether a tensor of a quantized base is stored so: weights of linear layers, and stacks of experts on demand.

    MXFP4 is the format of experts; a model without any has it in its linear layers.
    """
    only_experts = options.base_format == "mxfp4" and any(g.kind == "experts" for g in shapes.groups)
    if is_expert_stack(tensor, group):
        return options.experts == "4bit" or only_experts
    if only_experts:
        return False
    return tensor.name == "weight" and is_quantized(group, shapes)


def is_expert_stack(tensor: Tensor, group: ModuleGroup) -> bool:
    """True for the weights of all experts of a layer in one tensor (experts, out, in)."""
    return group.kind == "experts" and len(tensor.shape) == 3


def weight_terms(shapes: ModelShapes, method: Method, precision: Precision, options: MemoryOptions) -> Iterator[Term]:
    """The base model's weights and their quantization constants."""
    codes = constants = rest = packed = experts = 0
    stored = FORMATS.get(options.base_format)
    for group in shapes.groups:
        for tensor in group.tensors:
            if tensor.tied_to:
                continue
            if method.quantized and quantizes(tensor, group, shapes, options):
                assert isinstance(method, QLoRA)
                codes += group.repeats * (stored.code_bytes(tensor.shape) if stored else rounded(tensor.numel / 2))
                constants += group.repeats * (
                    stored.constant_bytes(tensor.shape) if stored else _constants(tensor.numel, method.double_quant)
                )
                packed += group.repeats * tensor.numel
            elif method.quantized and is_expert_stack(tensor, group):
                experts += group.repeats * rounded(tensor.numel * precision.dtype)
            else:
                size = precision.norm if group.kind == "norm" else precision.weight
                size = 4 if stays_float32(shapes.config, group.suffix) else size
                rest += group.repeats * rounded(tensor.numel * size)
    if not method.quantized:
        formula = "4 · N" if precision.weight == 4 else "e · N"
        yield Term("base_weights", "weights", formula, rest, "the model's shapes; rounded up by 512 bytes a tensor")
        return
    assert isinstance(method, QLoRA)
    bits, code_formula, source = (stored.bits, stored.formula, stored.source) if stored else (4, "N₄ / 2", QLORA)
    yield Term("base_weights", f"{packed:,} weights in {bits} bits", code_formula, codes, source)
    yield Term("base_weights", "fused experts, which are not quantized", "e · N_experts", experts, EXPERTS)
    slice_formula = "4 · (N − N₄)" if precision.weight == 4 else "e · (N − N₄)"
    prepared = KBIT if options.preparation == "peft" else TRL
    yield Term("base_weights", "weights that are not quantized: embeddings, head, norms", slice_formula, rest, prepared)
    if stored:
        yield Term("quantization_constants", stored.constants, stored.constants_formula, constants, source)
        return
    formula = "N₄/64 + 4·N₄/(64·256)" if method.double_quant else "4 · N₄/64"
    yield Term("quantization_constants", "scales of blocks of 64", formula, constants, QLORA)


def _constants(weights: int, double: bool) -> int:
    """Bytes of one layer's scales: float32, or 8 bits with a float32 scale for each 256 of them."""
    blocks = -(-weights // BLOCK)
    if not double:
        return rounded(4 * blocks) + ROUNDING
    return rounded(blocks) + rounded(4 * -(-blocks // SCALE_BLOCK)) + _TABLES


def adapter_term(counted: Count, precision: Precision) -> Term:
    """A, frozen or not, B, magnitudes, and copies of modules that are trained in full."""
    parts = [part for part in counted.parts if part.how in ("adapter", "copy")]
    formula = "g · (N_trained + N_A)" if any(part.frozen for part in parts) else "g · N_trained"
    return Term("adapters", "adapters", formula, sum(part.held for part in parts) * precision.adapter, PEFT)


def gradient_term(counted: Count, method: Method, precision: Precision, tensors: tuple[Trained, ...]) -> Term:
    """One gradient for each trained weight, in its type."""
    size = "g" if method.has_adapter else "4" if precision.weight == 4 else "e"
    total = trained_bytes(counted, method, precision, tensors)
    return Term("gradients", "gradients", f"{size} · N_trained", total, AUTOGRAD)


def shard(size: int, part: str, options: MemoryOptions) -> int:
    """Bytes of a part on one of the GPUs over which it is divided, if it is.

    >>> shard(100, "optimizer_states", MemoryOptions(gpus=4, sharding="zero1"))
    25
    """
    stages = {"optimizer_states": 1, "gradients": 2, "base_weights": 3, "adapters": 3}
    stage = 0 if options.sharding == "ddp" else _SHARDED_FROM[options.sharding]
    divided = options.gpus > 1 and part in stages and stage >= stages[part]
    return -(-size // options.gpus) if divided else size
