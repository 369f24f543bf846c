"""What a semantic layer says holds, and one that does not fit is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from causeway.analyst import semantic_layer
from causeway.analyst.asked import shop_layer
from causeway.analyst.postgres_database import PostgresDatabase
from causeway.analyst.result import Caps
from causeway.analyst.semantic_layer import Layer
from causeway.analyst.shop_tables import HIDDEN
from causeway.analyst.sql_rules import check
from causeway.analyst.sqlite_database import SqliteDatabase
from causeway.analyst.views import made_of, with_views
from causeway.contracts.identity import Principal
from causeway.errors import QueryFailedError, RefusedSqlError, SettingsError

ANN = Principal(id="key_ann", name="ann", scopes=frozenset(), team="north")
RULED = Layer.model_validate(
    {"tables": {"customers": {"hidden": ["email", "phone", "team"], "rows": "team = :team"}}}
)


async def test_a_row_rule_holds_on_a_column_that_is_hidden(sqlite_file: Path) -> None:
    database = SqliteDatabase(sqlite_file)
    schema = await database.read_schema(hidden=semantic_layer.hidden(RULED))
    for asker, names in ((ANN, ["Ada", "Mei"]), (replace(ANN, team="south"), ["Ben"])):
        offered = semantic_layer.offer(schema, RULED, asker)
        checked = check("SELECT first_name FROM customers ORDER BY 1", offered)
        found = await database.run(checked.sql, Caps(), semantic_layer.reach(schema, offered))
        assert [row[0] for row in found.rows] == names
        with pytest.raises(RefusedSqlError):
            check("SELECT team FROM customers", offered)


async def test_nothing_that_was_read_of_rows_is_offered_under_a_row_rule(sqlite_file: Path) -> None:
    """Sample values, ranges and counts are of everybody's rows, and a model may repeat what it is shown."""
    schema = await SqliteDatabase(sqlite_file).read_schema(hidden=semantic_layer.hidden(RULED))
    assert any(column.values or column.highest for column in schema.tables["customers"].columns)
    ruled = semantic_layer.offer(schema, RULED, ANN).tables["customers"].table
    assert ruled.rows is None
    for column in ruled.columns:
        assert (column.values, column.distinct, column.lowest, column.highest) == ((), None, None, None)
    free = semantic_layer.offer(schema, Layer(), ANN).tables["customers"].table
    assert any(column.values for column in free.columns)


async def test_a_table_that_is_not_listed_is_not_offered(sqlite_file: Path) -> None:
    database = SqliteDatabase(sqlite_file)
    schema = await database.read_schema(hidden={})
    layer = Layer.model_validate({"only_listed": True, "tables": {"reviews": {}}})
    offered = semantic_layer.offer(schema, layer, ANN)
    assert list(offered.tables) == ["reviews"]
    with pytest.raises(QueryFailedError, match="prohibited"):
        await database.run("SELECT first_name FROM customers", Caps(), semantic_layer.reach(schema, offered))


@pytest.mark.parametrize(
    "tables",
    [
        {"customer": {}},
        {"customers": {"columns": {"nothing": {}}}},
        {"customers": {"rows": "team = = 1"}},
    ],
)
async def test_a_layer_that_does_not_fit_is_refused(sqlite_file: Path, tables: dict[str, object]) -> None:
    schema = await SqliteDatabase(sqlite_file).read_schema(hidden={})
    with pytest.raises(SettingsError):
        semantic_layer.require_fits(schema, Layer.model_validate({"tables": tables}))


def test_an_unknown_key_is_refused_and_named(tmp_path: Path) -> None:
    file = tmp_path / "layer.yaml"
    file.write_text("tables:\n  orders:\n    hide: [email]\n")
    with pytest.raises(SettingsError, match=r"tables\.orders\.hide"):
        semantic_layer.load(file)


async def test_a_drafted_layer_hides_what_sounds_personal_and_can_be_read_back(sqlite_file: Path) -> None:
    schema = await SqliteDatabase(sqlite_file).read_schema(hidden={})
    drafted = semantic_layer.draft(schema)
    assert yaml.safe_load(drafted)["tables"]["customers"]["hidden"] == ["email", "phone"]
    semantic_layer.require_fits(schema, Layer.model_validate(yaml.safe_load(drafted)))


async def test_the_shops_layer_fits_the_shop_and_its_pairs_pass(shop_database: PostgresDatabase) -> None:
    layer = shop_layer()
    schema = await shop_database.read_schema(hidden=semantic_layer.hidden(layer))
    semantic_layer.require_fits(schema, layer)
    tables = semantic_layer.offer(schema, layer, ANN)
    offered = with_views(tables, made_of(layer, tables))
    for pair in layer.pairs:
        found = await shop_database.run(
            check(pair.sql, offered).sql, Caps(), semantic_layer.reach(schema, offered)
        )
        assert found.rows, pair.question


def test_the_layer_hides_what_the_shops_reader_has_no_right_to() -> None:
    assert {
        name: tuple(table.hidden) for name, table in shop_layer().tables.items() if table.hidden
    } == HIDDEN
