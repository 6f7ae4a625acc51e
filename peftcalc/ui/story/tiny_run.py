"""A training run so small that a browser does it while a hand moves: LoRA learns one 16 × 16 update.

`core.js` repeats `random_numbers`, `tiny_task` and `tiny_run` number for number; this is what it is tested against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def random_numbers(seed: int, count: int, start: int = 0) -> np.ndarray:
    """Numbers from 0 to 1 that depend on the seed alone: mulberry32, as `random` in `core.js`.

    Args:
        seed: of all of them.
        count, start: how many, and how many came before.

    >>> random_numbers(1, 2).round(6).tolist()
    [0.627074, 0.002736]
    """
    a = (seed + np.arange(start + 1, start + count + 1, dtype=np.uint64) * 0x6D2B79F5).astype(np.uint32)
    t = (a ^ (a >> np.uint32(15))) * (a | np.uint32(1))
    t = (t + (t ^ (t >> np.uint32(7))) * (t | np.uint32(61))) ^ t
    return (t ^ (t >> np.uint32(14))) / 4294967296


@dataclass(frozen=True)
class TinyTask:
    """Inputs and what the target makes of them; a column is a sample."""

    X: np.ndarray  # (m, samples)
    Y: np.ndarray  # (n, samples)


def tiny_task(target: np.ndarray, samples: int, noise: float, seed: int) -> TinyTask:
    """`Y = target · X + noise`, X and the noise uniform with variance 1 and `noise`².

    Args:
        target: (n, m).
        samples: how many columns; 0 for the m unit vectors without noise, which ask for the matrix itself.
        noise: its standard deviation.
        seed: of `random_numbers`, which give X and then the noise, sample by sample.
    """
    n, m = target.shape
    if samples == 0:
        return TinyTask(np.eye(m), target.copy())
    drawn = (2 * random_numbers(seed, samples * (m + n)) - 1) * np.sqrt(3)
    X = drawn[: samples * m].reshape(samples, m).T
    return TinyTask(X, target @ X + noise * drawn[samples * m :].reshape(samples, n).T)


@dataclass(frozen=True)
class TinyRun:
    """Relative squared errors, before each step and after the last one, and where the matrices ended."""

    training: np.ndarray
    held_out: np.ndarray
    B: np.ndarray
    A: np.ndarray


def tiny_run(
    task: TinyTask,
    held_out: TinyTask,
    rank: int,
    scale: float,
    rate: float,
    steps: int,
    dropout: float = 0.0,
    seed: int = 1,
) -> TinyRun:
    """Gradient descent on `‖s · B A X − Y‖² / ‖Y‖²`; B starts at zero, A uniform with variance 1 / m.

    Args:
        task, held_out: what it learns from, and what it is tested on, without dropout.
        rank, scale: r and s = α / r.
        rate: of plain gradient descent.
        dropout: share of X's entries that are zero in a step; the others are divided by 1 − dropout.
        seed: of A and then of what is left out.
    """
    (m, samples), n = task.X.shape, len(task.Y)
    A = (2 * random_numbers(seed, rank * m) - 1).reshape(rank, m) * np.sqrt(3 / m)
    B = np.zeros((n, rank))
    norm = (task.Y**2).sum()
    told: tuple[list[float], list[float]] = ([], [])
    for step in range(steps + 1):
        for losses, on in zip(told, (task, held_out), strict=True):
            losses.append(float(((scale * B @ (A @ on.X) - on.Y) ** 2).sum() / (on.Y**2).sum()))
        if step == steps:
            break
        X = task.X
        if dropout:
            chance = random_numbers(seed, samples * m, start=rank * m + step * samples * m)
            X = X * (chance >= dropout).reshape(samples, m).T / (1 - dropout)
        inner = A @ X  # (rank, samples)
        error = 2 * scale / norm * (scale * B @ inner - task.Y)  # (n, samples)
        B, A = B - rate * error @ inner.T, A - rate * (B.T @ error) @ X.T
    return TinyRun(np.array(told[0]), np.array(told[1]), B, A)
