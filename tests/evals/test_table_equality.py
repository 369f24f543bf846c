from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from causeway.evals.table_equality import same_table

QUARTERS = st.integers(-99, 99).map(lambda number: number / 4)
ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(-99, 99), QUARTERS), st.text(alphabet="abc", max_size=3)),
    max_size=8,
)
"""Values that are the same or clearly not: spaces at an end, and a billionth of a number, make no difference."""


@given(ROWS, st.randoms())
def test_order_matters_only_where_one_was_asked_for(rows: list[tuple[object, ...]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert same_table(shuffled, rows, is_ordered=False) == ""
    assert same_table(rows, rows, is_ordered=True) == ""
    if shuffled != rows:
        assert same_table(shuffled, rows, is_ordered=True)


def test_numbers_are_equal_within_a_relative_tolerance() -> None:
    assert same_table([(1e9 + 10,)], [(1e9,)], is_ordered=False, tolerance=1e-6) == ""
    assert same_table([(1.1,)], [(1.0,)], is_ordered=False, tolerance=1e-6)


def test_types_of_drivers_do_not_matter() -> None:
    found = [(Decimal("12.50"), date(2026, 3, 1), True)]
    assert same_table(found, [("12.5", "2026-03-01", 1)], is_ordered=False) == ""


def test_a_row_that_comes_twice_is_wanted_twice() -> None:
    assert (
        same_table([(1,), (1,), (2,)], [(1,), (2,), (2,)], is_ordered=False) == "the row (1) was not wanted"
    )


def test_what_differs_is_said() -> None:
    assert same_table([(1,)], [(1,), (2,)], is_ordered=False) == "1 rows in place of 2"
    assert same_table([(1, 2)], [(1,)], is_ordered=False) == "rows of 1, 2 columns"
    assert same_table([(2,), (1,)], [(1,), (2,)], is_ordered=True) == "row 1 is (2) in place of (1)"


def test_nothing_is_not_zero() -> None:
    assert same_table([(None,)], [(0,)], is_ordered=False)
