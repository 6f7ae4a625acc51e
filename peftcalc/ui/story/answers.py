"""What is so, of what the scenes ask and say: each computed by the core, none written down."""

from __future__ import annotations

from functools import cache

import numpy as np

from peftcalc import units
from peftcalc.counting.count import count
from peftcalc.geometry.direction import decompose
from peftcalc.geometry.spectrum import rank_of
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.fit import fit
from peftcalc.methods import Full, LoRA, QLoRA
from peftcalc.models.catalogue import catalogue_shapes
from peftcalc.quant.quantizing import quantize
from peftcalc.quant.tables import NF4_VALUES
from peftcalc.ui.components.codes import ordinary_weights
from peftcalc.ui.story.pictures import FEW, RUN, RUN_RANK, SIDE, SMALL_CARD, strips, target
from peftcalc.ui.story.presets import STORY_MODEL, stored
from peftcalc.ui.story.tiny_run import TinyRun, tiny_run, tiny_task

TASKS = 5


def all_of_it() -> str:
    return {3: "8 thousand", 6: "8 million", 9: "8 billion"}[len(str(catalogue_shapes(STORY_MODEL).total)) - 1]


def all_of_it_said() -> str:
    estimate = estimate_memory(STORY_MODEL, Full())
    kept = estimate.base_weights + estimate.gradients + estimate.optimizer_states
    total = catalogue_shapes(STORY_MODEL).total
    return f"All {total:,}. In 16 bits, weights, gradients and means take {units.gb(kept)}: four times the model."


def four_of_each() -> bool:
    """Weights, gradients and each of two moments are equally large."""
    estimate = estimate_memory(STORY_MODEL, Full())
    return estimate.base_weights == estimate.gradients == estimate.optimizer_states // 2


def follow() -> str:
    B, A = np.ones((SIDE, 1)), np.ones((1, SIDE))
    moved = B.copy()
    moved[3, 0] += 1
    return str(np.count_nonzero(moved @ A - B @ A))


def follow_said() -> str:
    return f"{follow()}: its row. A number of A moves a column. So {2 * SIDE} trained numbers reach all {SIDE**2}."


def strips_are_an_eighth() -> bool:
    return 8 * (SIDE + SIDE) == SIDE * SIDE


def rank_of_the_face() -> str:
    return str(int(np.linalg.matrix_rank(target())))


def rank_said() -> str:
    counter = stored()["counter"]
    one, sixteen = (100 * counter["trained"][r - 1] / (counter["base"] + counter["trained"][r - 1]) for r in (1, 16))
    return (
        f"{rank_of_the_face()}: so many of its singular values are not zero. Of {counter['name']} rank 1 trains "
        f"{one:.2f} %, rank 16 {sixteen:.2f} %."
    )


def strips_are_the_best() -> bool:
    """The strips' error at each rank is the bound, and gradient descent stays above it."""
    B, A = strips()
    values = rank_of(target()).singular_values ** 2
    best = [values[rank:].sum() / values.sum() for rank in range(1, SIDE + 1)]
    left = [((target() - B[:, :r] @ A[:r]) ** 2).sum() / SIDE**2 for r in range(1, SIDE + 1)]
    task = tiny_task(target(), 0, 0, 1)
    trained = [tiny_run(task, task, rank, 1, RUN["rate"], 200).training[-1] for rank in (1, 3, 5)]
    return np.allclose(left, best, atol=1e-9) and all(
        t >= best[r - 1] - 1e-9 for t, r in zip(trained, (1, 3, 5), strict=True)
    )


def volume() -> str:
    return {0.25: "A quarter", 2: "Twice", 4: "Four times"}[LoRA(rank=64, alpha=16).scaling]


def volume_said() -> str:
    return "A quarter: 16 / 64. Alpha belongs to the learning rate: who changes one looks for the other again."


@cache
def at_volume(scale: float) -> TinyRun:
    task = tiny_task(target(), RUN["samples"], RUN["noise"], 11)
    with np.errstate(all="ignore"):  # a run that is too loud overflows
        return tiny_run(task, task, RUN_RANK, scale, RUN["rate"], RUN["steps"], seed=RUN["seed"])


def too_loud_runs_away() -> bool:
    """At four times the loss leaves the chart; at twice it is down sooner than at once, at a quarter later."""
    quarter, once, twice, four = (at_volume(scale).training for scale in (0.25, 1, 2, 4))
    return not four[-1] < 1.2 and twice[10] < once[10] < quarter[10] and once[-1] < 0.08


@cache
def on_samples(dropout: float, many: bool = False, seed: int = int(FEW["seed"])) -> TinyRun:
    """The run of the scene of dropout, on twelve noisy samples or on enough."""
    size, noise = (FEW["enough"], FEW["calm"]) if many else (FEW["samples"], FEW["noise"])
    task, held_out = tiny_task(target(), int(size), noise, seed + 10), tiny_task(target(), 40, noise, seed + 100)
    return tiny_run(task, held_out, RUN_RANK, 1, FEW["rate"], int(FEW["steps"]), dropout, seed)


