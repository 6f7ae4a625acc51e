"""The article's two tables of the one-matrix model: model size against rank, and the share as it is printed there."""

from __future__ import annotations

BILLION = 10**9
BY_SIZE = {
    25: "40%",
    100: "20%",
    4 * BILLION: "0.0032%",
    7 * BILLION: "0.0024%",
    13 * BILLION: "0.0018%",
    80 * BILLION: "0.0007%",
    200 * BILLION: "0.0004%",
}
"""Share as printed, by parameters, at rank 1."""
BY_RANK = {4: "0.0126%", 8: "0.0253%", 16: "0.0506%", 32: "0.1012%", 64: "0.2024%"}
"""Share as printed, by rank, of 4 billion parameters."""
OF_RANKS = 4 * BILLION

ROWS = (
    *((total, 1, printed) for total, printed in BY_SIZE.items()),
    *((OF_RANKS, rank, printed) for rank, printed in BY_RANK.items()),
)
"""Parameters, rank and the share as printed."""
