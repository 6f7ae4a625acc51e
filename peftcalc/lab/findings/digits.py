"""Trials on the digits network: each is all the runs of one seed, trained stacked, as rows of names and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from peftcalc.geometry.intruders import intruder_dimensions
from peftcalc.lab.findings.stacks import INFINITE, TrainedStack, judged_on, trained_stacks, weight_of
from peftcalc.lab.run_settings import run_settings
from peftcalc.lab.stacked.stack import Stack
from peftcalc.lab.tasks.digits import digits
from peftcalc.methods import DoRA, Full, LoRA, Method, QDoRA, QLoRA

Row = dict[str, Any]

STEPS = 200
QUARTERS = tuple(round(10 ** (-3 + i / 4), 6) for i in range(8))
"""Rates, four to a decade."""
HALVES = (1e-3, 3e-3, 1e-2, 3e-2)
RANKS = (1, 4, 16, 64)
ALPHAS = (1.0, 4.0, 16.0, 64.0)
IMAGES = (160, 640, 1280)
HEART_RANKS = (1, 2, 8)
STARTS: dict[str, Method] = {
    "LoRA": LoRA(rank=4),
    "PiSSA": LoRA(rank=4, init="pissa"),
    "OLoRA": LoRA(rank=4, init="olora"),
    "LoRA+ × 4": LoRA(rank=4, lr_ratio=4),
    "LoRA+ × 16": LoRA(rank=4, lr_ratio=16),
    "LoRA-FA": LoRA(rank=4, freeze_a=True),
    "rsLoRA": LoRA(rank=4, rslora=True),
    "QLoRA": QLoRA(rank=4),
    "QLoRA, LoftQ": QLoRA(rank=4, init="loftq"),
}
START_STEPS = 180
EARLY = 90
HIDDEN = 64
"""Rows and columns of the matrices that are searched for intruders."""


def learning_rate(seed: int) -> list[Row]:
    """Held-out loss of full and of LoRA, α = 16, at ranks 1 to 64, by rate."""
    methods = [Full(), *(LoRA(rank=rank) for rank in RANKS)]
    return list(_ends(methods, QUARTERS, seed))


def alpha(seed: int) -> list[Row]:
    """Held-out loss of LoRA of rank 8, by α and rate."""
    return list(_ends([LoRA(rank=8, alpha=alpha) for alpha in ALPHAS], (*QUARTERS, 0.1), seed))


def capacity(seed: int) -> list[Row]:
    """Share of random labels known at the end, by number of images and rank."""
    methods = [Full(), *(LoRA(rank=rank) for rank in HEART_RANKS)]
    asked = [run_settings("labels", method, seed=seed, images=images) for images in IMAGES for method in methods]
    return [
        {**_about(trained, place), "images": one.options["images"], "accuracy": trained.metrics[place]["accuracy"]}
        for trained in trained_stacks(asked)
        for place, one in enumerate(trained.settings)
    ]


def forgetting(seed: int) -> list[Row]:
    """Loss on turned digits, which are learned, beside that on upright ones, which the base kby method and rate;
    and the intruders among a hidden matrix's strongest directions."""
    methods = [Full(), LoRA(), DoRA(), QLoRA(), QDoRA(), LoRA(rank=1)]
    known = Stack([run_settings("digits", Full(), seed=seed)])
    (base_before,) = judged_on(known, _upright())
    rows = []
    for trained in trained_stacks(_asked(methods, HALVES, seed)):
        found, counts = judged_on(trained.stack, _upright()), intruders_of(trained)
        for place, (base, count) in enumerate(zip(found, counts, strict=True)):
            shares = {"accuracy": trained.metrics[place]["accuracy"], "base_accuracy": base.metrics["accuracy"]}
            losses = {"base_before": base_before.validation, "base_loss": base.validation}
            rows.append({**_end(trained, place), **losses, **shares, "intruders": count})
    return rows


def starts(seed: int) -> list[Row]:
    """Held-out loss half way and at the end, of LoRA with other starts and of its relatives, by rate."""
    asked = [
        run_settings("digits", method, seed=seed, learning_rate=rate, steps=START_STEPS, evaluations=2)
        for method in STARTS.values()
        for rate in (*HALVES, 0.1)
    ]
    names = {method: name for name, method in STARTS.items()}
    return [
        {
            "variant": names[one.method],
            **_end(trained, place),
            "early": trained.held_out[place].get(EARLY, INFINITE),
        }
        for trained in trained_stacks(asked)
        for place, one in enumerate(trained.settings)
    ]


def intruders_of(trained: TrainedStack) -> list[float]:
    """Of each model the intruders among the ten strongest directions, mean over its hidden matrices."""
    seeds = {one.seed for one in trained.settings}
    before = {seed: _base_weights(seed) for seed in seeds}
    after = [weight_of(layer) for layer in trained.stack.layers]
    hidden = [i for i, weights in enumerate(after) if weights.shape[1:] == (HIDDEN, HIDDEN)]
    return [
        sum(intruder_dimensions(before[one.seed][i], after[i][place]).count for i in hidden) / len(hidden)
        for place, one in enumerate(trained.settings)
    ]


def _base_weights(seed: int) -> list[Tensor]:
    """Of every linear layer, before anything was trained."""
    return [layer.weight[0] for layer in Stack([run_settings("digits", Full(), seed=seed)]).layers]


def _upright() -> Tensor:
    """The held-out images as the base has learned them."""
    return digits()[0][-500:].flatten(1)


def _asked(methods: Sequence[Method], rates: Sequence[float], seed: int, steps: int = STEPS) -> list[Any]:
    return [
        run_settings("digits", method, seed=seed, learning_rate=rate, steps=steps, evaluations=1)
        for method in methods
        for rate in rates
    ]


def _ends(methods: Sequence[Method], rates: Sequence[float], seed: int) -> Iterator[Row]:
    for trained in trained_stacks(_asked(methods, rates, seed)):
        yield from (_end(trained, place) for place in range(len(trained.settings)))


def _end(trained: TrainedStack, place: int) -> Row:
    return {
        **_about(trained, place),
        "learning_rate": trained.settings[place].learning_rate,
        "before": trained.before(place),
        "validation": trained.after(place),
    }


def _about(trained: TrainedStack, place: int) -> Row:
    """Which run it was; the rank of full fine-tuning is written 0."""
    one = trained.settings[place]
    method = one.method
    own = {"rank": method.rank, "scale": method.scaling} if isinstance(method, LoRA) else {"rank": 0, "scale": 0.0}
    return {"method": method.name, **own, "seed": one.seed, "steps": one.steps}
