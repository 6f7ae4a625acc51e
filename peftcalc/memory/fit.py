"""What fits on a card: which methods, up to which batch and sequence, and the largest model for each method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from peftcalc.counting.count import count
from peftcalc.lazy import explained
from peftcalc.memory.allowances import context_allowance, reserved_allowance
from peftcalc.memory.cards import Gpu, all_gpus, gpu
from peftcalc.memory.estimate.closed_form import MemoryEstimate, estimate_memory
from peftcalc.memory.options import make_options
from peftcalc.methods import DoRA, Full, LoRA, Method, QDoRA, QLoRA
from peftcalc.models.catalogue import catalogue_entry, catalogue_ids
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_BATCH = 4096
"""Searches for a batch stop here."""

MOST_SEQUENCE = 1 << 20
"""Searches for a sequence stop here, whatever the model's context."""

FIVE_METHODS: tuple[Method, ...] = (Full(), LoRA(rank=16), DoRA(rank=16), QLoRA(rank=16), QDoRA(rank=16))


@dataclass(frozen=True)
class Needed:
    """Bytes that a card must have: the step's tensors, and what the allocator and the CUDA context add.

    >>> needed(1_000_000_000).low_bytes < needed(1_000_000_000).expected_bytes
    True
    """

    peak_bytes: int
    low_bytes: int
    expected_bytes: int
    high_bytes: int


@dataclass(frozen=True)
class Asked:
    """A model and the sizes and options of its training step."""

    model: ModelShapes
    batch: int
    sequence: int
    options: Mapping[str, Any]

    def fits(self, method: Method, card: Gpu, batch: int, sequence: int) -> bool:
        """Whether the card has the expected bytes at these sizes."""
        peak = estimate_memory(self.model, method, batch, sequence, **{"card": card, **self.options}).total
        return needed(peak).expected_bytes <= card.usable_bytes


@dataclass(frozen=True)
class Fit:
    """One method on one card; the largest sizes are searched for when they are asked for."""

    method: Method
    gpu: Gpu
    needed: Needed
    estimate: MemoryEstimate
    asked: Asked = field(repr=False)

    @cached_property
    def largest_batch(self) -> int:
        """At the sequence that was asked for; 0 when not even one sequence fits."""
        asked = self.asked
        return _largest(lambda size: asked.fits(self.method, self.gpu, size, asked.sequence), MOST_BATCH)

    @cached_property
    def largest_sequence(self) -> int:
        """At the batch that was asked for; 0 when nothing fits, `MOST_SEQUENCE` when the search ended there."""
        asked = self.asked
        return _largest(lambda size: asked.fits(self.method, self.gpu, asked.batch, size), MOST_SEQUENCE)

    @property
    def verdict(self) -> str:
        """ "fits", "tight" (it depends on the allocator and the driver) or "does not fit"."""
        if self.needed.high_bytes <= self.gpu.usable_bytes:
            return "fits"
        return "tight" if self.needed.expected_bytes <= self.gpu.usable_bytes else "does not fit"

    @property
    def fits(self) -> bool:
        """True when the expected bytes are there."""
        return self.needed.expected_bytes <= self.gpu.usable_bytes

    @property
    def free_bytes(self) -> int:
        """Usable bytes that are left; negative when they are missing."""
        return self.gpu.usable_bytes - self.needed.expected_bytes


@dataclass(frozen=True)
class Preset:
    """An experiment to begin with."""

    name: str
    model: str
    gpu: str
    methods: tuple[Method, ...]
    batch: int
    sequence: int
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""


ARTICLE = Preset(
    name="Phi-3-mini on a V100",
    model="microsoft/Phi-3-mini-4k-instruct",
    gpu="V100 16GB",
    methods=(LoRA(rank=8), DoRA(rank=8), QLoRA(rank=8), QDoRA(rank=8)),
    batch=1,
    sequence=1024,
    options={"dtype": "float16", "checkpointing": True},
    note="model, card and the four methods are the article's; a V100 has no bfloat16, and batch, sequence, rank and "
    "checkpointing are this project's choice",
)
"""The article's experiment: four methods on Phi-3-mini-4k-instruct and a V100 of 16 GB."""


def needed(peak: int) -> Needed:
    """The card's bytes for a step whose tensors take `peak` bytes: the allocator's reserve and the context added."""
    reserve, context = reserved_allowance(peak), context_allowance()
    return Needed(
        peak,
        peak + reserve.low_bytes + context.low_bytes,
        peak + reserve.expected_bytes + context.expected_bytes,
        peak + reserve.high_bytes + context.high_bytes,
    )


