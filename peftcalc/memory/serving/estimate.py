"""What serving takes of a card: one base, the adapters beside it or merged into copies of it, and the users' caches.

`total = weights + adapters + users · cache(context) + working`. Everything but the cache's windows is affine in users
and in adapters, so how many of either fit is a division.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from peftcalc.checks import one_of, whole_number
from peftcalc.counting.count import count, known_method
from peftcalc.memory.base_formats import rounded
from peftcalc.memory.cards import Gpu, gpu
from peftcalc.memory.estimate.model_state import quantizes
from peftcalc.memory.largest import searched
from peftcalc.memory.model_config import first, language_config
from peftcalc.memory.needed import most_peak, needed
from peftcalc.memory.options import CHOICES, MemoryOptions
from peftcalc.memory.serving.caches import LATENT, STATE, LayerCache, layer_caches
from peftcalc.memory.serving.records import ServingEstimate, ServingTerm
from peftcalc.methods import Full, Method, QLoRA
from peftcalc.models.configs.unsaid import settings
from peftcalc.models.load import load_model
from peftcalc.models.shapes import LINEAR_KINDS, ModelShapes

BITS = (16, 8, 4)
"""Bits of a weight of the base."""
MOST_USERS = 1_000_000
MOST_ADAPTERS = 1_000_000
MOST_CONTEXT = 1 << 24
PIECE = 2048
"""Tokens of a prompt that pass through the model at once."""
_PARTS = ("weights", "cache", "adapters", "working")
_EACH = 2
"""Bytes of a number that is not quantized: of the cache, of adapters, of embeddings and head."""
_LLM_INT8 = "LLM.int8, arXiv:2208.07339, section 2: a float32 scale for each row"
_NF4 = "QLoRA, arXiv:2305.14314, section 3"


def estimate_serving(
    shapes: ModelShapes | Any,
    method: Method,
    card: str | Gpu,
    context: int = 4096,
    users: int = 1,
    adapters: int = 1,
    bits: int = 16,
    merged: bool = False,
    experts: str = "float",
) -> ServingEstimate:
    """Memory of serving a fine-tuned model to several users at once, and how many the card has room for.

    Args:
        shapes: what `load_model` returns or accepts.
        method: one of the five; full fine-tuning has no adapter, so that each task is a model of its own.
        card: a name from `gpus()`, or a `Gpu`.
        context: tokens of each user, prompt and answer together.
        users: sequences that are served at once.
        adapters: tasks, from 0; each user may use any of them.
        bits: of the base's linear layers: 16, 8 (LLM.int8) or 4 (the method's type, else NF4 doubly quantized).
        experts: "float" where stacked experts stay in 16 bits, as with bitsandbytes; "4bit" for engines that quantize
            them like the linear layers.
        merged: True for a copy of the base for each task, into which its adapter is merged.

    Raises:
        ValueError: an unknown card, a value out of its range, targets that match nothing, or layers whose cache is not
            known.

    >>> from peftcalc.methods import LoRA
    >>> one = estimate_serving("meta-llama/Llama-3.1-8B", LoRA(rank=16), "RTX 4090")
    >>> one.cache == 2 * 8 * 128 * 2 * 32 * 4096, one.fits, one.most_users > 1
    (True, True, True)
    """
    model, known, found = load_model(shapes), known_method(method), gpu(card)
    context = whole_number("context", context, 1, MOST_CONTEXT)
    users = whole_number("users", users, 1, MOST_USERS)
    adapters = whole_number("adapters", adapters, 0, MOST_ADAPTERS)
    bits = int(one_of("bits", str(bits), [str(each) for each in BITS]))
    one_of("experts", experts, CHOICES["experts"])
    if not isinstance(merged, bool):
        raise ValueError(f"merged must be True or False, got {merged!r}")
    caches = layer_caches(model)
    alone = merged or isinstance(known, Full)
    each = sum(term.bytes for term in _weights(model, known, bits, experts))
    adapter = 0 if alone else _adapter(model, known)
    copies = max(adapters, 1) if alone else 1
    terms = [_times(term, copies) for term in _weights(model, known, bits, experts)]
    if adapter:
        formula = f"{adapters:,} · {_EACH} · (A, B, m)"
        terms.append(ServingTerm("adapters", "adapters", formula, adapters * adapter, "LoRA, section 4.2"))
    terms += [_cache_term(cache, context, users) for cache in caches]
    terms += _working(model, context, users, bits)
    per_user = sum(cache.bytes(context, _EACH) for cache in caches)
    parts = {
        part: sum(t.bytes for t in terms if t.part == part) for part in ("weights", "cache", "adapters", "working")
    }
    total, most = sum(parts.values()), most_peak(found)
    a_user, a_task = per_user + _logits(model), each if alone else adapter
    without_users, without_tasks = total - users * a_user, total - (copies * each if alone else adapters * adapter)
    return ServingEstimate(
        **parts,
        fits=total <= most,
        most_users=_most(most - without_users, a_user, MOST_USERS),
        most_adapters=_most(most - without_tasks, a_task, MOST_ADAPTERS),
        most_context=_most_context(model, caches, users, most - total + parts["cache"] + parts["working"], bits),
        cache_per_user=per_user,
        cache_per_token=sum(_EACH * cache.layers * cache.per_token for cache in caches),
        one_more_adapter=a_task,
        needed=needed(total),
        card=found.name,
        usable_bytes=found.usable_bytes,
        terms=tuple(term for term in terms if term.bytes),
        notes=tuple(_notes(model, known, caches, context, bits, merged, experts)),
    )


def _most(room: int, each: int, limit: int) -> int:
    """How many of `each` bytes there is room for."""
    return max(0, min(limit, room // each if each else limit))


def _most_context(model: ModelShapes, caches: tuple[LayerCache, ...], users: int, room: int, bits: int) -> int:
    """Tokens for each user; searched, since windows and pieces end at tokens of their own."""

    def takes(tokens: int) -> int:
        kept = users * sum(cache.bytes(tokens, _EACH) for cache in caches)
        return kept + sum(term.bytes for term in _working(model, tokens, users, bits))

    return searched(lambda tokens: takes(tokens) <= room, MOST_CONTEXT)


def _times(term: ServingTerm, copies: int) -> ServingTerm:
    if copies == 1:
        return term
    return ServingTerm(term.part, term.name, f"{copies:,} copies · ({term.formula})", copies * term.bytes, term.source)


def _cache_term(cache: LayerCache, context: int, users: int) -> ServingTerm:
    name = f"{cache.kind}, {cache.layers:,} layers" + (f", window {cache.window:,}" if cache.window else "")
    formula = f"users · layers · ({cache.formula})"
    return ServingTerm("cache", name, formula, users * cache.bytes(context, _EACH), cache.source)


@lru_cache(maxsize=256)
def _weights(model: ModelShapes, method: Method, bits: int, experts: str) -> tuple[ServingTerm, ...]:
    """One base: its linear layers in `bits`, the rest in 16."""
    packed = constants = rest = numbers = 0
    options = MemoryOptions(experts=experts)
    for group in model.groups:
        for tensor in group.tensors:
            if tensor.tied_to:
                continue
            if bits < 16 and quantizes(tensor, group, model, options):
                rows = tensor.numel // (group.in_features or tensor.shape[-1])
                numbers += group.repeats * tensor.numel
                packed += group.repeats * rounded(tensor.numel * bits / 8)
                constants += group.repeats * _scales(tensor.numel, rows, method, bits)
            else:
                rest += group.repeats * rounded(tensor.numel * _EACH)
    if not packed:
        return (ServingTerm("weights", "weights", "2 · N", rest, "the model's shapes"),)
    source = _NF4 if bits == 4 else _LLM_INT8
    return (
        ServingTerm("weights", f"{numbers:,} weights in {bits} bits", f"N_q · {bits}/8", packed, source),
        ServingTerm("weights", "their scales", "of blocks of 64" if bits == 4 else "4 · rows", constants, source),
        ServingTerm("weights", "weights that are not quantized", "2 · (N − N_q)", rest, "embeddings, head, norms, …"),
    )


def _scales(numel: int, rows: int, method: Method, bits: int) -> int:
    if bits == 8:
        return rounded(4 * rows)
    blocks = -(-numel // 64)
    if isinstance(method, QLoRA) and not method.double_quant:
        return rounded(4 * blocks)
    return rounded(blocks) + rounded(4 * -(-blocks // 256))


@lru_cache(maxsize=256)
def _adapter(model: ModelShapes, method: Method) -> int:
    return _EACH * count(model, method).adapter


def _logits(model: ModelShapes) -> int:
    """Bytes of one user's logits, and of their float32 copy from which the next token is drawn."""
    head = next((group for group in model.groups if group.template == model.output_embedding), None)
    return (_EACH + 4) * head.out_features if head else 0


