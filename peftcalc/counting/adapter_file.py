"""An existing `adapter_config.json` of peft, read as a method, counted on its base model and explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc import units
from peftcalc.checks import whole_number
from peftcalc.counting.count import count
from peftcalc.counting.counts import Count
from peftcalc.lazy import explained
from peftcalc.methods import DoRA, LoRA
from peftcalc.methods.starts import changes_base, from_peft
from peftcalc.models.files import read_json
from peftcalc.models.hub import one_look_up
from peftcalc.models.load import load_model

if TYPE_CHECKING:
    from peftcalc.models.shapes import ModelShapes

FILE_NAME = "adapter_config.json"

_UNCOUNTED = {
    "layer_replication": "layers that are repeated (layer_replication)",
    "trainable_token_indices": "single trained tokens (trainable_token_indices)",
    "ensure_weight_tying": "adapters tied between embeddings (ensure_weight_tying)",
    "use_qalora": "QA-LoRA (use_qalora)",
    "use_bdlora": "block-diagonal LoRA (use_bdlora)",
    "arrow_config": "Arrow routing (arrow_config)",
    "monteclora_config": "MonteCLoRA (monteclora_config)",
    "kasa_config": "KaSA (kasa_config)",
    "velora_config": "VeLoRA (velora_config)",
    "megatron_config": "Megatron layers (megatron_config)",
}
"""Settings that change the count in ways that are not modelled here; a file that uses one is refused, not guessed."""


@dataclass(frozen=True)
class AdapterReport:
    """What an `adapter_config.json` means.

    Args:
        method: the method that the file describes.
        base: id of the base model.
        task_type: peft's task type, or None.
        count: the exact count on that base model.
        explanation: what the file says, sentence by sentence.
    """

    method: LoRA
    base: str
    task_type: str | None
    count: Count
    explanation: tuple[str, ...]

    @property
    def trainable(self) -> int:
        """Parameters that the adapter trains."""
        return self.count.trainable

    @property
    def total(self) -> int:
        """Parameters of the base and the adapter."""
        return self.count.total

    @property
    def percent(self) -> float:
        """100 · trainable / total."""
        return self.count.percent


@one_look_up()
def read_adapter_config(source: str | Path | Mapping[str, Any], base: Any = None) -> AdapterReport:
    """The exact count of an existing adapter on its base model, with an explanation in sentences.

    Args:
        source: path of an `adapter_config.json` or of the folder that has one, or its content as a dictionary.
        base: the base model, anything that `load_model` takes; default `base_model_name_or_path` of the file.

    Raises:
        ValueError: not such a file, another kind of adapter than LoRA or DoRA, a setting whose parameters are not
            modelled here, no base model, or targets that do not fit it.

    >>> config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["c_attn"], "use_dora": True}
    >>> report = read_adapter_config(config, base="openai-community/gpt2")
    >>> report.trainable, report.method
    (322560, DoRA(rank=8, targets=('c_attn',)))
    """
    config = _read(source)
    name = config.get("base_model_name_or_path") if base is None else base
    if not name:
        raise ValueError("the adapter config does not say its base model (base_model_name_or_path); give it as `base`")
    shapes = load_model(name)
    task_type = config.get("task_type")
    method = _method(config, shapes)
    result = count(shapes, method, task_type)
    return AdapterReport(method, shapes.id, task_type, result, tuple(_sentences(method, task_type, result)))


def _read(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    """The content, if it describes a LoRA or DoRA adapter whose parameters can be counted."""
    if isinstance(source, Mapping):
        config = source
    elif isinstance(source, str | Path) and str(source).strip() and "\0" not in str(source):
        path = Path(source).expanduser()
        config = read_json(path / FILE_NAME if path.is_dir() else path, FILE_NAME)
    else:
        raise ValueError(f"an adapter config is a path or a dictionary, got {source!r}")
    kind = config.get("peft_type")
    if str(kind).upper() != "LORA":
        raise ValueError(f"peft_type must be LORA (with use_dora for DoRA), got {kind!r}")
    for setting, what in _UNCOUNTED.items():
        if config.get(setting):
            raise ValueError(f"this adapter uses {what}, which is not counted here")
    return config


def _method(config: Mapping[str, Any], shapes: ModelShapes) -> LoRA:
    """The method that the file describes; what the file leaves out stands at peft's default."""
    targets = config.get("target_modules")
    parameters = _list(config, "target_parameters")
    if targets is None and "target_modules" in config and parameters:
        targets = ()
    if targets is None:
        targets = _default_targets(shapes)
    kind = DoRA if config.get("use_dora") else LoRA
    layers = config.get("layers_to_transform")
    return kind(
        rank=whole_number("r", config.get("r", 8), 1, 1_000_000),
        alpha=config.get("lora_alpha", 8),
        dropout=config.get("lora_dropout", 0.0),
        targets=targets,
        rslora=bool(config.get("use_rslora", False)),
        bias=config.get("bias", "none"),
        lora_bias=bool(config.get("lora_bias", False)),
        modules_to_save=_list(config, "modules_to_save"),
        exclude=config.get("exclude_modules") or (),
        rank_pattern=_mapping(config, "rank_pattern"),
        alpha_pattern=_mapping(config, "alpha_pattern"),
        layers_to_transform=(layers,) if isinstance(layers, int) else layers and tuple(layers),
        layers_pattern=config.get("layers_pattern"),
        target_parameters=parameters,
        init=from_peft(config.get("init_lora_weights", True)),
    )


