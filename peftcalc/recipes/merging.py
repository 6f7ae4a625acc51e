"""What to do with a trained QLoRA adapter, as code: merge it into floats, and know what that is."""

from __future__ import annotations


def merging_code(base: str, adapter: str, folder: str = "merged") -> str:
    """A script with transformers and peft that merges an adapter into 16-bit weights.

    Args:
        base: id or path of the model as it was before quantization.
        adapter: id or path of the adapter.
        folder: where the merged model goes.

    >>> "merge_and_unload" in merging_code("meta-llama/Llama-3.1-8B", "my-adapter")
    True
    """
    return f"""\
import peftcalc as pc
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

BASE, ADAPTER, MERGED = {base!r}, {adapter!r}, {folder!r}
AS_TRAINED = True  # False: the base's original floats

model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.bfloat16)
model = PeftModel.from_pretrained(model, ADAPTER)
if AS_TRAINED:  # the adapter has learned beside rounded weights: give it those, as floats
    for name, layer in model.named_modules():
        if name.endswith(".base_layer"):
            rounded = pc.quantize(layer.weight.data.float(), "nf4", block_size=64, double_quant=True)
            layer.weight.data = torch.as_tensor(rounded.dequantize()).to(layer.weight.dtype)
model = model.merge_and_unload()
model.save_pretrained(MERGED)  # 16-bit: to serve it in 4 bits again, measure its loss again first
"""
