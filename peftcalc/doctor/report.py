"""What the doctor answers: one frozen record of an adapter, its parts by bytes and its updates by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from peftcalc.counting.counts import Count
from peftcalc.lazy import Drawn

if TYPE_CHECKING:
    import pandas

SHARE = 0.99
"""Of the energy, for the rank that would do."""


@dataclass(frozen=True)
class LayerUpdate:
    """The update `s · B A` of one module.

    Args:
        module: full name in the base model.
        kind: "linear", "embedding", "convolution" or "experts" (stacked, one update each).
        rank: r of the adapter.
        scale: s.
        in_features, out_features: widths of the factors; a convolution's in includes its kernel.
        frobenius_norm: ‖s · B A‖, the root of the sum of all squares.
        spectral_norm: its largest singular value.
        effective_rank: exponential of the entropy of its singular values (Roy & Vetterli 2007).
        singular_values: σ_1 ≥ σ_2 ≥ …, at most r; of stacked experts and of groups, at each place the root of the sum
            of the squares.
        sharing: groups of a convolution, among which the rank is divided.
        relative_norm: ‖s · B A‖ / ‖W‖, where the base's weights are at hand.
        magnitude_mean, magnitude_smallest, magnitude_largest: of DoRA's trained magnitudes.
        magnitude_change_percent: mean of 100 · |m − ‖W‖| / ‖W‖ over the rows, where the base's weights are at hand.
    """

    module: str
    kind: str
    rank: int
    scale: float
    in_features: int
    out_features: int
    frobenius_norm: float
    spectral_norm: float
    effective_rank: float
    singular_values: tuple[float, ...]
    sharing: int = 1
    relative_norm: float | None = None
    magnitude_mean: float | None = None
    magnitude_smallest: float | None = None
    magnitude_largest: float | None = None
    magnitude_change_percent: float | None = None

    def within(self, rank: int) -> float:
        """Share of the energy `‖s · B A‖²` that the best approximation of this rank keeps (Eckart–Young); 1 of 0."""
        total = sum(value**2 for value in self.singular_values)
        kept = sum(value**2 for value in self.singular_values[: max(rank // self.sharing, 1)])
        return kept / total if total else 1.0

    @property
    def energy(self) -> dict[int, float]:
        """Share of the energy within rank 1, 2, 4, … and r."""
        return {rank: self.within(rank) for rank in powers_of_two(self.rank)}

    def as_dict(self) -> dict[str, Any]:
        """Names and values; the energy's ranks as text, as JSON wants them."""
        return asdict(self) | {"energy": {str(rank): share for rank, share in self.energy.items()}}


@dataclass(frozen=True)
class Stored:
    """Tensors of one type and purpose in the file.

    Args:
        part: "low-rank factors", "magnitudes", "modules in full", "copies of the base", "biases", "tokens" or "other".
        dtype: "float32", "bfloat16", …
        tensors: how many.
        parameters: how many numbers.
        nbytes: their bytes.
    """

    part: str
    dtype: str
    tensors: int
    parameters: int
    nbytes: int


