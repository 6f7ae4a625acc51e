"""What a card does where a CPU does otherwise: autocast as peft and cross-entropy meet it, and torch's MATH kernel."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from peftcalc import DoRA, LoRA, QDoRA, QLoRA
from peftcalc.memory.estimate.anatomy import anatomy
from peftcalc.memory.estimate.closed_form import estimate_memory
from peftcalc.memory.model_config import sliding_share, sliding_window
from peftcalc.memory.options import MemoryOptions
from peftcalc.memory.simulate.cuda_rules import CudaRules, cuda_autocast
from peftcalc.memory.simulate.simulate import simulate_memory
from peftcalc.models.load import load_model

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


class Spy(torch.utils._python_dispatch.TorchDispatchMode):
    """The types and names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.seen: list[tuple[str, torch.dtype]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, tuple) else result
        self.seen.append((func.overloadpacket.__name__, getattr(first, "dtype", None)))
        return result


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_cross_entropy_under_autocast_has_log_probabilities_of_the_logits_type(dtype):
    rules = CudaRules(MemoryOptions())
    logits = torch.randn(6, 11, generator=torch.manual_seed(0)).to(dtype).requires_grad_()
    target = torch.tensor([0, 3, -100, 7, 10, 2])
    with torch.autocast("cpu"), rules, Spy() as spy:
        loss = functional.cross_entropy(logits, target)
    kinds = dict(spy.seen)
    assert (kinds["_log_softmax"], kinds["nll_loss_forward"]) == (dtype, torch.float32)
    assert float(loss.detach()) == pytest.approx(
        float(functional.cross_entropy(logits.detach().float(), target)), rel=0.01
    )
    loss.backward()
    assert logits.grad.dtype == dtype


def test_a_mask_whose_last_stride_is_not_one_leaves_math_alone():
    query = torch.randn(2, 4, 8, 16, dtype=torch.bfloat16)
    turned = torch.randn(8, 8, 4, dtype=torch.bfloat16).permute(2, 0, 1).unsqueeze(0)
    kernels = []
    for mask in (turned, turned.contiguous()):
        rules = CudaRules(MemoryOptions(card="H100 80GB"))
        with rules, FakeTensorMode(allow_non_fake_inputs=True):
            functional.scaled_dot_product_attention(query, query, query, attn_mask=mask)
        kernels.append(rules.kernels)
    assert kernels == [{"math"}, {"efficient"}]


@pytest.mark.parametrize("heads", [4, 2])
def test_math_with_dropout_answers_as_torchs_and_keeps_a_mask_of_one_byte(heads):
    query = torch.randn(2, 4, 8, 16, requires_grad=True)
    key, value = (torch.randn(2, heads, 8, 16, requires_grad=True) for _ in range(2))
    mask = torch.randn(1, 1, 8, 8)
    rules = CudaRules(MemoryOptions(kernel="math"))
    kept = []
    with rules, torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        drop = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=1e-7, enable_gqa=heads < 4
        )
    plain = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=heads < 4)
    assert torch.allclose(drop, plain, atol=1e-5)
    scores = [t for t in kept if t.shape[-2:] == (8, 8)]
    assert sorted({t.dtype.itemsize for t in scores}) == [1, 4]


def test_logits_of_a_class_with_its_own_loss_take_ten_bytes_and_six():
    """10 and 6 bytes a token and word; 2 more while the loop holds the logits."""
    words = 30_522
    for options, each in (({}, 10), ({"autocast": False}, 6), ({"dtype": "float32"}, 12)):
        result = estimate_memory(
            "google-bert/bert-base-uncased", LoRA(rank=8), 1, 512, padding=False, keep_outputs=False, **options
        )
        assert result.logits_and_loss == each * 512 * words
    llama = estimate_memory(WIDE, LoRA(rank=8), 1, 512, padding=False, keep_outputs=False)
    assert llama.logits_and_loss == 12 * 512 * 4096


def test_modernberts_layers_are_read_and_two_of_three_slide():
    body = anatomy(load_model("answerdotai/ModernBERT-base"))
    assert body.unknown == ()
    assert [(mlp.width, mlp.gated, mlp.repeats) for mlp in body.mlps] == [(1152, True, 22)]
    assert (body.window, body.sliding) == (128, pytest.approx(14 / 22))


@pytest.mark.parametrize("given", [{}, {"sliding_window": [1]}, {"sliding_window": "x"}, {"sliding_window": -3}])
@pytest.mark.parametrize("kind", ["modernbert", "llama"])
def test_a_configuration_that_leaves_a_size_out_or_says_nonsense_has_its_class_s(kind: str, given: dict) -> None:
    config = {"model_type": kind, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4} | given
    assert sliding_window(config) == (128 if kind == "modernbert" else 0)
    assert sliding_share(config) == (1 - 8 / 22 if kind == "modernbert" else 1.0)
    said = config | {"sliding_window": 256, "local_attention": 64}
    assert sliding_window(said) == (64 if kind == "modernbert" else 256)
