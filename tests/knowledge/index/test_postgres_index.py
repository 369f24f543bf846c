from __future__ import annotations

import asyncio

import numpy as np
import pytest
from sqlalchemy import func, select, table, text

from causeway.contracts.vectors import Vectors
from causeway.errors import InvalidInputError
from causeway.knowledge.index.filters import EVERYTHING, Eq
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.storage.database import Database
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import bags_of_words


async def found(index: PostgresIndex, query: str, k: int = 10) -> list[str]:
    return [match.chunk_id for match in await index.lexical(query, k)]


async def count(database: Database, name: str) -> int:
    async with database.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(table(name))) or 0


# --- writing -------------------------------------------------------------------------------------------


async def test_replacing_makes_the_document_ready_and_its_new_chunks_alone_searchable(
    pile: SheetPile, index: PostgresIndex
) -> None:
    await pile.add(Sheet(id="doc_a", texts=("tents and poles", "stoves", "ropes")))
    assert await found(index, "stoves") == ["chk_a_1_1"]
    newer = Sheet(id="doc_a", texts=("lanterns",), title="Lanterns", media_type="text/markdown")
    await pile.register(newer, revision=2)
    assert await pile.index(newer, revision=2)
    assert await found(index, "stoves") == []
    assert [chunk.text for chunk in await index.chunks_of("doc_a")] == ["lanterns"]
    row = await pile.row("doc_a")
    assert (row["state"], row["ready_revision"], row["ready_blob"]) == ("ready", 2, "blob-2")
    assert (row["title"], row["media_type"], row["failure"]) == ("Lanterns", "text/markdown", None)


async def test_a_repeat_changes_nothing(pile: SheetPile, index: PostgresIndex, database: Database) -> None:
    sheet = Sheet(id="doc_a", texts=("tents and poles", "stoves"))
    await pile.add(sheet)
    before = await index.chunks_of("doc_a")
    assert await pile.index(sheet)
    assert await index.chunks_of("doc_a") == before
    assert await count(database, "chunk_keywords") == 2


async def test_an_outdated_revision_is_refused_and_changes_nothing(
    pile: SheetPile, index: PostgresIndex
) -> None:
    await pile.add(Sheet(id="doc_a", texts=("old tents",)))
    await pile.register(Sheet(id="doc_a", texts=()), revision=2)
    assert not await pile.index(Sheet(id="doc_a", texts=("late stoves",)), revision=1)
    assert await found(index, "stoves") == []
    assert await found(index, "tents") == ["chk_a_1_0"]


async def test_a_document_that_is_gone_is_refused(pile: SheetPile) -> None:
    assert not await pile.index(Sheet(id="doc_gone", texts=("tents",)))


async def test_deleting_a_document_leaves_no_ghost(
    pile: SheetPile, index: PostgresIndex, database: Database
) -> None:
    await pile.add(Sheet(id="doc_a", texts=("tents",)), Sheet(id="doc_b", texts=("tents",)))
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM documents WHERE id = 'doc_a'"))
    assert await found(index, "tents") == ["chk_b_1_0"]
    assert [match.chunk_id for match in await index.dense(bags_of_words(["tents"], 64)[0], 10)] == [
        "chk_b_1_0"
    ]
    assert await count(database, "chunk_keywords") == 1


async def test_a_document_without_text_becomes_ready_and_is_not_found(
    pile: SheetPile, index: PostgresIndex
) -> None:
    await pile.add(Sheet(id="doc_a", texts=()))
    assert (await pile.row("doc_a"))["state"] == "ready"
    assert await index.chunks_of("doc_a") == []


async def test_text_with_nul_characters_is_kept_without_them(pile: SheetPile, index: PostgresIndex) -> None:
    await pile.add(Sheet(id="doc_a", texts=("te\x00nts",)))
    assert await found(index, "ten\x00ts") == ["chk_a_1_0"]


@pytest.mark.parametrize("vectors", [np.zeros((2, 64), np.float32), np.zeros((1, 8), np.float32)])
async def test_vectors_that_do_not_fit_are_refused(pile: SheetPile, vectors: Vectors) -> None:
    sheet = Sheet(id="doc_a", texts=("tents",))
    await pile.register(sheet)
    with pytest.raises(InvalidInputError):
        await pile.index(sheet, vectors=vectors)


async def test_a_reader_sees_all_of_a_document_or_none_while_it_is_replaced(
    pile: SheetPile, index: PostgresIndex
) -> None:
    await pile.add(Sheet(id="doc_a", texts=["revision1 tents"] * 20))
    is_done = asyncio.Event()
    seen: set[frozenset[str]] = set()

    async def read() -> None:
        while not is_done.is_set():
            seen.add(frozenset(chunk.text for chunk in await index.chunks_of("doc_a")))
            matches = await index.lexical("tents", 50)
            assert len(matches) == 20
            assert len({match.chunk_id.split("_")[2] for match in matches}) == 1

    async def write() -> None:
        for revision in range(2, 8):
            sheet = Sheet(id="doc_a", texts=[f"revision{revision} tents"] * 20)
            await pile.register(sheet, revision=revision)
            assert await pile.index(sheet, revision=revision)
        is_done.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        tasks.create_task(write())
    assert all(len(texts) == 1 for texts in seen)


