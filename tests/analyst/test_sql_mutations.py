"""Honest queries with words exchanged at random: whatever still passes the allow-list tells nothing that is hidden."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from causeway.analyst.offer import Offer, OfferedTable
from causeway.analyst.schema import Column, Table
from causeway.analyst.sql_rules import check
from causeway.errors import RefusedSqlError
from tests.analyst.conftest import SCHEMA

_HONEST = (
    "select c.first_name, count(*) as n from customers c join reviews r on r.customer_id = c.customer_id group by 1 order by n",
    "with t as (select customer_id, max(rating) as best from reviews group by customer_id) select * from t join customers using (customer_id)",
    "select first_name from customers where customer_id in (select customer_id from reviews where rating > 2) limit 3",
    "select x.* from (select first_name, segment from customers union all select body, written_on from reviews) x",
    "select (select max(body) from reviews r where r.customer_id = c.customer_id) as said, segment from customers as c",
    "select case when segment = 'club' then first_name else segment end as s from customers order by s desc",
    "select row_number() over (partition by segment order by first_name) as place, * from customers",
)
_WORD = re.compile(r"[a-zA-Z_]+|\*|'[^']*'")
_WORDS = (
    "secrets", "email", "phone", "word", "*", "customers.*", "c.*", "x.*", "c.email", "x.email", "customers", "reviews", "t", "c",
    "(select word from secrets)", "(select email from customers)", "main.secrets", "sqlite_master", "natural", "using (email)",
    "coalesce(email, '')", "group_concat(word)", "exists (select 1 from secrets)", '"email"', "[word]", "secrets s", "as email",
    "with secrets as (select * from secrets)", "union select email from customers", "union all select * from secrets",
    "load_extension('x')", "hex(email)", "/* */", "--",
)  # fmt: skip


def _offer() -> Offer:
    def table(name: str, *columns: str) -> Table:
        made = tuple(Column(name=column, type="text", kind="text") for column in columns)
        return Table(name=name, columns=made, namespace="main")

    customers = table("customers", "customer_id", "first_name", "segment")
    reviews = table("reviews", "review_id", "customer_id", "rating", "body", "written_on")
    hidden = frozenset({"email", "phone", "team"})
    tables = {
        "customers": OfferedTable(table=customers, hidden=hidden),
        "reviews": OfferedTable(table=reviews),
    }
    return Offer(dialect="sqlite", tables=tables)


_OFFER = _offer()


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(_HONEST),
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from(_WORDS)), min_size=1, max_size=4),
)
def test_no_mutation_tells_what_is_hidden(honest: str, changes: list[tuple[int, str]]) -> None:
    mutated = honest
    for place, word in changes:
        found = list(_WORD.finditer(mutated))
        at = found[place % len(found)]
        mutated = mutated[: at.start()] + word + mutated[at.end() :]
    try:
        checked = check(mutated, _OFFER)
    except RefusedSqlError:
        return
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        try:
            told = repr(connection.execute(checked.sql).fetchall())
        except sqlite3.Error:
            return  # the database refuses it
    assert "TOPSECRET" not in told, checked.sql
    assert "@mail.example" not in told, checked.sql
    assert "555-01" not in told, checked.sql


def test_the_honest_queries_pass() -> None:
    for honest in _HONEST:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(SCHEMA)
            assert connection.execute(check(honest, _OFFER).sql).fetchall()
