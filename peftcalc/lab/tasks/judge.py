"""Does a name look as if it were of this country? A classifier that counts letters, and knows nothing of the model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

ORDER = 2
"""Letters of context."""


class LetterModel:
    """Probability of each letter after the last two, smoothed with shorter contexts.

    `p(c | context) = (n(context, c) + s · p(c | shorter context)) / (n(context) + s)`, down to a uniform guess.
    """

    def __init__(self, names: Iterable[str], smoothing: float = 4.0, alphabet: int = 60) -> None:
        self.smoothing, self.alphabet = smoothing, alphabet
        self.followed: Counter[str] = Counter()
        self.contexts: Counter[str] = Counter()
        for name in names:
            text = self.padded(name)
            for end in range(ORDER, len(text)):
                for length in range(ORDER + 1):
                    context = text[end - length : end]
                    self.contexts[context] += 1
                    self.followed[context + text[end]] += 1

    @staticmethod
    def padded(name: str) -> str:
        """Lower case, with marks for the beginning and the end."""
        return "^" * ORDER + name.lower() + "$"

    def log_probability(self, name: str) -> float:
        """Natural logarithm of the probability of the whole name."""
        text, total = self.padded(name), 0.0
        for end in range(ORDER, len(text)):
            probability = 1.0 / self.alphabet
            for length in range(ORDER + 1):
                context = text[end - length : end]
                count, followed = self.contexts[context], self.followed[context + text[end]]
                probability = (followed + self.smoothing * probability) / (count + self.smoothing)
            total += math.log(probability)
        return total


class Judge:
    """Judges a name to be of the country when that is likelier than that it is of the rest of the world by more than
    `margin` nats.
    """

    def __init__(self, country: Iterable[str], world: Iterable[str], margin: float = 0.0) -> None:
        self.country, self.world, self.margin = LetterModel(country), LetterModel(world), margin

    def is_of_country(self, name: str) -> bool:
        return self.country.log_probability(name) - self.world.log_probability(name) > self.margin

    def share(self, names: Iterable[str]) -> float:
        """Share of the names that are judged to be of the country, from 0 to 1; 0 for no names."""
        judged = [self.is_of_country(name) for name in names]
        return sum(judged) / len(judged) if judged else 0.0
