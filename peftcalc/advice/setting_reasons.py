"""The reasons for an adapter's settings: where it sits, its rank, alpha, learning rate, start, dropout, its merging."""

from __future__ import annotations

from collections.abc import Iterator

from peftcalc import units
from peftcalc.advice.reasons import Reason
from peftcalc.advice.wishes import Wish
from peftcalc.evidence.accuracy import WIKISQL_BY_RANK
from peftcalc.methods import ALL_LINEAR, LoRA, Method


def dropout_for(parameters: int) -> float:
    """0.1 up to 13 billion parameters, 0.05 above. (QLoRA paper, arXiv:2305.14314, appendix B.2.)"""
    return 0.1 if parameters <= 14e9 else 0.05


def setting_reasons(wish: Wish, method: Method, parameters: int) -> Iterator[Reason]:
    if isinstance(method, LoRA):
        yield _target_reason(wish, method)
        yield _rank_reason(method.rank)
        yield _alpha_reason(method)
        yield _rate_reason()
        yield _start_reason()
        yield _dropout_reason(parameters)
        if method.quantized:
            yield _merge_reason()


def _target_reason(wish: Wish, method: LoRA) -> Reason:
    if method.targets != ALL_LINEAR:
        why = "peft adapts stacked experts without DoRA and dropout" if wish.everywhere else "fewer products a step"
        return Reason(
            "Which modules?",
            f"The attention's alone ({', '.join(method.targets)}): {why}.",
            "It is paid for in quality: in the QLoRA paper the attention alone does not reach full fine-tuning at any "
            "rank, and every linear layer does.",
            "published",
            "QLoRA paper, arXiv:2305.14314, figure 2 and section 4",
            "layers",
        )
    missing = "" if wish.everywhere else ", since this model names no projection of its attention alone"
    return Reason(
        "Which modules?",
        f"Every linear layer{missing}.",
        "Adapting the attention alone does not reach full fine-tuning at any rank; adapting every linear layer does.",
        "published",
        "QLoRA paper, arXiv:2305.14314, figure 2 and section 4",
        "layers",
    )


def _rank_reason(rank: int) -> Reason:
    table = ", ".join(f"r = {r}: {accuracy}" for r, accuracy in WIKISQL_BY_RANK.items())
    return Reason(
        "Which rank?",
        f"{rank}; lower it when adapters must be small, raise it when the task is far from what the model knows.",
        f"GPT-3 on WikiSQL barely depends on it ({table}).",
        "published",
        "LoRA paper, arXiv:2106.09685, table 6",
        "capacity",
    )


def _alpha_reason(method: LoRA) -> Reason:
    return Reason(
        "Which alpha?",
        f"Twice the rank: α / r = {method.scaling:g}.",
        "Alpha acts like a learning rate of the adapter: choose one rule and tune the learning rate. The QLoRA paper "
        "kept α = 16 at r = 64, a scaling of ¼.",
        "published",
        "LoRA paper, section 4.1; QLoRA paper, appendix B.2",
        "alpha",
    )


def _rate_reason() -> Reason:
    return Reason(
        "Which learning rate?",
        "To begin with ten times that of full fine-tuning, whatever the rank; then its half and its double.",
        "LoRA's best rate hardly depends on the rank, and lies about ten times above that of full fine-tuning.",
        "published",
        "LoRA Without Regret, Thinking Machines 2025",
        "learning-rate",
    )


def _start_reason() -> Reason:
    return Reason(
        "Another start than B = 0?",
        "Not at first: what it gains early, a tuned learning rate gains as well.",
        "PiSSA and OLoRA are reported to learn faster and to end better than LoRA at the same settings.",
        "published",
        "PiSSA arXiv:2404.02948; OLoRA arXiv:2406.01775",
        "starts",
    )


def _merge_reason() -> Reason:
    return Reason(
        "How is it merged afterwards?",
        "Into 16-bit weights, or not at all: the adapter was trained beside rounded weights.",
        "Rounded to four bits again after merging, a weight loses what is smaller than its steps. QA-LoRA was made "
        "because QLoRA's merged model is not a 4-bit one.",
        "published",
        "QA-LoRA, arXiv:2309.14717, section 1",
        "merging",
    )


def _dropout_reason(parameters: int) -> Reason:
    return Reason(
        "How much dropout?",
        f"{dropout_for(parameters):g} for {units.short_count(parameters)} parameters.",
        "0.1 for 7B and 13B, 0.05 for 33B and 65B; with plenty of data none is needed.",
        "published",
        "QLoRA paper, arXiv:2305.14314, appendix B.2",
    )
