"""Handwritten digits that are suddenly turned: a small network learned them upright and has to learn anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from peftcalc.checks import whole_number
from peftcalc.lab.tasks.problem import Batch, Evaluation, StackableProblem, parameters_of

WIDTH = 64
BLOCKS = 5
PRETRAINING_STEPS = 150
PRETRAINING_RATE = 1e-3
TRAINING = 1_297
SHOWN = 24


class ResidualNetwork(nn.Module):
    """64 pixels to 10 scores: `h ← h + W₂ relu(W₁ h)`, five times, between two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Linear(64, WIDTH)
        self.first = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(BLOCKS))
        self.second = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(BLOCKS))
        self.output = nn.Linear(WIDTH, 10)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.input(images)  # (images, 64)
        for first, second in zip(self.first, self.second, strict=True):
            hidden = hidden + second(functional.relu(first(hidden)))
        return self.output(functional.relu(hidden))

    def initialise(self, generator: torch.Generator) -> None:
        """He initialisation: normal weights of deviation √(2 / in), so rows of length about √2; biases zero."""
        for parameter in self.parameters():
            with torch.no_grad():
                if parameter.ndim == 1:
                    parameter.zero_()
                else:
                    parameter.normal_(0.0, (2 / parameter.shape[1]) ** 0.5, generator=generator)


@lru_cache(maxsize=1)
def digits() -> tuple[Tensor, Tensor]:
    """All 1,797 images `(1797, 8, 8)` with pixels from 0 to 1, and their digits; always in the same random order."""
    from sklearn.datasets import load_digits

    data, target = load_digits(return_X_y=True)
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(0))
    return torch.tensor(data / 16, dtype=torch.float32).view(-1, 8, 8)[order], torch.tensor(target)[order]


def shifted(images: Tensor, shift: str) -> Tensor:
    """The images rotated by 90°, with light and dark exchanged, or with one fixed permutation of the pixels."""
    if shift == "rotated":
        return images.rot90(1, dims=(1, 2))
    if shift == "inverted":
        return 1 - images
    permutation = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    return images.flatten(1)[:, permutation].view(-1, 8, 8)


@lru_cache(maxsize=32)
def pretrained(seed: int) -> dict[str, Tensor]:
    """Weights of a network trained on the upright training images: about half a second, once for each seed."""
    images, truths = digits()
    generator = torch.Generator().manual_seed(seed)
    network = ResidualNetwork()
    network.initialise(generator)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PRETRAINING_RATE, weight_decay=1.0)
    for step in range(PRETRAINING_STEPS):
        optimizer.param_groups[0]["lr"] = PRETRAINING_RATE * (1 - step / PRETRAINING_STEPS)
        chosen = torch.randint(TRAINING, (64,), generator=generator)
        optimizer.zero_grad()
        functional.cross_entropy(network(images[chosen].flatten(1)), truths[chosen]).backward()
        optimizer.step()
    return network.state_dict()


class Digits(StackableProblem):
    """1,297 images to learn from and 500 held out. Another seed is another pretrained base."""

    def __init__(self, seed: int, shift: str) -> None:
        self.module = ResidualNetwork()
        self.module.load_state_dict(pretrained(seed))
        images, self.truths = digits()
        self.images = shifted(images, shift).contiguous()

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        chosen = torch.randint(TRAINING, (size,), generator=generator)
        return self.images[chosen].flatten(1), self.truths[chosen]

    def loss(self, batch: Batch) -> Tensor:
        images, truths = batch
        dtype = next(self.module.parameters()).dtype
        return functional.cross_entropy(self.module(images.to(dtype)).float(), truths)

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """Cross-entropy and accuracy on the held-out images; the first 24 with the digit guessed for each."""
        dtype = next(self.module.parameters()).dtype
        truths = self.truths_held_out()
        images = self.held_out().view(-1, 8, 8)
        scores = self.module(self.held_out().to(self.device, dtype)).float().cpu()
        guesses = scores[:SHOWN].argmax(dim=1)
        samples = tuple(
            {"image": images[i].tolist(), "truth": int(truths[i]), "guess": int(guesses[i])}
            for i in range(min(SHOWN, len(truths)))
        )
        return replace(self.judged(scores), samples=samples)

    def held_out(self) -> Tensor:
        return self.images[TRAINING:].flatten(1)

    def truths_held_out(self) -> Tensor:
        """The digits of the images of `held_out`."""
        return self.truths[TRAINING:]

    def judged(self, outputs: Tensor) -> Evaluation:
        truths = self.truths_held_out()
        accuracy = (outputs.argmax(dim=1) == truths).float().mean().item()
        return Evaluation(functional.cross_entropy(outputs, truths).item(), {"accuracy": accuracy})

    def losses(self, outputs: Tensor, answers: Tensor, problems: Sequence[Digits]) -> Tensor:
        each = functional.cross_entropy(outputs.flatten(0, 1), answers.flatten(), reduction="none")
        return each.view(answers.shape).mean(dim=1)

    def sizes(self) -> dict[str, int]:
        held_out = len(self.truths) - TRAINING
        return {"base parameters": parameters_of(self.module), "training images": TRAINING, "held-out images": held_out}


class RandomLabels(Digits):
    """The first so many upright images, each with a digit drawn at random, to be learned by heart.

    There is nothing to generalise, so it is judged on what it was taught: the share of the labels that it knows.
    """

    def __init__(self, seed: int, images: int) -> None:
        super().__init__(seed, "rotated")
        count = whole_number("images", images, 1, TRAINING)
        generator = torch.Generator().manual_seed(seed)
        self.images = digits()[0][:count].contiguous()
        self.truths = torch.randint(10, (count,), generator=generator)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(self.truths), (size,), generator=generator)
        return self.images[chosen].flatten(1), self.truths[chosen]

    def held_out(self) -> Tensor:
        return self.images.flatten(1)

    def truths_held_out(self) -> Tensor:
        return self.truths

    def sizes(self) -> dict[str, int]:
        return {"base parameters": parameters_of(self.module), "training images": len(self.truths)}
