"""The code that merges an adapter, run as it is on a small model: what it saves is the sum of the weights."""

from __future__ import annotations

import json

import pytest
import torch
from exported import printed
from tiny_models import save_tiny_model

import peftcalc as pc
from peftcalc.recipes.merging import merging_code

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
}
ALPHA, RANK = 6, 2


def small_adapter(folder, base) -> dict[str, torch.Tensor]:
    """An adapter of q_proj whose B is not zero, saved by peft; the tensors of the first layer by their last names."""
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(folder)
    stored = load_file(folder / "adapter_model.safetensors")
    return {name.split(".")[-2]: tensor for name, tensor in stored.items() if ".layers.0." in name}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # the libraries' advice to each other
@pytest.mark.parametrize("as_trained", [True, False])
def test_what_is_merged_is_the_sum(tmp_path, as_trained):
    from safetensors.torch import load_file

    base = save_tiny_model(tmp_path / "base", CONFIG, "LlamaForCausalLM")
    found = small_adapter(tmp_path / "adapter", base)
    text = merging_code(str(base), "adapter")
    assert text.count("AS_TRAINED = True") == 1
    printed(text.replace("AS_TRAINED = True", f"AS_TRAINED = {as_trained}"), tmp_path)
    name = "model.layers.0.self_attn.q_proj.weight"
    before, after = (load_file(folder / "model.safetensors")[name] for folder in (base, tmp_path / "merged"))
    before = before.to(torch.bfloat16).float()
    if as_trained:
        rounded = pc.quantize(before, "nf4", block_size=64, double_quant=True)
        before = torch.as_tensor(rounded.dequantize())
    expected = before + ALPHA / RANK * found["lora_B"] @ found["lora_A"]
    # Three roundings to bfloat16, of 2⁻⁹ each: the base, the update and their sum.
    assert torch.allclose(after.float(), expected, rtol=0, atol=3 * 2**-9 * float(expected.abs().max()))
    assert json.loads((tmp_path / "merged/config.json").read_text())["dtype"] == "bfloat16"
