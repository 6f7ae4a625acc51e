"""Constants of the closed forms, against sums by hand; and searches that end at their limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

import peftcalc as pc
from peftcalc.memory.largest import searched
from peftcalc.memory.needed import Needed
from peftcalc.memory.serving.caches import _window, layer_caches
from peftcalc.memory.serving.estimate import PIECE

LLAMA = "meta-llama/Llama-3.1-8B"
LINEARS, WIDEST, POSITIONS = 6_979_321_856, 14_336, 131_072
"""Of Llama 3.1 8B: numbers of its linear layers, the width of its MLP, and its positions."""


def of_term(terms, name: str) -> int:
    (found,) = [term.bytes for term in terms if term.name == name]
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 9])
def test_a_search_ends_at_its_limit_and_asks_no_further(limit: int):
    asked: list[int] = []
    assert searched(lambda size: not asked.append(size), limit) == limit
    assert max(asked) <= limit
    assert searched(lambda size: size < limit, limit) == limit - 1


def test_to_the_byte_is_enough():
    sizes = Needed(6, 7, 8, 9)
    assert [sizes.verdict(usable) for usable in (7, 8, 9)] == ["does not fit", "tight", "fits"]


def test_the_moments_in_8_bits_have_a_scale_for_256_numbers():
    method = pc.LoRA(rank=8)
    numbers = pc.count(LLAMA, method).trainable
    for optimizer, each in (("adamw_8bit", 2), ("paged_adamw_8bit", 0)):
        terms = pc.estimate_memory(LLAMA, method, optimizer=optimizer).terms
        (states,) = [term.bytes for term in terms if term.part == "optimizer_states"]
        assert states == each * numbers + 8 * -(-numbers // 256)


def test_a_base_in_4_bits_has_its_scales_and_theirs():
    """64 weights share a scale of one byte, 256 scales one of four: (1/64 + 4 / (64 · 256)) · N."""
    terms = pc.estimate_serving(LLAMA, pc.QLoRA(), "A100 80GB", bits=4).terms
    assert of_term(terms, "their scales") == LINEARS // 64 + LINEARS // 4096
    terms = pc.estimate_serving(LLAMA, pc.QLoRA(double_quant=False), "A100 80GB", bits=4).terms
    assert of_term(terms, "their scales") == LINEARS // 16


def test_a_piece_of_a_prompt_holds_four_widths_and_three_of_the_mlp():
    terms = pc.estimate_serving(LLAMA, pc.LoRA(), "A100 80GB", context=PIECE).terms
    assert of_term(terms, "a piece of a prompt") == PIECE * 2 * (4 + 3) * WIDEST


def test_a_context_is_too_long_from_one_token_more_on():
    for context, said in ((POSITIONS, False), (POSITIONS + 1, True)):
        notes = pc.estimate_serving(LLAMA, pc.LoRA(), "H200", context=context).notes
        assert any("more than the 131,072 positions" in note for note in notes) is said


def test_every_fourth_layer_of_llama_4_sees_all():
    config = {"model_type": "llama4_text", "attention_chunk_size": 8}
    assert [_window(config, index) for index in range(8)] == [8, 8, 8, 0, 8, 8, 8, 0]


def test_layers_that_share_keys_and_values_keep_none_of_their_own():
    shapes = pc.load_model(LLAMA)
    shared = replace(shapes, config={**shapes.config, "num_kv_shared_layers": 5})
    assert [sum(one.layers for one in layer_caches(model)) for model in (shapes, shared)] == [32, 27]
