"""How long one training step takes on a card: the work of every kind of operator, and the host that starts it.

`seconds = passes · (card⁴ + host⁴)^¼ + update`, where `card` adds up what each kind of operator needs of the card and
`host` is kernels · seconds for one: the host runs ahead of the card, so the longer of the two counts, and where they
are alike both are felt. Two constants are fitted (`peftcalc.speed.machine.Constants`), everything else is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from peftcalc.memory.cards import Gpu, gpu
from peftcalc.memory.estimate.anatomy import Anatomy, anatomy
from peftcalc.memory.estimate.study import studied
from peftcalc.methods import Method
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes
from peftcalc.speed.adapters import adapters
from peftcalc.speed.attention import attention
from peftcalc.speed.elementwise import elementwise
from peftcalc.speed.ends import accumulated, head_and_loss, update
from peftcalc.speed.machine import SET, Constants, machine
from peftcalc.speed.options import split_options
from peftcalc.speed.products import products
from peftcalc.speed.ranges import notes, spread
from peftcalc.speed.records import SpeedEstimate, SpeedTerm
from peftcalc.speed.work import COMPUTE, HOST, MEMORY, SpeedSetup, Work

_SHARPNESS = 4
"""How suddenly the longer of card and host takes over: the power in which they are added."""

_WAITING = "kernels · seconds for one, where longer"
_HOST_SOURCE = "fitted to published rows, benchmarks/speed_fit.py"


def estimate_speed(
    shapes: ModelShapes | Any,
    method: Method,
    card: Gpu | str,
    batch: int = 1,
    sequence: int = 2048,
    kernels: str = "eager",
    **options: Any,
) -> SpeedEstimate:
    """Tokens a second and seconds a step of training on a card, with a range.

    Args:
        shapes: what `load_model` returns, or anything that it accepts.
        method: one of the five.
        card: a name from the table of cards, such as "A100 80GB".
        batch: sequences in one forward pass on one GPU.
        sequence: tokens of each, padding included.
        kernels: "eager", "fused", "liger", "unsloth" or "compiled" (`peftcalc.speed.options.KERNELS`).
        options: the named choices of `peftcalc.memory.options.MemoryOptions`, and `dequantization` and `experts` of
            `peftcalc.speed.options`.

    Raises:
        ValueError: an unknown option or card, a value out of its range, targets that match nothing, or a model without
            layers of attention.

    >>> from peftcalc.methods import LoRA
    >>> speed = estimate_speed({"model_type": "gpt2"}, LoRA(targets=["c_attn"]), "A100 80GB", batch=8, sequence=1024)
    >>> speed.low_tokens_per_second < speed.tokens_per_second < speed.high_tokens_per_second
    True
    """
    return timed(speed_setup(shapes, method, card, batch, sequence, kernels=kernels, **options), gpu(card))


def speed_setup(
    shapes: ModelShapes | Any,
    method: Method,
    card: Gpu | str,
    batch: int,
    sequence: int,
    constants: Constants = SET,
    **options: Any,
) -> SpeedSetup:
    """The step that these choices describe; `constants` are for the script that fits them."""
    found, model = gpu(card), load_model(shapes)
    dtype = options.pop("dtype", None) or found.dtype
    chosen, own = split_options({**options, "dtype": dtype, "card": found}, batch, sequence)
    body = _body(model)
    chosen = replace(chosen, sequence=body.pieces) if body.pieces else chosen
    return SpeedSetup(studied(model, method).setup(chosen), model, machine(found, constants), **own)


def _body(model: ModelShapes) -> Anatomy:
    try:
        return anatomy(model)
    except ValueError:
        name = model.id or "this model"
        raise ValueError(f"{name} has no layers of attention, so how long a step takes is not estimated") from None


@dataclass(frozen=True)
class _Phase:
    """Works that follow one another without the host waiting in between, and how often a step has them."""

    works: tuple[Work, ...]
    times: int
    launch: float

    @property
    def card(self) -> float:
        return sum(work.seconds for work in self.works)

    @property
    def host(self) -> float:
        return sum(work.launches for work in self.works) * self.launch

    @property
    def seconds(self) -> float:
        """Of all its times."""
        return self.times * (self.card**_SHARPNESS + self.host**_SHARPNESS) ** (1 / _SHARPNESS)


def timed(setup: SpeedSetup, card: Gpu) -> SpeedEstimate:
    """The estimate of a step that is set up."""
    options, launch = setup.step.options, setup.machine.launch
    works = (*products(setup), *adapters(setup), *attention(setup), *elementwise(setup), *head_and_loss(setup))
    passes = options.accumulation
    phases = (
        _Phase(works, passes, launch),
        _Phase((accumulated(setup),), passes - 1, launch),
        _Phase((update(setup),), 1, launch),
    )
    seconds = sum(phase.seconds for phase in phases)
    tokens = options.tokens * passes * options.gpus
    rate, wide = tokens / seconds, spread(setup, card)
    return SpeedEstimate(
        tokens_per_second=rate,
        low_tokens_per_second=rate / wide.low,
        high_tokens_per_second=rate * wide.high,
        seconds_per_step=seconds,
        tokens_per_step=tokens,
        sequence=options.sequence,
        card=card.name,
        bound=_bound(phases),
        terms=tuple(_terms(phases, seconds)),
        notes=tuple(notes(setup, card, wide)),
    )


def _terms(phases: Iterable[_Phase], seconds: float) -> Iterable[SpeedTerm]:
    """Each work once, with all its times; and last what the host adds."""
    card = 0.0
    for phase in phases:
        for work in phase.works:
            card += phase.times * work.seconds
            if phase.times and work.seconds:
                yield SpeedTerm(work.name, work.formula, phase.times * work.seconds, work.source)
    yield SpeedTerm("waiting for the host", _WAITING, max(seconds - card, 0.0), _HOST_SOURCE)


def _bound(phases: Iterable[_Phase]) -> str:
    """The host where it needs longer than the card, else what most of the card's seconds wait for."""
    phases = tuple(phases)
    if sum(p.times * p.host for p in phases) > sum(p.times * p.card for p in phases):
        return HOST
    shares = {
        bound: sum(p.times * w.seconds for p in phases for w in p.works if w.bound == bound)
        for bound in (COMPUTE, MEMORY, HOST)
    }
    return max(shares, key=shares.__getitem__)
