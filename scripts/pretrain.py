"""Pretrain the character models that the lab ships: `python scripts/pretrain.py names|text`.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) for the matrices, AdamW for the embedding and the
norms, a learning rate that falls linearly to zero. Every 100 steps the held-out loss goes to
`scripts/logs/pretrain_TASK.csv`, and the state to a checkpoint from which an interrupted run goes on. The weights are
written in float16: 1.6 MB.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from peftcalc.lab.character_model import CharacterModel, encode, language_loss
from peftcalc.lab.tasks.corpora import DATA, corpus, in_order, pack, split, windows, world_names

LOGS = Path(__file__).parent / "logs"


@dataclass(frozen=True)
class Recipe:
    """How one model is pretrained."""

    steps: int
    rows: int
    length: int
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    seed: int = 0


RECIPES = {"names": Recipe(steps=800, rows=24, length=64), "text": Recipe(steps=2_000, rows=12, length=128)}


class Data:
    """Training batches and held-out rows of one pretraining."""

    def __init__(self, task: str, recipe: Recipe) -> None:
        self.recipe, self.generator = recipe, torch.Generator().manual_seed(recipe.seed)
        if task == "names":
            self.names, held_out = split(world_names(), held_out=0.05)
            self.held_out = in_order(encode("\n" + "\n".join(held_out)), recipe.length)
            return
        self.names = ()
        docstrings, held_out = split(corpus("docstrings").split("\n\n"), held_out=0.04)
        self.codes = encode("\n\n".join(docstrings))
        self.held_out = in_order(encode("\n\n".join(held_out)), recipe.length)

    def batch(self) -> Tensor:
        """One random batch, `(rows, length + 1)`."""
        rows, length = self.recipe.rows, self.recipe.length
        if self.names:
            return pack(self.names, rows, length, self.generator)
        return windows(self.codes, rows, length, self.generator)


class Muon(torch.optim.Optimizer):
    """Momentum whose direction is orthogonalised: every singular value of a matrix's update is brought close to 1.

    All matrices of one shape are treated as one batch, in float32: on a CPU this is ten times as fast as
    `torch.optim.Muon`.
    """

    def __init__(self, matrices: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every matrix, scaled by the root of its longer side over its shorter one."""
        group = self.param_groups[0]
        shapes: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            shapes.setdefault(parameter.shape, []).append(parameter)
        for shape, parameters in shapes.items():
            gradients = torch.stack([p.grad for p in parameters if p.grad is not None])
            state = self.state[parameters[0]]
            velocity = state.setdefault("velocity", torch.zeros_like(gradients)).lerp_(gradients, 1 - group["momentum"])
            update = orthogonalised(gradients.lerp(velocity, group["momentum"]))
            rate = group["lr"] * max(1, shape[0] / shape[1]) ** 0.5
            for parameter, change in zip(parameters, update, strict=True):
                parameter.sub_(change, alpha=rate)


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration `X ← aX + (bXXᵀ + c(XXᵀ)²)X` on a batch `(count, rows, columns)`."""
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if matrices.shape[1] > matrices.shape[2] else x


def optimizers(model: CharacterModel, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("layers")]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or not name.startswith("layers")]
    return [
        Muon(matrices, lr=recipe.muon_rate),
        torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


@torch.no_grad()
def held_out_loss(model: CharacterModel, rows: Tensor) -> float:
    """Nats a character on the held-out rows."""
    return sum(language_loss(model, part).item() * len(part) for part in rows.split(64)) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=RECIPES)
    task = parser.parse_args().task
    torch.set_flush_denormal(True)  # unused characters get gradients so small that a CPU computes them ten times slower
    recipe, checkpoint, log = RECIPES[task], LOGS / f"{task}.pt.tmp", LOGS / f"pretrain_{task}.csv"
    data, model = Data(task, recipe), CharacterModel()
    model.initialise(torch.Generator().manual_seed(recipe.seed))
    chosen = optimizers(model, recipe)
    falls = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 - step / recipe.steps) for o in chosen]
    first, seconds = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for part, state in zip([*chosen, *falls], saved["parts"], strict=True):
            part.load_state_dict(state)
        data.generator.set_state(saved["generator"])
        first, seconds = saved["step"], saved["seconds"]
    else:
        log.write_text("step,training_loss,held_out_loss,seconds\n")
    began = time.perf_counter() - seconds
    for step in range(first + 1, recipe.steps + 1):
        loss = language_loss(model, data.batch())
        loss.backward()
        for part in [*chosen, *falls]:
            part.step()
        model.zero_grad()
        if step % 100 == 0:
            seconds = time.perf_counter() - began
            with log.open("a", newline="") as file:
                held_out = held_out_loss(model, data.held_out)
                csv.writer(file).writerow([step, f"{loss.item():.4f}", f"{held_out:.4f}", f"{seconds:.0f}"])
            parts = [part.state_dict() for part in [*chosen, *falls]]
            state = data.generator.get_state()
            torch.save(
                {"model": model.state_dict(), "parts": parts, "generator": state, "step": step, "seconds": seconds},
                checkpoint,
            )
            save_file({name: w.half() for name, w in model.state_dict().items()}, DATA / f"{task}.safetensors")
    checkpoint.unlink()


if __name__ == "__main__":
    main()
