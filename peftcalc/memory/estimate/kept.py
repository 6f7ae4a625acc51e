"""What of the layers is there when the forward pass is over, and while one layer works: with checkpointing and offload.

Without either all that autograd keeps is there; with checkpointing the input of each layer.
"""

from __future__ import annotations

from dataclasses import replace

from peftcalc.memory.estimate.activations import saved_in_layers
from peftcalc.memory.estimate.growing.sizes import total_of
from peftcalc.memory.estimate.step_setup import Saved, StepSetup
from peftcalc.memory.estimate.terms import AUTOGRAD, CHECKPOINT, HOST_ACTIVATIONS, INT8, Term


def kept(layers: list[Saved], setting: StepSetup) -> list[Term]:
    """What is saved when the forward pass is over: everything, or with checkpointing the input of each layer."""
    options, body = setting.options, setting.body
    pinned = [s for s in layers if s.source == INT8]
    stay = layers if not (options.checkpointing or options.activation_offload) else pinned
    kept = [Term("saved_activations", s.name, s.formula, round(s.bytes), s.source) for s in stay]
    if not options.checkpointing:
        return [*kept, *at_work(layers, setting)] if options.activation_offload else kept
    read_by_all = any(block.crossed for block in body.attentions)  # the encoder's answer
    there = min(2, body.layers) if options.activation_offload else body.layers + read_by_all
    size = setting.handed_on * body.width * options.tokens * there
    if options.activation_offload:
        name = "inputs of two checkpointed layers, the others in the host's memory"
        return [*kept, Term("saved_activations", name, "2 · T · a·h", size, HOST_ACTIVATIONS)]
    formula = "(L + 1) · T · a·h" if read_by_all else "L · T · a·h"
    return [*kept, Term("saved_activations", "inputs of the checkpointed layers", formula, size, CHECKPOINT)]


def of_embeddings(setting: StepSetup) -> Term:
    """What lies between the embeddings and the first layer, where a gradient comes so far: in full fine-tuning, and
    where checkpointed layers make the embeddings of a frozen model ask for one (`enable_input_require_grads`)."""
    precision, tokens, ends = setting.precision, setting.options.tokens, setting.body.ends
    if not (setting.trained or setting.options.checkpointing):
        return Term("saved_activations", "", "", 0, AUTOGRAD)
    size = 4 if precision.autocast else precision.stream
    statistics = 8 * ends.normed // setting.body.width
    asked = 0 if setting.trained else precision.weight * ends.followed
    each = size * ends.normed + statistics + ends.dropped + asked
    return Term("saved_activations", "norm and dropout of the embeddings", "T · (4·h + 8 + h)", each * tokens, AUTOGRAD)


def at_work(layers: list[Saved], setting: StepSetup) -> list[Term]:
    """What one layer keeps, of several kinds the one that keeps most.

    Where it comes back from the host's memory, it does so for one operator at a time: the largest kind of them counts.
    """
    alone = [saved_in_layers(setting.of_layer(layer)) for layer in setting.kinds] or [_shared_out(layers, setting)]
    options = setting.options
    if options.activation_offload and not options.checkpointing:
        moved = [s for one in alone for s in one if s.source != INT8]
        alone = [[max(moved, key=lambda s: s.bytes)]] if moved else [[]]
    most = max(alone, key=lambda one: total_of([s.bytes for s in one]))
    names = ((s, f"{s.name}, one layer", s.formula.replace("L · ", "", 1)) for s in most)
    return [Term("saved_activations", name, formula, round(s.bytes), s.source) for s, name, formula in names]


def _shared_out(layers: list[Saved], setting: StepSetup) -> list[Saved]:
    """Everything divided by the number of layers, which are alike."""
    return [replace(s, bytes=s.bytes / setting.body.layers) for s in layers]


def shared_mask(setting: StepSetup) -> Term:
    """The mask of all layers, which each is handed: of the hidden states' type where attention is written out."""
    options = setting.options
    if setting.body.t5:
        return _shared_biases(setting)
    reads = setting.masked_share and any(setting.kernel_of(x, True) != "flash" for x in setting.body.attentions)
    size = setting.precision.stream if setting.written_out else 1 if reads else 0
    total = size * options.batch * options.sequence * options.sequence
    return Term("saved_activations", "the mask that all layers share", "a · T · S", total, AUTOGRAD)


def _shared_biases(setting: StepSetup) -> Term:
    """T5's biases that all sequences share: each layer has its copy, in the type of the kernel's other inputs.

    Where sequences are padded, the decoder's are; else all are, but cross-attention reads zeros that all layers share,
    unless autocast has to cast them. With checkpointing the originals are kept, a layer that is computed again makes
    zeros of its own, and gradients are asked of what each layer reads: of the zeros, and of biases that are trained.
    """
    options, precision, blocks = setting.options, setting.precision, setting.body.attentions
    decoder = sum(block.repeats for block in blocks if block.crossed)
    layers = sum(block.repeats for block in blocks) - decoder
    crossed, cast = decoder > 0, precision.product != precision.attention
    copies = decoder if options.masked else layers + decoder * cast
    originals = precision.product * crossed
    if options.checkpointing:
        copies = crossed if options.masked else 1 + crossed * cast
        originals = precision.stream * (1 + crossed + setting.trained) + 3 * precision.product * crossed
    size = (precision.attention * copies + originals) * max(block.heads for block in blocks)
    total = size * options.sequence * options.sequence
    name = "biases by distance that are the same for all sequences"
    return Term("saved_activations", name, "(q·L + 2·a + 3·p) · H·S²", total, AUTOGRAD)
