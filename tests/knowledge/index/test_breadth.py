from __future__ import annotations

from sqlalchemy import select

from causeway.knowledge.index.breadth import Breadth
from causeway.knowledge.index.filters import EVERYTHING, Eq, Filter
from causeway.storage.database import Database
from causeway.storage.schema import chunks
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import Sheet, SheetPile


async def passing(breadth: Breadth, database: Database, where: Filter) -> int | None:
    async with database.connect() as connection:
        counted = await connection.scalar(select(breadth.counted(where)))
    return breadth.learn(where, counted or 0)


async def test_that_many_pass_is_remembered_for_a_minute_and_that_few_do_never(
    pile: SheetPile, database: Database
) -> None:
    clock = FrozenClock()
    breadth, ana = Breadth(chunks.c.document_id, 2, clock), Eq("author", "Ana")
    await pile.add(Sheet(id="doc_a", texts=("one", "two"), metadata={"author": "Ana"}))
    assert await passing(breadth, database, ana) == 2
    assert not breadth.is_known_as_many(ana)

    await pile.add(Sheet(id="doc_b", texts=("three", "four"), metadata={"author": "Ana"}))
    assert await passing(breadth, database, ana) is None
    assert await passing(breadth, database, EVERYTHING) is None
    assert breadth.is_known_as_many(ana)

    clock.advance(61)
    assert not breadth.is_known_as_many(ana)
