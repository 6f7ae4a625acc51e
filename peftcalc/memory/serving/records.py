"""What the estimate of serving answers: plain frozen records."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from peftcalc.lazy import Drawn
from peftcalc.memory.needed import Needed


@dataclass(frozen=True)
class ServingTerm:
    """A summand of what serving takes.

    >>> ServingTerm("cache", "full attention", "2 · kv_heads · d · e · tokens", 8, "").part
    'cache'
    """

    part: str
    """ "weights", "adapters", "cache" or "working"."""
    name: str
    formula: str
    bytes: int
    source: str


@dataclass(frozen=True)
class ServingEstimate(Drawn):
    """Bytes of a card that serves `users` sequences of `context` tokens at once; `terms` add up to `total`."""

    weights: int
    """Bytes of the base, or of all copies where adapters are merged."""
    cache: int
    """Bytes that all users' tokens keep."""
    adapters: int
    """Bytes of all adapters beside the base; 0 where they are merged into copies of it."""
    working: int
    """Bytes of the pass that is under way: a piece of a prompt, the logits of all users."""
    fits: bool
    """Whether the card has what is needed."""
    most_users: int
    """Sequences of that context that the card serves at once; 0 for none."""
    most_adapters: int
    """Adapters, or merged copies, that fit with these users."""
    most_context: int
    """Tokens that each of these users may have; 0 where none fits, the most that is looked for where nothing grows."""
    cache_per_user: int
    cache_per_token: int
    """Bytes that one more token of one user adds where no window is full."""
    one_more_adapter: int
    """Bytes that one more task costs: an adapter, or a whole copy where adapters are merged."""
    needed: Needed
    """With what the allocator and the CUDA context add."""
    card: str
    usable_bytes: int
    terms: tuple[ServingTerm, ...]
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Bytes of all tensors."""
        return self.weights + self.cache + self.adapters + self.working

    @property
    def verdict(self) -> str:
        """ "fits", "tight" (it depends on the allocator and the driver) or "does not fit"."""
        if not self.fits:
            return "does not fit"
        return "fits" if self.needed.high_bytes <= self.usable_bytes else "tight"

    def to_dict(self) -> dict[str, Any]:
        """Field names and values, `total` and `verdict` too; terms as dictionaries."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        record |= {"total": self.total, "verdict": self.verdict, "needed": dict(self.needed.__dict__)}
        return record | {"terms": [dict(term.__dict__) for term in self.terms], "notes": list(self.notes)}