def _working(model: ModelShapes, context: int, users: int, bits: int) -> Iterator[ServingTerm]:
    """What the pass under way holds: estimated, since every engine has buffers of its own."""
    inside = [group for group in model.groups if group.indices and group.kind in LINEAR_KINDS]
    widest = max((group.out_features for group in inside), default=0)
    width = max((group.in_features for group in inside), default=0)
    piece = min(context, PIECE)
    hidden = piece * _EACH * (4 * width + 3 * widest)
    yield ServingTerm(
        "working", "a piece of a prompt", f"{piece:,} tokens · 2 · (4·h + 3·f)", hidden, "judgement: hidden and MLP"
    )
    yield ServingTerm("working", "logits of all users", "users · 6 · V", users * _logits(model), "16 bits and float32")
    if bits < 16:
        largest = max((t.numel for g in inside for t in g.tensors), default=0)
        yield ServingTerm("working", "the layer that is made dense", "2 · largest weight", _EACH * largest, _NF4)


def _notes(
    model: ModelShapes,
    method: Method,
    caches: tuple[LayerCache, ...],
    context: int,
    bits: int,
    merged: bool,
    experts: str,
) -> Iterator[str]:
    limit = int(first(language_config(settings(model)), ("max_position_embeddings", "n_positions"), 0))
    if limit and context > limit:
        yield f"{context:,} tokens are more than the {limit:,} positions that the model's configuration has"
    if not caches:
        yield "this model does not generate: it keeps nothing from token to token"
    if any(cache.kind == LATENT for cache in caches):
        yield "the latent is cached (transformers 5, vLLM); where keys and values are, each head's are kept instead"
    if any(cache.kind == STATE for cache in caches):
        yield "a state-space layer keeps a state of fixed size: longer contexts cost nothing there"
    if any(group.kind == "experts" for group in model.groups) and bits < 16 and experts == "float":
        yield "stacked experts stay in 16 bits, as with bitsandbytes"
    if isinstance(method, Full):
        yield "full fine-tuning leaves no adapter: each task is a whole model"
    elif merged and bits < 16:
        yield f"merged weights are rounded to {bits} bits once more, which moves them a little"
    elif method.quantized and bits == 16:
        yield "the adapter was trained over the rounded base; over the 16-bit base its sums differ a little"
