"""The memory of a training step in closed form: the same breakdown as the simulation, in under a millisecond.

A step's bytes rise and fall; the estimate computes the few moments at which they can be highest and takes the highest:
when the loss's backward pass begins, in a layer that is computed again, at the end of the backward pass, in the
optimizer's update. Every summand is a `Term` with its formula and source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from peftcalc.counting.count import count
from peftcalc.counting.counts import Count
from peftcalc.memory.estimate.activations import is_layer_norm, saved_in_layers
from peftcalc.memory.estimate.anatomy import Anatomy, anatomy
from peftcalc.memory.estimate.head import head_bytes
from peftcalc.memory.estimate.model_state import (
    adapter_term,
    gradient_term,
    optimizer_buffer,
    optimizer_term,
    shard,
    weight_terms,
)
from peftcalc.memory.estimate.step_setup import Saved, StepSetup
from peftcalc.memory.estimate.terms import ADAM, AUTOGRAD, CHECKPOINT, CUBLAS, PEFT, PEFT_DORA, QLORA, ZERO, Term
from peftcalc.memory.estimate.transients import backward_work, dequantized, down_work, forward_work, norm_of_sum
from peftcalc.memory.kernels import SOURCE, compute_capability, matrix_workspaces
from peftcalc.memory.model_config import language_config
from peftcalc.memory.options import MemoryOptions, make_options
from peftcalc.memory.precision import precision_of
from peftcalc.memory.records import PARTS, MemoryBreakdown
from peftcalc.methods import Method
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes


@dataclass(frozen=True)
class MemoryEstimate(MemoryBreakdown):
    """A breakdown at the estimated peak, with the terms that make it up.

    `terms` add up to `total`; `moments` holds the totals of all moments that were compared.
    """

    terms: tuple[Term, ...] = ()
    phase: str = "backward"
    """The phase in which the peak is expected, one of `peftcalc.memory.records.PHASES`."""
    moments: tuple[tuple[str, int], ...] = ()
    kernel: str = ""
    """What computes attention: "eager", "flash", "efficient" or "math"; where layers differ, all of them."""
    notes: tuple[str, ...] = ()
    """What a reader must know: where the formulas are less certain, a sequence beyond the model's context."""

    @property
    def peak(self) -> int:
        """The same as `total`: allocated bytes at the peak."""
        return self.total

    def to_dict(self) -> dict[str, int]:
        """The eight parts and their bytes, in stacking order."""
        return {part: getattr(self, part) for part in PARTS}


@dataclass(frozen=True)
class _Moment:
    """A point of the step at which the bytes may be highest."""

    name: str
    phase: str
    terms: tuple[Term, ...]

    @property
    def total(self) -> int:
        return sum(term.bytes for term in self.terms)


def estimate_memory(
    shapes: ModelShapes | Any, method: Method, batch: int = 1, sequence: int = 2048, **options: Any
) -> MemoryEstimate:
    """Bytes that one training step allocates at its peak, by part, as `torch.cuda.max_memory_allocated` counts them.

    Args:
        shapes: what `load_model` returns, or anything that it accepts.
        method: one of the five.
        batch: sequences in one forward pass on one GPU.
        sequence: tokens of each.
        options: the named choices of `peftcalc.memory.options.MemoryOptions`.

    Raises:
        ValueError: an option out of its range, targets that match nothing, or a model that is not a transformer.

    >>> from peftcalc.methods import LoRA
    >>> estimate = estimate_memory({"model_type": "gpt2"}, LoRA(rank=8, targets=["c_attn"]), batch=1, sequence=128)
    >>> estimate.total == sum(term.bytes for term in estimate.terms)
    True
    """
    setup = make_options(batch=batch, sequence=sequence, **options)
    model = load_model(shapes)
    counted = count(model, method)
    body = anatomy(model)
    setup = replace(setup, sequence=body.pieces) if body.pieces else setup
    fused_norms = any(is_layer_norm(group) for group in body.norms)
    setting = StepSetup(body, method, counted.parts, precision_of(method, setup, fused_norms), setup)
    moments = [_sharded(moment, setup) for moment in _moments(model, counted, setting)]
    highest = max(moments, key=lambda moment: moment.total)
    parts = {part: sum(term.bytes for term in highest.terms if term.part == part) for part in PARTS}
    return MemoryEstimate(
        **parts,
        terms=tuple(term for term in highest.terms if term.bytes),
        phase=highest.phase,
        moments=tuple((moment.name, moment.total) for moment in moments),
        kernel=" and ".join(setting.kernels),
        notes=tuple(_notes(model, body, setting)),
    )


