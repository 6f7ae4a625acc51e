"""The table of cards: its figures hang together, and names are understood as people write them."""

from __future__ import annotations

import pytest

import peftcalc
from peftcalc.memory.cards import all_gpus, gpu


def test_the_table_has_the_cards_people_ask_for():
    table = peftcalc.gpus()
    assert {"T4", "V100 16GB", "RTX 4090", "A100 80GB", "H100 80GB"} <= set(table.index)
    assert set(table["kind"]) == {"consumer", "workstation", "data centre"}
    assert table.index.is_unique


@pytest.mark.parametrize("card", all_gpus(), ids=lambda card: card.name)
def test_every_card_can_use_a_little_less_than_its_box_says(card):
    assert 0.9 <= card.usable_bytes / card.memory_bytes < 1
    assert 100e9 <= card.bandwidth <= 10e12
    assert card.source.startswith("https://")


@pytest.mark.parametrize("card", all_gpus(), ids=lambda card: card.name)
def test_a_card_has_bfloat16_from_compute_capability_eight_on(card):
    amd = {"gfx90a": True, "gfx942": True}  # CDNA 2 and 3 both have it
    assert card.bfloat16 == amd.get(card.architecture, card.architecture.partition(".")[0] in ("8", "9", "10", "12"))
    assert card.dtype == ("bfloat16" if card.bfloat16 else "float16")


@pytest.mark.parametrize("name", ["T4", "V100 16GB", "V100 32GB", "P100 16GB", "RTX 2080 Ti", "RTX 2060 6GB"])
def test_the_cards_before_ampere_train_in_float16(name):
    assert gpu(name).dtype == "float16"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("V100 16GB", "V100 16GB"),
        ("v100-16gb", "V100 16GB"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("4090", "RTX 4090"),
        ("Tesla T4", "T4"),
        ("h100", "H100 80GB"),
        ("a10", "A10"),
    ],
)
def test_names_are_understood_as_people_write_them(written, name):
    assert gpu(written).name == name


@pytest.mark.parametrize(
    ("written", "near"), [("V100", "V100 16GB, V100 32GB"), ("RTX 4091", "RTX 4090"), ("A100 81GB", "A100 80GB")]
)
def test_an_unknown_card_is_answered_with_the_nearest(written, near):
    with pytest.raises(ValueError, match=f"no GPU called {written!r}; nearest: .*{near}"):
        gpu(written)


def test_a_name_like_no_other_is_answered_with_some_that_exist():
    with pytest.raises(ValueError, match="known are T4, V100 16GB"):
        gpu("abacus")
