"""The reasons of an advice: each step with the number or the published table that speaks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from peftcalc import units
from peftcalc.evidence.accuracy import COMMONSENSE, WIKISQL_BY_RANK
from peftcalc.memory.fit import Fit
from peftcalc.memory.serving import serving
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


def dropout_for(parameters: int) -> float:
    """0.1 up to 13 billion parameters, 0.05 above. (QLoRA paper, arXiv:2305.14314, appendix B.2.)"""
    return 0.1 if parameters <= 14e9 else 0.05


def memory_reasons(fits: tuple[Fit, ...], chosen: Fit, checkpointing: bool) -> Iterator[Reason]:
    card = chosen.gpu
    listed = ", ".join(f"{f.method.label} {units.gib(f.needed.expected_bytes)}" for f in fits)
    source = "closed-form estimate of this tool, allocator and CUDA context included"
    answer = ", ".join(f.method.label for f in fits if f.fits) or "None of them"
    yield Reason(f"What fits on the {card.name}?", f"{answer}.", f"{listed}; usable {units.gib(card.usable_bytes)}.",
                 "estimated", source)  # fmt: skip
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


def adapter_reason(chosen: Fit) -> Reason:
    method = chosen.method
    if not method.has_adapter:
        return Reason(
            "Adapter or full fine-tuning?",
            "Full: everything fits, and one task is all that is served.",
            "LoRA matches full fine-tuning on instruction data in the QLoRA paper; on much new material full can learn "
            "more, and forgets more (LoRA Learns Less and Forgets Less).",
            "published",
            "arXiv:2305.14314, section 4; arXiv:2405.09673",
        )
    gains = ", ".join(f"{name} {lora} → {dora}" for name, (lora, dora, _) in COMMONSENSE.items())
    answer = "DoRA: better at the same rank, for memory and time." if method.decomposed else "LoRA: simpler and faster."
    evidence = f"Commonsense average, LoRA → DoRA at rank 32: {gains}. What it costs stands in the list above."
    return Reason("LoRA or DoRA?", answer, evidence, "published", "DoRA paper, arXiv:2402.09353, table 1")


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


def setting_reasons(method: Method, parameters: int) -> Iterator[Reason]:
    if isinstance(method, LoRA):
        yield _target_reason()
        yield _rank_reason(method.rank)
        yield _alpha_reason(method)
        yield _dropout_reason(method, parameters)


def _target_reason() -> Reason:
    return Reason(
        "Which modules?",
        "Every linear layer.",
        "Adapting the attention alone does not reach full fine-tuning at any rank; adapting every linear layer does.",
        "published",
        "QLoRA paper, arXiv:2305.14314, figure 2 and section 4",
    )


def _rank_reason(rank: int) -> Reason:
    table = ", ".join(f"r = {r}: {accuracy}" for r, accuracy in WIKISQL_BY_RANK.items())
    return Reason(
        "Which rank?",
        f"{rank}; lower it when adapters must be small, raise it when the task is far from what the model knows.",
        f"GPT-3 on WikiSQL barely depends on it ({table}).",
        "published",
        "LoRA paper, arXiv:2106.09685, table 6",
    )


def _alpha_reason(method: LoRA) -> Reason:
    return Reason(
        "Which alpha?",
        f"Twice the rank: α / r = {method.scaling:g}.",
        "Alpha acts like a learning rate of the adapter: choose one rule and tune the learning rate. The QLoRA paper "
        "kept α = 16 at r = 64, a scaling of ¼.",
        "published",
        "LoRA paper, section 4.1; QLoRA paper, appendix B.2",
    )


def _dropout_reason(method: LoRA, parameters: int) -> Reason:
    if not method.dropout:
        return Reason(
            "How much dropout?",
            "None: this model's experts are stacked.",
            "peft adapts stacked experts as bare parameters, and refuses dropout on these.",
            "exact",
            "peft 0.21's rules, as this tool counts",
        )
    return Reason(
        "How much dropout?",
        f"{dropout_for(parameters):g} for {units.short_count(parameters)} parameters.",
        "0.1 for 7B and 13B, 0.05 for 33B and 65B; with plenty of data none is needed.",
        "published",
        "QLoRA paper, arXiv:2305.14314, appendix B.2",
    )


def serving_reasons(model: ModelShapes, tasks: int) -> Iterator[Reason]:
    if tasks > 1:
        both = serving(model, LoRA(rank=16), tasks)
        yield Reason(
            f"How will {tasks:,} tasks be served?",
            "One base, an adapter a task.",
            f"{units.gb(both.adapted_memory)} in memory against {units.gb(both.full_memory)} for whole models "
            f"({both.times_less:.3g} times less).",
            "exact",
            "weights only, counted by this tool; LoRA paper, section 4.2",
        )
