"""What autograd keeps of a transformer's layers for the backward pass, term by term.

A frozen linear layer keeps nothing of its input; a trained one keeps its input; an adapter keeps its own copy of it.
That is why activations depend on the targets. Each function here returns bytes for one token in all layers;
`saved_in_layers` multiplies them by the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

from peftcalc.counting.counts import Part
from peftcalc.memory.estimate.anatomy import HEADS, MLP_HIDDEN, Anatomy, Linear
from peftcalc.memory.estimate.saved_attention import saved_distances, saved_in_attention
from peftcalc.memory.estimate.step_setup import Saved, StepSetup
from peftcalc.memory.estimate.terms import (
    AUTOGRAD,
    CACHE,
    GPTQ,
    INT8,
    LIGER_MLP,
    LIGER_NORM,
    PEFT,
    PEFT_DORA,
    Term,
)
from peftcalc.memory.precision import Precision
from peftcalc.methods import LoRA
from peftcalc.models.shapes import ModuleGroup

_COMPOSED = {"gelu_new": 4, "gelu_fast": 5, "gelu_python_tanh": 4, "gated-gelu": 4, "quick_gelu": 2, "relu2": 2}
"""Activations that transformers writes out in several operators, and how many tensors each keeps; others keep one."""

_POWERS = ("gelu_new", "gelu_python_tanh", "gated-gelu")
"""Of these, the ones that take a power, which autocast makes float32, and all that follows with it."""


def saved_in_layers(setting: StepSetup) -> list[Saved]:
    """What all layers keep together, without checkpointing; bytes of one GPU's batch."""
    tokens, share = setting.options.tokens, setting.reached
    reached = tokens if share == 1 else tokens * share
    body = [*_norms(setting), *saved_in_attention(setting), *_feed_forward(setting), *_dropouts(setting)]
    if setting.trained:
        linears = [*_trained_inputs(setting)]
    else:
        seen: set[str] = set()
        linears = [*_base_inputs(setting, seen), *_adapter_inputs(setting, seen), *_parameter_adapters(setting)]
    scaled = [Saved(s.name, s.formula, s.bytes * reached, s.source) for s in body]
    scaled += [Saved(s.name, s.formula, s.bytes * tokens, s.source) for s in linears]
    return [term for term in (*scaled, saved_distances(setting), *_weight_casts(setting)) if term.bytes]


def _norms(setting: StepSetup) -> Iterator[Saved]:
    """RMSNorm is written out: a float32 copy of its input and one root a row, and the normed values if trained."""
    precision, body = setting.precision, setting.body
    written = [(group, _rows(group, body)) for group in body.norms if not is_layer_norm(group)]
    if setting.fused_norms and written:
        size = precision.stream
        kept = sum(group.repeats * (size * group.parameters_each + 4) * rows for group, rows in written)
        yield Saved("inputs of RMSNorms, one kernel each", "L · T · Σ (a·h + 4)", kept, LIGER_NORM)
        written = []
    copies = sum(group.repeats * (4 * group.parameters_each + 4) * rows for group, rows in written)
    yield Saved("inputs of RMSNorms in float32", "L · T · Σ (4·h + 4)", copies, AUTOGRAD)
    if body.t5:  # it multiplies its input as it is, and its copy has the mean square alone
        own = precision.stream * sum(group.repeats * group.parameters_each for group, _ in written)
        yield Saved("inputs of T5's norms as they are", "L · T · Σ a·h", own if precision.stream < 4 else 0, AUTOGRAD)
    if setting.trained:
        outputs = sum(g.repeats * g.parameters_each * rows * _normed(g, precision) for g, rows in written)
        yield Saved("normed values of trained RMSNorms", "L · T · Σ a·h", outputs, AUTOGRAD)
    layer_norms = [group for group in body.norms if is_layer_norm(group)]
    if not layer_norms:
        return
    size = 4 if precision.autocast else precision.stream
    distinct = 1 if body.parallel and not precision.autocast else len(layer_norms)
    widths = sum(group.repeats * group.tensors[0].numel for group in layer_norms) * distinct / len(layer_norms)
    statistics = 8 * sum(group.repeats for group in layer_norms)
    formula = "L · T · Σ (4·h + 8)" if precision.autocast else "L · T · Σ (a·h + 8)"
    yield Saved("inputs of LayerNorms", formula, size * widths + statistics, AUTOGRAD)


def is_layer_norm(group: ModuleGroup) -> bool:
    """True for torch's fused LayerNorm; T5's class of that name is an RMSNorm written out."""
    return group.type.endswith("LayerNorm") and not group.type.startswith(("T5", "MT5", "Cohere"))


def _rows(group: ModuleGroup, body: Anatomy) -> int:
    """Rows a token that a norm handles: one, or one a head where it norms queries or keys."""
    width = group.parameters_each
    if "q_norm" in group.template and width < body.attentions[0].query:
        return body.attentions[0].query // width
    if "k_norm" in group.template and width < body.attentions[0].key:
        return body.attentions[0].key // width
    return 1


