"""What decides the claims about what is lost: by merging into four bits, and of what the base knew."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from peftcalc.lab.comparison import interval
from peftcalc.lab.findings.numbers import (
    Rows,
    Verdict,
    at_best_rate,
    badge_for,
    by_seed,
    chosen,
    direction,
    paired,
    signed,
    spread,
)

FORMAT_NAMES = {"nf4": "NF4", "fp4": "FP4", "mxfp4": "MXFP4", "int4": "int4"}


def merging(rows: Rows, *_: Rows) -> Verdict:
    """Reproduces where a merged weight that is quantized again has a higher loss than base and adapter apart, in NF4;
    reverses where a lower one."""
    formats = [name for name in FORMAT_NAMES if chosen(rows, quant=name)]

    def costs(way: str, quant: str) -> str:
        return signed(_cost(rows, quant, way), 4)

    again = ", ".join(f"{FORMAT_NAMES[quant]} {costs('requantized', quant)}" for quant in formats)
    floats = ", ".join(f"{FORMAT_NAMES[quant]} {costs('original', quant)}" for quant in formats)
    exact = max(abs(row["dequantized"] - row["trained"]) for row in rows)
    trained = interval(list(by_seed(chosen(rows, quant="nf4"), "trained").values()))
    return Verdict(
        badge_for(direction(_cost(rows, "nf4", "requantized"))),
        f"Quantized again after merging, the trained loss of {spread(trained, 4)} changes by {again}. In the "
        f"dequantized floats it stays to within {exact:.5f}; in the original floats, to which the adapter was not "
        f"trained, it changes by {floats}.",
    )


def _cost(rows: Rows, quant: str, way: str):
    one = chosen(rows, quant=quant)
    return paired(by_seed(one, way), by_seed(one, "trained"))


def forgetting(rows: Rows) -> Verdict:
    """Reproduces where, at an equal loss on the new task, LoRA of rank 8 has a lower loss than full fine-tuning on what
    the base knew; reverses where a higher one."""
    full, lora = chosen(rows, method="full"), chosen(rows, method="lora", rank=8)
    best = {name: at_best_rate(one) for name, one in (("full", full), ("lora", lora))}
    learned = paired(by_seed(best["lora"], "validation"), by_seed(best["full"], "validation"))
    kept = paired(by_seed(best["lora"], "base_loss"), by_seed(best["full"], "base_loss"))
    excess = [_excess(chosen(lora, seed=seed), chosen(full, seed=seed)) for seed in sorted({r["seed"] for r in rows})]
    known = [one for one in excess if one is not None]
    equal = interval(known or [math.nan])
    before = interval([row["base_before"] for row in best["full"]])
    low, high = (math.exp(equal.mean + sign * equal.half_width) for sign in (-1, 1))
    return Verdict(
        badge_for(-direction(equal)),
        f"Each at its best rate, LoRA of rank 8 ends {signed(learned)} from full fine-tuning on the new task and "
        f"{signed(kept, 1)} on what the base knew ({before.mean:.2f} before). At an equal loss on the new task LoRA's "
        f"loss on the old one is {math.exp(equal.mean):.2f} times full fine-tuning's ({low:.2f} to {high:.2f}).",
    )


def _excess(lora: Rows, full: Rows) -> float | None:
    """Of one seed: the logarithm of LoRA's loss on the old task over full fine-tuning's at the same loss on the new
    one, which lies between two rates of full; the mean over LoRA's rates for which there are two such."""
    curve = _learning_part(full)
    found = []
    for row in _learning_part(lora):
        there = _between(curve, row["validation"])
        if there is not None:
            found.append(math.log(row["base_loss"]) - there)
    return sum(found) / len(found) if found else None


def _learning_part(rows: Rows) -> Rows:
    """From the lowest rate up to the best: beyond it more is forgotten and nothing is learned."""
    ordered = sorted(rows, key=lambda row: row["learning_rate"])
    best = min(range(len(ordered)), key=lambda place: ordered[place]["validation"])
    return ordered[: best + 1]


def _between(curve: Rows, loss: float) -> float | None:
    """The logarithm of the old task's loss where the curve passes this loss on the new task; None where it does not."""
    for one, other in itertools.pairwise(curve):
        high, low = one["validation"], other["validation"]
        if low <= loss <= high and low < high:
            part = (math.log(high) - math.log(loss)) / (math.log(high) - math.log(low))
            return (1 - part) * math.log(one["base_loss"]) + part * math.log(other["base_loss"])
    return None


def intruders(rows: Rows) -> Verdict:
    """Reproduces where LoRA brings more intruders into a matrix than full fine-tuning, each at its best rate; reverses
    where fewer."""
    full, lora = (at_best_rate(chosen(rows, method=name, **more)) for name, more in _INTRUDERS)
    more = paired(by_seed(lora, "intruders"), by_seed(full, "intruders"))
    counts = {name: interval([row["intruders"] for row in one]) for name, one in (("full", full), ("lora", lora))}
    return Verdict(
        badge_for(direction(more)),
        f"Of the ten strongest directions of a trained matrix {spread(counts['lora'], 2)} resemble none that it had "
        f"with LoRA of rank {lora[0]['rank']} (rate {lora[0]['learning_rate']:g}), {spread(counts['full'], 2)} with "
        f"full fine-tuning (rate {full[0]['learning_rate']:g}): {signed(more, 2)}, after {lora[0]['steps']} steps.",
    )


_INTRUDERS: tuple[tuple[str, Mapping[str, int]], ...] = (("full", {}), ("lora", {"rank": 8}))
