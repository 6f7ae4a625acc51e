"""What a layer's operators hold for a moment beyond what the layer keeps, at the highest point of its work.

The highest point is in the MLP, the widest part. Coefficients are bytes for each token and hidden unit of the MLP,
against the layer with everything saved: what has been freed by then is taken off.
"""

from __future__ import annotations

from peftcalc.memory.estimate.anatomy import HEADS, MLP_HIDDEN, MLP_INPUT, Attention, Linear
from peftcalc.memory.estimate.model_state import is_expert_stack, quantizes
from peftcalc.memory.estimate.step_setup import StepSetup
from peftcalc.methods import LoRA
from peftcalc.models.shapes import ModelShapes, Tensor

_ROWS_OF_RESULTS = 12
"""Bytes a token and unit of width of the layer's own results and their gradients while an adapter works."""


def norm_of_sum(setting: StepSetup) -> int:
    """Bytes that DoRA holds to compute ‖W + s·B·A‖ of its largest layer; 0 for other methods.

    peft multiplies an identity matrix by A and B (`in² + in·out` numbers) and casts, scales and adds the base's weight
    in float32: `4·in² + 16·in·out` bytes. Under autocast the identity is cast too.
    """
    method, precision = setting.method, setting.precision
    if not isinstance(method, LoRA) or not method.decomposed:
        return 0
    sizes = [(part.in_features, part.out_features) for parts in setting.adapters.values() for part in parts]
    if not precision.autocast:
        return max(precision.adapter * (i * i + 4 * i * o) for i, o in sizes)
    eye = precision.adapter + precision.dtype
    return max(max(eye * i * i + 2 * i * o, precision.dtype * i * i + 16 * i * o) for i, o in sizes)


def dequantized(setting: StepSetup, shapes: ModelShapes) -> int:
    """Bytes of the largest quantized weight while it is multiplied: `e · in · out`.

    LLM.int8 makes it dense in the type of the layer's input; GPTQ and AWQ have all dense weights of a layer anyway.
    """
    options = setting.options
    if not setting.method.quantized or setting.dense_bytes:
        return 0
    tensors = [(t, g) for g in shapes.groups if g.indices for t in g.tensors if quantizes(t, g, shapes, options)]
    sizes = [_one_expert(t) if is_expert_stack(t, g) else t.numel for t, g in tensors]
    size = setting.precision.product if options.base_format == "int8" else setting.precision.dtype
    return size * max(sizes, default=0)


def _one_expert(stack: Tensor) -> int:
    """Weights of one product of one expert; gate and up-projection lie together and are made dense one by one."""
    return stack.numel // stack.shape[0] // (2 if stack.name.startswith("gate_up") else 1)


def hidden_width(setting: StepSetup) -> int:
    """f: hidden units that one token passes through in an MLP, or in the experts that it visits."""
    mlps = [mlp.width for mlp in setting.body.mlps]
    return max([0, *mlps, *(experts.visits * experts.width for experts in setting.body.experts)])


def forward_work(setting: StepSetup) -> int:
    """Bytes while the down-projection's adapter runs: the product it reads and, under autocast, its float32 copy.

    What ReLU made is kept anyway.
    """
    precision, tokens = setting.precision, setting.options.tokens
    converted = any(setting.converts(linear) for linear in _adapted_down(setting))
    copy = precision.adapter if converted and precision.autocast and precision.stream < precision.adapter else 0
    product = 0 if setting.keeps_hidden else precision.product
    return tokens * (hidden_width(setting) * (product + copy) + _results(setting))


def backward_work(setting: StepSetup) -> int:
    """Bytes at the highest point of one layer, forward or backward, without its weights.

    Multiplying gate and up: the gradients of the product and of both factors, 3·p, when what the down-projection kept
    is free. The adapters of gate and up: their result and its scaled copy. The adapter of the down-projection: the
    gradient of its input in its own type.
    """
    precision, tokens = setting.precision, setting.options.tokens
    up, down = _adapted(setting)
    of_adapter = precision.adapter_input if setting.adapters_keep_inputs else 0
    kept = of_adapter if down else precision.product if setting.trained else 0
    gated = any(mlp.gated for mlp in setting.body.mlps) or bool(setting.body.experts)
    factors = (1 if setting.fused_activations and gated else 3 if gated else 2) * setting.hidden_bytes - kept
    adapters = 2 * precision.adapter_output - kept if up else 0
    reading = _gradient_of_input(setting) if down else 0
    work = hidden_width(setting) * max(factors, adapters, reading) + _results(setting)
    return tokens * max(work, _attention_work(setting))


