"""What decides the claims about choices: how an adapter starts, its relatives, and which layers it is put on."""

from __future__ import annotations

from peftcalc.lab.comparison import Interval, interval
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

CLAIMED = "PiSSA"
"""The start whose paper says that it is faster and ends lower."""


def starts(rows: Rows, loftq: Rows) -> Verdict:
    """Reproduces where PiSSA ends below LoRA, each at the best of its rates; reverses where above."""
    best = {name: at_best_rate(chosen(rows, variant=name)) for name in dict.fromkeys(row["variant"] for row in rows)}

    def against(name: str, base: str, when: str) -> Interval:
        return paired(by_seed(best[name], when), by_seed(best[base], when))

    others = [name for name in best if not name.startswith("QLoRA") and name != "LoRA"]
    steps, early = rows[0]["steps"], ", ".join(f"{name} {signed(against(name, 'LoRA', 'early'))}" for name in others)
    end = ", ".join(f"{name} {signed(against(name, 'LoRA', 'validation'))}" for name in others)
    plain = {when: interval([row[when] for row in best["LoRA"]]) for when in ("early", "validation")}
    turned = {turns: _error(loftq, turns) for turns in (0, max(row["turns"] for row in loftq))}
    return Verdict(
        badge_for(-direction(against(CLAIMED, "LoRA", "validation"))),
        f"Against LoRA, which comes to {spread(plain['early'])} at step {steps // 2} and {spread(plain['validation'])} "
        f"at step {steps}: at step {steps // 2} {early}; at the end {end}. LoftQ takes NF4's error from "
        f"{turned[0]:.4f} of a weight to {turned[max(turned)]:.4f} in {max(turned)} turns; QLoRA's loss at the end "
        f"moves by {signed(against('QLoRA, LoftQ', 'QLoRA', 'validation'))}.",
    )


def _error(loftq: Rows, turns: int) -> float:
    found = [row["error"] for row in chosen(loftq, turns=turns)]
    return sum(found) / len(found)


def layers(rows: Rows) -> Verdict:
    """Reproduces where attention alone ends above the MLP at as many parameters; reverses where below."""
    ends = {name: by_seed(chosen(rows, targets=name), "validation") for name in ("attention", "mlp", "all")}
    counts = sorted({row["parameters"] for row in rows})
    figures = {name: spread(interval(list(found.values()))) for name, found in ends.items()}
    attention, every = paired(ends["attention"], ends["mlp"]), paired(ends["all"], ends["mlp"])
    return Verdict(
        badge_for(direction(attention)),
        f"With {counts[0]:,} to {counts[-1]:,} trained parameters each and {rows[0]['steps']} steps, attention alone "
        f"ends at {figures['attention']}, the MLP at {figures['mlp']}, all linear layers at {figures['all']}: "
        f"attention {signed(attention)} from the MLP, all {signed(every)}.",
    )