def _moments(model: ModelShapes, counted: Count, setting: StepSetup) -> list[_Moment]:
    """The moments among which the peak is, each with its terms."""
    options, precision, method, body = setting.options, setting.precision, setting.method, setting.body
    weights = [*weight_terms(model, method, precision), adapter_term(counted, precision)]
    own = Term("temporary_buffers", "workspaces of cuBLAS", "2 threads", matrix_workspaces(options.chosen_card), CUBLAS)
    state = [*weights, optimizer_term(counted, method, precision, options), own, *_gathered(model, setting)]
    gradients = gradient_term(counted, method, precision)
    earlier = [gradients] if options.accumulation > 1 else []
    layers = saved_in_layers(setting)
    mask = _mask(setting)
    saved = [*_kept(layers, setting), *_final(setting), mask]
    head = head_bytes(body, precision, options, not method.has_adapter)
    loss = Term("logits_and_loss", "log-probabilities and their gradients", head.formula, head.bytes, head.source)
    held = Term("logits_and_loss", "logits that the loop holds", "e · T · V", head.held, head.source)
    update = optimizer_buffer(counted, method, precision, options)
    root = Term("temporary_buffers", "roots of the second moments", "bytes of the trained weights", update, ADAM)
    tied = Term("temporary_buffers", "second gradient of tied embeddings", "e·V·h", _tied(model, setting), AUTOGRAD)
    work = _work(model, setting)
    one = _one_layer(layers, setting)
    again = one if options.checkpointing else []
    head_gradient = [] if earlier else _part_of(gradients, _outside(model) * precision.weight, setting)
    nearly_all = earlier or _part_of(gradients, gradients.bytes * (1 - 1 / body.layers), setting, always=True)
    return [
        _Moment("loss", head.phase, (*state, *earlier, *saved, loss, held)),
        _Moment("last layer", "backward", (*state, *earlier, *head_gradient, *saved, *again, *work, held)),
        _Moment("first layer", "backward", (*state, *nearly_all, *one, *work, mask, held)),
        _Moment("end of the backward pass", "backward", (*state, gradients, tied, held)),
        _Moment("update", "optimizer", (*state, gradients, root, held)),
    ]


def _work(model: ModelShapes, setting: StepSetup) -> list[Term]:
    """Temporary buffers of one layer at its highest point: DoRA's norm, a dequantized weight, or neither."""
    norm, dense = norm_of_sum(setting), dequantized(setting, model)
    ways = [
        [("gradients of the MLP's hidden values", "T · (3·p·f + …)", backward_work(setting), AUTOGRAD)],
        [
            ("the down-projection's hidden values", "T · p·f", down_work(setting) if dense else 0, AUTOGRAD),
            ("the largest 4-bit weight, dequantized", "e·in·out", dense, QLORA),
        ],
        [
            ("the down-projection's input", "T · p·f", forward_work(setting), PEFT),
            ("DoRA: the norm of W + s·B·A", "4·in² + 16·in·out", norm, PEFT_DORA),
        ],
    ]
    chosen = max(ways, key=lambda way: sum(size for _, _, size, _ in way))
    return [Term("temporary_buffers", *term) for term in chosen]


def _part_of(whole: Term, size: float, setting: StepSetup, always: bool = False) -> list[Term]:
    """A part of the gradients: those that exist at some moment of full fine-tuning's backward pass."""
    if setting.method.has_adapter and not always:
        return []
    return [Term(whole.part, f"{whole.name} so far", whole.formula, round(size), whole.source)]


def _outside(model: ModelShapes) -> int:
    """Parameters of the head, whose gradient comes first."""
    head = next((group for group in model.groups if group.template == model.output_embedding), None)
    return sum(tensor.numel for tensor in head.tensors) if head else 0


def _kept(layers: Iterable[Saved], setting: StepSetup) -> list[Term]:
    """What is saved when the forward pass is over: everything, or with checkpointing the input of each layer."""
    if not setting.options.checkpointing:
        return [Term("saved_activations", s.name, s.formula, round(s.bytes), s.source) for s in layers]
    body, tokens = setting.body, setting.options.tokens
    size = setting.precision.stream * body.width * tokens * body.layers
    return [Term("saved_activations", "inputs of the checkpointed layers", "L · T · a·h", size, CHECKPOINT)]


def _one_layer(layers: Iterable[Saved], setting: StepSetup) -> list[Term]:
    """What one layer keeps: everything divided by the number of layers."""
    depth = setting.body.layers
    return [
        Term(
            "saved_activations",
            f"{s.name}, one layer",
            s.formula.replace("L · ", "", 1),
            round(s.bytes / depth),
            s.source,
        )
        for s in layers
    ]