def fit(
    shapes: ModelShapes | Any,
    card: str | Gpu,
    methods: Sequence[Method] | None = None,
    batch: int = 1,
    sequence: int = 2048,
    **options: Any,
) -> list[Fit]:
    """Which methods fit on a card, and up to which batch and sequence.

    Args:
        shapes: what `load_model` returns or accepts.
        card: a name from `gpus()`, or a `Gpu`.
        methods: by default all five at rank 16, without those that peft refuses on this model (`refusals`).
        batch, sequence, options: as for `estimate_memory`.

    Raises:
        ValueError: an unknown card, with the nearest names; an option out of its range; a method among `methods` that
            peft refuses on this model.

    >>> row = fit({"model_type": "gpt2"}, "T4", [QLoRA(rank=8)], sequence=512)[0]
    >>> row.verdict, row.largest_batch > 1
    ('fits', True)
    """
    model, chosen = load_model(shapes), gpu(card)
    if methods is None:
        refused = refusals(model, FIVE_METHODS)
        methods = [method for method in FIVE_METHODS if method.name not in refused]
    asked = Asked(model, batch, sequence, options)
    return [_fit(asked, chosen, method) for method in methods]


def refusals(shapes: ModelShapes | Any, methods: Iterable[Method]) -> dict[str, str]:
    """Why peft refuses some of these methods on a model: their names, each with the sentence.

    >>> list(refusals("mistralai/Mixtral-8x7B-v0.1", FIVE_METHODS))
    ['dora', 'qdora']
    """
    model, found = load_model(shapes), {}
    for method in methods:
        try:
            count(model, method)
        except ValueError as error:
            found[method.name] = str(error)
    return found


def largest_batch(
    shapes: ModelShapes | Any, method: Method, card: str | Gpu, sequence: int = 2048, **options: Any
) -> int:
    """The largest batch whose expected bytes the card has; 0 when not even one sequence fits."""
    asked, chosen = Asked(load_model(shapes), 1, sequence, options), gpu(card)
    return _largest(lambda batch: asked.fits(method, chosen, batch, sequence), MOST_BATCH)


def largest_sequence(shapes: ModelShapes | Any, method: Method, card: str | Gpu, batch: int = 1, **options: Any) -> int:
    """The longest sequence whose expected bytes the card has; 0 when nothing fits. The context is not a limit here."""
    asked, chosen = Asked(load_model(shapes), batch, 1, options), gpu(card)
    return _largest(lambda sequence: asked.fits(method, chosen, batch, sequence), MOST_SEQUENCE)


def largest_models(
    cards: Iterable[str | Gpu] | None = None,
    methods: Sequence[Method] = FIVE_METHODS,
    batch: int = 1,
    sequence: int = 2048,
    **options: Any,
) -> DataFrame:
    """The largest language model of the catalogue that each card can fine-tune with each method.

    One row a card, one column a method (by its label), each cell a model's id or an empty string. The largest model is
    the one with most parameters.
    """
    with explained("the largest models as a table"):
        import pandas as pd

    make_options(batch=batch, sequence=sequence, **options)
    chosen = [gpu(card) for card in (all_gpus() if cards is None else cards)]
    key = tuple(sorted(options.items()))
    rows = {card.name: {m.label: _largest_model(card, m, batch, sequence, key) for m in methods} for card in chosen}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("gpu")


def _fit(asked: Asked, card: Gpu, method: Method) -> Fit:
    options = {"card": card, **asked.options}
    estimate = estimate_memory(asked.model, method, asked.batch, asked.sequence, **options)
    return Fit(method, card, needed(estimate.total), estimate, asked)


def _largest(fits: Callable[[int], bool], limit: int) -> int:
    """The largest size from 1 to `limit` that fits, by doubling and halving; memory never falls as a size grows.

    >>> _largest(lambda size: size * size <= 50, 100)
    7
    """
    if not fits(1):
        return 0
    low, high = 1, 2
    while high <= limit and fits(high):
        low, high = high, high * 2
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _largest_model(card: Gpu, method: Method, batch: int, sequence: int, options: tuple[tuple[str, Any], ...]) -> str:
    like = next((known for known in all_gpus() if known.architecture == card.architecture), card)
    for name, expected in _catalogue_needs(method, batch, sequence, (*options, ("card", like))):
        if expected <= card.usable_bytes:
            return name
    return ""


@lru_cache(maxsize=64)
def _catalogue_needs(
    method: Method, batch: int, sequence: int, options: tuple[tuple[str, Any], ...]
) -> tuple[tuple[str, int], ...]:
    """Ids and expected bytes of the catalogue's language models, those with most parameters first."""
    rows = []
    for name in sorted(catalogue_ids(), key=lambda name: -catalogue_entry(name).parameters):
        model = load_model(name)
        if not (model.output_embedding and model.architecture.endswith(("CausalLM", "LMHeadModel"))):
            continue
        try:
            peak = estimate_memory(model, method, batch, sequence, **dict(options)).total
        except ValueError:
            continue
        rows.append((name, needed(peak).expected_bytes))
    return tuple(rows)
