"""The reasons of an advice: each step with the number or the published table that speaks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from peftcalc import units
from peftcalc.advice.cards import REPEAT_HEADS, Choice
from peftcalc.advice.wishes import Plan, Wish
from peftcalc.evidence.quality import lora_against_dora
from peftcalc.memory.fit import Fit
from peftcalc.memory.kernels import SOURCE
from peftcalc.memory.largest import step
from peftcalc.memory.needed import needed_for
from peftcalc.memory.serving.tasks import serving
from peftcalc.methods import METHODS, LoRA, Method
from peftcalc.models.shapes import ModelShapes


@dataclass(frozen=True)
class Reason:
    """One step of the advice."""

    question: str
    answer: str
    evidence: str
    kind: str
    """Where the evidence comes from: "estimated", "exact" or "published"."""
    source: str
    finding: str = ""
    """The claim that this project has tried again (a name in `peftcalc.lab.findings`), where one speaks to it."""
    rows: tuple[dict[str, Any], ...] = ()
    """A published table, where there is more to see than a sentence holds."""


def ranking_reason(wish: Wish, plans: tuple[Plan, ...], choice: Choice, chosen: Fit) -> Reason:
    """The wish's own line, and which place of it was taken."""
    passed = [f"too large: {', '.join(map(str, choice.too_large))}"] if choice.too_large else []
    passed += [f"{plan} fits here and not on the larger {card.name}" for plan, card in choice.only_here]
    why = f" ({'; '.join(passed)})" if passed else ""
    taken = "none fits; it needs least"
    if chosen.fits:
        larger = " and on every card with more memory" if choice.only_here else ""
        taken = f"the first that fits on the {chosen.gpu.name}{larger}"
    return Reason(
        f"What comes first for {wish.name}?",
        f"{' › '.join(map(str, plans))}. Taken: {choice.plan}, {taken}{why}.",
        wish.evidence,
        "published",
        wish.source,
    )


def memory_reasons(fits: tuple[Fit, ...], chosen: Fit, checkpointing: bool) -> Iterator[Reason]:
    card = chosen.gpu
    listed = ", ".join(f"{f.method.label} {units.gib(f.needed.expected_bytes)}" for f in fits)
    source = "closed-form estimate of this tool, allocator and CUDA context included"
    how = " with checkpointing" if checkpointing else ""
    yield Reason(
        f"What fits on the {card.name}{how}?",
        f"{', '.join(f.method.label for f in fits if f.fits) or 'None of them'}.",
        f"{listed}; usable {units.gib(card.usable_bytes)}.",
        "estimated",
        source,
    )
    if checkpointing:
        yield Reason(
            "Keep activations or compute them again?",
            "Gradient checkpointing: keep one input a layer and compute the rest again.",
            f"With it {chosen.method.label} needs {units.gib(chosen.needed.expected_bytes)}, at a third more time.",
            "estimated",
            source,
        )
    if not chosen.fits:
        missing = units.gib(-chosen.free_bytes)
        longest = chosen.largest_sequence
        way = (
            f"sequences up to {longest:,} tokens would fit" if longest else "a smaller model or a larger card is needed"
        )
        yield Reason("Is there a way?", f"Not at this length: {way}.", f"{missing} are missing.", "estimated", source)


def kernel_reasons(chosen: Fit) -> Iterator[Reason]:
    """What makes the step as small as it is said to be on a card that shares no heads."""
    setup = chosen.step.options
    if setup.kernel == "auto":
        return
    alone = step(chosen.step.model, chosen.method, replace(setup, kernel="auto"))
    if "math" not in alone.kernels:  # a mask: transformers repeats them by itself
        return
    same, needs = alone.peak == chosen.step.peak, units.gib(chosen.needed.expected_bytes)
    least = needed_for(alone.held, alone.upcast, chosen.gpu).expected_bytes
    without = f"{chosen.method.label} needs {units.gib(least)}; so it needs {needs}"
    yield Reason(
        f"What does the {chosen.gpu.name} ask for?",
        f"Keys and values repeated for every query head, and float16: `{REPEAT_HEADS}`.",
        f"Compute capability {chosen.gpu.architecture} has no fused kernel in which query heads share keys and values, "
        "and no bfloat16. Left alone, torch's MATH kernel keeps sequence × sequence, and "
        f"{'the peak is elsewhere at this length' if same else without}.",
        "estimated",
        SOURCE,
    )


def adapter_reason(wish: Wish, chosen: Fit, tasks: int) -> Reason:
    method = chosen.method
    if not method.has_adapter:
        return Reason(
            "Adapter or full fine-tuning?",
            "Full: it fits, quality is asked for, and one task is all that is served.",
            "LoRA matches full fine-tuning on instruction data in the QLoRA paper; on much new material full can learn "
            "more, and forgets more (LoRA Learns Less and Forgets Less).",
            "published",
            "arXiv:2305.14314, section 4; arXiv:2405.09673",
            "forgetting",
        )
    answer = _decomposed_or_not(wish, method, tasks)
    return Reason("LoRA or DoRA?", answer, _gains(), "published", _GAINS_SOURCE, rows=lora_against_dora())


_GAINS_SOURCE = "DoRA paper, arXiv:2402.09353, table 1; PEFT's MetaMathQA runs, huggingface/peft@5d602fd"


def _gains() -> str:
    """What the two published tables say of the same two methods."""
    told: dict[str, list[str]] = {}
    for row in lora_against_dora():
        told.setdefault(row["tested on"], []).append(f"{row['model']} {row['LoRA']} → {row['DoRA']}")
    tables = ". ".join(f"{tests[0].upper()}{tests[1:]}: {', '.join(some)}" for tests, some in told.items())
    return f"LoRA → DoRA at rank 32, per cent right. {tables}. The two tables disagree."


def _decomposed_or_not(wish: Wish, method: Method, tasks: int) -> str:
    """The answer that agrees with the choice, whatever was asked for."""
    if method.decomposed:
        return f"{method.label}: better at the same rank in its paper, for more memory and time."
    if any(plan.method in ("dora", "qdora") for plan in wish.plans(tasks)):
        return f"{method.label}: DoRA would come first for {wish.name}, and needs more memory than there is."
    return f"{method.label}: simpler and faster than {METHODS[method.name.replace('lora', 'dora')].label}."


def refusal_reasons(refused: Mapping[str, str]) -> Iterator[Reason]:
    if refused:
        labels = " and ".join(METHODS[name].label for name in refused)
        yield Reason(
            "Are all five possible on this model?",
            f"Not {labels}.",
            f"{next(iter(refused.values()))}.",
            "exact",
            "peft 0.21's rules, as this tool counts",
        )


def serving_reasons(model: ModelShapes, method: Method, tasks: int) -> Iterator[Reason]:
    if tasks > 1 and isinstance(method, LoRA):
        both = serving(model, method, tasks)
        yield Reason(
            f"How will {tasks:,} tasks be served?",
            "One base, an adapter a task.",
            f"{units.gb(both.adapted_memory)} in memory against {units.gb(both.full_memory)} for whole models "
            f"({both.times_less:.3g} times less).",
            "exact",
            "weights only, counted by this tool; LoRA paper, section 4.2",
        )
