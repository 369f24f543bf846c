"""What the allow-list lets through, and what it makes of it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.schema import Column, Dialect, Table, kind_of
from causeway.analyst.sql_rules import check
from causeway.errors import RefusedSqlError

PUBLIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "sql" / "defog"


def offer(dialect: Dialect = "postgres", *, rows: str = "", **asker: str) -> Offer:
    """Customers with a hidden column and, if wanted, a row rule; orders with neither."""
    namespace = {"postgres": "public", "mysql": ""}.get(dialect, "main")

    def table(name: str, *columns: str) -> Table:
        made = tuple(Column(name=column, type="text", kind="text") for column in columns)
        return Table(name=name, columns=made, namespace=namespace)

    customers = OfferedTable(
        table=table("customers", "customer_id", "first_name", "segment"),
        hidden=frozenset({"email"}),
        rows=rows,
    )
    orders = OfferedTable(table=table("orders", "order_id", "customer_id", "amount", "ordered_at"))
    return Offer(dialect=dialect, tables={"customers": customers, "orders": orders}, asker=asker)


def test_a_star_is_written_out_without_the_hidden_column() -> None:
    checked = check("select * from customers", offer())
    assert "email" not in checked.sql
    assert "first_name" in checked.shown


def test_a_star_quotes_what_would_be_read_as_something_else() -> None:
    columns = tuple(Column(name=name, type="text", kind="text") for name in ("user", "Order", "amount"))
    odd = OfferedTable(table=Table(name="odd", columns=columns, namespace="public"))
    sql = check("select * from odd", Offer(dialect="postgres", tables={"odd": odd})).sql
    assert 'odd."user"' in sql
    assert 'odd."Order"' in sql
    assert "odd.amount" in sql


def test_tables_are_named_in_full_so_that_nothing_can_stand_before_them() -> None:
    assert '"public"."orders"' in check("select amount from orders", offer()).sql


def test_comments_never_reach_the_database() -> None:
    checked = check("select amount /* DROP TABLE orders */ from orders -- and more", offer())
    assert "DROP" not in checked.sql + checked.shown


def test_a_row_rule_holds_in_every_place_where_the_table_is_read() -> None:
    sql = "with c as (select * from customers) select (select count(*) from customers), count(*) from c join customers d on true"
    checked = check(sql, offer(rows="segment = :team", team="club"))
    assert checked.sql.count("segment = 'club'") == 3
    assert "club" not in checked.shown


def test_a_row_rules_value_cannot_end_its_literal() -> None:
    checked = check("select first_name from customers", offer(rows="segment = :team", team="x' OR '1'='1"))
    assert "'x'' OR ''1''=''1'" in checked.sql


def test_a_row_rule_about_something_unknown_of_the_asker_refuses() -> None:
    with pytest.raises(RefusedSqlError, match=":team"):
        check("select first_name from customers", offer(rows="segment = :team"))


def test_an_unknown_column_is_refused_with_what_is_near() -> None:
    with pytest.raises(RefusedSqlError, match="near it are amount"):
        check("select amont from orders", offer())
    with pytest.raises(RefusedSqlError, match="'segment' is a column of customers"):
        check("select segment from orders", offer())


def test_an_unknown_table_is_refused_with_what_is_near() -> None:
    with pytest.raises(RefusedSqlError, match="near it are orders"):
        check("select 1 from order_", offer())


@pytest.mark.parametrize(
    "sql",
    [
        "select o.customer_id, sum(o.amount) as total from orders o group by 1 having sum(o.amount) > 3 order by total desc limit 5",
        "select count(*) filter (where segment = 'club') from customers",
        "select row_number() over (partition by customer_id order by amount desc) as place from orders",
        "with t as (select customer_id, sum(amount) as s from orders group by customer_id) select avg(t.s) from t",
        "select c.first_name from customers c where exists (select 1 from orders o where o.customer_id = c.customer_id)",
        "select first_name from customers union all select segment from customers order by first_name",
        "select date_trunc('month', ordered_at)::date as month, extract(year from ordered_at) from orders group by 1, 2",
        "select a.first_name, b.amount from customers a left join orders b using (customer_id)",
        "select x.* from (select first_name, segment from customers) x",
        "select percentile_cont(0.5) within group (order by amount) from orders",
        "select case when amount > '5' then 'a' else 'b' end as size, count(distinct customer_id) from orders group by size",
        "(select amount from orders)",
        "with t(name, n) as (select segment, count(*) from customers group by 1) select name, n from t order by n",
        "select s.a from (select first_name, segment from customers) as s(a, b) where s.b = 'club'",
        'select "first_name" from "customers"',
        "select d.s from (select first_name as s from customers union select segment from customers) d",
        "select z.* from (select * from customers union all select * from customers) z",
    ],
)
def test_ordinary_queries_pass(sql: str) -> None:
    checked = check(sql, offer())
    assert check(checked.shown, offer()).sql == checked.sql


def test_harmless_shorthands_are_written_out() -> None:
    assert "email" not in check("TABLE customers", offer()).sql
    assert "email" not in check("FROM customers", offer("duckdb")).sql


def test_a_quoted_name_is_not_another_table_of_the_same_letters() -> None:
    with pytest.raises(RefusedSqlError):
        check('select 1 from "Customers"', offer())


def test_two_tables_of_one_name_are_refused() -> None:
    with pytest.raises(RefusedSqlError, match="cannot be followed"):
        check("select 1 from orders o join customers o on true", offer())


def test_a_very_deep_query_is_refused_and_not_recursed_into() -> None:
    with pytest.raises(RefusedSqlError):
        check("select " + "(" * 3000 + "1" + ")" * 3000, offer())


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public questions are not beside the repository")
def test_at_most_one_in_a_hundred_public_gold_queries_is_refused() -> None:
    questions = [json.loads(line) for line in (PUBLIC / "questions.jsonl").read_text().splitlines()]
    offers = {
        name: _offer_of(PUBLIC / "sqlite" / f"{name}.sqlite") for name in {each["db"] for each in questions}
    }
    refused = []
    for question in questions:
        try:
            check(question["gold_sql"], offers[question["db"]])
        except RefusedSqlError as exc:
            refused.append((question["id"], exc.message))
    assert len(refused) <= len(questions) // 100, refused


def _offer_of(file: Path) -> Offer:
    tables = {}
    with sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"):
            found = connection.execute(f"PRAGMA table_info({name})")
            columns = tuple(Column(name=row[1], type=row[2], kind=kind_of(row[2])) for row in found)
            tables[name] = OfferedTable(table=Table(name=name, columns=columns, namespace="main"))
    connection.close()
    return Offer(dialect="sqlite", tables=tables)
