"""Names that are nearly right are put right, and nothing is guessed."""

from __future__ import annotations

import pytest

from causeway.analyst.mending import mended
from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.schema import Column, ForeignKey, Table


def _table(name: str, *columns: str) -> OfferedTable:
    made = tuple(Column(name=column, type="text", kind="text") for column in columns)
    return OfferedTable(table=Table(name=name, columns=made))


OFFER = Offer(
    dialect="sqlite",
    tables={
        "sales": _table("sales", "sale_id", "sale_date", "car_id", "customer_id"),
        "cars": _table("cars", "car_id", "make", "color"),
        "customers": _table("customers", "customer_id", "first_name", "color"),
    },
    foreign_keys=(
        ForeignKey("sales", ("car_id",), "cars", ("car_id",)),
        ForeignKey("sales", ("customer_id",), "customers", ("customer_id",)),
    ),
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("SELECT sales_date FROM sales", "SELECT sale_date FROM sales"),
        (
            "SELECT s.make FROM sales AS s JOIN cars AS c ON c.car_id = s.car_id",
            "SELECT c.make FROM sales AS s JOIN cars AS c ON c.car_id = s.car_id",
        ),
        (
            "SELECT make, COUNT(*) FROM sales GROUP BY make",
            "SELECT cars.make, COUNT(*) FROM sales JOIN cars ON sales.car_id = cars.car_id GROUP BY make",
        ),
        (
            "SELECT s.first_name FROM sales AS s",
            "SELECT customers.first_name FROM sales AS s JOIN customers ON s.customer_id = customers.customer_id",
        ),
    ],
)
def test_a_slip_is_mended(written: str, expected: str) -> None:
    assert mended(written, OFFER) == expected


@pytest.mark.parametrize(
    "written",
    [
        "SELECT sale_date FROM sales",
        "SELECT color FROM sales",  # of cars or of customers
        "SELECT price FROM sales",
        "SELECT COUNT(*) AS n FROM sales ORDER BY n",
        "SELECT x.make FROM (SELECT car_id FROM sales) AS x",
        "SELECT FROM WHERE",
        "DELETE FROM sales",
        "SELECT sales_date FROM sales; SELECT 1",
        "SELECT " + "(" * 5_000 + "sales_date" + ")" * 5_000 + " FROM sales",
        "SELECT sales_date FROM sales WHERE make = '" + "x" * 20_000 + "'",
    ],
)
def test_what_is_right_or_open_is_left_alone(written: str) -> None:
    assert mended(written, OFFER) == ""