def dropout() -> str:
    without, with_it = (on_samples(share).held_out[-1] for share in (0.0, 0.1))
    return "lower" if with_it < without - 0.01 else "higher" if with_it > without + 0.01 else "the same"


def dropout_said() -> str:
    without, with_it = (on_samples(share).held_out[-1] for share in (0.0, 0.1))
    return (
        f"{with_it:.2f} instead of {without:.2f}; on what it trains on the loss is higher. The QLoRA paper took 0.1 up "
        "to 13 billion parameters, 0.05 for 33 and 65."
    )


def dropout_costs_with_enough() -> bool:
    """Over seeds: with few samples dropout lowers the held-out loss, with enough it raises it; training is higher."""
    seeds = range(1, 6)
    few = [on_samples(0.1, seed=s).held_out[-1] - on_samples(0.0, seed=s).held_out[-1] for s in seeds]
    enough = [on_samples(0.3, True, s).held_out[-1] - on_samples(0.0, True, s).held_out[-1] for s in seeds]
    higher = on_samples(0.1).training[-1] > on_samples(0.0).training[-1]
    return bool(higher and np.mean(few) < 0 < np.mean(enough))


def one_push() -> str:
    start, summit = np.array([2.0, 1.0]), np.array([-1.0, 2.0])
    return "Yes" if np.array_equal(start + (summit - start), summit) else "No"


def one_push_said() -> str:
    return (
        "Yes: any tip can be reached. But whoever pushes sets turn and length together; DoRA trains the length of each "
        "row as a number of its own."
    )


def push_ties_length_to_turn() -> bool:
    """A push at a right angle changes the length too; DoRA's turn alone does not."""
    row, push = np.array([[3.0, 4.0]]), np.array([[-4.0, 3.0]])
    turned = (row + push) / np.linalg.norm(row + push) * np.linalg.norm(row)
    return decompose(row, row + push).magnitude_change > 1 and abs(decompose(row, turned).magnitude_change) < 1e-12


def who_pays() -> str:
    quiet, loud, blocks = _pulled()
    return "All that share its scale" if loud > 1.5 * quiet and blocks < 1.5 * quiet else "It alone"


def who_pays_said() -> str:
    quiet, loud, _ = _pulled()
    return (
        f"All that share its scale: pulled to eight times its length, it makes the others' error {loud / quiet:.0f} "
        f"times as large. With blocks of 16, the 48 outside its block notice nothing."
    )


def _pulled(far: float = 8.0) -> tuple[float, float, float]:
    """Error (RMSE) of the weights outside the first block, before the largest in it is pulled out, after, in blocks."""
    weights = np.array(ordinary_weights(), dtype=np.float32)
    pulled = weights.copy()
    pulled[0] = far * np.abs(weights).max()

    def error(x: np.ndarray, size: int) -> float:
        back = np.asarray(quantize(x, "nf4", block_size=size).dequantize())
        return float(np.sqrt(((back - x)[16:] ** 2).mean()))

    return error(weights, 64), error(pulled, 64), error(pulled, 16)


def blocks_contain_it() -> bool:
    """In blocks of 16 the weights outside the first one come back the same, whatever is pulled in it."""
    weights = np.array(ordinary_weights(), dtype=np.float32)
    pulled = weights.copy()
    pulled[0] = 8
    one, other = (np.asarray(quantize(x, "nf4", block_size=16).dequantize()) for x in (weights, pulled))
    return len(NF4_VALUES) == 16 and np.array_equal(one[16:], other[16:])


def on_sixteen() -> str:
    fits = fit(catalogue_shapes(STORY_MODEL), SMALL_CARD, checkpointing=True)
    return {0: "None", 2: "Two", 4: "Four"}[sum(row.fits for row in fits)]


def on_sixteen_said() -> str:
    return (
        "Two, QLoRA and QDoRA. The QLoRA paper says it in its first lines: gradients pass through a frozen model of "
        "four bits into adapters, and those alone are trained."
    )


def half_the_base() -> bool:
    """The adapters stay as they are; the base, wider embeddings included, is less than half."""
    plain, four = (estimate_memory(STORY_MODEL, method) for method in (LoRA(rank=16), QLoRA(rank=16)))
    smaller = 0.25 < (four.base_weights + four.quantization_constants) / plain.base_weights < 0.5
    return smaller and four.adapters == plain.adapters


def _five_tasks() -> tuple[int, int, int]:
    shapes = catalogue_shapes(STORY_MODEL)
    base, adapter = 2 * shapes.total, 2 * count(shapes, LoRA(rank=16)).trainable
    return base + TASKS * adapter, TASKS * base, adapter


def five_tasks() -> str:
    together, apart, _ = _five_tasks()
    return min(
        ("half the bytes", 2), ("a fifth", 5), ("a fiftieth", 50), key=lambda one: abs(apart / together - one[1])
    )[0]


def five_tasks_said() -> str:
    together, apart, adapter = _five_tasks()
    return f"A fifth: {units.gb(together)} instead of {units.gb(apart)}. One task more adds {adapter / 1e6:.0f} MB."


def adapters_are_small() -> bool:
    kept = stored()
    return all(10 * one["bytes"] < 2 * kept["base"]["bytes"] for one in kept["adapters"])
