from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from causeway.errors import InvalidInputError
from causeway.knowledge.index.filters import (
    EVERYTHING,
    And,
    Eq,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Range,
    Scalar,
    all_of,
    from_pairs,
    to_sql,
)
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.storage.database import Database
from causeway.storage.schema import documents
from causeway.testing.documents import Sheet, SheetPile

SHEETS = (
    Sheet(
        id="leave",
        texts=(),
        source="folder:/srv/docs",
        path="handbook/leave.md",
        media_type="text/markdown",
        modified_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        metadata={"author": "Ana", "year": 2026, "tags": ["hr", "time off"], "draft": False},
    ),
    Sheet(
        id="travel",
        texts=(),
        path="handbook/travel/2025.pdf",
        media_type="application/pdf",
        modified_at=datetime(2025, 12, 31, 23, 59, tzinfo=UTC),
        metadata={"author": "Ben", "year": 2025, "tags": ["hr"], "approved": "2025-11-02"},
    ),
    Sheet(
        id="prices",
        texts=(),
        collection="finance",
        path="handbook_old/prices.csv",
        media_type="text/csv",
        modified_at=datetime(2026, 3, 2, tzinfo=UTC),
        metadata={"year": "unknown", "approved": "2026-01-10"},
    ),
)


@pytest.fixture
async def shelf(pile: SheetPile) -> SheetPile:
    await pile.add(*SHEETS)
    return pile


async def passing(database: Database, where: Filter) -> set[str]:
    async with database.connect() as connection:
        return set(await connection.scalars(select(documents.c.id).where(to_sql(where))))


FILTERS: tuple[tuple[Filter, set[str]], ...] = (
    (EVERYTHING, {"leave", "travel", "prices"}),
    (Or(()), set()),
    (Eq("collection", "finance"), {"prices"}),
    (Eq("document", "leave"), {"leave"}),
    (Eq("source", "upload"), {"travel", "prices"}),
    (Eq("path", "handbook/leave.md"), {"leave"}),
    (Eq("folder", "handbook"), {"leave", "travel"}),
    (Eq("folder", "/handbook/travel/"), {"travel"}),
    (Eq("folder", "handbook%"), set()),
    (Eq("title", "prices"), {"prices"}),
    (Eq("type", "pdf"), {"travel"}),
    (Eq("type", "text/csv"), {"prices"}),
    (In("type", ("pdf", "markdown")), {"leave", "travel"}),
    (Eq("author", "Ana"), {"leave"}),
    (Eq("year", 2026), {"leave"}),
    (Eq("year", "2026"), {"leave"}),
    (Eq("draft", False), {"leave"}),
    (Eq("draft", "false"), {"leave"}),
    (Eq("tags", "hr"), {"leave", "travel"}),
    (In("tags", ("time off", "none")), {"leave"}),
    (Not(Eq("author", "Ana")), {"travel", "prices"}),
    (Exists("author"), {"leave", "travel"}),
    (Not(Exists("author")), {"prices"}),
    (Exists("title"), {"leave", "travel", "prices"}),
    (Range("year", at_least=2026), {"leave"}),
    (Range("year", below=2026), {"travel"}),
    (Range("approved", at_least="2026"), {"prices"}),
    (Range("modified", at_least=datetime(2026, 1, 1, tzinfo=UTC)), {"leave", "prices"}),
    (Range("path", at_least="handbook/m", below="handbook0"), {"travel"}),
    (And((Eq("tags", "hr"), Not(Eq("type", "pdf")))), {"leave"}),
    (Or((Eq("author", "Ben"), Eq("collection", "finance"))), {"travel", "prices"}),
    (Eq("author", "'; DROP TABLE documents; --"), set()),
    (Eq("au'thor\"", "Ana"), set()),
)


async def test_a_filter_passes_the_documents_it_names(shelf: SheetPile, database: Database) -> None:
    for where, found in FILTERS:
        assert await passing(database, where) == found, where


PAIRS: tuple[tuple[dict[str, object], set[str]], ...] = (
    ({}, {"leave", "travel", "prices"}),
    ({"type": "pdf", "author": "Ben"}, {"travel"}),
    ({"author": ["Ana", "Ben"]}, {"leave", "travel"}),
    ({"modified": "2025-12-31"}, {"travel"}),
    ({"modified": "2026-01-01.."}, {"leave", "prices"}),
    ({"modified": "..2026-03-01"}, {"leave", "travel"}),
    ({"modified": "2026-03-02..2026-03-02"}, {"prices"}),
    ({"modified": ["2025-12-31", "2026-03-02"]}, {"travel", "prices"}),
    ({"modified": datetime(2026, 3, 2, tzinfo=UTC)}, {"prices"}),
)


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        (2026, "2026"),
        (1.5, "1.5"),
        (12345678901234567890, "12345678901234567890"),
        (1e30, 1e30),
        (True, "true"),
        ("true", True),
        ("7", 7),
        ([7], 7),
        (["7"], 7),
        (["a", "b"], "b"),
        (["a"], '["a"]'),
        ({"a": 1}, '{"a": 1}'),
        ("[x", "[x"),
        ('say "so"', 'say "so"'),
    ],
)
async def test_metadata_is_found_however_its_value_is_written(
    held: object, asked: Scalar, pile: SheetPile, database: Database
) -> None:
    await pile.add(
        Sheet(id="one", texts=(), metadata={"field": held}),
        Sheet(id="two", texts=(), metadata={"field": "another", "other": held}),
    )
    assert await passing(database, Eq("field", asked)) == {"one"}
    assert await passing(database, Not(Eq("field", asked))) == {"two"}


async def test_pairs_from_the_command_line_become_a_filter(shelf: SheetPile, database: Database) -> None:
    for pairs, found in PAIRS:
        assert await passing(database, from_pairs(pairs)) == found, pairs


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"modified": "yesterday"}, "'modified=yesterday' is not a day"),
        ({"modified": ""}, "is not a day"),
        ({"author": None}, "filter 'author' is NoneType"),
        ({"author": {"a": 1}}, "filter 'author' is dict"),
        ({"author": []}, "has 0 values"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(pairs: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        from_pairs(pairs)


def test_a_field_without_order_has_no_range() -> None:
    with pytest.raises(InvalidInputError, match="'type' has no order"):
        to_sql(Range("type", at_least="a"))


def test_parts_that_hold_for_everything_are_left_out() -> None:
    one = Eq("author", "Ana")
    assert all_of(EVERYTHING, one, EVERYTHING) == one
    assert all_of(EVERYTHING) == EVERYTHING
    assert all_of(one, one) == And((one, one))


async def test_a_filtered_search_finds_nothing_else(shelf: SheetPile, index: PostgresIndex) -> None:
    await shelf.add(
        Sheet(id="a", texts=("tents for rain",), metadata={"team": "a"}),
        Sheet(id="b", texts=("tents for rain",), metadata={"team": "b"}),
    )
    found = await index.lexical("tents", 10, Eq("team", "b"))
    assert [match.chunk_id for match in found] == ["chk_b_1_0"]
