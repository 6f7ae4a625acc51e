"""LoRA and DoRA for an embedding: the update's first factor is looked up instead of multiplied (LoRA's own code, and
peft's).

An embedding is a linear layer whose input is one-hot: `W` is (features, tokens of the vocabulary), so `A x` is a
column of A.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftcalc.adapters.layers.base import AdaptedLayer, Options, adapter_parameter
from peftcalc.adapters.layers.dora import Magnitude


class LoRAEmbedding(AdaptedLayer):
    """`y = W[:, x] + s · B A[:, x]`, with `A = 0` and `B` normal at the start, the other way round from a linear layer.

    A has shape (rank, vocabulary), B (features, rank). Dropout does not apply to tokens. Arguments as for `LoRALinear`;
    peft knows one start of an embedding, whatever `init` says, and trains this A, which starts at zero, always.

    >>> base, x = nn.Embedding(9, 4), torch.tensor([[1, 8]])
    >>> torch.equal(LoRAEmbedding(base, rank=2)(x), base(x))
    True
    """

    def __init__(self, base: nn.Embedding, **options: Unpack[Options]) -> None:
        super().__init__(base, **options)
        A, B = torch.randn(self.rank, base.num_embeddings), torch.randn(base.embedding_dim, self.rank)
        self.A = adapter_parameter(torch.zeros_like(A), base.weight)
        self.B = adapter_parameter(B.normal_(), base.weight)  # drawn a second time, as peft draws it

    def adapter(self) -> dict[str, nn.Parameter]:
        return {"lora_embedding_A": self.A, "lora_embedding_B": self.B}

    def forward(self, x: Tensor) -> Tensor:
        """(…) token ids → (…, features)"""
        if self.merged_base is not None:
            return self.merged_base(x)
        y = self.base(x)
        return (y + self.update(x)).to(y.dtype)

    def update(self, x: Tensor) -> Tensor:
        """`s · B A[:, x]`, (…, features), times the factor by which some models scale their embeddings."""
        base = self.base
        columns = F.embedding(
            x, self.A.T, base.padding_idx, base.max_norm, base.norm_type, base.scale_grad_by_freq, base.sparse
        )
        return columns @ self.B.T * (self.scale * getattr(base, "embed_scale", 1))  # (…, rank) → (…, features)


class DoRAEmbedding(Magnitude, LoRAEmbedding):
    """`y = m/n ∘ (W[:, x] + s · B A[:, x])`, with a magnitude for each feature. Arguments as for `LoRAEmbedding`."""

    def __init__(self, base: nn.Embedding, **options: Unpack[Options]) -> None:
        super().__init__(base, **options)
        self.start_magnitude()

    def forward(self, x: Tensor) -> Tensor:
        """(…) token ids → (…, features)"""
        if self.merged_base is not None:
            return self.merged_base(x)
        y = self.base(x)
        return (self.magnitude / self.norm() * (y + self.update(x))).to(y.dtype)
