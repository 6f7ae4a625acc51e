"""How far a measurement may lie from the estimate: narrow where published rows agree, wide where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from peftcalc.memory.cards import Gpu
from peftcalc.memory.model_config import language_config
from peftcalc.models.configs.unsaid import settings
from peftcalc.speed.machine import peak_of
from peftcalc.speed.work import SpeedSetup

CHECKED = ("A100 40GB", "A100 80GB", "L40S")
"""Cards with published rows that agree with the estimate (peftcalc/evidence/data/throughput.csv)."""
ENOUGH_TOKENS = 800
"""Tokens of one forward pass from which on the rows agree."""

_CHECKED_FACTOR = 1.15
_FEW_TOKENS = 1.6
_DATA_CENTRE = 1.5
_OTHER = 2.0
_QDORA = 1.25
_COMMUNICATION = 1.5


@dataclass(frozen=True)
class Spread:
    """By how much the rate may be lower, and by how much higher."""

    low: float
    high: float


def spread(setup: SpeedSetup, card: Gpu) -> Spread:
    """The range as two factors: rate / low … rate · high."""
    method, options = setup.step.method, setup.step.options
    factor = _CHECKED_FACTOR if card.name in CHECKED else _unchecked(card)
    factor = max(factor, _FEW_TOKENS) if setup.tokens < ENOUGH_TOKENS else factor
    factor *= _QDORA if method.decomposed and method.quantized else 1
    return Spread(factor * (_COMMUNICATION if options.gpus > 1 else 1), factor)


def _unchecked(card: Gpu) -> float:
    """Data-centre cards with bfloat16 resemble the checked ones; consumer cards and older ones may not."""
    return _DATA_CENTRE if card.bfloat16 and card.kind == "data centre" else _OTHER


def notes(setup: SpeedSetup, card: Gpu, wide: Spread) -> Iterator[str]:
    """What a reader must know of this estimate."""
    step, options = setup.step, setup.step.options
    if card.name not in CHECKED:
        yield (
            f"never checked on the {card.name}: no published row with a known set-up agrees or disagrees, "
            f"so the range is ÷ {wide.low:.3g} to × {wide.high:.3g}"
        )
    if setup.tokens < ENOUGH_TOKENS:
        yield f"with fewer than {ENOUGH_TOKENS} tokens in a pass the host's speed matters, and published rows scatter"
    if step.method.decomposed and step.method.quantized:
        yield "QDoRA was never checked: no published row times it"
    if options.dtype != "float32" and not card.bfloat16:
        yield f"the {card.name} has no bfloat16; the rates are those of float16"
    if peak_of(card.name).basis not in ("data sheet", "half of the sparse figure"):
        yield f"peak of the {card.name}: {peak_of(card.name).basis}"
    if options.gpus > 1:
        yield (
            f"rates are those of {options.gpus} GPUs together; exchanging gradients and divided weights between them "
            "is not counted, only allowed for in the range"
        )
    if options.optimizer.startswith("paged"):
        yield "moments are taken to stay on the card; paging them over the bus is not counted"
    if options.optimizer_offload != "none" or options.activation_offload:
        yield "what is offloaded is taken to be on its way while the card works; the bus and the host are not counted"
    if step.method.quantized and options.base_format != "4bit":
        yield f"a base in {options.base_format} is timed as one in bitsandbytes' 4 bits; it was never checked"
    yield from _of_the_model(setup)


def _of_the_model(setup: SpeedSetup) -> Iterator[str]:
    body, config = setup.step.body, settings(setup.model)
    if setup.kernels not in ("eager", "compiled") and not setup.has_fused_kernels:
        yield "fused kernels are written for families with RMSNorm; this model has LayerNorm, so it runs as it is"
    if body.experts:
        yield "experts are assumed to share the tokens evenly"
    if config.get("is_encoder_decoder") or config.get("model_type") in ("t5", "mt5", "whisper"):
        yield "encoder and decoder are taken to read equally many tokens"
    if body.pieces:
        yield f"an image is {body.pieces:,} pieces, whatever the sequence"
    if body.unknown:
        yield f"how {', '.join(dict.fromkeys(body.unknown))} are used is not known; each is taken as one product"
    context = language_config(config).get("max_position_embeddings")
    if isinstance(context, int) and setup.step.options.sequence > context:
        yield f"{setup.step.options.sequence:,} tokens are more than this model's context of {context:,}"