def _final(setting: StepSetup) -> list[Term]:
    """The last norm's input, what a trained head keeps of its own, and the head's weight where autocast casts it."""
    body, precision, tokens = setting.body, setting.precision, setting.options.tokens
    if not body.vocabulary:
        return []
    fused = any(is_layer_norm(group) for group in body.norms)
    size = (4 if not fused or precision.autocast else precision.stream) * body.width
    size += precision.stream * body.width * (1 if fused else 2) if not setting.method.has_adapter else 0
    terms = [Term("saved_activations", "the last norm and the head's input", "T · 4·h", size * tokens, AUTOGRAD)]
    if precision.autocast and precision.weight == 4:
        cast = precision.dtype * body.vocabulary * body.width
        terms.append(Term("saved_activations", "the head's weight, cast by autocast", "e · V·h", cast, AUTOGRAD))
    return terms


def _mask(setting: StepSetup) -> Term:
    """The mask of all layers, which each is handed: of the hidden states' type where attention is written out."""
    options = setting.options
    reads = setting.masked_share and any(setting.kernel_of(x, True) != "flash" for x in setting.body.attentions)
    size = setting.precision.stream if setting.written_out else 1 if reads else 0
    total = size * options.batch * options.sequence**2
    return Term("saved_activations", "the mask that all layers share", "a · T · S", total, AUTOGRAD)


def _tied(model: ModelShapes, setting: StepSetup) -> int:
    """Bytes of a tied embedding's gradient from the other end of the model, before the two are added."""
    head = next((g for g in model.groups if g.template == model.output_embedding), None)
    is_tied = head is not None and any(tensor.tied_to for tensor in head.tensors)
    if setting.method.has_adapter or not is_tied:
        return 0
    return setting.body.vocabulary * setting.body.width * setting.precision.weight


def _gathered(model: ModelShapes, setting: StepSetup) -> list[Term]:
    """With divided weights, two layers are gathered at a time: the one at work and the next."""
    options = setting.options
    if options.gpus == 1 or options.sharding != "zero3":
        return []
    inside = sum(group.parameters for group in model.groups if group.indices) / setting.body.layers
    bits = 0.516 if setting.method.quantized else setting.precision.weight
    return [Term("temporary_buffers", "weights of two layers, gathered", "2 · e · N/L", round(2 * inside * bits), ZERO)]


def _sharded(moment: _Moment, options: MemoryOptions) -> _Moment:
    """The same moment on one of several GPUs."""
    if options.gpus == 1 or options.sharding == "ddp":
        return moment
    terms = tuple(
        Term(t.part, t.name, f"({t.formula}) / GPUs", divided, t.source) if divided != t.bytes else t
        for t in moment.terms
        for divided in (shard(t.bytes, t.part, options),)
    )
    return _Moment(moment.name, moment.phase, terms)


def _kernel_notes(setting: StepSetup) -> Iterable[str]:
    """Where attention does not run as the option's name promises."""
    options, card = setting.options, setting.options.chosen_card
    where = f" on {card.name}" if card else ""
    if "math" in setting.kernels and options.kernel == "auto":
        held = "float32" if setting.precision.attention == 4 else options.dtype
        yield (
            f"attention runs on torch's MATH kernel{where}, which keeps sequence × sequence: no fused kernel takes "
            f"{held} with these heads there ({SOURCE}); kernel= overrules it"
        )
    if options.attention == "flash" and not setting.written_out and compute_capability(card) < (8, 0):
        yield f"the flash-attention package needs compute capability 8.0 or later; it does not run{where}"
    if card and compute_capability(card)[0] in (9, 10) and set(setting.kernels) <= {"flash", "efficient"}:
        yield f"torch may choose cuDNN's attention{where}; it is taken to hold what the {setting.kernels[0]} kernel holds"


def _notes(model: ModelShapes, body: Anatomy, setting: StepSetup) -> Iterable[str]:
    """What makes this estimate less certain."""
    context = language_config(model.config).get("max_position_embeddings")
    if isinstance(context, int) and setting.options.sequence > context:
        yield f"{setting.options.sequence:,} tokens are more than this model's context of {context:,}"
    yield from _kernel_notes(setting)
    if body.unknown:
        yield f"how {', '.join(dict.fromkeys(body.unknown))} are used is not known; their activations are left out"
    if model.config.get("is_encoder_decoder") or model.config.get("model_type") in ("t5", "mt5", "whisper"):
        yield "encoder and decoder are taken to read equally many tokens; expect an error of up to 20 %"
    if body.pieces:
        yield f"an image is {body.pieces:,} pieces, whatever the sequence"
    if body.experts:
        yield "experts are assumed to share the tokens evenly; a router that does not needs no more memory in all"
