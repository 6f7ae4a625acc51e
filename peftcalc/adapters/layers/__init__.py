"""Adapted layers, a ladder of files: `base` → `lora` → `dora`, with cousins for embeddings and convolutions.

`frozen_weight` and `quantized_linear` are the two bases; `adapt` knows which layer fits which; `few_tokens` does the
small work of few tokens in C.
"""
