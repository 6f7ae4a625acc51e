"""The four sections of the Quantization page, and what they compute."""
