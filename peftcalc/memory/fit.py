"""What fits on a card: which methods, up to which batch and sequence, and the largest model for each method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from peftcalc.checks import listed
from peftcalc.counting.count import count, known_method
from peftcalc.lazy import Drawn, explained
from peftcalc.memory.cards import Gpu, all_gpus, gpu
from peftcalc.memory.estimate.closed_form import MemoryEstimate
from peftcalc.memory.largest import Step, step
from peftcalc.memory.needed import Needed, needed_for, room
from peftcalc.memory.options import DTYPE_BYTES, MemoryOptions, make_options
from peftcalc.methods import DoRA, Full, LoRA, Method, QDoRA, QLoRA
from peftcalc.models.catalogue import catalogue_entry, catalogue_ids
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes

if TYPE_CHECKING:
    from pandas import DataFrame

FIVE_METHODS: tuple[Method, ...] = (Full(), LoRA(rank=16), DoRA(rank=16), QLoRA(rank=16), QDoRA(rank=16))


@dataclass(frozen=True)
class Fit(Drawn):
    """One method on one card; the largest sizes are solved for when they are asked for."""

    method: Method
    gpu: Gpu
    needed: Needed
    step: Step = field(repr=False)

    @property
    def estimate(self) -> MemoryEstimate:
        """Of the step at the batch and sequence that were asked for, with the kernels of this card."""
        return self.step.estimate

    @cached_property
    def largest_batch(self) -> int:
        """At the sequence that was asked for; 0 when not even one sequence fits."""
        return self.step.largest_batch(room(self.gpu))

    @cached_property
    def largest_sequence(self) -> int:
        """At the batch that was asked for; 0 when nothing fits, `MOST_SEQUENCE` where nothing smaller is the limit."""
        return self.step.largest_sequence(room(self.gpu))

    @property
    def verdict(self) -> str:
        """ "fits", "tight" (it depends on how the allocator's blocks fall) or "does not fit"."""
        return self.needed.verdict(self.gpu.usable_bytes)

    @property
    def fits(self) -> bool:
        """True when what it needs at least is there: "fits" or "tight"."""
        return self.needed.expected_bytes <= self.gpu.usable_bytes

    @property
    def free_bytes(self) -> int:
        """Usable bytes that are left; negative when they are missing."""
        return self.gpu.usable_bytes - self.needed.expected_bytes


class Fits(Drawn, list[Fit]):
    """Several methods on one card, in the order in which they were asked for; a list that draws itself."""


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


def fit(
    shapes: ModelShapes | Any,
    card: str | Gpu,
    methods: Sequence[Method] | None = None,
    batch: int = 1,
    sequence: int = 2048,
    **options: Any,
) -> Fits:
    """Which methods fit on a card, and up to which batch and sequence.

    Args:
        shapes: what `load_model` returns or accepts.
        card: a name from `gpus()`, or a `Gpu`.
        methods: by default all five at rank 16, without those that peft refuses on this model (`refusals`).
        batch, sequence, options: as for `estimate_memory`; the card's own kernels and half precision by default.

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
    setup = _setup(chosen, options, batch=batch, sequence=sequence)
    return Fits(_fit(model, setup, method, chosen) for method in listed("methods", methods, "a list of methods"))


def refusals(shapes: ModelShapes | Any, methods: Iterable[Method]) -> dict[str, str]:
    """Why peft refuses some of these methods on a model: their names, each with the sentence.

    >>> list(refusals("mistralai/Mixtral-8x7B-v0.1", FIVE_METHODS))
    ['dora', 'qdora']
    """
    model = load_model(shapes)
    said = {method.name: _refusal(model, known_method(method)) for method in methods}
    return {name: sentence for name, sentence in said.items() if sentence}


def largest_batch(
    shapes: ModelShapes | Any, method: Method, card: str | Gpu, sequence: int = 2048, **options: Any
) -> int:
    """The largest batch that fits the card; 0 when not even one sequence fits."""
    chosen = gpu(card)
    setup = _setup(chosen, options, sequence=sequence)
    return step(load_model(shapes), known_method(method), setup).largest_batch(room(chosen))


def largest_sequence(shapes: ModelShapes | Any, method: Method, card: str | Gpu, batch: int = 1, **options: Any) -> int:
    """The longest sequence that fits the card; 0 when nothing fits. The context is not a limit here."""
    chosen = gpu(card)
    setup = _setup(chosen, options, batch=batch)
    return step(load_model(shapes), known_method(method), setup).largest_sequence(room(chosen))


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

    chosen = [gpu(card) for card in (all_gpus() if cards is None else cards)]
    setups = {card: _setup(card, options, batch=batch, sequence=sequence) for card in chosen}
    rows = {card.name: {m.label: _largest_model(card, m, setups[card]) for m in methods} for card in chosen}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("gpu")


def _fit(model: ModelShapes, setup: MemoryOptions, method: Method, card: Gpu) -> Fit:
    asked = step(model, known_method(method), setup)
    return Fit(method, card, needed_for(asked.held, asked.upcast, card), asked)


def _setup(card: Gpu, options: Mapping[str, Any], **sizes: int) -> MemoryOptions:
    """The options with this card's kernels and half precision, unless they name a card or a type themselves."""
    return make_options(**{**options, **sizes, "card": options.get("card") or card})


def _largest_model(card: Gpu, method: Method, options: MemoryOptions) -> str:
    most = room(card)
    for name in _largest_first():
        if _weights(catalogue_entry(name).parameters, method, options) > most:
            continue
        held = _held(name, method, options)
        if held is not None and held <= most:
            return name
    return ""


@cache
def _largest_first() -> tuple[str, ...]:
    return tuple(sorted(catalogue_ids(), key=lambda name: -catalogue_entry(name).parameters))


def _weights(parameters: int, method: Method, options: MemoryOptions) -> float:
    """Bytes that the weights alone take on one GPU, at the very least: half a byte each where they have 4 bits."""
    each = 0.5 if method.quantized else DTYPE_BYTES[options.dtype]
    return parameters * each / options.gpus


@lru_cache(maxsize=1024)
def _refusal(model: ModelShapes, method: Method) -> str:
    """Why peft refuses the method on the model; empty where it does not."""
    try:
        count(model, method)
    except ValueError as error:
        return str(error)
    return ""


def _held(name: str, method: Method, options: MemoryOptions) -> int | None:
    """Bytes of blocks of a language model's step; None for another model, and where peft or the estimate refuses it."""
    model = load_model(name)
    if not (model.output_embedding and model.architecture.endswith(("CausalLM", "LMHeadModel"))):
        return None
    try:
        one = step(model, method, options)
        return one.held.apart + one.upcast
    except ValueError:
        return None