def _normed(group: ModuleGroup, precision: Precision) -> int:
    """OLMo 2 and Gemma multiply by the weight in float32, the others in the type of the hidden states."""
    return 4 if group.type.startswith(("Olmo", "Gemma")) else precision.stream


def _feed_forward(setting: StepSetup) -> Iterator[Saved]:
    size, body = setting.precision.product, setting.body
    for mlp in body.mlps:
        kept = _COMPOSED.get(mlp.activation, 1) * size
        kept += 2 * size if mlp.gated else 0
        if mlp.activation in _POWERS and setting.precision.autocast:
            kept = size + 3 * 4 + (size + 4 if mlp.gated else 0)
        if setting.fused_activations and mlp.gated:
            kept = 2 * size
            yield Saved(
                "gate and up-projection of the MLP", f"L · T · {kept}·f", kept * mlp.width * mlp.repeats, LIGER_MLP
            )
            continue
        name = "gate, activation and up-projection of the MLP" if mlp.gated else "what the MLP's activation keeps"
        yield Saved(name, f"L · T · {kept}·f", kept * mlp.width * mlp.repeats, AUTOGRAD)
    for experts in body.experts:
        hidden = 3 * experts.width + body.width + (body.width + experts.width if setting.trained else 0)
        formula = "L · T · visits · p·(3·f + h)"
        kept = setting.hidden_bytes * experts.visits * hidden * experts.repeats + 4 * experts.count * experts.repeats
        yield Saved("the experts that each token visits", formula, kept, AUTOGRAD)


def _dropouts(setting: StepSetup) -> Iterator[Saved]:
    body = setting.body
    if body.t5 and body.dropouts:
        masks = sum(group.repeats * group.parameters_each for group in body.norms)
        masks += sum(mlp.repeats * mlp.width for mlp in body.mlps)
        yield Saved("masks of the dropouts behind each block and in the MLP", "L · T · (Σ h + f)", masks, AUTOGRAD)
        return
    yield Saved("masks of the residual dropouts", "L · T · 2·h", body.dropouts * body.width * body.layers, AUTOGRAD)


def _trained_inputs(setting: StepSetup) -> Iterator[Saved]:
    """Inputs of trained linear layers: shared by those that read one tensor, unless autocast gives each a copy."""
    precision, body = setting.precision, setting.body
    float_norms = precision.autocast and any(is_layer_norm(group) for group in body.norms)
    own = precision.autocast and (precision.stream == 4 or float_norms)
    seen: set[str] = set()
    total = 0
    for linear in body.linears:
        shared = linear.reads in (HEADS, MLP_HIDDEN) or not own
        if shared and linear.source in seen:
            continue
        seen.add(linear.source)
        total += linear.group.repeats * linear.group.in_features * _kept_input(linear, setting, own)
    yield Saved("inputs of the trained linear layers", "L · T · Σ in · a", total, AUTOGRAD)


def _kept_input(linear: Linear, setting: StepSetup, own: bool) -> int:
    """Bytes a number that a trained layer keeps of its input beyond what is kept anyway."""
    precision = setting.precision
    if linear.reads == HEADS:
        return 0 if setting.keeps_output else precision.attention
    if linear.reads == MLP_HIDDEN:
        return 0 if setting.keeps_hidden else precision.product
    return precision.dtype if own else precision.stream


def _base_inputs(setting: StepSetup, seen: set[str]) -> Iterator[Saved]:
    """LLM.int8 keeps each layer's input, whether it is trained or not; those that read one tensor share it.

    It keeps them beside what autograd saves, so neither checkpointing nor offload sees them.
    """
    if not (setting.method.quantized and setting.options.base_format == "int8"):
        return
    kept_anyway = {HEADS: setting.keeps_output, MLP_HIDDEN: setting.keeps_hidden}
    there = {name for name, kept in kept_anyway.items() if kept and not setting.options.checkpointing}
    total = 0
    for linear in setting.body.linears:
        if linear.source not in seen:
            seen.add(linear.source)
            size = 0 if linear.reads in there else setting.bytes_read(linear)
            total += linear.group.repeats * linear.group.in_features * size
    yield Saved("inputs of the 8-bit layers", "L · T · Σ in · a", total, INT8)


