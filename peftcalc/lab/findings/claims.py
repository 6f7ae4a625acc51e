"""What is claimed of LoRA, and whether it shows here: each badge and each sentence follows from stored rows.

No number below is typed: a sentence is made from the data by the function that decides its badge. What was published is
quoted beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from peftcalc.checks import one_of
from peftcalc.lab.findings import rates
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
    """

    question: str
    source: str
    model: str
    published: str
    decide: Callable[..., Verdict]
    data: tuple[str, ...]


REGRET = "Schulman et al. 2025, LoRA Without Regret, Thinking Machines"

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
}
"""In the order of the page."""


def judged(name: str, *rows: Rows) -> Verdict:
    """What these rows say of a claim, whoever measured them.

    Raises:
        ValueError: there is no claim of this name.
    """
    return ASKED[one_of("claim", name, ASKED)].decide(*rows)


@lru_cache(maxsize=len(ASKED))
def claim(name: str) -> Claim:
    """One claim with what is stored for it.

    >>> claim("capacity").badge
    'reproduces'

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
        seeds=min(seeds_of(one) for one in rows),
        model=asked.model,
        published=asked.published,
    )


class _Claims(Mapping[str, Claim]):
    """The claims for which runs are stored, in the order of the page; each is decided when it is looked up."""

    def __getitem__(self, name: str) -> Claim:
        if name not in tuple(self):
            raise KeyError(name)
        return claim(name)

    def __iter__(self) -> Iterator[str]:
        stored = stored_findings()
        return (name for name, asked in ASKED.items() if all(data in stored for data in asked.data))

    def __len__(self) -> int:
        return sum(1 for _ in self)


CLAIMS: Mapping[str, Claim] = _Claims()
