"""What is as wide as the vocabulary: logits, their float32 copy, log-probabilities, and the gradients of these."""

from __future__ import annotations

from dataclasses import dataclass

from peftcalc.memory.estimate.activations import is_layer_norm
from peftcalc.memory.estimate.anatomy import Anatomy
from peftcalc.memory.estimate.step_setup import StepSetup
from peftcalc.memory.estimate.terms import AUTOGRAD, FORWARD, LIGER, LIGER_CHUNK, LOSS, Term
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.precision import Precision


@dataclass(frozen=True)
class Head:
    """The loss where its backward pass stands highest."""

    term: Term
    phase: str
    """When that is: "backward", or "forward" for a loss that makes its gradients at once."""


def head_moments(body: Anatomy, precision: Precision, options: MemoryOptions, trained: bool) -> tuple[Term, Head]:
    """The highest bytes of logits and loss: in the forward pass, and when the backward pass begins.

    The standard loss holds float32 log-probabilities and, when its backward pass begins, two gradients as large: 12
    bytes for each token and word. Its forward pass holds the logits, their float32 copy and the log-probabilities, at
    most 10 to 12; the older one has another float32 copy, shifted by a position: 14 to 16. A class that takes the loss
    of half-precision logits has log-probabilities of their type, under autocast with a float32 copy and one gradient:
    10 bytes, and 6 without it (`simulate.cuda_rules`, `_cross_entropy`). A chunked loss does the standard for C
    positions at a time. A fused one makes logits, their float32 copy and probabilities of C positions while the chunk
    before still has its probabilities and gradient. Liger's writes gradients over the logits; those of the chunk before
    are there until the next are made.
    """
    words, tokens = body.vocabulary, options.tokens
    positions = _positions(body, options)
    count = "T" if options.loss in ("standard", "shifted") else f"min(T, {options.chunk_size})"
    softcap = precision.logits if body.softcap else 0
    copies = 8 + (precision.logits if precision.logits < 4 else 0) + (4 if options.loss == "shifted" else 0) + softcap
    each = 12 + softcap
    if body.half_loss and options.loss == "standard" and precision.logits < 4:
        copies, each = (8, 10) if precision.autocast else (4, 6)
    ahead = _term("logits, float32 copies and log-probabilities", f"{copies} · {count} · V", copies * words * positions)
    if options.loss in ("standard", "shifted") or not words:
        return ahead, Head(
            _term("log-probabilities and their gradients", f"{each} · T · V", each * words * tokens), "backward"
        )
    of_head = precision.weight * words * body.width if trained else 0
    gradients = precision.stream * body.width * tokens + of_head
    if options.loss == "chunked":
        gradients += of_head if tokens > positions else 0  # that of one chunk, beside the sum of those before
        total = 12 * words * positions + gradients
        term = _term("log-probabilities and their gradients", f"12 · {count} · V + a·h·T", total)
        return ahead, Head(term, "backward")
    if options.loss == "liger":
        chunks = 2 if tokens > positions else 1
        total = chunks * precision.logits * words * positions + gradients
        term = _term("logits and their gradients, in one place", f"{chunks} · e · C · V + a·h·T", total, LIGER_CHUNK)
        return term, Head(term, "forward")
    each = precision.logits + 4 + 4 + (4 + precision.logits if tokens > positions else 0)
    formula = f"{each} · {count} · V + a·h·T"
    term = _term("log-probabilities and their gradients", formula, each * words * positions + gradients, LIGER)
    return term, Head(term, "forward")


def before_head(setting: StepSetup) -> list[Term]:
    """The last norm's input, what a trained head keeps of its own, and the head's weight where autocast casts it."""
    body, precision, tokens = setting.body, setting.precision, setting.options.tokens
    if not body.vocabulary:
        return []
    fused = any(is_layer_norm(group) for group in body.norms)
    last = (4 if not fused or precision.autocast else precision.stream) * body.width
    size = last if body.ends.last_norm or not body.norms else 0
    size += precision.stream * body.width * (1 if fused else 2) if not setting.method.has_adapter else 0
    terms = [Term("saved_activations", "the last norm and the head's input", "T · 4·h", size * tokens, AUTOGRAD)]
    if precision.autocast and precision.weight == 4:
        cast = precision.dtype * body.vocabulary * body.width
        terms.append(Term("saved_activations", "the head's weight, cast by autocast", "e · V·h", cast, AUTOGRAD))
    return terms


def last_hidden(setting: StepSetup) -> list[Term]:
    """The last hidden states, which the model's forward function holds until it returns; a trained head keeps them."""
    if not (setting.body.vocabulary and setting.method.has_adapter):
        return []
    size = setting.precision.stream * setting.body.width * setting.options.tokens
    return [Term("temporary_buffers", "the last hidden states, in the model's hands", "a·h·T", size, FORWARD)]


def hidden_gradient(setting: StepSetup) -> Term:
    size = setting.precision.stream * setting.body.width * setting.options.tokens
    return Term("temporary_buffers", "gradient of the last hidden states", "a·h·T", size, AUTOGRAD)


def loss_block(body: Anatomy, options: MemoryOptions) -> int:
    """Bytes of the float32 logits that the loss takes at once: `4 · T · V`, or of one chunk."""
    return 4 * body.vocabulary * _positions(body, options)


def held_logits(body: Anatomy, precision: Precision, options: MemoryOptions) -> Term:
    """The logits that a training loop keeps until the step ends: all, of the last chunk, or none that were made."""
    made = {"fused": 0, "liger": 0, "chunked": min(options.tokens, options.chunk_size)}
    positions = made.get(options.loss, options.tokens)
    total = precision.logits * body.vocabulary * positions if options.keep_outputs else 0
    formula = f"e · min(T, {options.chunk_size}) · V" if options.loss in made else "e · T · V"
    return _term("logits that the loop holds", formula, total)


def _positions(body: Anatomy, options: MemoryOptions) -> int:
    """C: positions whose logits exist at once; Liger's own choice is a power of two, at least T / ⌈V / h⌉."""
    tokens = options.tokens
    if options.loss in ("standard", "shifted"):
        return tokens
    if options.loss != "liger":
        return min(tokens, options.chunk_size)
    wider = max(-(-body.vocabulary // body.width), 1)
    size = 1
    while tokens > size * wider:
        size *= 2
    return min(size, tokens)


def _term(name: str, formula: str, size: int, source: str = LOSS) -> Term:
    return Term("logits_and_loss", name, formula, size, source)
