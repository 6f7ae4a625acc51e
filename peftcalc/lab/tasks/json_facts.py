"""Made-up sentences about cities, and the JSON that they say: training and test differ in cities and in wording."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from peftcalc.lab.tasks.corpora import names_by_country

TRAINING_TEMPLATES = (
    "{city} in {country} has {people} inhabitants.",
    "About {people} people live in {city}, {country}.",
    "With {people} residents, {city} is a town in {country}.",
    "The city of {city} lies in {country}; its population is {people}.",
    "In {country} there is {city}, home to {people} people.",
)
TEST_TEMPLATES = (
    "Did you know that {people} people call {city} ({country}) their home?",
    "{country}'s {city} counts {people} citizens.",
    "The last census of {city}, a place in {country}, found {people} people.",
)
COUNTRIES = (
    "Brazil", "Canada", "Chile", "Egypt", "France", "Germany", "India", "Italy", "Kenya", "Mexico", "Nigeria", "Norway",
    "Peru", "Portugal", "Spain", "Sweden", "Thailand", "Ukraine",
)  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """One sentence and what it says. The populations are made up."""

    sentence: str
    answer: str

    @property
    def prompt(self) -> str:
        """What the model is given."""
        return f"Sentence: {self.sentence}\nJSON:"


def facts(count: int, test: bool, seed: int = 0) -> list[Fact]:
    """That many facts; test facts have other cities and other templates than training facts.

    >>> print(facts(1, test=False)[0].answer)  # doctest: +ELLIPSIS
     {"city": "...", "country": "...", "population": ...}
    """
    generator = random.Random(2 * seed + test)
    templates = TEST_TEMPLATES if test else TRAINING_TEMPLATES
    return [_fact(generator, templates, test) for _ in range(count)]


def _fact(generator: random.Random, templates: tuple[str, ...], test: bool) -> Fact:
    country = generator.choice(COUNTRIES)
    cities = [city for city in names_by_country()[country] if city.isalpha()]
    city = generator.choice(cities[::2] if test else cities[1::2])
    people = generator.randrange(1, 1000) * 10 ** generator.randrange(1, 4)
    record = {"city": city, "country": country, "population": people}
    sentence = generator.choice(templates).format(city=city, country=country, people=f"{people:,}")
    return Fact(sentence, " " + json.dumps(record))


def is_json(text: str) -> bool:
    """True for text that strict JSON parsing accepts.

    >>> is_json('{"a": 1}'), is_json("{'a': 1}")
    (True, False)
    """
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
