"""The exported count: run on the meta device for the catalogue's models, peft prints what the page shows."""

from __future__ import annotations

import copy
import warnings

import peft
import pytest
import torch
import transformers
from exported import counted, printed

from peftcalc.counting.count import count
from peftcalc.methods import DoRA, Full, LoRA, QLoRA
from peftcalc.models.catalogue import catalogue_ids, catalogue_shapes
from peftcalc.models.shapes import ModelShapes
from peftcalc.recipes.model_class import model_class
from peftcalc.recipes.model_source import EXAMPLE_MODEL, model_source

QUICK = (
    "google-t5/t5-small",
    "openai/whisper-tiny",
    "facebook/bart-base",
    "answerdotai/ModernBERT-base",
    "google/vit-base-patch16-224",
    "HuggingFaceTB/SmolLM2-135M",
)
SHAPED = LoRA(rank=4, alpha=12)
HALF = DoRA(rank=2, alpha=6, targets=["query", "value"])
"""Without the heads: peft refuses to save a head that its `all-linear` has adapted."""


def run_on_meta(text: str, shapes: ModelShapes, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the code with weights that have no storage in the place of a download."""
    name = model_class(shapes).name

    def from_pretrained(model: str, dtype: torch.dtype, **labels: int) -> torch.nn.Module:
        assert model == shapes.id
        values = {**copy.deepcopy(dict(shapes.config)), **labels}
        config = transformers.CONFIG_MAPPING[values["model_type"]].from_dict(values)
        found = getattr(transformers, name)
        with torch.device("meta"):
            model = found.from_config(config) if name.startswith("AutoModel") else found(config)
            untie(model, shapes)
        return model

    monkeypatch.setattr(getattr(transformers, name), "from_pretrained", staticmethod(from_pretrained))
    plain = peft.get_peft_model
    monkeypatch.setattr(peft, "get_peft_model", lambda *a, **k: plain(*a, low_cpu_mem_usage=True, **k))
    return printed(text)


def untie(model: torch.nn.Module, shapes: ModelShapes) -> None:
    """As loading does where a checkpoint holds both of two tensors that an empty model ties (FLAN-T5's head)."""
    seen: set[int] = set()
    for name, group in shapes.modules():
        for tensor in group.tensors:
            parameter = model.get_parameter(f"{name}.{tensor.name}")
            if tensor.tied_to is None and id(parameter) in seen:
                setattr(model.get_submodule(name), tensor.name, torch.nn.Parameter(torch.empty_like(parameter)))
            seen.add(id(parameter))


def check_count(name: str, method: LoRA | Full, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = catalogue_shapes(name)
    if model_source(shapes).name is None:
        found = counted(printed(method.to_code(model=shapes)))
    else:
        found = counted(run_on_meta(method.to_code(model=shapes), shapes, monkeypatch))
    expected = count(shapes, method)
    assert found == (expected.trainable, expected.total)


@pytest.mark.parametrize("name", QUICK)
def test_peft_prints_what_the_page_shows(name, monkeypatch):
    check_count(name, SHAPED, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue_ids())
def test_peft_prints_what_the_page_shows_for_every_model(name, monkeypatch):
    check_count(name, SHAPED, monkeypatch)


@pytest.mark.parametrize("name", ["openai/whisper-tiny", "google-bert/bert-base-uncased"])
def test_full_fine_tuning_is_printed_too(name, monkeypatch):
    check_count(name, Full(), monkeypatch)


@pytest.mark.parametrize("task", ["SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"])
def test_a_configuration_without_weights_is_built_and_counted_for_its_task(task):
    config = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    trained, _ = counted(printed(HALF.to_code(task, config, num_labels=5)))
    assert trained == oracle(config, task, 5)


def oracle(config: dict, task: str, labels: int) -> int:
    found = {
        "SEQ_CLS": "BertForSequenceClassification",
        "TOKEN_CLS": "BertForTokenClassification",
        "QUESTION_ANS": "BertForQuestionAnswering",
    }[task]
    keywords = {} if task == "QUESTION_ANS" else {"num_labels": labels}
    with torch.device("meta"):
        model = getattr(transformers, found)(transformers.BertConfig(**{**config, **keywords}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        adapted = peft.get_peft_model(model, HALF.to_peft(task), low_cpu_mem_usage=True)
    return adapted.get_nb_trainable_parameters()[0]


def test_without_a_model_the_code_names_one_that_is_open():
    assert f'MODEL = "{EXAMPLE_MODEL}"' in LoRA(rank=4).to_code()


def test_the_dtype_is_the_cards_own_or_asked_for_at_run_time():
    assert "DTYPE = torch.float16\n" in QLoRA(rank=4).to_code(dtype="float16")
    assert "get_device_capability() < (8, 0)" in LoRA().to_code()
    with pytest.raises(ValueError, match="dtype must be"):
        LoRA().to_code(dtype="int8")


def test_a_changed_configuration_of_a_known_name_is_not_taken_for_it():
    config = {**catalogue_shapes(EXAMPLE_MODEL).config, "_name_or_path": EXAMPLE_MODEL, "num_hidden_layers": 3}
    text = LoRA(rank=4).to_code(model=config)
    assert "CONFIG = " in text
    expected = count(config, LoRA(rank=4))
    assert counted(printed(text)) == (expected.trainable, expected.total)
