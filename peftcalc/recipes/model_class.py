"""Which class of transformers a script loads: the one whose parameters the page counted.

An Auto class is named where it loads just that class for every configuration that transformers registers (a test asks
its registry); every other class is named itself, which is always right.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peftcalc.checks import one_of, whole_number
from peftcalc.models.configs.classes import is_registered, loaded_by_auto, task_class
from peftcalc.models.configs.written_forms import label_count
from peftcalc.models.shapes import ModelShapes

MAX_LABELS = 1_000_000

TASK_CLASSES = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}
"""What a user of peft loads for each of its task types."""

AS_THE_MODEL = "auto"
"""The task type that stands for the model's own class."""

_BY_ENDING = {
    "ForCausalLM": "AutoModelForCausalLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForImageClassification": "AutoModelForImageClassification",
}
_BY_NAME = {
    "Mistral4ForCausalLM": "Mistral4ForCausalLM",  # these two are not registered where their names suggest
    "FlaubertWithLMHeadModel": "FlaubertWithLMHeadModel",
    **{f"{name}ForConditionalGeneration": "AutoModelForSeq2SeqLM" for name in ("T5", "MT5", "Bart", "MBart", "UMT5")},
    "WhisperForConditionalGeneration": "AutoModelForSpeechSeq2Seq",
    "Gemma3ForConditionalGeneration": "AutoModelForImageTextToText",
    **{f"{name}Model": "AutoModel" for name in ("Bart", "Bert", "DebertaV2", "Roberta", "ViT", "XLMRoberta")},
}
_PEFT_TASKS = {"AutoModelForCausalLM": "CAUSAL_LM", "AutoModelForSeq2SeqLM": "SEQ_2_SEQ_LM"}
_OWN_CLASSIFIERS = ("ForImageClassification", "ForAudioClassification")
_CLASSIFIERS = ("SEQ_CLS", "TOKEN_CLS")


@dataclass(frozen=True)
class ModelClass:
    """How a model is loaded.

    Args:
        name: the class in transformers whose `from_pretrained` is called.
        peft_task: peft's `task_type`; None where peft has none for this kind of model.
        keywords: further arguments of `from_pretrained`.
    """

    name: str
    peft_task: str | None
    keywords: Mapping[str, Any]


def model_class(
    shapes: ModelShapes | None, task_type: str | None = AS_THE_MODEL, labels: int | None = None
) -> ModelClass:
    """The class to load for a model and a task.

    Args:
        shapes: the model; None for a causal language model that is not known yet.
        task_type: one of peft's; "auto" for the class that `shapes` was counted as; None for that class without a task
            type in peft's configuration.
        labels: classes of a classifier; default what the configuration says, else 2.

    Raises:
        ValueError: a task type that peft has not, or a number of labels out of its range.

    >>> model_class(None).name
    'AutoModelForCausalLM'
    """
    if task_type not in (AS_THE_MODEL, None):
        one_of("task_type", task_type, TASK_CLASSES)
    if labels is not None:
        whole_number("num_labels", labels, 1, MAX_LABELS)
    own = _own_class(shapes) if shapes else "AutoModelForCausalLM"
    if task_type in (AS_THE_MODEL, None):
        given = {"num_labels": labels} if labels is not None else {}
        return ModelClass(own, None if task_type is None else _PEFT_TASKS.get(own), given)
    if task_type == "SEQ_CLS" and shapes and shapes.architecture.endswith(_OWN_CLASSIFIERS):
        name = own
    else:
        name = _of_task(shapes, task_type)
    count = labels or configured_labels(shapes) if task_type in _CLASSIFIERS else None
    return ModelClass(name, task_type, {"num_labels": count} if count else {})


def _own_class(shapes: ModelShapes) -> str:
    """The Auto class of the class that was counted, or that class where no Auto class is told of it.

    A model of the catalogue has a registered class; any other was built by transformers, which can then be asked.
    """
    model_type = shapes.config.get("model_type")
    asked = "transformers.models.auto.modeling_auto" in sys.modules and isinstance(model_type, str)
    if asked and not is_registered(shapes.architecture, str(model_type)):
        return shapes.architecture
    return auto_class(shapes.architecture)


def _of_task(shapes: ModelShapes | None, task_type: str) -> str:
    """The task's Auto class, or the class that is counted where the Auto class loads none for this model type."""
    auto, model_type = TASK_CLASSES[task_type], shapes.config.get("model_type") if shapes else None
    try:
        from transformers import CONFIG_MAPPING
    except ImportError:  # a model of the catalogue, whose code is asked for without it
        return auto
    if shapes is None or model_type not in CONFIG_MAPPING:
        return auto
    counted = task_class(shapes.config, str(model_type), task_type, shapes.architecture).name
    if counted in loaded_by_auto(task_type, str(model_type)):
        return auto
    return auto_class(counted) if is_registered(counted, str(model_type)) else counted


def auto_class(architecture: str) -> str:
    """The Auto class that loads `architecture` and no other; the architecture itself where none does.

    >>> auto_class("LlamaForCausalLM"), auto_class("T5EncoderModel")
    ('AutoModelForCausalLM', 'T5EncoderModel')
    """
    by_ending = (auto for ending, auto in _BY_ENDING.items() if architecture.endswith(ending))
    return _BY_NAME.get(architecture) or next(by_ending, architecture)


def configured_labels(shapes: ModelShapes | None) -> int:
    """Classes of a classifier as the configuration has them; 2 without one, as in transformers."""
    return label_count(shapes.config if shapes else {}) or 2
