"""The updates of an adapter by layer: `s · B A` in numbers, from its thin factors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

from peftcalc.doctor.base_weights import BaseWeights
from peftcalc.doctor.factors import Factors, make_factors
from peftcalc.doctor.findings import Findings
from peftcalc.doctor.keys import Key
from peftcalc.doctor.report import LayerUpdate
from peftcalc.doctor.settings import Settings
from peftcalc.doctor.tensor_file import FLOATS, Entry, TensorFile
from peftcalc.geometry.spectrum import Spectrum

Tensors = Mapping[Key, Entry]

LARGEST = 1e100
"""Singular values beyond this are no trained update; their squares would leave float64."""


def measured_layers(
    tensors: Tensors, file: TensorFile, settings: Settings | None, base: BaseWeights | None, found: Findings
) -> Iterator[LayerUpdate]:
    """The update of every module whose factors are whole and finite; what does not fit is a fault."""
    for module, keys in pairs(tensors).items():
        try:
            factors = read_factors(file, tensors, keys, settings)
            if factors is None:
                continue
            scale = settings.scale_of(keys["A"].owner) if settings else 1.0
            magnitude = _magnitude(file, keys)
            update = _update(module, factors, scale, magnitude, base)
        except ValueError as error:
            found.fault(f"{module}: {error}")
        else:
            yield update


def pairs(tensors: Tensors) -> dict[str, dict[str, Key]]:
    """The modules that have an A and a B, and their keys by role."""
    modules: dict[str, dict[str, Key]] = defaultdict(dict)
    for key in tensors:
        if key.role in ("A", "B", "magnitude"):
            modules[key.module].setdefault(key.role, key)
    return {module: keys for module, keys in modules.items() if "A" in keys and "B" in keys}


def read_factors(
    file: TensorFile, tensors: Tensors, keys: Mapping[str, Key], settings: Settings | None
) -> Factors | None:
    """A module's factors; None where they hold no finite numbers, which other checks have said.

    Raises:
        ValueError: shapes that do not fit each other or the config's rank.
    """
    entries = tensors[keys["A"]], tensors[keys["B"]]
    if any(entry.dtype not in FLOATS or not entry.numel for entry in entries):
        return None
    A, B = file.numbers(entries[0].name), file.numbers(entries[1].name)
    if not (np.isfinite(A).all() and np.isfinite(B).all()):
        return None
    rank = settings.rank_of(keys["A"].owner) if settings else A.shape[0]
    experts = settings is not None and settings.targets is not None and bool(settings.targets.target_parameters)
    return make_factors(B, A, rank, keys["A"].embedding, experts)


def spectrum_of(factors: Factors, scale: float) -> Spectrum:
    """The singular values of `s · B A`.

    Raises:
        ValueError: so large that their squares are no numbers any more.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            spectrum = factors.spectrum(scale)
        except np.linalg.LinAlgError:
            spectrum = None
    if spectrum is None or not (spectrum.singular_values < LARGEST).all():
        raise ValueError(f"its update is larger than {LARGEST:g}, which is no trained adapter")
    return spectrum


def _magnitude(file: TensorFile, keys: Mapping[str, Key]) -> np.ndarray | None:
    """DoRA's magnitudes, if they are there and numbers."""
    key = keys.get("magnitude")
    if key is None or file.entries[key.name].dtype not in FLOATS or not file.entries[key.name].numel:
        return None
    values = file.numbers(key.name).ravel()
    return values if np.isfinite(values).all() else None


def _update(
    module: str, factors: Factors, scale: float, magnitude: np.ndarray | None, base: BaseWeights | None
) -> LayerUpdate:
    spectrum = spectrum_of(factors, scale)
    frobenius = float(np.sqrt((spectrum.singular_values**2).sum()))
    rows = base.row_norms(module, factors.kind == "embedding") if base is not None else None
    relative, change = None, None
    if rows is not None and (size := float(np.sqrt((rows**2).sum()))) > 0:
        relative = frobenius / size
        if magnitude is not None and len(magnitude) == len(rows) and (rows > 0).all():
            change = float(100 * (np.abs(magnitude - rows) / rows).mean())
    return LayerUpdate(
        module,
        factors.kind,
        factors.rank,
        scale,
        factors.A.shape[2],
        factors.B.shape[1] * factors.sharing,
        frobenius,
        factors.largest(scale),
        spectrum.effective_rank,
        tuple(float(value) for value in spectrum.singular_values),
        factors.sharing,
        relative,
        *((float(magnitude.mean()), float(magnitude.min()), float(magnitude.max())) if magnitude is not None else ()),
        magnitude_change_percent=change,
    )
