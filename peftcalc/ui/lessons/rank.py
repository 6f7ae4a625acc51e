"""What the Rank page teaches with."""

from __future__ import annotations

import functools
import math
import statistics

import numpy as np

from peftcalc.geometry.rank_bound import known_floor
from peftcalc.geometry.spectrum import Spectrum
from peftcalc.lab.stored_lessons import stored_lesson
from peftcalc.methods import LoRA
from peftcalc.ui.lessons.lesson import Lesson, Prediction, Preset, TryThis

KNOWN_RANKS = (1, 2, 3, 4, 5, 6, 8, 16)
TEACHER_RANKS = (1, 2, 4, 8)
REAL_RANKS = (1, 2, 4, 8, 16, 32)
DROPOUT_RATES = (0.0, 0.1, 0.3)
DROPOUT_STEPS = 150
SCALING_RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ALPHAS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def trained_losses(teacher_rank: int, spectrum: str) -> dict[int, list[float]]:
    """From the stored run: what LoRA of each rank reached, one number a seed."""
    found: dict[int, list[float]] = {}
    for record in stored_lesson("rank-known").records:
        if (record["teacher_rank"], record["spectrum"]) == (teacher_rank, spectrum):
            found.setdefault(record["rank"], []).append(record["validation"])
    return found


def real_losses(task: str) -> dict[str, list[float]]:
    """From the stored run: held-out losses by "full" or rank, one number a seed."""
    found: dict[str, list[float]] = {}
    for record in stored_lesson("rank-real").records:
        if record["task"] == task:
            key = "full" if record["method"] == "full" else str(record["rank"])
            found.setdefault(key, []).append(record["validation"])
    return found


def dropout_end(rate: float, what: str) -> float:
    """From the stored run: mean over seeds of "training" or "validation" loss at the last step."""
    records = [r for r in stored_lesson("rank-dropout").records if r["dropout"] == rate and r["step"] == DROPOUT_STEPS]
    return statistics.fmean(record[what] for record in records)


@functools.lru_cache(maxsize=16)
def energy_within(task: str, rank: int, kind: str) -> float:
    """From the stored run: median over matrices of the energy's share within a rank, "trained" or "random"."""
    key = "singular_values" if kind == "trained" else "random"
    records = [record for record in stored_lesson("rank-spectrum").records if record["task"] == task]
    shares = [Spectrum(np.array(record[key])).energy for record in records]
    return float(np.median([share[min(rank, len(share)) - 1] for share in shares]))