def down_work(setting: StepSetup) -> int:
    """Bytes while the down-projection of a quantized layer runs backward, without the dequantized weight."""
    reading = _gradient_of_input(setting)
    return setting.options.tokens * (hidden_width(setting) * reading + _results(setting))


def _adapted(setting: StepSetup) -> tuple[bool, bool]:
    """Whether the MLP's way up and its way down have adapters."""
    reads = {linear.reads for linear in setting.body.linears if linear.group.template in setting.adapters}
    return MLP_INPUT in reads, MLP_HIDDEN in reads


def _adapted_down(setting: StepSetup) -> list[Linear]:
    linears = (linear for linear in setting.body.linears if linear.reads == MLP_HIDDEN)
    return [linear for linear in linears if linear.group.template in setting.adapters]


def _gradient_of_input(setting: StepSetup) -> int:
    """Bytes a number of the gradient of what the down-projection reads: where peft casts it, in the adapter's type."""
    precision = setting.precision
    return max(
        (precision.adapter if setting.converts(linear) else precision.product for linear in _adapted_down(setting)),
        default=precision.product,
    )


def _results(setting: StepSetup) -> int:
    width = setting.body.width
    return _ROWS_OF_RESULTS * width if any(_adapted(setting)) else 2 * setting.precision.stream * width


def _freed_behind(setting: StepSetup, block: Attention) -> int:
    """Bytes a token of what lies between attention and MLP: the norm's float32 input, the output adapter's input."""
    templates = {linear.group.template for linear in setting.body.linears if linear.reads == HEADS}
    kept = setting.adapters_keep_inputs and bool(templates & set(setting.adapters))
    adapted = block.query * setting.precision.adapter_input if kept else 0
    return 4 * setting.body.width + adapted


def _attention_work(setting: StepSetup) -> int:
    """Bytes a token that attention's backward pass holds, less what the MLP has freed by then.

    Gradients of queries, keys and values, the flash kernel's float32 sum of query gradients, and key and value
    gradients of every query head. Written out, softmax's backward pass holds the gradient of the probabilities, its
    product with them (`grad * output`, torch's SoftMax.cu) and the gradient of the scores; a half-precision copy of the
    probabilities is free by then. torch's MATH kernel does all of it in float32.
    """
    precision, body = setting.precision, setting.body
    freed = 3 * setting.hidden_bytes * hidden_width(setting)
    if any(_adapted(setting)) and setting.adapters_keep_inputs:
        freed += precision.adapter_input * (hidden_width(setting) + 2 * body.width)
    works = []
    for block in body.attentions:
        for masked in {setting.masked_share == 1, setting.masked_share > 0}:
            kernel = setting.kernel_of(block, masked)
            if kernel in ("eager", "math"):
                softmax = 8 if kernel == "eager" and precision.attention < 4 else 12
                works.append(softmax * block.heads * setting.options.sequence - freed - _freed_behind(setting, block))
                continue
            width = -(-(block.query // block.heads) // 32) * 32
            shared = 2 * block.query if block.key < block.query else 0
            gradients = precision.attention * (block.query + block.key + block.value + shared)
            works.append(4 * block.heads * (width + 1) + gradients - freed)
    return max(works)


def tied_gradient(setting: StepSetup, model: ModelShapes) -> int:
    """Bytes of a tied embedding's gradient from the other end of the model, before the two are added."""
    head = next((g for g in model.groups if g.template == model.output_embedding), None)
    is_tied = head is not None and any(tensor.tied_to for tensor in head.tensors)
    if setting.method.has_adapter or not is_tied:
        return 0
    return setting.body.vocabulary * setting.body.width * setting.precision.weight
