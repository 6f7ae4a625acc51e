"""A smaller adapter out of a larger one: the nearest update of a lower rank, written as peft reads it.

Eckart & Young 1936: of all matrices of rank k, the truncated singular value decomposition of `s · B A` is nearest to it
in the Frobenius norm, and misses `Σ_{i>k} σ_i²` of its energy. Here it is computed from (r, r) matrices, see `factors`.

The scale s of every module stays what it was, by `α_k = s · k` (`s · √k` when rank-stabilised), so that biases of B
keep their size and training can go on.

Of DoRA, `W' = m/n ∘ (W + s · B A)` with `n = ‖W + s · B A‖` by row, the same update is cut and the magnitudes stay;
peft then computes n anew. That is the nearest W + s · B A. For W' itself it is, to first order, the nearest where m/n,
which stretches the error of each row, is the same in all rows. Better would need the base's weights, which an adapter's
file does not hold.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peftcalc.checks import whole_number
from peftcalc.doctor.findings import some
from peftcalc.doctor.keys import Key, read_key
from peftcalc.doctor.measure import pairs, read_factors, spectrum_of
from peftcalc.doctor.settings import Settings, read_settings
from peftcalc.doctor.sources import CONFIG, TENSORS, Source, find_adapter
from peftcalc.doctor.tensor_file import Entry, TensorFile
from peftcalc.doctor.write import NewTensor, encode, write_tensors
from peftcalc.lazy import Drawn

_PLAIN = re.compile(r"[\w.-]+")
"""A name that peft may read as a regular expression and mean itself."""


@dataclass(frozen=True)
class CutLayer:
    """One module before and after.

    Args:
        module: full name.
        rank_before, rank: r; a module at or below the wanted rank stays as it is.
        alpha: the new α, with which s is what it was.
        energy: ‖s · B A‖².
        energy_lost: ‖s · B A − s · B_k A_k‖².
    """

    module: str
    rank_before: int
    rank: int
    alpha: float
    energy: float
    energy_lost: float


@dataclass(frozen=True)
class CutAdapter(Drawn):
    """The smaller adapter that was written.

    Args:
        folder: where it lies.
        rank: that was asked for.
        layers: its modules.
        file_bytes_before, file_bytes: of the tensors' file.
        notes: what a person should know.
    """

    folder: Path
    rank: int
    layers: tuple[CutLayer, ...]
    file_bytes_before: int
    file_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def energy_lost_percent(self) -> float:
        """100 · Σ ‖s · B A − s · B_k A_k‖² / Σ ‖s · B A‖² over all modules."""
        total = sum(layer.energy for layer in self.layers)
        return 100 * sum(layer.energy_lost for layer in self.layers) / total if total else 0.0

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self) | {"folder": str(self.folder), "energy_lost_percent": self.energy_lost_percent}


def cut_adapter(source: str | Path, rank: int, folder: str | Path) -> CutAdapter:
    """Write the nearest adapter whose modules have at most this rank, in peft's format.

    Modules of a lower rank, magnitudes, biases and modules that are trained in full are copied as they are. Factors
    keep their type (float8 becomes float32), and are balanced: `B_k = U_k √Σ_k`, `A_k = √Σ_k V_kᵀ`.

    Args:
        source: an adapter's folder or hub id.
        rank: k, at least 1.
        folder: where to write; not where the adapter lies.

    Raises:
        ValueError: no adapter, a damaged one, one whose base depends on the rank (PiSSA and its kin), or of another
            form than `s · B A`.

    Source: Eckart & Young 1936; peft's scale: Hu et al. 2021 (arXiv:2106.09685), section 4.1.
    """
    found = find_adapter(source)
    folder = Path(folder).expanduser()
    if found.folder is not None and folder.exists() and folder.resolve() == found.folder.resolve():
        raise ValueError(f"write the smaller adapter to another folder than {folder}, where the larger one lies")
    config, tensors, layers, notes = cut_tensors(found, rank)
    file = found.file
    assert file is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    written = write_tensors(folder / TENSORS, tensors, {"format": "pt", **file.metadata})
    return CutAdapter(folder, rank, layers, file.nbytes, written, notes)


def cut_tensors(
    source: Source, rank: int
) -> tuple[dict[str, Any], list[NewTensor], tuple[CutLayer, ...], tuple[str, ...]]:
    """The config and tensors of the smaller adapter, its layers and notes; nothing is written."""
    rank = whole_number("rank", rank, 1, 1_000_000)
    file, config = source.file, source.config
    if config is None or file is None or not file.has_values:
        raise ValueError(f"cutting needs both {CONFIG} and the tensors of {source.name}, not one of them alone")
    settings = _cuttable(config)
    tensors = {read_key(name): entry for name, entry in file.entries.items()}
    new: dict[str, NewTensor] = {}
    layers = []
    for module, keys in pairs(tensors).items():
        layers.append(_cut_layer(module, keys, file, tensors, settings, rank, new))
    if not layers:
        raise ValueError(f"{file.label} holds no pair of A and B to cut")
    whole = [new.get(name) or _as_it_is(file, entry) for name, entry in file.entries.items()]
    return _new_config(settings, layers, rank), whole, tuple(layers), tuple(_notes(settings, layers, new))


def _cuttable(config: Mapping[str, Any]) -> Settings:
    settings = read_settings(config)
    if settings.changed_base:
        raise ValueError(
            f"init_lora_weights = {settings.changed_base!r} changes the base's weights, by a part that depends on the "
            "rank; save the adapter as an ordinary LoRA first (peft: path_initial_model_for_weight_conversion)"
        )
    if settings.other_form:
        raise ValueError(f"with {settings.other_form} the update is not s · B A alone, and is not cut here")
    return settings


def _cut_layer(
    module: str,
    keys: Mapping[str, Key],
    file: TensorFile,
    tensors: Mapping[Key, Entry],
    settings: Settings,
    rank: int,
    new: dict[str, NewTensor],
) -> CutLayer:
    """One module; its new factors are put into `new`."""
    owner = keys["A"].owner
    try:
        factors = read_factors(file, tensors, keys, settings)
    except ValueError as error:
        raise ValueError(f"{module}: {error}") from None
    if factors is None:
        raise ValueError(f"{module}: its factors hold values that are not finite numbers, so nothing is cut")
    before, scale = settings.rank_of(owner), settings.scale_of(owner)
    energies = spectrum_of(factors, scale).singular_values ** 2
    cut = factors.cut(rank)
    if cut is factors:
        return CutLayer(module, before, before, settings.alpha_of(owner), float(energies.sum()), 0.0)
    for role, values in zip(("B", "A"), cut.stored(), strict=True):
        entry = tensors[keys[role]]
        dtype = entry.dtype if entry.dtype in ("F64", "F32", "F16", "BF16") else "F32"
        raw = encode(values, dtype)
        if dtype == "F16" and np.abs(values).max() > np.finfo(np.float16).max:
            dtype, raw = "F32", encode(values, "F32")
        new[entry.name] = NewTensor(entry.name, dtype, values.shape, lambda raw=raw: [raw])
    after = cut.B.shape[2] * cut.sharing
    alpha = scale * (math.sqrt(after) if settings.rslora else after)
    return CutLayer(module, before, after, alpha, float(energies.sum()), float(energies[cut.B.shape[2] :].sum()))


def _as_it_is(file: TensorFile, entry: Entry) -> NewTensor:
    return NewTensor(entry.name, entry.dtype, entry.shape, lambda: file.raw_chunks(entry.name))


def _new_config(settings: Settings, layers: list[CutLayer], rank: int) -> dict[str, Any]:
    """The config with which peft gives every module its rank and its scale."""
    config = dict(settings.config)
    config["r"] = new_rank = min(settings.rank, rank)
    old_scale = settings.alpha / (math.sqrt(settings.rank) if settings.rslora else settings.rank)
    alpha = settings.alpha if new_rank == settings.rank else old_scale * (math.sqrt(rank) if settings.rslora else rank)
    config["lora_alpha"] = _plain(alpha)
    modules = {Key("", layer.module, "A").owner: layer for layer in layers}
    config["rank_pattern"] = _pattern({name: layer.rank for name, layer in modules.items()}, new_rank)
    config["alpha_pattern"] = _pattern({name: _plain(layer.alpha) for name, layer in modules.items()}, _plain(alpha))
    return config


def _pattern(values: Mapping[str, Any], default: Any) -> dict[str, Any]:
    """Module names and their values, where not the default; by the last part of the name where all of it agree."""
    by_suffix: dict[str, set[Any]] = {}
    for name, value in values.items():
        by_suffix.setdefault(name.rpartition(".")[2], set()).add(value)
    pattern: dict[str, Any] = {}
    for name, value in values.items():
        suffix = name.rpartition(".")[2]
        if value == default and by_suffix[suffix] == {default}:
            continue
        if len(by_suffix[suffix]) == 1:
            pattern[re.escape(suffix)] = value
        elif value != default:
            pattern[name if _PLAIN.fullmatch(name) else re.escape(name)] = value
    return pattern


def _plain(value: float) -> float | int:
    """A whole number where it is one to within a rounding; JSON and peft's own files have it so."""
    return round(value) if math.isclose(value, round(value), rel_tol=1e-12) and round(value) else value


def _notes(settings: Settings, layers: list[CutLayer], new: Mapping[str, NewTensor]) -> list[str]:
    notes = []
    kept = [layer.module for layer in layers if layer.rank == layer.rank_before]
    if kept:
        notes.append(f"at or below the rank already, and left as they are: {some(kept)}")
    if settings.dora:
        notes.append(
            "DoRA: the update s · B A is cut and the magnitudes stay, which is nearest before the rows are normalised; "
            "the energy lost is that of s · B A"
        )
    short = {tensor.dtype for tensor in new.values()} & {"F16", "BF16"}
    if short:
        notes.append("the factors keep their 16 bits, and each is rounded once more by that")
    return notes
