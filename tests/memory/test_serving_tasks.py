"""Serving many tasks: closed forms for one base with N adapters and for N whole models."""

from __future__ import annotations

import pytest

from peftcalc import Full, LoRA, QLoRA
from peftcalc.memory.serving.tasks import serving, serving_table

MODEL = "meta-llama/Llama-3.1-8B"
ADAPTER = 2 * 41_943_040
WHOLE = 2 * 8_030_261_248


@pytest.mark.parametrize("tasks", [1, 10, 500])
def test_one_base_with_adapters_against_whole_models(tasks):
    both = serving(MODEL, LoRA(rank=16), tasks)
    assert both.adapted_disk == WHOLE + tasks * ADAPTER
    assert both.full_disk == tasks * WHOLE
    assert both.adapted_memory == pytest.approx(WHOLE + tasks * ADAPTER, rel=1e-4)
    assert both.full_memory == pytest.approx(tasks * WHOLE, rel=1e-4)


def test_a_quantized_base_saves_memory_once():
    plain, quantized = serving(MODEL, LoRA(rank=16), 100), serving(MODEL, QLoRA(rank=16), 100)
    assert plain.adapted_memory - quantized.adapted_memory == pytest.approx(6_979_321_856 * (2 - 4.127 / 8), rel=1e-3)
    assert plain.adapted_disk == quantized.adapted_disk


def test_the_table_grows_by_one_adapter_a_task():
    table = serving_table(MODEL, LoRA(rank=16), (1, 2, 3))
    assert list(table.index) == [1, 2, 3]
    assert set(table["adapted_memory"].diff().dropna()) == {ADAPTER}
    assert (table["full_memory"] > 0).all()


def test_full_fine_tuning_has_no_adapter_to_serve():
    with pytest.raises(ValueError, match="needs a method with an adapter"):
        serving(MODEL, Full(), 3)


@pytest.mark.parametrize("tasks", [0, -1, 2_000_000, 1.5])
def test_absurd_numbers_of_tasks_are_refused(tasks):
    with pytest.raises(ValueError, match="tasks must be"):
        serving(MODEL, LoRA(rank=16), tasks)
