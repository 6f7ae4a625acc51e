"""The few moments of a step at which its bytes can be highest, each with the terms that make it up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from peftcalc.memory.allowances import unshared_bytes
from peftcalc.memory.estimate.activations import cached_copies, saved_in_layers
from peftcalc.memory.estimate.growing.sizes import total_of
from peftcalc.memory.estimate.head import (
    before_head,
    head_moments,
    held_logits,
    hidden_gradient,
    last_hidden,
    loss_block,
)
from peftcalc.memory.estimate.kept import at_work, kept, of_embeddings, shared_mask
from peftcalc.memory.estimate.model_state import adapter_term, gradient_term, weight_terms
from peftcalc.memory.estimate.optimizers import one_update, optimizer_term, trained_tensors, update_term
from peftcalc.memory.estimate.sharding import (
    Gathered,
    Moment,
    Whole,
    beside,
    buckets,
    gathered,
    head_numbers,
    held_by_hooks,
    sharded,
    sharded_buffer,
    whole_gradients,
)
from peftcalc.memory.estimate.step_setup import StepSetup
from peftcalc.memory.estimate.study import Study
from peftcalc.memory.estimate.terms import AUTOGRAD, CUBLAS, PEFT, PEFT_DORA, QLORA, Term
from peftcalc.memory.estimate.tower import tower_terms
from peftcalc.memory.estimate.transients import (
    backward_work,
    dequantized,
    down_work,
    forward_work,
    norm_of_sum,
    tied_gradient,
)
from peftcalc.memory.kernels import matrix_workspaces
from peftcalc.memory.options import MemoryOptions

KEPT = 256
"""Set-ups whose standing bytes are remembered; each is a handful of terms."""


@dataclass(frozen=True)
class Held:
    """Bytes at the peak, if parts shared no block, and of the blocks that are expected not to be shared."""

    peak: int
    apart: int
    unshared: int


@dataclass(frozen=True)
class Moments:
    """Where the bytes of a step may be highest."""

    real: tuple[Moment, ...]
    """Of which the peak is the highest."""
    apart: tuple[Moment, ...]
    """As many bytes as blocks can take: saved activations, logits and temporary buffers, each at its own highest."""
    setting: StepSetup
    """What they were computed from."""
    beside: int = 0
    """Bytes of what several GPUs need to work together (`sharding.beside`)."""

    def sizes(self) -> list[Any]:
        """The bytes of all, and of what blocks take at most; batch or sequence may be a `Size`."""
        sizes = [moment.total for moment in (*self.real, *self.apart)]
        return [*sizes, *(size + self.beside for size in sizes)] if self.beside else sizes

    def held(self) -> Held:
        """How blocks hold the step."""
        peak, most = max(moment.total for moment in self.real), max(self.sizes())
        written_out = not {"eager", "math"}.isdisjoint(self.setting.kernels)
        logits = loss_block(self.setting.body, self.setting.options)
        unshared = unshared_bytes(peak, most - self.beside, logits, written_out)
        return Held(peak, most, unshared + self.beside)


def moments_of(known: Study, options: MemoryOptions) -> Moments:
    """All moments on one GPU."""
    options = options.resized(options.batch, known.body.pieces) if known.body.pieces else options
    setting = known.setup(options)
    standing = _standing(known, options.resized(1, 1))
    moments = _moments(standing, known.setup(known.heard(options)), options)
    found = [sharded(moment, options) for moment in _with_pictures(moments, known, standing, options)]
    return Moments(tuple(found[:-2]), tuple(found[-2:]), setting, beside(standing.gathered, options))


def _with_pictures(moments: list[Moment], known: Study, standing: _Standing, options: MemoryOptions) -> list[Moment]:
    """The same with what a vision tower keeps until its turn, which comes when the language model's layers are done."""
    stays, works = tower_terms(known, options)
    if not stays:
        return moments
    kept = [
        moment if moment.phase == "optimizer" else Moment(moment.name, moment.phase, (*moment.terms, *stays))
        for moment in moments
    ]
    held = held_logits(known.body, known.setup(options).precision, options)
    terms = (*standing.resting, *standing.gathered.with_layers(1), standing.gradients, *stays, *works, held)
    return [Moment("vision tower", "backward", terms), *kept]


@dataclass(frozen=True)
class _Standing:
    """What does not depend on the batch and the sequence."""

    resting: tuple[Term, ...]
    """Weights, adapters, optimizer states, workspaces."""
    gathered: Gathered
    gradients: Term
    whole: Whole
    head_gradient: tuple[Term, ...]
    nearly_all: tuple[Term, ...]
    of_layers: tuple[Term, ...]
    """All but the root unit's, where these wait."""
    root: Term
    of_a_layer: tuple[Term, ...]
    """Gradient and update of one weight of a layer, where gradients do not wait for the end; of one outside next."""
    outside: tuple[Term, ...]
    tied: Term
    cached: Term
    norm: int
    dense: int