def _adapter_inputs(setting: StepSetup, seen: set[str]) -> Iterator[Saved]:
    """What adapters keep: their input, the result of A, the dropout's mask, and for DoRA two results."""
    method = setting.method
    assert isinstance(method, LoRA)
    precision, adapters = setting.precision, setting.adapters
    inputs = ranks = masks = dora = 0
    for linear in setting.body.linears:
        for part in adapters.get(linear.group.template, ()):
            inputs += part.repeats * part.in_features * _adapter_copy(linear, setting, method, seen)
            ranks += part.repeats * part.rank * precision.adapter_output
            masks += part.repeats * part.in_features if method.dropout else 0
            answer = min(setting.bytes_read(linear), precision.product)
            base = precision.adapter_output if method.dropout else answer
            dora += part.repeats * part.out_features * (base + precision.adapter_output) if method.decomposed else 0
    copies = "L · T · Σ i·in"
    yield Saved("the adapters' own copies of their inputs", copies, inputs, PEFT)
    yield Saved("results of the adapters' A", "L · T · Σ i·r", ranks, PEFT)
    yield Saved("masks of the adapters' dropout", "L · T · Σ in", masks, PEFT)
    yield Saved("DoRA: results of base and adapter before scaling", "L · T · Σ out · (p + i)", dora, PEFT_DORA)


def _parameter_adapters(setting: StepSetup) -> Iterator[Saved]:
    """Adapters of bare parameters (expert stacks, routers): the weight becomes W + s·B·A, so products keep inputs."""
    visits = max([1, *(experts.visits for experts in setting.body.experts)])
    parts = [part for part in setting.parts if part.how == "adapter" and _is_bare(part)]
    kept = sum(p.repeats * p.in_features * (visits if p.kind == "experts" else 1) for p in parts)
    inputs = setting.precision.product * kept
    yield Saved("inputs of adapted expert stacks", "L · T · visits · p·in", inputs, PEFT)


def _is_bare(part: Part) -> bool:
    """True for an adapter of a parameter rather than of a linear layer."""
    return part.kind in ("experts", "other")


def _adapter_copy(linear: Linear, setting: StepSetup, method: LoRA, seen: set[str]) -> int:
    """Bytes a number that one adapter keeps of its input: a copy of its own where the input is cast or dropped."""
    precision = setting.precision
    if not setting.adapters_keep_inputs:
        return 0
    cast = precision.own_copy if setting.converts(linear) else setting.bytes_read(linear) != precision.adapter_input
    if cast or method.dropout:
        return precision.adapter_input
    fused_output = linear.reads == HEADS and setting.keeps_output
    if linear.source in seen or fused_output or (linear.reads == MLP_HIDDEN and setting.keeps_hidden):
        return 0
    seen.add(linear.source)
    return precision.adapter_input


def cached_copies(setting: StepSetup) -> Term:
    """The copies of trained weights that autocast caches while it is open, where no layer keeps them anyway."""
    copies = (
        [term for term in _weight_casts(setting) if "autocast" in term.name]
        if setting.options.checkpointing or setting.options.activation_offload
        else []
    )
    size = round(sum(term.bytes for term in copies))
    return Term("saved_activations", "copies of trained weights, cached by autocast", "e · N_trained", size, CACHE)


def _float32_casts(setting: StepSetup) -> Saved:
    """T5's down-projections, which stay in float32 and are multiplied in the dtype."""
    sizes = (x.group.repeats * x.group.in_features * x.group.out_features for x in setting.body.linears
             if x.reads == MLP_HIDDEN)  # fmt: skip
    return Saved("float32 weights cast to multiply", "e · Σ f·h", setting.precision.dtype * sum(sizes), AUTOGRAD)


def _weight_casts(setting: StepSetup) -> Iterator[Saved]:
    """Copies of weights in another type that stay alive until the backward pass."""
    precision, method = setting.precision, setting.method
    if setting.trained:
        if precision.autocast and precision.weight == 4:
            weights = sum(x.group.repeats * x.group.in_features * x.group.out_features for x in setting.body.linears)
            yield Saved("weights cast by autocast", "e · N", precision.dtype * weights, AUTOGRAD)
        elif precision.autocast and setting.body.t5:
            yield _float32_casts(setting)
        return
    if setting.body.t5 and precision.autocast:
        yield _float32_casts(setting)
    parts = [part for group in setting.adapters.values() for part in group]
    if precision.autocast and precision.adapter == 4:
        casts = sum(part.repeats * part.rank * (part.in_features + part.out_features) for part in parts)
        yield Saved("A and B cast by autocast", "e · Σ r·(in + out)", precision.dtype * casts, AUTOGRAD)
    if dense := setting.dense_bytes:
        yield Saved("dense weights of the quantized layers", "e · N₄", dense, GPTQ)
    stacks = sum(part.repeats * part.base for part in parts if _is_bare(part))
    yield Saved("adapted expert stacks, W + s·B·A", "e · N", precision.dtype * stacks, PEFT)
    if method.decomposed and isinstance(method, LoRA) and method.dropout:
        casts = sum(part.repeats * part.in_features * part.out_features for part in parts)
        size = precision.adapter_input
        yield Saved("DoRA with dropout: weights cast to multiply again", "i · Σ in·out", size * casts, PEFT_DORA)
