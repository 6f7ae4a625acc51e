"""What of the layers is there when the forward pass is over, and while one layer works: with checkpointing and offload.

Without either all that autograd keeps is there; with checkpointing the input of each layer.
"""

from __future__ import annotations

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
    there = min(2, body.layers) if options.activation_offload else body.layers
    size = setting.precision.stream * body.width * options.tokens * there
    if options.activation_offload:
        name = "inputs of two checkpointed layers, the others in the host's memory"
        return [*kept, Term("saved_activations", name, "2 · T · a·h", size, HOST_ACTIVATIONS)]
    return [*kept, Term("saved_activations", "inputs of the checkpointed layers", "L · T · a·h", size, CHECKPOINT)]


def at_work(layers: list[Saved], setting: StepSetup) -> list[Term]:
    """What one layer keeps: everything divided by the number of layers.

    Where it comes back from the host's memory, it does so for one operator at a time: the largest kind of them counts.
    """
    depth, options = setting.body.layers, setting.options
    if options.activation_offload and not options.checkpointing:
        moved = [s for s in layers if s.source != INT8]
        layers = [max(moved, key=lambda s: s.bytes)] if moved else []
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