@lru_cache(maxsize=KEPT)
def _standing(known: Study, options: MemoryOptions) -> _Standing:
    """It stays from step to step, or belongs to one weight: read once for all sizes."""
    model, counted, method, setting = known.model, known.counted, known.method, known.setup(options)
    precision = setting.precision
    weights = [*weight_terms(model, method, precision, options), adapter_term(counted, precision)]
    own = Term("temporary_buffers", "workspaces of cuBLAS", "2 threads", matrix_workspaces(options.chosen_card), CUBLAS)
    tensors = trained_tensors(model, counted, method)
    gradients = gradient_term(counted, method, precision, tensors)
    root = update_term(method, precision, options, tensors)
    early = () if options.gradients_stay else (True, False)
    of_a_layer, outside = [one_update(method, precision, options, tensors, inside) for inside in early] or [(), ()]
    tied = tied_gradient(setting, model)
    whole = whole_gradients(model, setting)
    root_unit = sum(term.bytes for term in whole.root) // 2
    of_layers = gradients.bytes - root_unit
    states = optimizer_term(counted, method, precision, options, tensors)
    return _Standing(
        resting=(*weights, states, buckets(gradients, options), own),
        gathered=gathered(model, setting),
        gradients=gradients,
        whole=whole,
        head_gradient=() if whole.waiting else _part_of(gradients, head_numbers(model) * precision.weight, setting),
        nearly_all=_part_of(gradients, of_layers * (1 - 1 / known.body.layers), setting, always=True),
        of_layers=_part_of(gradients, of_layers, setting),
        root=sharded_buffer(root, options),
        of_a_layer=of_a_layer,
        outside=outside,
        tied=Term("temporary_buffers", "second gradient of tied embeddings", "e·V·h", tied, AUTOGRAD),
        cached=cached_copies(setting),
        norm=norm_of_sum(setting),
        dense=dequantized(setting, model),
    )


def _moments(standing: _Standing, setting: StepSetup, of_head: MemoryOptions) -> list[Moment]:
    """The moments among which the peak is, each with its terms; and last the two of parts that share no block.

    A block that held logits is seldom of the size that attention asks for next: the last two have all that comes and
    goes at once. The update is not among it: its buffers, one for each tensor, are cut from any free block.
    """
    options, body, precision = setting.options, setting.body, setting.precision
    resting, gradients, cached = standing.resting, standing.gradients, standing.cached
    units = standing.gathered
    before, fetched, state = ((*resting, *units.with_layers(layers)) for layers in units.layers)
    earlier = (gradients,) if options.accumulation > 1 else ()
    layers = saved_in_layers(setting)
    mask = shared_mask(setting)
    saved = [*kept(layers, setting), *before_head(setting), mask, of_embeddings(setting)]
    forward, backward = head_moments(body, precision, of_head, not setting.method.has_adapter)
    held = held_logits(body, precision, of_head)
    open_after = [cached] if options.autocast_scope == "step" else []
    ways = _ways(standing, setting)
    work = max(ways, key=lambda way: total_of([term.bytes for term in way]))
    one = at_work(layers, setting)
    again = one if options.checkpointing else []
    head_gradient = () if earlier else standing.head_gradient
    nearly_all = earlier or standing.nearly_all
    whole, behind = standing.whole, held_by_hooks(setting)
    layer, one_layer = [*whole.waiting, *whole.behind, held], (*resting, *units.with_layers(1))
    if not options.gradients_stay:
        head_gradient = standing.head_gradient if standing.tied.bytes else ()
        nearly_all = head_gradient
    last = (*state, *earlier, *head_gradient, *saved, *again, *layer)
    ends = [
        Moment("end of the backward pass", "backward", (*resting, gradients, standing.tied, held)),
        Moment("update", "optimizer", (*resting, gradients, standing.root, held)),
    ]
    if not options.gradients_stay:
        at_once = [] if standing.tied.bytes else [*saved, hidden_gradient(setting), *standing.outside]
        ends = [
            Moment("update of the head", "backward", (*state, *at_once, held)),
            Moment("update of a layer's weight", "backward", (*last, *standing.of_a_layer)),
            Moment("end of the backward pass", "backward", (*resting, *standing.outside, standing.tied, held)),
        ]
    if units.twice:
        begins = "embeddings, last norm and head, in the buffer in which they came"
        copied = [Term(x.part, begins, x.formula, x.bytes, x.source) for x in units.root]
        ends.append(Moment("root unit, gathered", "forward", (*one_layer, *copied, *earlier)))
    if whole.layer:
        reduced, waiting = hidden_gradient(setting), [*whole.waiting, held]
        inside, alone = earlier or standing.of_layers, (*resting, *units.root)
        ends += [
            Moment("last layer, reduced", "backward", (*state, *earlier, *saved, *waiting, *whole.layer, reduced)),
            Moment(
                "first layer, reduced",
                "backward",
                (*alone, *nearly_all, *waiting, *whole.layer, reduced, mask),
            ),
            Moment(
                "root unit, reduced",
                "backward",
                (*alone, *inside, *whole.root, held),
            ),
        ]
    apart = (*state, *earlier, *(behind or saved), *again, *open_after, *whole.waiting, *work)
    return [
        Moment("loss, forward", "forward", (*before, *earlier, *saved, *last_hidden(setting), forward, cached)),
        Moment("loss", backward.phase, (*fetched, *earlier, *saved, backward.term, held, *open_after)),
        Moment("last layer, again", "backward", (*last, *ways[-1], *open_after)),
        Moment("last layer", "backward", (*last, *work)),
        Moment(
            "first layer",
            "backward",
            (*one_layer, *nearly_all, *behind, *one, *work, mask, *layer),
        ),
        *ends,
        Moment("forward logits apart", "forward", (*apart, forward)),
        Moment("backward logits apart", "backward", (*apart, backward.term, held)),
    ]


def _ways(standing: _Standing, setting: StepSetup) -> list[list[Term]]:
    """Temporary buffers of one layer at the points that can be its highest; that of its forward pass comes last."""
    norm, dense = standing.norm, standing.dense
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
    return [[Term("temporary_buffers", *term) for term in way] for way in ways]


def _part_of(whole: Term, size: float, setting: StepSetup, always: bool = False) -> tuple[Term, ...]:
    """A part of the gradients: those that exist at some moment of full fine-tuning's backward pass."""
    if setting.method.has_adapter and not always:
        return ()
    return (Term(whole.part, f"{whole.name} so far", whole.formula, round(size), whole.source),)