async def test_two_writers_of_one_document_leave_one_of_them(pile: SheetPile, index: PostgresIndex) -> None:
    one, other = (Sheet(id="doc_a", texts=[f"{word} tents"] * 10) for word in ("red", "blue"))
    await pile.register(one)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pile.index(one))
        tasks.create_task(pile.index(other))
    assert len({chunk.text for chunk in await index.chunks_of("doc_a")}) == 1


# --- preparing -----------------------------------------------------------------------------------------


async def test_a_search_on_a_fresh_database_before_any_worker_finds_nothing(database: Database) -> None:
    index = PostgresIndex(database)
    assert await index.lexical("tents E-4017", 10) == []
    assert await index.lexical("tents", 10, Eq("team", "a")) == []
    assert await index.dense(bags_of_words(["tents"], 64)[0], 10) == []


async def test_two_processes_may_prepare_at_once(database: Database) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(PostgresIndex(database).prepare())


async def test_preparing_indexes_the_words_of_chunks_that_have_none(
    pile: SheetPile, index: PostgresIndex, database: Database
) -> None:
    await pile.add(Sheet(id="doc_a", texts=("tents E-4017",)))
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM chunk_keywords"))
    assert await found(index, "tents") == []
    await PostgresIndex(database).prepare()
    assert await found(index, "E4017") == ["chk_a_1_0"]


async def test_every_dimension_gets_an_index_of_its_own(database: Database, index: PostgresIndex) -> None:
    for dimensions in (8, 16):
        small = SheetPile(database, index, dimensions=dimensions)
        await small.add(Sheet(id=f"doc_{dimensions}", texts=("tents",), collection=f"c{dimensions}"))
    async with database.connect() as connection:
        names = await connection.scalars(
            text("SELECT indexname FROM pg_indexes WHERE tablename = 'chunks' AND indexdef LIKE '%hnsw%'")
        )
        assert {"chunks_embedding_8", "chunks_embedding_16"} <= set(names)
    for dimensions in (8, 16):
        matches = await index.dense(bags_of_words(["tents"], dimensions)[0], 5)
        assert [match.chunk_id for match in matches] == [f"chk_{dimensions}_1_0"]


# --- reading -------------------------------------------------------------------------------------------


async def test_dense_gives_cosines_nearest_first(pile: SheetPile, index: PostgresIndex) -> None:
    await pile.add(
        Sheet(id="doc_a", title="t", texts=("tents", "stoves")),
        Sheet(id="doc_b", title="t", texts=("tents",)),
    )
    matches = await index.dense(bags_of_words(["t tents"], 64)[0], 3)
    assert [match.chunk_id for match in matches] == ["chk_a_1_0", "chk_b_1_0", "chk_a_1_1"]
    assert matches[0].score == pytest.approx(1.0, abs=1e-6)
    cosines = await index.cosines(["chk_a_1_1", "chk_gone_1_0"], bags_of_words(["t tents"], 64)[0])
    assert cosines == {"chk_a_1_1": pytest.approx(matches[2].score, abs=1e-6)}


async def test_chunks_come_with_their_documents_and_without_those_that_are_gone(
    pile: SheetPile, index: PostgresIndex
) -> None:
    await pile.add(
        Sheet(id="doc_a", title="Tents", texts=("tents",), path="x/a.txt", metadata={"team": "shop"})
    )
    placed = await index.get(["chk_a_1_0", "chk_gone_1_0"])
    assert set(placed) == {"chk_a_1_0"}
    one = placed["chk_a_1_0"]
    assert (one.title, one.path, one.collection, one.metadata) == (
        "Tents",
        "x/a.txt",
        "default",
        {"team": "shop"},
    )
    assert (one.chunk.searchable, one.chunk.ordinal) == ("Tents\ntents", 0)


async def test_a_filtered_vector_search_finds_what_is_there(
    pile: SheetPile, index: PostgresIndex, database: Database
) -> None:
    """The trap of approximate indexes: a plain HNSW scan brings a tenth of what passes a narrow filter."""
    random = np.random.default_rng(7)
    vectors = random.normal(size=(2000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kinds = {"rare": vectors[:20], "some": vectors[20:300], "most": vectors[300:]}
    for kind, members in kinds.items():
        sheet = Sheet(id=f"doc_{kind}", texts=["x"] * len(members), metadata={"kind": kind})
        await pile.register(sheet)
        assert await pile.index(sheet, vectors=members)
    async with database.begin() as connection:
        await connection.execute(text("ANALYZE chunks, documents"))
    as_in_a_large_one = PostgresIndex(database, most_exact=100)
    for kind in kinds:
        where = Eq("kind", kind)
        recalls = []
        for query in vectors[:20]:
            exact = {match.chunk_id for match in await index.dense(query, 10, where, exact=True)}
            near = {match.chunk_id for match in await as_in_a_large_one.dense(query, 10, where)}
            recalls.append(len(exact & near) / len(exact))
        assert np.mean(recalls) >= 0.95, kind
    assert len(await as_in_a_large_one.dense(vectors[0], 10, EVERYTHING)) == 10
