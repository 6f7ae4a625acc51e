"""Text from a character model at a fixed seed."""

from __future__ import annotations

import torch
from torch import Tensor

from peftcalc.lab.character_model import Cache, CharacterModel, decode, encode


@torch.no_grad()
def generate(
    model: CharacterModel, prompts: list[str], count: int, seed: int = 0, temperature: float = 0.8
) -> list[str]:
    """`count` more characters after each prompt, drawn from the model; the same seed draws the same random numbers.

    Args:
        prompts: texts of one and the same length.
        count: how many characters to add to each.
        temperature: above 0; below 1 the likely characters become likelier.

    Returns:
        The prompts with their continuations.
    """
    device = model.embedding.weight.device
    generator = torch.Generator().manual_seed(seed)
    codes = torch.stack([encode(prompt) for prompt in prompts])
    noise = torch.rand(count, len(prompts), model.embedding.num_embeddings, generator=generator)
    gumbel = -(-noise.clamp_min(1e-20).log()).log()  # argmax(logits + gumbel) is a draw from softmax(logits)
    cache, codes, fresh = Cache(model.config.layers), codes.to(device), codes.to(device)
    for step in range(count):
        logits = model(fresh, cache)[:, -1].float() / temperature
        fresh = (logits + gumbel[step].to(device)).argmax(dim=1, keepdim=True)
        codes = torch.cat([codes, fresh], dim=1)
    return [decode(row) for row in codes.tolist()]


def generate_names(model: CharacterModel, count: int, seed: int = 0, temperature: float = 0.8) -> list[str]:
    """`count` names: what stands before the first newline after the one that begins a name, at most 24 characters."""
    texts = generate(model, ["\n"] * count, 25, seed, temperature)
    return [text[1:].split("\n")[0][:24] for text in texts]


def held_out_loss(model: CharacterModel, rows: Tensor, size: int = 32) -> float:
    """Nats a character on rows of codes `(rows, length + 1)`, computed `size` rows at a time."""
    from peftcalc.lab.character_model import language_loss

    with torch.no_grad():
        return sum(language_loss(model, part).item() * len(part) for part in rows.split(size)) / len(rows)
