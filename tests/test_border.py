"""Whatever is given to a public name instead of what it takes is answered by a ValueError that quotes it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import peftcalc as pc

SHAPES = {"model_type": "gpt2"}
NEITHER = [5, 1.5, float("nan"), object(), torch.tensor(3)]
"""Neither a text nor a collection."""
LONG = "a" * 5000
"""No file's name is so long."""


def only(name: str, value: Any) -> dict[str, Any]:
    """One argument by its name."""
    return {name: value}


NUMBERS = ("rank", "alpha", "lr_ratio", "layers_to_transform")
"""Fields that take one of these."""
FIELDS = [f.name for f in dataclasses.fields(pc.QDoRA) if f.name not in (*NUMBERS, "layers_pattern")]


@pytest.mark.parametrize("value", NEITHER)
@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_a_method_that_is_no_such_thing(name, value):
    with pytest.raises(ValueError, match=name):
        pc.QDoRA(**only(name, value))


def test_layers_are_indices():
    for value in (1.5, object(), torch.tensor(3), "x", [1.5]):
        with pytest.raises(ValueError, match="layers_to_transform must be"):
            pc.LoRA(layers_to_transform=value)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["modules_to_save", "target_parameters"])
def test_a_word_is_no_list_of_its_letters(name):
    with pytest.raises(ValueError, match=f"{name} must be a list of .* names, got the text 'lm_head'"):
        pc.LoRA(**only(name, "lm_head"))
    assert getattr(pc.LoRA(**only(name, ["lm_head"])), name) == ("lm_head",)
    assert getattr(pc.LoRA(**only(name, None)), name) == ()


@pytest.mark.parametrize("name", ["rslora", "lora_bias", "freeze_a", "double_quant"])
def test_a_switch_is_true_or_false(name):
    for value in (0, 1, None, "yes", [], object()):
        with pytest.raises(ValueError, match=f"{name} must be True or False"):
            pc.QLoRA(**only(name, value))
    assert getattr(pc.QLoRA(**only(name, np.bool_(True))), name) is True


@pytest.mark.parametrize("value", [[], "q_proj", {1: 4}, None])
def test_a_pattern_gives_values_to_names(value):
    for name in ("rank_pattern", "alpha_pattern"):
        with pytest.raises(ValueError, match=f"{name} must give values to names"):
            pc.LoRA(**only(name, value))


@pytest.mark.parametrize("value", [*NEITHER, "", None])
def test_what_is_no_module(value):
    for act in (lambda: pc.attach(value, pc.LoRA()), lambda: pc.merge(value), lambda: pc.detach(value)):
        with pytest.raises(ValueError, match=r"torch\.nn\.Module, got"):
            act()


@pytest.mark.parametrize("value", [5, (1, 2), None, torch.tensor(3)])
def test_an_adapter_s_name_is_a_text(value):
    with pytest.raises(ValueError, match="an adapter's name"):
        pc.attach(torch.nn.Linear(2, 2), pc.LoRA(rank=1, targets=["0"]), adapter=value)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda value: pc.fit(SHAPES, "T4", methods=value), "methods must be a list of methods"),
        (lambda value: pc.compare("rank", value), "methods must be a list of methods"),
        (lambda value: pc.compare("rank", seeds=[] if isinstance(value, int) else value), "seeds must"),
        (lambda value: pc.load_adapter(torch.nn.Linear(2, 2), value), "from a folder's path"),
    ],
)
@pytest.mark.parametrize("value", NEITHER)
def test_what_is_no_list_and_no_path(act, says, value):
    with pytest.raises(ValueError, match=says):
        act(value)


def test_a_grid_gives_values_to_options():
    for grid in (5, [], "rank"):
        with pytest.raises(ValueError, match="grid must give values to options"):
            next(iter(pc.sweep("rank", grid)))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="seeds must be how many"):
        next(iter(pc.sweep("rank", {}, seeds=1.5)))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="rank must be a list of values"):
        next(iter(pc.sweep("rank", {"rank": torch.tensor(3)})))


def test_a_path_that_no_file_can_have():
    for act in (lambda: pc.read_adapter_config(LONG), lambda: pc.load_adapter(torch.nn.Linear(2, 2), LONG)):
        with pytest.raises(ValueError, match=r"File name too long|no such file"):
            act()


def test_numbers_beyond_those_of_floats():
    speed = pc.estimate_speed(SHAPES, pc.LoRA(), "T4")
    assert pc.run_cost(speed, tokens=1, epochs=10**18).tokens == 10**18
    with pytest.raises(ValueError, match="epochs must be at most"):
        pc.run_cost(speed, tokens=1, epochs=1.01e18)
    with pytest.raises(ValueError, match="weight_decay must be a number of at least 0"):
        next(iter(pc.finetune("rank", pc.LoRA(), weight_decay=10**400)))
    with pytest.raises(ValueError, match="must be a matrix of numbers"):
        pc.decompose([[10**400]], [[1.0]])
    with pytest.raises(ValueError, match="must be a matrix of numbers"):
        pc.decompose([[1j]], [[1.0]])
