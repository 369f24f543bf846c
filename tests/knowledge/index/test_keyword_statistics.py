"""Words counted for who sees everything and for readers, in an index that is taken for a large one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import text

from causeway.contracts.identity import viewer_names
from causeway.gateway.audit import record
from causeway.knowledge.access import AccessRules
from causeway.knowledge.index.bm25_own import OwnKeywords
from causeway.knowledge.index.filters import EVERYTHING, Eq, Filter, all_of, readable
from causeway.knowledge.index.stores import Match
from causeway.storage.database import Database
from causeway.testing.documents import Sheet, SheetPile

ANN = viewer_names("usr_ann", ())
WORDS = ("tent", "stove", "rope", "lamp")
OPEN = readable(tuple(sorted(ANN)))


@pytest.fixture
async def shared(database: Database, pile: SheetPile) -> Database:
    """Eighty chunks for everybody, and forty with the same words for nobody."""
    texts = [" ".join(WORDS[: 1 + n % 4]) + f" item{n}" for n in range(80)]
    await pile.add(Sheet(id="doc_open", title="x", texts=texts))
    await pile.add(Sheet(id="doc_hidden", title="x", texts=["lamp rope"] * 40))
    await AccessRules(database, record).allow_document("doc_hidden", [])
    async with database.begin() as connection:
        await connection.execute(text("ANALYZE chunk_keywords"))
    return database


async def found(
    keywords: OwnKeywords, database: Database, query: str, where: Filter, k: int = 20
) -> Sequence[Match]:
    async with database.glance() as connection:
        return await keywords.search(connection, query, k, where)


@pytest.mark.parametrize("where", [EVERYTHING, OPEN, all_of(OPEN, Eq("document", "doc_open"))])
async def test_estimates_give_the_order_of_exact_counts_the_first_time_and_the_next(
    shared: Database, where: Filter
) -> None:
    query = "tent lamp rope item7"
    exact = await found(OwnKeywords(), shared, query, where)
    hurried = OwnKeywords(most_counted=10)
    for _ in range(3):
        estimated = await found(hurried, shared, query, where)
        assert [match.chunk_id for match in estimated] == [match.chunk_id for match in exact]
        assert [match.score for match in estimated] == pytest.approx(
            [match.score for match in exact], rel=0.02
        )


async def test_a_reader_who_sees_few_has_all_of_it_counted(shared: Database, pile: SheetPile) -> None:
    few = readable(("user:usr_bob",))
    await pile.add(Sheet(id="doc_bob", title="x", texts=("tent rope", "stove")))
    await AccessRules(shared, record).allow_document("doc_bob", ["user:usr_bob"])
    matches = await found(OwnKeywords(most_counted=10), shared, "tent stove", few)
    assert {match.chunk_id for match in matches} == {"chk_bob_1_0", "chk_bob_1_1"}


@pytest.mark.parametrize("where", [EVERYTHING, OPEN])
async def test_a_word_is_found_from_the_moment_it_is_there(
    shared: Database, pile: SheetPile, where: Filter
) -> None:
    hurried = OwnKeywords(most_counted=10)
    assert await found(hurried, shared, "zeppelin", where) == []
    await pile.add(Sheet(id="doc_new", title="x", texts=("zeppelin tent",)))
    matches = await found(hurried, shared, "zeppelin", where)
    assert [match.chunk_id for match in matches] == ["chk_new_1_0"]


@pytest.mark.parametrize("query", ["the of and", "", "'"])
async def test_a_query_without_a_word_finds_nothing_for_a_reader(shared: Database, query: str) -> None:
    assert await found(OwnKeywords(most_counted=10), shared, query, OPEN) == []


@pytest.mark.parametrize("where", [EVERYTHING, OPEN])
@pytest.mark.parametrize("most_counted", [10, 1000])
async def test_it_is_told_which_stem_was_read_as_which(
    shared: Database, where: Filter, most_counted: int
) -> None:
    mended: dict[str, str] = {}
    async with shared.glance() as connection:
        keywords = OwnKeywords(most_counted=most_counted)
        await keywords.search(connection, "stovve tent", 5, where, mended=mended)
    assert mended == {"stovv": "stove"}
