"""A small language model over characters, with the parts of a modern one: RMSNorm, rotary positions, a gated MLP.

About 0.8 million parameters. The module names are Llama's (`q_proj`, …, `down_proj`), so targets read as they do on a
large model; the output layer is the embedding transposed, and is therefore not a linear layer that an adapter could
sit on.

Sources: RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467), rotary positions (Su et al. 2021, arXiv:2104.09864), gated
MLP (Shazeer 2020, arXiv:2002.05202).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
"""Every character the model knows: the newline, which also begins and ends a name, and printable ASCII."""

_CODES = np.full(128, -1, dtype=np.int64)
_CODES[[ord(character) for character in ALPHABET]] = np.arange(len(ALPHABET))


def encode(text: str) -> Tensor:
    """The characters of `text` as int64 codes, shape `(len(text),)`; a character outside the alphabet is an error.

    >>> encode("\\nAb").tolist()
    [0, 34, 67]
    """
    outside = set(text) - set(ALPHABET)
    if outside:
        raise ValueError(f"text must be printable ASCII and newlines, got the character {min(outside)!r}")
    return torch.from_numpy(_CODES[np.frombuffer(text.encode("ascii"), dtype=np.uint8)])


def decode(codes: Iterable[int]) -> str:
    """The text of these codes.

    >>> decode([0, 34, 67])
    '\\nAb'
    """
    return "".join(ALPHABET[int(code)] for code in codes)


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of a `CharacterModel`."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    hidden: int = 344
    """Width of the gated MLP."""
    context: int = 256
    """The longest sequence that positions are prepared for."""


class Cache:
    """Keys and values of the characters already read, one pair a layer, so that generating reads each character
    once.
    """

    def __init__(self, layers: int) -> None:
        self.pairs: list[tuple[Tensor, Tensor] | None] = [None] * layers

    @property
    def length(self) -> int:
        """How many characters have been read."""
        return 0 if self.pairs[0] is None else self.pairs[0][0].shape[2]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append along the sequence; everything read so far is returned."""
        before = self.pairs[layer]
        if before is not None:
            keys, values = torch.cat([before[0], keys], dim=2), torch.cat([before[1], values], dim=2)
        self.pairs[layer] = (keys, values)
        return keys, values


class Attention(nn.Module):
    """Causal self-attention with rotary positions."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.layer = config.heads, layer
        self.q_proj = nn.Linear(config.width, config.width, bias=False)
        self.k_proj = nn.Linear(config.width, config.width, bias=False)
        self.v_proj = nn.Linear(config.width, config.width, bias=False)
        self.o_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: Cache | None) -> Tensor:
        batch, length, width = x.shape
        queries, keys, values = (
            projection(x).view(batch, length, self.heads, -1).transpose(1, 2)  # (batch, heads, length, width / heads)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        queries, keys = rotate(queries, *rotation), rotate(keys, *rotation)
        if cache is not None:
            keys, values = cache.extend(self.layer, keys, values)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=length > 1)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, width))


class GatedMLP(nn.Module):
    """`down(silu(gate(x)) ∘ up(x))`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.width, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """Attention and MLP, each on the normalised stream and added back to it."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.RMSNorm(config.width), nn.RMSNorm(config.width)
        self.self_attn, self.mlp = Attention(config, layer), GatedMLP(config)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: Cache | None) -> Tensor:
        x = x + self.self_attn(self.attention_norm(x), rotation, cache)
        return x + self.mlp(self.mlp_norm(x))


class CharacterModel(nn.Module):
    """Codes of characters `(batch, length)` to logits of the next one `(batch, length, 96)`."""

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ModelConfig()
        self.embedding = nn.Embedding(len(ALPHABET), config.width)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = nn.RMSNorm(config.width)
        cosine, sine = rotations(config.context, config.width // config.heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def forward(self, codes: Tensor, cache: Cache | None = None) -> Tensor:
        start = cache.length if cache is not None else 0
        end = start + codes.shape[1]
        if end > self.config.context:
            raise ValueError(f"a sequence must have at most {self.config.context} characters, got {end}")
        rotation = self.get_buffer("cosine")[start:end], self.get_buffer("sine")[start:end]
        x = self.embedding(codes)  # (batch, length, width)
        for layer in self.layers:
            x = layer(x, rotation, cache)
        return functional.linear(self.norm(x), self.embedding.weight)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every weight: normal with deviation 0.02, smaller where it is added to the stream; norms stay 1."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_stream = name.endswith(("o_proj.weight", "down_proj.weight"))
                deviation = 0.02 / (2 * self.config.layers) ** 0.5 if into_stream else 0.02
                with torch.no_grad():
                    parameter.normal_(0.0, deviation, generator=generator)


def rotations(context: int, size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of `position · 10000^(−2i/size)`, each of shape `(context, size / 2)`."""
    frequency = 10_000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angle = torch.arange(context, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each pair `(x_i, x_{i + size/2})` by its position's angle; x has shape `(batch, heads, length, size)`."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


def load_character_model(path: Path) -> CharacterModel:
    """A model with the weights of a safetensors file (stored in float16, computed in float32)."""
    from safetensors.torch import load_file

    model = CharacterModel()
    model.load_state_dict({name: weight.float() for name, weight in load_file(path).items()})
    return model


def language_loss(model: nn.Module, rows: Tensor) -> Tensor:
    """Mean cross-entropy in nats a character of rows `(batch, length + 1)`: each character from those before it."""
    logits = model(rows[:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())
