"""What is claimed of LoRA, and whether it shows here: each badge and each sentence follows from stored rows.

No number below is typed: a sentence is made from the data by the function that decides its badge. What was published is
quoted beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from peftcalc.checks import one_of
from peftcalc.lab.findings import choices, losses, rates
from peftcalc.lab.findings.numbers import Badge, Rows, Verdict, seeds_of
from peftcalc.lab.findings.stored import stored_finding, stored_findings

DIGITS = "digits: a residual network of 46,410 parameters, its images turned by 90°"
SMOLLM2 = "SmolLM2-135M-Instruct, sentences to JSON"


@dataclass(frozen=True)
class Claim:
    """A claim of others, and what came here."""

    name: str
    question: str
    sentence: str
    """What the stored runs say, in figures."""
    badge: Badge
    source: str
    seeds: int
    model: str
    published: str
    """The figures of the source."""


@dataclass(frozen=True)
class Asked:
    """All of a claim but what the data say.

    Args:
        decide: the badge and the sentence, from the rows of the findings called `data`.
        seeds: of the first of `data`; with fewer nothing is resolved.
    """

    question: str
    source: str
    model: str
    published: str
    decide: Callable[..., Verdict]
    data: tuple[str, ...]
    seeds: int = 10


REGRET = "Schulman et al. 2025, LoRA Without Regret, Thinking Machines"
MERGING = "peft's warning on merging into a 4-bit layer; Dettmers et al. 2023, QLoRA, arXiv:2305.14314"
INTRUDERS = "Shuttleworth et al. 2024, LoRA vs Full Fine-tuning: An Illusion of Equivalence, arXiv:2410.21228"

ASKED: dict[str, Asked] = {
    "learning-rate": Asked(
        "Which learning rate?",
        REGRET,
        DIGITS,
        "The best rate of LoRA hardly depends on its rank, and is about ten times that of full fine-tuning.",
        rates.learning_rate,
        ("learning-rate",),
    ),
    "capacity": Asked(
        "When is a rank too small?",
        REGRET,
        "digits: a residual network of 46,410 parameters, its images with random labels",
        "LoRA learns as full fine-tuning does until what it has to learn exceeds what its parameters hold.",
        rates.capacity,
        ("capacity",),
    ),
    "alpha": Asked(
        "What is alpha?",
        "Hu et al. 2021, LoRA, arXiv:2106.09685, section 4.1",
        DIGITS,
        "Tuning α is roughly the same as tuning the learning rate.",
        rates.alpha,
        ("alpha",),
    ),
    "merging": Asked(
        "Is merging free?",
        MERGING,
        DIGITS,
        "Merging into a 4-bit layer may change what the model says, by rounding.",
        losses.merging,
        ("merging",),
    ),
    "forgetting": Asked(
        "Does LoRA forget less?",
        "Biderman et al. 2024, LoRA Learns Less and Forgets Less, arXiv:2405.09673",
        DIGITS + "; it learned them upright",
        "LoRA learns less than full fine-tuning and keeps more of what the base knew.",
        losses.forgetting,
        ("forgetting",),
    ),
    "intruders": Asked(
        "Does LoRA bring in intruder dimensions?",
        INTRUDERS,
        DIGITS,
        "LoRA of low rank adds strong directions unlike any the base had; full fine-tuning hardly does.",
        losses.intruders,
        ("forgetting",),
    ),
    "starts": Asked(
        "Do better starts and relatives end lower?",
        "Meng et al. 2024, PiSSA, arXiv:2404.02948; Büyükakyüz 2024, OLoRA, arXiv:2406.01775; Li et al. 2023, LoftQ, "
        "arXiv:2310.08659; Hayou et al. 2024, LoRA+, arXiv:2402.12354; Zhang et al. 2023, LoRA-FA, arXiv:2308.03303; "
        "Kalajdzievski 2023, rsLoRA, arXiv:2312.03732",
        DIGITS + "; LoftQ's error on the weights of the names model",
        "PiSSA learns faster than LoRA and ends lower.",
        choices.starts,
        ("starts", "loftq"),
    ),
    "layers": Asked(
        "Which layers?",
        REGRET,
        "names: a character model of 803,968 parameters, Japanese city names",
        "Attention alone is worse than the MLP at as many parameters, and adding it to the MLP helps no further.",
        choices.layers,
        ("layers",),
    ),
    "smollm2-learning-rate": Asked(
        "Which learning rate, on a real language model?",
        REGRET,
        SMOLLM2,
        "LoRA's best rate is about ten times that of full fine-tuning.",
        rates.rate_ratio,
        ("smollm2-rates",),
        3,
    ),
    "smollm2-merging": Asked(
        "Is merging free, on a real language model?",
        MERGING,
        SMOLLM2,
        "Merging into a 4-bit layer may change what the model says, by rounding.",
        losses.merging,
        ("smollm2-merging",),
        3,
    ),
    "smollm2-intruders": Asked(
        "Does LoRA bring in intruder dimensions, in a real language model?",
        INTRUDERS,
        SMOLLM2,
        "LoRA of low rank adds strong directions unlike any the base had; full fine-tuning hardly does.",
        losses.intruders,
        ("smollm2-rates",),
        3,
    ),
}
"""In the order of the page."""


def judged(name: str, *rows: Rows) -> Verdict:
    """What these rows say of a claim, whoever measured them; too few seeds resolve nothing.

    Raises:
        ValueError: there is no claim of this name.
    """
    asked = ASKED[one_of("claim", name, ASKED)]
    verdict, seeds = asked.decide(*rows), seeds_of(rows[0])
    if seeds >= asked.seeds:
        return verdict
    return Verdict("not resolved", f"{verdict.sentence} Only {seeds} of {asked.seeds} seeds have been run.")


@lru_cache(maxsize=len(ASKED))
def claim(name: str) -> Claim:
    """One claim with what is stored for it.

    >>> claim("capacity").question
    'When is a rank too small?'

    Raises:
        ValueError: there is no claim of this name, or nothing is stored for it.
    """
    asked = ASKED[one_of("claim", name, ASKED)]
    rows = [stored_finding(data).rows for data in asked.data]
    verdict = judged(name, *rows)
    return Claim(
        name=name,
        question=asked.question,
        sentence=verdict.sentence,
        badge=verdict.badge,
        source=asked.source,
        seeds=seeds_of(rows[0]),
        model=asked.model,
        published=asked.published,
    )


class _Claims(Mapping[str, Claim]):
    """The claims for which runs are stored, in the order of the page; each is decided when it is looked up."""

    def __getitem__(self, name: str) -> Claim:
        if name not in _stored():
            raise KeyError(name)
        return claim(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_stored())

    def __len__(self) -> int:
        return len(_stored())


@lru_cache(maxsize=1)
def _stored() -> tuple[str, ...]:
    """Looked through once: a page of reasons asks for each of them whether it is a claim."""
    stored = stored_findings()
    return tuple(name for name, asked in ASKED.items() if all(data in stored for data in asked.data))


CLAIMS: Mapping[str, Claim] = _Claims()