def _default_targets(shapes: ModelShapes) -> Any:
    """What peft adapts when a file names no targets: its own table by model type."""
    with explained("an adapter config without target_modules"):
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as TABLE

    model_type = shapes.config.get("model_type")
    if model_type not in TABLE:
        raise ValueError(f"the adapter config names no target_modules, and peft has no default for {model_type!r}")
    return TABLE[model_type]


def _list(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = config.get(name) or ()
    if isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name} must be a list of names, got {value!r}")
    return tuple(value)


def _mapping(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must map names to numbers, got {value!r}")
    return dict(value)


def _sentences(method: LoRA, task_type: str | None, result: Count) -> Iterator[str]:
    """The file in words, in the order in which a person asks."""
    what = (
        "DoRA: direction by a low-rank update, magnitude by a trained number per output row"
        if method.decomposed
        else ("LoRA: a low-rank update beside each frozen weight")
    )
    yield f"{what}, on {result.model}."
    root = "√r" if method.rslora else "r"
    yield f"Rank r = {method.rank}, α = {method.alpha:g}, so the update is scaled by α/{root} = {method.scaling:.4g}."
    if changes_base(method.init):
        yield f"It starts with a part of the weights (init={method.init!r}) and belongs to what was left of them."
    for (name, kind, rank), (modules, trainable) in _adapters(result).items():
        own = f" at rank {rank}" if rank != method.rank else ""
        yield f"{name} ({kind}): {modules:,} adapted{own}, {trainable:,} parameters."
    copies = [part for part in result.parts if part.how == "copy"]
    if copies:
        names = ", ".join(dict.fromkeys(part.module for part in copies))
        why = f", which task type {task_type} adds" if task_type in ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS") else ""
        yield f"Trained in full as copies{why}: {names}, {sum(part.trainable for part in copies):,} parameters."
    biases = sum(part.trainable for part in result.parts if part.how == "bias")
    if biases:
        yield f"Biases of the base are trained too ({method.bias}): {biases:,} parameters."
    yield (
        f"Together {result.trainable:,} of {result.total:,} parameters are trained, {units.percent(result.percent)}; "
        f"the adapter's tensors take {units.gb(result.adapter_bytes_fp32)} in fp32."
    )
    yield from (f"Note: {note}." for note in result.notes)


def _adapters(result: Count) -> dict[tuple[str, str, int], list[int]]:
    """How many modules of each name have an adapter, and with how many parameters."""
    rows: dict[tuple[str, str, int], list[int]] = {}
    for part in result.parts:
        if part.how == "adapter":
            row = rows.setdefault((part.suffix, part.kind, part.rank), [0, 0])
            row[0] += part.repeats
            row[1] += part.trainable
    return rows
