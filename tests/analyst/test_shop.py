"""The sample shop: the same for the same seed, whole, and with the stories it tells."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from itertools import pairwise

import psycopg

from causeway.analyst.shop import FAULTY_SUPPLIER, STOCK_OUT, Batch, best_tent, generate
from causeway.analyst.shop_words import SUPPLIERS
from tests.analyst.conftest import ORDERS, Shop


def _all(orders: int, seed: int = 7) -> Batch:
    whole: Batch = {}
    for batch in generate(orders, seed=seed):
        for table, rows in batch.items():
            whole.setdefault(table, []).extend(rows)
    return whole


WHOLE = _all(6_000)
WHEN = {row[0]: row[2] for row in WHOLE["orders"] if isinstance(row[2], datetime)}


def test_the_same_seed_makes_the_same_shop_and_another_another() -> None:
    assert _all(300) == _all(300)
    assert _all(300) != _all(300, seed=8)


def test_the_size_is_exact() -> None:
    assert len(WHOLE["orders"]) == 6_000


def test_the_shop_grows_and_has_seasons() -> None:
    at = list(WHEN.values())
    by_year = Counter(moment.year for moment in at)
    assert by_year[2023] < by_year[2024] < by_year[2025]
    by_month = Counter(moment.month for moment in at)
    assert by_month[7] > 1.4 * by_month[2]


def test_the_best_tent_is_not_sold_while_it_is_out_of_stock() -> None:
    product = next(row[0] for row in WHOLE["products"] if row[2] == best_tent())
    sold = [WHEN[row[0]].date() for row in WHOLE["order_items"] if row[2] == product]
    assert not [day for day in sold if STOCK_OUT[0] <= day <= STOCK_OUT[1]]
    assert len([day for day in sold if day >= date(2025, 8, 1)]) > 20


def test_the_faulty_suppliers_goods_come_back_more_often() -> None:
    supplier = [name for name, *_ in SUPPLIERS].index(FAULTY_SUPPLIER) + 1
    theirs = {row[0] for row in WHOLE["products"] if row[4] == supplier}
    defective = Counter(row[3] in theirs for row in WHOLE["returns"] if row[6] == "defective")
    assert defective[True] > 0.35 * defective.total()


def test_every_key_names_a_row_and_orders_are_in_time() -> None:
    assert all(left.date() <= right.date() for left, right in pairwise(WHEN.values()))
    orders = {row[0] for row in WHOLE["orders"]}
    assert {row[0] for row in WHOLE["order_items"]} == orders


def test_it_loads_whole_and_its_reader_sees_no_hidden_column(shop: Shop) -> None:
    with psycopg.connect(shop.url) as reader:
        assert reader.execute("SELECT count(*) FROM orders").fetchone() == (ORDERS,)
        assert reader.execute("SELECT has_column_privilege('customers', 'email', 'SELECT')").fetchone() == (
            False,
        )
