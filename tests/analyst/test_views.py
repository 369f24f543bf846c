"""A view of the semantic layer is asked as a table, and opens nothing that its tables keep closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from causeway.analyst import semantic_layer
from causeway.analyst.database import Reach
from causeway.analyst.offer import Offer
from causeway.analyst.result import Caps
from causeway.analyst.schema_linking import link
from causeway.analyst.semantic_layer import Layer
from causeway.analyst.sql_rules import check
from causeway.analyst.sqlite_database import SqliteDatabase
from causeway.analyst.views import made_of, with_views
from causeway.contracts.identity import Principal
from causeway.errors import RefusedSqlError, SettingsError

ANN = Principal(id="key_ann", name="ann", scopes=frozenset(), team="north")
OPINIONS = {
    "about": "One row a review, with who wrote it",
    "sql": "SELECT r.review_id, r.rating AS stars, c.first_name, c.segment FROM reviews AS r "
    "JOIN customers AS c ON c.customer_id = r.customer_id",
    "synonyms": ["opinion"],
}


def layer(**views: object) -> Layer:
    """Customers with hidden columns and a row rule, and ``views``."""
    return Layer.model_validate(
        {
            "tables": {"customers": {"hidden": ["email", "phone", "team"], "rows": "team = :team"}},
            "views": views,
        }
    )


async def _offered(file: Path, said: Layer) -> tuple[SqliteDatabase, Offer, Reach]:
    database = SqliteDatabase(file)
    schema = await database.read_schema(hidden=semantic_layer.hidden(said))
    tables = semantic_layer.offer(schema, said, ANN)
    offered = with_views(tables, made_of(said, tables))
    return database, offered, semantic_layer.reach(schema, offered)


async def test_a_view_is_asked_as_a_table_with_the_rules_of_those_it_reads(sqlite_file: Path) -> None:
    database, offered, reach = await _offered(sqlite_file, layer(opinions=OPINIONS))
    checked = check(
        "SELECT first_name, SUM(stars) AS total FROM opinions AS s GROUP BY 1 ORDER BY 1", offered
    )
    found = await database.run(checked.sql, Caps(), reach)
    assert [row[0] for row in found.rows] == ["Ada"]  # Ben is of another team
    assert "JOIN" not in checked.shown
    assert checked.tables == ("opinions",)


async def test_columns_keep_their_types_and_computed_ones_are_numbers(sqlite_file: Path) -> None:
    counted = {"sql": "SELECT segment, COUNT(*) AS people, MAX(first_name) AS last_of_all FROM customers GROUP BY segment",
               "columns": {"last_of_all": {"kind": "text"}}}  # fmt: skip
    _database, offered, _reach = await _offered(sqlite_file, layer(counted=counted))
    segment, people, last = offered.tables["counted"].table.columns
    assert segment.values == offered.tables["customers"].table.column("segment").values  # type: ignore[union-attr]
    assert (people.kind, last.kind) == ("number", "text")


@pytest.mark.parametrize(
    "sql", ["SELECT email FROM opinions", "SELECT s.team FROM opinions AS s", "SELECT opinion FROM opinions"]
)
async def test_a_view_has_its_own_columns_alone(sqlite_file: Path, sql: str) -> None:
    _database, offered, _reach = await _offered(sqlite_file, layer(opinions=OPINIONS))
    with pytest.raises(RefusedSqlError):
        check(sql, offered)


async def test_a_with_cannot_have_a_views_name(sqlite_file: Path) -> None:
    _database, offered, _reach = await _offered(sqlite_file, layer(opinions=OPINIONS))
    with pytest.raises(RefusedSqlError, match="WITH names 'opinions'"):
        check("WITH opinions AS (SELECT 1 AS stars) SELECT stars FROM opinions", offered)


@pytest.mark.parametrize(
    ("name", "sql", "message"),
    [
        ("reviews", "SELECT 1 AS one", "name of a table"),
        ("leak", "SELECT email FROM customers", "no column 'email'"),
        ("gone", "DELETE FROM reviews", "only queries that read"),
        ("again", "SELECT * FROM again", "no table 'again'"),
        ("slow", "SELECT pg_sleep(9) AS s FROM reviews", "pg_sleep"),
    ],
)
async def test_a_view_that_is_no_query_over_what_is_offered_is_refused(
    sqlite_file: Path, name: str, sql: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        await _offered(sqlite_file, layer(**{name: {"sql": sql}}))


async def test_a_description_of_a_column_that_a_view_lacks_is_refused(sqlite_file: Path) -> None:
    with pytest.raises(SettingsError, match="no column 'nothing'"):
        await _offered(sqlite_file, layer(opinions={**OPINIONS, "columns": {"nothing": {}}}))


async def test_a_question_is_linked_to_the_view_or_to_its_tables(sqlite_file: Path) -> None:
    said = layer(opinions=OPINIONS)
    _database, offered, _reach = await _offered(sqlite_file, said)
    assert link("what was the opinion of each first name?", offered, said).tables == ("opinions",)
    of_reviews = link("how many reviews did customers write?", offered, said).tables
    assert "opinions" not in of_reviews
    assert {"reviews", "customers"} <= set(of_reviews)