@dataclass(frozen=True)
class AdapterInspection(Drawn):
    """What an adapter holds.

    Args:
        name: the folder or hub id.
        peft_type: "LORA", or the other kind of adapter that the config names; "" without a config.
        method: "LoRA" or "DoRA", else the same as `peft_type`.
        base: name of the base model, as asked or as the config says; None where neither does.
        count: what is trained of the base, exactly; None where the base is not known.
        file_bytes: of the tensors' file, header included; 0 without one.
        stored: what takes them, largest first.
        layers: the updates, in the file's order.
        unmatched_keys: tensors that peft would leave out, because they match no module.
        missing_modules: modules that the config adapts and the file has no tensors for.
        untrained_modules: modules whose update is exactly zero.
        faults: what makes the adapter broken, sentence by sentence; empty for a sound one.
        notes: what else a person should know.
    """

    name: str
    peft_type: str
    method: str
    base: str | None
    count: Count | None
    file_bytes: int
    stored: tuple[Stored, ...]
    layers: tuple[LayerUpdate, ...]
    unmatched_keys: tuple[str, ...]
    missing_modules: tuple[str, ...]
    untrained_modules: tuple[str, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True where no fault was found."""
        return not self.faults

    @property
    def trainable(self) -> int | None:
        """Parameters that the adapter trains; None where the base is not known."""
        return self.count.trainable if self.count else None

    @property
    def stored_parameters(self) -> int:
        """Numbers in the file."""
        return sum(part.parameters for part in self.stored)

    @property
    def largest_rank(self) -> int:
        """The largest r of a measured module, 0 without one."""
        return max((layer.rank for layer in self.layers), default=0)

    def within(self, rank: int) -> float:
        """Share of the energy of all updates together that is kept when each is cut to this rank."""
        return self._kept[min(max(rank, 1), len(self._kept)) - 1] if self._kept else 1.0

    @cached_property
    def _kept(self) -> list[float]:
        return energy_kept(self.layers)

    @property
    def energy(self) -> dict[int, float]:
        """`within` for rank 1, 2, 4, … and the largest."""
        return {rank: self.within(rank) for rank in powers_of_two(self.largest_rank)}

    def rank_for(self, share: float = SHARE) -> int:
        """The smallest rank that keeps this share of the energy of all updates together."""
        return rank_that_keeps(self._kept, share)

    @cached_property
    def by_layer(self) -> pandas.DataFrame:
        """A row per module: kind, rank, scale, norms, effective rank, and the energy within rank 1, 2, 4, …"""
        import pandas

        ranks = powers_of_two(self.largest_rank)
        rows = [
            {name: value for name, value in asdict(layer).items() if name not in ("singular_values", "sharing")}
            | {f"energy_{rank}": layer.within(rank) for rank in ranks}
            for layer in self.layers
        ]
        frame = pandas.DataFrame(rows) if rows else pandas.DataFrame(columns=["module"])
        return frame.set_index("module")

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints: attribute names and values."""
        return {
            "name": self.name,
            "peft_type": self.peft_type,
            "method": self.method,
            "base": self.base,
            "sound": self.sound,
            "trainable": self.trainable,
            "total": self.count.total if self.count else None,
            "percent": self.count.percent if self.count else None,
            "file_bytes": self.file_bytes,
            "stored_parameters": self.stored_parameters,
            "stored": [asdict(part) for part in self.stored],
            "energy": {str(rank): share for rank, share in self.energy.items()},
            "layers": [layer.as_dict() for layer in self.layers],
            "unmatched_keys": list(self.unmatched_keys),
            "missing_modules": list(self.missing_modules),
            "untrained_modules": list(self.untrained_modules),
            "faults": list(self.faults),
            "notes": list(self.notes),
        }


def energy_kept(layers: Sequence[LayerUpdate]) -> list[float]:
    """Share of the energy of all these updates together that is kept at rank 1, 2, … up to the largest."""
    kept = [0.0] * max((layer.rank for layer in layers), default=0)
    for layer in layers:
        squares = [value**2 for value in layer.singular_values]
        sums = list(accumulate(squares))
        for rank in range(1, len(kept) + 1):
            kept[rank - 1] += sums[min(max(rank // layer.sharing, 1), len(sums)) - 1]
    total = kept[-1] if kept else 0.0
    return [share / total if total else 1.0 for share in kept]


def rank_that_keeps(kept: Sequence[float], share: float = SHARE) -> int:
    """The first rank of `energy_kept` that keeps this share, but for rounding; 0 where there is none."""
    return next((rank for rank, one in enumerate(kept, 1) if one >= share * (1 - 1e-12)), len(kept))


def powers_of_two(largest: int) -> list[int]:
    """1, 2, 4, … below `largest`, and `largest` itself.

    >>> powers_of_two(12), powers_of_two(0)
    ([1, 2, 4, 8, 12], [])
    """
    return [2**power for power in range(largest.bit_length()) if 2**power < largest] + [largest] * (largest > 0)
