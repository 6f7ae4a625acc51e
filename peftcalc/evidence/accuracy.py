"""Published accuracies that the advice rests on."""

COMMONSENSE = {
    "LLaMA-7B": (74.7, 78.4, 77.5),
    "LLaMA-13B": (80.5, 81.5, 80.8),
    "Llama-2-7B": (77.6, 79.7, 80.5),
    "Llama-3-8B": (80.8, 85.2, 85.0),
}
"""Average accuracy on eight commonsense tasks: LoRA at rank 32, DoRA at 32 and at 16 (DoRA paper, arXiv:2402.09353v6,
table 1)."""

WIKISQL_BY_RANK = {1: 73.4, 2: 73.3, 4: 73.7, 8: 73.8, 64: 73.5}
"""Accuracy of GPT-3 175B by rank, query and value adapted (LoRA paper, arXiv:2106.09685, table 6)."""