@functools.lru_cache(maxsize=16)
def teacher_factors(teacher_rank: int, spectrum: str, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W, and B and A whose product is an update of that rank and spectrum, from a fixed seed."""
    generator = np.random.default_rng(0)
    left, right = (np.linalg.qr(generator.standard_normal((size, teacher_rank)))[0] for _ in range(2))
    values = np.ones(teacher_rank) if spectrum == "equal" else 1 / np.sqrt(np.arange(1, teacher_rank + 1))
    return generator.standard_normal((size, size)) / size**0.5, left * np.sqrt(values), (right * np.sqrt(values)).T


def lowest_step(rate: float) -> int:
    """From the stored run: the step at which the mean held-out loss of a rate of dropout is lowest."""
    found: dict[int, list[float]] = {}
    for record in stored_lesson("rank-dropout").records:
        if record["dropout"] == rate:
            found.setdefault(record["step"], []).append(record["validation"])
    return min(found, key=lambda step: statistics.fmean(found[step]))


def _meets_the_floor(teacher_rank: int, spectrum: str, rank: int, within: float = 0.02) -> bool:
    floor = known_floor(teacher_rank, spectrum)[rank]
    return all(abs(loss - floor) < within for loss in trained_losses(teacher_rank, spectrum)[rank])


def _fall(task: str, low: int, high: int) -> float:
    losses = real_losses(task)
    return statistics.fmean(losses[str(low)]) - statistics.fmean(losses[str(high)])


KNOWN = Lesson(
    notebook="03_finetune",
    presets=(
        Preset("Four equal parts", {"k": 4, "spectrum": "equal"}),
        Preset("Eight that decay", {"k": 8, "spectrum": "decaying"}),
        Preset("A single direction", {"k": 1, "spectrum": "equal"}),
    ),
    prediction=Prediction(
        "Four equally strong parts are to be learned, and a LoRA of rank 3 has room for three. How much must it miss?",
        ("None: three are nearly four", "A quarter", "Three quarters"),
        lambda: {0.0: "None: three are nearly four", 0.25: "A quarter", 0.75: "Three quarters"}[
            float(known_floor(4)[3])
        ],
        "One of four equal parts is out of its reach, and with it a quarter of the squared error, "
        "whatever the learning rate. At rank 4 the error falls to nothing.",
        {"k": 4, "spectrum": "equal"},
    ),
    try_this=(
        TryThis(
            "Let eight directions decay in strength.",
            {"k": 8, "spectrum": "decaying"},
            "Is there still a rank at which the error suddenly falls?",
            "No elbow but a slope: the first direction alone holds more than a third of the energy, and "
            "each further one adds less. Trained LoRA lies on the floor at rank 1 and at rank 4.",
            lambda: (
                known_floor(8, "decaying")[1] < 2 / 3
                and _meets_the_floor(8, "decaying", 1)
                and _meets_the_floor(8, "decaying", 4)
            ),
        ),
        TryThis(
            "Take a single direction.",
            {"k": 1, "spectrum": "equal"},
            "Does rank 16 do better than rank 1?",
            "There is nothing left to gain: both end below a thousandth.",
            lambda: max(*trained_losses(1, "equal")[1], *trained_losses(1, "equal")[16]) < 1e-3,
        ),
    ),
)

_SOFTER = ("It stays", "It halves", "It falls to a quarter of it")

SCALING = Lesson(
    notebook="07_findings",
    presets=(
        Preset("QLoRA paper: 16 / 64", {"alpha": 16, "r": 64, "rslora": False, "volume": {"alpha": 0.5}}),
        Preset("α = r", {"alpha": 64, "r": 64, "rslora": False, "volume": {}}),
        Preset("The article: α = 2r", {"alpha": 32, "r": 16, "rslora": False, "volume": {"alpha": 4}}),
        Preset("16 / 256, rank-stabilised", {"alpha": 16, "r": 256, "rslora": True, "volume": {}}),
        Preset("Silent", {"volume": {"alpha": 0}}),
    ),
    prediction=Prediction(
        "α stays 16, and the rank is raised from 64 to 256. What happens to the factor before B A?",
        _SOFTER,
        lambda: _SOFTER[round(math.log2(LoRA(rank=64, alpha=16).scaling / LoRA(rank=256, alpha=16).scaling))],
        "From a quarter to a sixteenth: a larger adapter speaks more softly, unless α grows with it.",
        {"alpha": 16, "r": 256, "rslora": False},
    ),
    try_this=(
        TryThis(
            "Keep α = 16 and r = 256, then switch on rank-stabilised scaling.",
            {"alpha": 16, "r": 256, "rslora": False},
            "How far does the factor come back?",
            "To exactly 1: it divides by √256 = 16 in place of 256.",
            lambda: LoRA(rank=256, alpha=16, rslora=True).scaling == 1,
        ),
    ),
)

_SHARES = ("About a twentieth", "About a fifth", "More than half")

REAL = Lesson(
    presets=(
        Preset("Digits turned by 90°", {"task": "digits", "within": 4}),
        Preset("Japanese city names", {"task": "names", "within": 8}),
    ),
    prediction=Prediction(
        "Full fine-tuning changed matrices of 64 × 64 (digits). How much of that change lies within rank 4?",
        _SHARES,
        lambda: _SHARES[sum(energy_within("digits", 4, "trained") > edge for edge in (0.1, 0.5))],
        "A learned update is far from random: few directions hold most of it, though no rank below 64 holds it all.",
        {"task": "digits", "within": 4},
    ),
    try_this=(
        TryThis(
            "Look at the digits: the step from rank 1 to 2, and the one from 16 to 32.",
            {"task": "digits", "within": 4},
            "Do both doublings buy as much?",
            "No: the first doubling lowers the held-out loss more than the last. There is a plateau, not a cliff.",
            lambda: _fall("digits", 1, 2) > _fall("digits", 16, 32),
        ),
    ),
)

_LOWER = ("Without dropout", "With dropout 0.3")

DROPOUT = Lesson(
    prediction=Prediction(
        "82 city names, learned again and again. Which ends lower on names it has not seen?",
        _LOWER,
        lambda: _LOWER[int(dropout_end(0.3, "validation") < dropout_end(0.0, "validation"))],
        "Without dropout it learns its 82 names better and new names worse: dropout raises the training loss and "
        "lowers the held-out one. With plenty of data there is less to prevent.",
        {"dropouts": list(DROPOUT_RATES)},
    ),
    try_this=(
        TryThis(
            "Leave dropout 0.3 alone on the page.",
            {"dropouts": [0.3]},
            "At which step is the loss on new names lowest?",
            "At step 0, before it has learned anything: dropout slows learning by heart, and does not prevent it. Stop "
            "earlier, or find more names.",
            lambda: lowest_step(0.3) == 0 and dropout_end(0.3, "training") < 1,
        ),
    ),
)
