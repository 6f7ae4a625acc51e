"""An existing `adapter_config.json` of peft, read as a method, counted on its base model and explained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcalc.counting.adapter_files.described import lora_of, other_of, started
from peftcalc.counting.adapter_files.extras import kept_tied, replicated, with_tokens
from peftcalc.counting.adapter_files.kinds import kind_of
from peftcalc.counting.adapter_files.other_adapters import OtherAdapter, count_other
from peftcalc.counting.adapter_files.words import sentences
from peftcalc.counting.count import count
from peftcalc.counting.counts import Count
from peftcalc.lazy import Drawn
from peftcalc.methods import LoRA
from peftcalc.models.files import read_json
from peftcalc.models.hub import one_look_up
from peftcalc.models.load import load_model
from peftcalc.models.tasks import known_task_type, task_shapes

if TYPE_CHECKING:
    from peftcalc.models.shapes import ModelShapes

FILE_NAME = "adapter_config.json"

_UNCOUNTED = {
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
class AdapterReport(Drawn):
    """What an `adapter_config.json` means.

    Args:
        method: the method that the file describes, `LoRA` or `DoRA`; for the types "VERA" and "ADALORA" a record of
            their own (`peftcalc.counting.adapter_files.other_adapters`), which can be counted and nothing else.
        base: id of the base model.
        task_type: peft's task type, or None.
        count: the exact count on that base model.
        explanation: what the file says, sentence by sentence.
        peft_type: "LORA", "VERA" or "ADALORA".
    """

    method: LoRA | OtherAdapter
    base: str
    task_type: str | None
    count: Count
    explanation: tuple[str, ...]
    peft_type: str = "LORA"

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
def read_adapter_config(
    source: str | Path | Mapping[str, Any], base: Any = None, num_labels: int | None = None
) -> AdapterReport:
    """The exact count of an existing adapter on its base model, with an explanation in sentences.

    Args:
        source: path of an `adapter_config.json` or of the folder that has one, or its content as a dictionary.
        base: the base model, anything that `load_model` takes; default `base_model_name_or_path` of the file.
        num_labels: outputs of a classifier's head; default what the base's configuration says, or else 2.

    Raises:
        ValueError: not such a file, another kind of adapter than LoRA, DoRA, VeRA or AdaLoRA (with a sentence on what
            it is), a setting whose parameters are not modelled here, no base model, or targets that do not fit it.

    >>> config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["c_attn"], "use_dora": True}
    >>> report = read_adapter_config(config, base="openai-community/gpt2")
    >>> report.trainable, report.method
    (322560, DoRA(rank=8, targets=('c_attn',)))
    """
    config = _read(source)
    name = config.get("base_model_name_or_path") if base is None else base
    if not name:
        raise ValueError("the adapter config does not say its base model (base_model_name_or_path); give it as `base`")
    task_type = known_task_type(config.get("task_type"))
    shapes = task_shapes(load_model(name), task_type, num_labels, _trained_class(config))
    if config.get("layer_replication"):
        shapes = replicated(shapes, config["layer_replication"])
    return _report(config, shapes, task_type)


def _report(config: Mapping[str, Any], shapes: ModelShapes, task_type: str | None) -> AdapterReport:
    kind, tied = kind_of(config.get("peft_type")), bool(config.get("ensure_weight_tying"))
    if kind == "LORA":
        method = lora_of(config, shapes)
        result = count(shapes, kept_tied(shapes, method) if tied else method, task_type)
        result = started(result, config)
    else:
        method = other_of(config, shapes)
        result = count_other(shapes, method, task_type)
    result = with_tokens(shapes, result, config.get("trainable_token_indices"), tied)
    words = tuple(sentences(config, method, result))
    return AdapterReport(method, shapes.id, task_type, result, words, kind)


def _trained_class(config: Mapping[str, Any]) -> str | None:
    """The class of the base, which peft writes down where the task type does not tell it."""
    trained = config.get("auto_mapping")
    name = trained.get("base_model_class") if isinstance(trained, Mapping) else None
    return name if isinstance(name, str) and not config.get("task_type") else None


def _read(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    """The content, if it describes a LoRA or DoRA adapter whose parameters can be counted."""
    if isinstance(source, Mapping):
        config = source
    elif isinstance(source, str | Path) and str(source).strip() and "\0" not in str(source):
        path = Path(source).expanduser()
        config = read_json(path / FILE_NAME if os.path.isdir(path) else path, FILE_NAME)
    else:
        raise ValueError(f"an adapter config is a path or a dictionary, got {source!r}")
    if config.get("peft_type") is None and config.get("model_type"):
        raise ValueError(
            f"this is the config.json of a model ({config['model_type']}), which describes no adapter; give the "
            "adapter_config.json, or count the model with `count`"
        )
    kind_of(config.get("peft_type"))
    for setting, what in _UNCOUNTED.items():
        if config.get(setting):
            raise ValueError(f"this adapter uses {what}, which is not counted here")
    return config
