"""The one-matrix model against the article's tables, its closed form and its borders."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcalc.counting.one_matrix import MAX_PARAMETERS, square

TABLES = Path(__file__).parents[1] / "data" / "article_tables.csv"
ROWS = list(csv.DictReader(TABLES.read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['table']}-{row['total_parameters']}-r{row['rank']}")
def test_every_row_of_the_article_is_reproduced(row: dict[str, str]) -> None:
    result = square(total_parameters=int(row["total_parameters"]), rank=int(row["rank"]))
    assert result.dimension == int(row["matrix_dimension"])
    assert result.trainable == int(row["lora_parameters"])
    printed = row["percentage_as_printed"].rstrip("%")
    decimals = len(printed.partition(".")[2])
    assert f"{result.percent:.{decimals}f}" == printed


def test_the_tables_are_all_there() -> None:
    assert len(ROWS) == 12


def test_the_documented_example() -> None:
    result = square(total_parameters=4_000_000_000, rank=8)
    assert (result.dimension, result.trainable) == (63246, 1011936)
    assert result.percent == pytest.approx(0.0252984, rel=1e-12)


@settings(deadline=None, derandomize=True)
@given(st.integers(1, MAX_PARAMETERS))
def test_the_dimension_is_the_smallest_square_that_holds_them_all(total: int) -> None:
    dimension = square(total, 1).dimension
    assert (dimension - 1) ** 2 < total <= dimension**2


@settings(deadline=None, derandomize=True)
@given(st.integers(4, 10**12), st.data())
def test_break_even_divides_saving_from_waste(total: int, data: st.DataObject) -> None:
    dimension = square(total, 1).dimension
    result = square(total, data.draw(st.integers(1, dimension)))
    assert (result.trainable < result.matrix_parameters) == (result.rank < result.break_even)
    assert (result.trainable == result.matrix_parameters) == (result.rank == result.break_even)


@pytest.mark.parametrize("total", [0, -1, 2.5, "4e9", None, True, float("nan"), float("inf"), MAX_PARAMETERS + 1])
def test_sizes_that_are_none_are_answered_with_the_range(total: object) -> None:
    with pytest.raises(ValueError, match="total_parameters must be"):
        square(total, 1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("rank", [0, -8, 1.5, "8", None, 63247, 10**30])
def test_ranks_out_of_range_are_answered_with_the_range(rank: object) -> None:
    with pytest.raises(ValueError, match=r"rank must be .*between 1 and 63,246, got"):
        square(4_000_000_000, rank)  # pyright: ignore[reportArgumentType]


def test_the_highest_rank_is_the_dimension() -> None:
    assert square(25, 5).trainable == 50
