"""Quantized tensors as safetensors files: our own layout, and bitsandbytes', of whole checkpoints.

`doors` what `Quantized.save` and `load` do · `own_layout` one tensor, any format · `sources` where tensors are looked
up · `bitsandbytes_layout` the tensors of a 4-bit weight · `checkpoint` all weights of a file or folder.
"""
