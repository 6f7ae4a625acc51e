"""What decides the claims about rates and rank: the best rate by rank, α as a knob of it, what a rank can hold."""

from __future__ import annotations

import math

from peftcalc.lab.comparison import interval
from peftcalc.lab.findings.numbers import (
    Rows,
    Verdict,
    at_best_rate,
    badge_for,
    best_rates,
    by_seed,
    chosen,
    direction,
    paired,
    signed,
    spread,
)

SAME = math.log10(2)
"""Best rates within this of each other, in decades, are the same: a factor of 2."""


def learning_rate(rows: Rows) -> Verdict:
    """Reproduces where the best rates of the smallest and the largest rank differ by a factor below 2, interval
    included; reverses where by more, interval excluded."""
    ranks = sorted({row["rank"] for row in chosen(rows, method="lora")})
    best = {rank: best_rates(chosen(rows, method="lora", rank=rank)) for rank in ranks}
    full = best_rates(chosen(rows, method="full"))
    told = ", ".join(f"{10 ** interval(list(best[rank].values())).mean:.2g}" for rank in ranks)
    ratio = paired({seed: _mean_over(best, seed) for seed in full}, full)
    apart = paired(best[ranks[-1]], best[ranks[0]])
    badge = (
        "reproduces"
        if abs(apart.mean) + apart.half_width < SAME
        else "reverses"
        if abs(apart.mean) - apart.half_width > SAME
        else "not resolved"
    )
    beside = (
        f"rank {ranks[-1]} wants {_times(apart.mean)} times the rate of rank {ranks[0]} "
        f"({_times(apart.mean - apart.half_width)} to {_times(apart.mean + apart.half_width)})"
        if len(ranks) > 1
        else f"only rank {ranks[0]} was tried"
    )
    return Verdict(
        badge,
        f"LoRA learns best at {told} for rank {', '.join(map(str, ranks))}: {beside}. That is "
        f"{_times(ratio.mean)} times full fine-tuning's rate ({_times(ratio.mean - ratio.half_width)} to "
        f"{_times(ratio.mean + ratio.half_width)}).",
    )


def rate_ratio(rows: Rows) -> Verdict:
    """Of a large model: reproduces where LoRA's best rate is 10 times full's within the interval, reverses where the
    interval lies below 1."""
    lora, full = best_rates(chosen(rows, method="lora")), best_rates(chosen(rows, method="full"))
    ratio = paired(lora, full)
    low, high = ratio.mean - ratio.half_width, ratio.mean + ratio.half_width
    badge = "reproduces" if low > 0 and low <= 1 <= high else "reverses" if high < 0 else "not resolved"
    return Verdict(
        badge,
        f"LoRA of rank {chosen(rows, method='lora')[0]['rank']} learns best at "
        f"{10 ** interval(list(lora.values())).mean:.2g}, full fine-tuning at "
        f"{10 ** interval(list(full.values())).mean:.2g}: {_times(ratio.mean)} times the rate ({_times(low)} to "
        f"{_times(high)}), after {rows[0]['steps']} steps.",
    )


def capacity(rows: Rows) -> Verdict:
    """Reproduces where, of the most images, the smallest rank learns less by heart than full fine-tuning, and of the
    fewest images not; reverses where it learns more."""
    ranks = sorted({row["rank"] for row in chosen(rows, method="lora")})
    counts = sorted({row["images"] for row in rows})
    middle = counts[len(counts) // 2]

    def known(images: int, rank: int) -> dict[int, float]:
        return by_seed(chosen(rows, images=images, rank=rank), "accuracy")

    lacking = direction(paired(known(counts[-1], 0), known(counts[-1], ranks[0])))
    enough = direction(paired(known(counts[0], 0), known(counts[0], ranks[0])))
    badge = badge_for(lacking) if enough <= 0 or lacking < 1 else "not resolved"
    figures = "; ".join(
        f"of {images} {', '.join(_share(known(images, rank), f'rank {rank}') for rank in ranks)}, "
        f"{_share(known(images, 0), 'full')}"
        for images in (middle, counts[-1])
    )
    least = min(interval(list(known(counts[0], rank).values())).mean for rank in ranks)
    return Verdict(
        badge,
        f"Share of random labels known after {rows[0]['steps']} steps: {figures}. Of {counts[0]} images every rank "
        f"knows at least {least:.3f}.",
    )


def alpha(rows: Rows) -> Verdict:
    """Reproduces where a larger α asks for a lower rate, interval included; reverses where for a higher one."""
    wide = chosen(rows, rank=8)
    scales = sorted({row["scale"] for row in wide})
    best = {scale: best_rates(chosen(wide, scale=scale)) for scale in scales}
    decades = math.log10(scales[-1] / scales[0])
    slope = paired(
        {seed: -rate / decades for seed, rate in best[scales[-1]].items()},
        {seed: -rate / decades for seed, rate in best[scales[0]].items()},
    )
    losses = {scale: by_seed(at_best_rate(chosen(wide, scale=scale)), "validation") for scale in scales}
    apart = paired(losses[scales[-1]], losses[scales[0]])
    told = ", ".join(f"{10 ** interval(list(best[scale].values())).mean:.2g}" for scale in scales)
    return Verdict(
        badge_for(direction(slope)),
        f"At rank 8, α = {', '.join(f'{8 * scale:g}' for scale in scales)} learn best at {told}: the best rate falls "
        f"with α to the power {spread(slope, 2)}, where 1 would make α another name for the rate. Each at its best, "
        f"α = {8 * scales[-1]:g} ends {signed(apart)} from α = {8 * scales[0]:g}.",
    )


def _mean_over(best: dict[int, dict[int, float]], seed: int) -> float:
    return sum(found[seed] for found in best.values()) / len(best)


def _times(decades: float) -> str:
    return f"{10**decades:.1f}"


def _share(known: dict[int, float], name: str) -> str:
    return f"{name} {spread(interval(list(known.values())))}"
