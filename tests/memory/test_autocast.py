"""Adapters over a quantized base under autocast: peft asks for CUDA's autocast, and casts nothing while it is on."""

from __future__ import annotations

import pytest
import torch

from peftcalc import DoRA, LoRA, QDoRA, QLoRA
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.simulate.cuda_rules import cuda_autocast
from peftcalc.memory.simulate.simulate import simulate_memory

WIDE = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 4096,
}
OPT = {
    "model_type": "opt",
    "architectures": ["OPTForCausalLM"],
    "hidden_size": 512,
    "word_embed_proj_dim": 512,
    "ffn_dim": 2048,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "vocab_size": 4096,
    "activation_function": "relu",
}
TOKENS, LAYERS = 1024, 4
COPIES = "the adapters' own copies of their inputs"
RESULTS = "DoRA: results of base and adapter before scaling"


def each(name: str, method, **options) -> float:
    """Bytes a token and layer of a term of the estimate."""
    result = estimate_memory(WIDE, method, 1, TOKENS, padding=False, optimizer="sgd", **options)
    return sum(term.bytes for term in result.terms if term.name == name) / TOKENS / LAYERS


def test_cudas_autocast_follows_that_of_the_processor_and_comes_back():
    before = torch.is_autocast_enabled(), torch.get_autocast_dtype("cuda")
    with torch.autocast("cpu", dtype=torch.float16):
        assert not torch.is_autocast_enabled()
        with cuda_autocast():
            assert (torch.is_autocast_enabled(), torch.get_autocast_dtype("cuda")) == (True, torch.float16)
    with cuda_autocast():
        assert not torch.is_autocast_enabled()
    assert (torch.is_autocast_enabled(), torch.get_autocast_dtype("cuda")) == before


@pytest.mark.parametrize(
    ("targets", "options", "expected"),
    [
        (["q_proj", "v_proj"], {}, 2 * 2 * 512),  # float32 norms: one copy each, in the dtype
        (["o_proj"], {}, 0),  # attention's output is kept by its kernel
        (["o_proj"], {"attention": "eager"}, 2 * 512),
        (["down_proj"], {}, 2 * 1536),
        (["q_proj", "v_proj"], {"kbit_upcast": False}, 2 * 512),  # one tensor for both
        (["q_proj", "v_proj"], {"kbit_upcast": False, "base_format": "gptq"}, 2 * 2 * 512),  # peft casts over GPTQ
        (["o_proj"], {"base_format": "int8"}, 0),
        (["o_proj"], {"autocast": False}, 4 * 512),
        (["o_proj"], {"autocast": False, "kbit_upcast": False}, 4 * 512),
    ],
)
def test_what_an_adapter_keeps_of_its_input_over_a_quantized_base(targets, options, expected):
    assert each(COPIES, QLoRA(rank=8, targets=targets), **options) == expected


def test_over_a_base_in_half_precision_every_adapter_keeps_its_own():
    assert each(COPIES, LoRA(rank=8, targets=["o_proj"])) == 2 * 512


def test_a_quantized_layer_answers_in_the_type_that_it_reads():
    """Attention's output is half, so is the result of its projection; the down-projection reads float32."""
    assert each(RESULTS, QDoRA(rank=8, targets=["o_proj"])) == (2 + 2) * 512
    assert each(RESULTS, QDoRA(rank=8, targets=["down_proj"])) == (4 + 2) * 512
    assert each(RESULTS, QDoRA(rank=8, targets=["o_proj"]), autocast=False) == (4 + 4) * 512


def test_doras_float32_magnitude_widens_the_hidden_states_of_a_quantized_base():
    """Only where its layer's result reaches them, where nothing casts it back, and where it is float32."""

    def hidden(method, **options):
        name = "gate, activation and up-projection of the MLP"
        return each(name, method, **{"kbit_upcast": False} | options) / 1536 / 3

    assert hidden(QLoRA(rank=8)) == hidden(DoRA(rank=8)) == hidden(QDoRA(rank=8, targets=["q_proj"])) == 2
    assert [hidden(QDoRA(rank=8, targets=[name])) for name in ("o_proj", "up_proj", "down_proj")] == [4, 4, 4]
    assert hidden(QDoRA(rank=8), autocast=False) == hidden(QDoRA(rank=8), preparation="trl") == 2


def test_eight_bits_keep_what_relu_keeps_once():
    name = "inputs of the 8-bit layers"
    (there,) = (t for t in estimate_memory(OPT, QLoRA(), 1, 64, base_format="int8").terms if t.name == name)
    assert there.bytes == 4 * 64 * 2 * 4 * 512  # q, k and v read one tensor, fc1 another; heads and ReLU are kept


@pytest.mark.parametrize("method", [QLoRA(rank=16), QDoRA(rank=16)], ids=lambda method: method.name)
@pytest.mark.parametrize(
    "options",
    [{}, {"kbit_upcast": False}, {"preparation": "trl"}, {"base_format": "int8"}],
    ids=str,
)
def test_the_traced_step_agrees(method, options):
    """Within 1.5 %: what is traced is what a card does, since CUDA's autocast is on."""
    chosen = {"padding": False, "card": "H100 80GB"} | options
    estimate, trace = (way(WIDE, method, 2, 512, **chosen) for way in (estimate_memory, simulate_memory))
    assert estimate.total == pytest.approx(trace.peak, rel=0.015)


@pytest.mark.parametrize("options", [{}, {"checkpointing": True}, {"loss": "chunked", "chunk_size": 16}], ids=str)
def test_peft_casts_nothing_in_a_traced_step_also_where_a_layer_is_computed_again(options, monkeypatch):
    from peft.tuners.lora.bnb import Linear4bit

    def refuse(*_):
        raise AssertionError("peft casts an adapter's input")

    monkeypatch.setattr(Linear4bit, "_cast_input_dtype", refuse)
    assert simulate_memory(WIDE, QLoRA(rank=8), 1, 32, **options).peak > 0
    with pytest.raises(ValueError, match="peft casts"):
        simulate_memory(WIDE, QLoRA(rank=8), 1, 32, autocast=False, **options)
