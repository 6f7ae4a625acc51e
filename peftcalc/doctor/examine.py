"""`inspect_adapter`: what an adapter trains, why its file is so large, whether peft loads it, what it has learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftcalc import units
from peftcalc.counting.adapter_file import AdapterReport, read_adapter_config
from peftcalc.doctor.base_weights import BaseWeights, base_weights
from peftcalc.doctor.findings import Findings
from peftcalc.doctor.key_checks import check_base, check_names, check_pairs, check_targets
from peftcalc.doctor.keys import Key, read_key
from peftcalc.doctor.measure import measured_layers
from peftcalc.doctor.report import SHARE, AdapterInspection, LayerUpdate, energy_kept, rank_that_keeps
from peftcalc.doctor.settings import Settings, read_settings
from peftcalc.doctor.sizes import check_numbers, explain_size, stored_parts
from peftcalc.doctor.sources import Source, find_adapter
from peftcalc.doctor.tensor_file import Entry
from peftcalc.models.load import load_model
from peftcalc.models.shapes import ModelShapes


def inspect_adapter(source: str | Path | Mapping[str, Any], base: Any = None) -> AdapterInspection:
    """What an adapter holds, and what is wrong with it.

    By layer it measures the update `s · B A`: with thin QR factors of B and Aᵀ, the singular values of the (r, r)
    matrix `R_B R_Aᵀ` are those of `B A`, which is never formed.

    Args:
        source: the folder of an adapter in peft's format, one of its two files, the content of `adapter_config.json`
            as a dictionary, or a hub id, of which only these two files are read, up to 2 GB.
        base: the base model, anything that `load_model` takes; default `base_model_name_or_path` of the config, and a
            base that cannot be found is a note. A module, or a folder with the model's safetensors, also gives the
            size of each update relative to its weight.

    Raises:
        ValueError: no adapter there, a damaged file (a pickle is not read), or a `base` that is given and unknown.

    Source: Hu et al. 2021 (arXiv:2106.09685), eq. 3; Eckart & Young 1936 for the energy within a rank.

    >>> config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["c_attn"]}
    >>> inspect_adapter(config, base="openai-community/gpt2").trainable
    294912
    """
    return examine(find_adapter(source), base)


def examine(source: Source, base: Any = None) -> AdapterInspection:
    """`inspect_adapter` of what was found already: a folder's files, or an upload's."""
    found = Findings(list(source.faults), list(source.notes))
    config = source.config or {}
    settings = _settings(source, found)
    tensors = {read_key(name): entry for name, entry in source.file.entries.items()} if source.file else {}
    shapes = _base(config, base, found) if source.config is not None else None
    report = _report(config, shapes, found) if shapes is not None and settings is not None else None
    layers: tuple[LayerUpdate, ...] = ()
    if source.file is not None:
        named = base if base is not None else _text(config.get("base_model_name_or_path"))
        weights = base_weights(named, shapes) if shapes is not None else None
        layers = _look_at_tensors(source, tensors, settings, (report, shapes), weights, found)
    kind = str(config.get("peft_type", ""))[:80]
    plain = {True: "DoRA", False: "LoRA"}[settings.dora] if settings else kind
    return AdapterInspection(
        source.name,
        kind,
        plain,
        shapes.id if shapes is not None else _text(config.get("base_model_name_or_path")),
        report.count if report else None,
        source.file.nbytes if source.file else 0,
        stored_parts(tensors),
        layers,
        tuple(dict.fromkeys(found.unmatched)),
        tuple(found.missing),
        tuple(found.untrained),
        tuple(found.faults),
        tuple(found.notes),
    )


def _look_at_tensors(
    source: Source,
    tensors: dict[Key, Entry],
    settings: Settings | None,
    base: tuple[AdapterReport | None, ModelShapes | None],
    weights: BaseWeights | None,
    found: Findings,
) -> tuple[LayerUpdate, ...]:
    """Every check of the tensors, and the layers' numbers."""
    file, (report, shapes) = source.file, base
    assert file is not None
    if not tensors:
        found.fault(f"{file.label} holds no tensor")
    check_names(tensors, found)
    if settings is not None:
        check_pairs(tensors, settings, found)
        if report is not None and shapes is not None and not settings.config.get("layer_replication"):
            check_base(tensors, report, shapes, found)
        else:
            check_targets(tensors, settings, found)
    explain_size(tensors, file, found)
    if not file.has_values:
        return ()
    check_numbers(tensors, file, found)
    if settings is None and source.config is not None:
        return ()
    layers = tuple(measured_layers(tensors, file, settings, weights, found))
    _say_what_was_measured(layers, settings, found)
    return layers


def _say_what_was_measured(layers: tuple[LayerUpdate, ...], settings: Settings | None, found: Findings) -> None:
    """Notes on the layers' numbers."""
    if settings is None and layers:
        found.note("without the config the scale s is not known; sizes are those of B A")
    if settings is not None and settings.other_form:
        found.note(f"under {settings.other_form} the update is not s · B A alone; sizes by layer are those of s · B A")
    if settings is not None and settings.changed_base:
        found.note(
            f"the adapter belongs to a base that init_lora_weights = {settings.changed_base!r} has changed; its update "
            "counts from there, not from the published weights"
        )
    trained = [layer for layer in layers if layer.frobenius_norm]
    if trained:
        largest = max(trained, key=lambda layer: layer.frobenius_norm)
        total = sum(layer.frobenius_norm**2 for layer in trained)
        share = units.percent(100 * largest.frobenius_norm**2 / total)
        found.note(
            f"the largest update is {largest.module}'s: norm {largest.frobenius_norm:.4g}, {share} of the energy"
        )
        kept = energy_kept(trained)
        found.note(f"rank {rank_that_keeps(kept)} of {len(kept)} keeps {100 * SHARE:g} % of the energy of all updates")


def _settings(source: Source, found: Findings) -> Settings | None:
    """What the config says; another kind of adapter, or a broken config, is said."""
    if source.config is None:
        return None
    kind = str(source.config.get("peft_type", "")).upper()
    if kind and kind != "LORA":
        found.note(
            f"peft_type is {kind[:80]}: keys, bytes and values are checked, updates by layer only for LoRA and DoRA"
        )
        return None
    try:
        return read_settings(source.config)
    except ValueError as error:
        found.fault(str(error))
        return None


def _base(config: Mapping[str, Any], base: Any, found: Findings) -> ModelShapes | None:
    """The base model's shapes; one that only the config names may be unknown."""
    if base is not None:
        return load_model(base)
    name = _text(config.get("base_model_name_or_path"))
    if not name:
        found.note(
            "the config does not say its base model; with its name every key is checked and what is trained is counted"
        )
        return None
    try:
        return load_model(name)
    except ValueError as error:
        found.note(
            f"the base model is not known ({error}); with its name every key is checked and what is trained is counted"
        )
        return None


def _report(config: Mapping[str, Any], shapes: ModelShapes, found: Findings) -> AdapterReport | None:
    """The count, or why there is none."""
    try:
        report = read_adapter_config(config, shapes)
    except ValueError as error:
        found.note(f"what it trains of {shapes.id} is not counted: {error}")
        return None
    except (TypeError, AttributeError, KeyError) as error:
        found.fault(f"this adapter_config.json holds a value of a wrong kind: {error}")
        return None
    for note in report.count.notes:
        found.note(note)
    return report


def _text(value: Any) -> str | None:
    return value[:300] if isinstance(value, str) and value.strip() else None
