"""What was cited stays to be opened as it was, for a time, and then goes for good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Table, func, select

from causeway.errors import NotFoundError
from causeway.knowledge.collections import Collections
from causeway.knowledge.document import Chunk, Place
from causeway.knowledge.incoming import Added
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.knowledge.page_words import PageWords
from causeway.storage.blobs import Blobs
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.storage.schema import page_words, past_chunks, past_revisions
from tests.knowledge.test_library import Desk, desk, is_kept, revisions, sha256

__all__ = ["desk", "revisions"]  # fixtures

FUTURE = datetime(9999, 1, 1, tzinfo=UTC)


async def count(database: Database, table: Table) -> int:
    async with database.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


def texts(chunks: Sequence[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks]


def words(*said: str) -> bytes:
    return PageWords.of((word, (0.1, 0.1, 0.2, 0.2)) for word in said).pack()


async def test_a_replaced_revision_is_still_read_as_it_was_and_not_found(
    desk: Desk, library: Library, blobs: Blobs
) -> None:
    added = await desk.add("old")
    await desk.make_ready(added, ["tents", "stoves", "boots"])
    newer = await desk.add("new")
    await desk.make_ready(newer, ["lamps", "tents", "boots"])

    (past,) = await library.past.all(added.document_id)
    assert (past.revision, past.title, past.path, past.blob) == (1, "A title", "a.md", sha256("old"))
    assert past == await library.past.one(added.document_id, 1)
    kept = await library.past.text_of(added.document_id, 1)
    assert texts(kept) == ["tents", "stoves", "boots"]
    assert [chunk.ordinal for chunk in kept] == [0, 1, 2]
    assert texts(await library.text_of(added.document_id)) == ["lamps", "tents", "boots"]
    assert blobs.path(past.blob).read_text() == "old"
    assert await desk.index.lexical("stoves", 5) == []
    assert len(await desk.index.lexical("tents", 5)) == 1


async def test_every_revision_of_many_is_read_as_it_was(
    desk: Desk, library: Library, database: Database
) -> None:
    written = [["a", "b"], ["b", "a"], ["b", "c", "a"], ["c"], ["c"], ["a", "b", "b"]]
    added = [await _written(desk, f"text {number}", said) for number, said in enumerate(written)]
    document_id = added[0].document_id
    for number, said in enumerate(written[:-1], start=1):
        assert texts(await library.past.text_of(document_id, number)) == said
    assert texts(await library.text_of(document_id)) == written[-1]
    assert [past.revision for past in await library.past.all(document_id)] == [5, 4, 3, 2, 1]
    # 'a' and 'b' went with revision 4, 'c' with 6: each is kept once, whatever revisions had it
    assert await count(database, past_chunks) == 3


async def test_a_chunk_that_moved_to_another_place_is_kept_where_it_was(desk: Desk, library: Library) -> None:
    here, there = Place(1, 0.1, 0.1, 0.9, 0.2), Place(2, 0.1, 0.5, 0.9, 0.6)
    first = await desk.add("old")
    await desk.make_ready(first, ["tents"], places=(here,))
    await desk.make_ready(await desk.add("new"), ["tents"], places=(there,))
    (kept,) = await library.past.text_of(first.document_id, 1)
    (now,) = await library.text_of(first.document_id)
    assert (kept.page, kept.places, now.page, now.places) == (1, (here,), 2, (there,))


async def test_a_deleted_document_is_gone_from_search_at_once_and_still_opens_where_it_was_cited(
    desk: Desk, library: Library, blobs: Blobs
) -> None:
    added = await desk.add("hello")
    await desk.make_ready(added, ["tents", "stoves"])
    await library.delete(added.document_id)
    with pytest.raises(NotFoundError):
        await library.document(added.document_id)
    assert await desk.index.lexical("tents", 5) == []
    assert texts(await library.past.text_of(added.document_id, 1)) == ["tents", "stoves"]
    past = await library.past.one(added.document_id, 1)
    assert past.collection == "default"
    assert blobs.path(past.blob).read_text() == "hello"


async def test_what_is_too_old_is_purged_with_its_file_and_the_rest_stays(
    desk: Desk, library: Library, blobs: Blobs, database: Database
) -> None:
    first = await desk.add("one")
    await desk.make_ready(first, ["tents"])
    await desk.make_ready(await desk.add("two"), ["stoves"])
    retired_at = (await library.past.one(first.document_id, 1)).retired_at
    assert retired_at is not None
    await desk.make_ready(await desk.add("three"), ["boots"])

    assert await library.past.purge_before(retired_at) == 0
    assert await library.past.purge_before(retired_at + timedelta(microseconds=1)) == 1
    assert not is_kept(blobs, sha256("one"))
    assert is_kept(blobs, sha256("two"))
    assert await library.past.text_of(first.document_id, 1) == ()
    with pytest.raises(NotFoundError, match="keep_versions_days"):
        await library.past.one(first.document_id, 1)
    assert texts(await library.past.text_of(first.document_id, 2)) == ["stoves"]

    assert await library.past.purge_before(FUTURE) == 1
    assert not is_kept(blobs, sha256("two"))
    assert is_kept(blobs, sha256("three"))
    assert (await count(database, past_revisions), await count(database, past_chunks)) == (0, 0)
    assert texts(await library.text_of(first.document_id)) == ["boots"]


async def test_a_purge_leaves_chunks_that_another_kept_revision_has(desk: Desk, library: Library) -> None:
    first = await desk.add("one")
    await desk.make_ready(first, ["tents", "boots"])
    await desk.make_ready(await desk.add("two"), ["tents", "stoves"])
    await desk.make_ready(await desk.add("three"), ["lamps"])
    retired_at = (await library.past.one(first.document_id, 1)).retired_at
    assert retired_at is not None
    await library.past.purge_before(retired_at + timedelta(microseconds=1))
    assert texts(await library.past.text_of(first.document_id, 2)) == ["tents", "stoves"]


async def test_a_file_that_a_document_or_a_kept_revision_needs_stays(
    desk: Desk, library: Library, blobs: Blobs
) -> None:
    first = await desk.add("same", "a.md")
    await desk.make_ready(first)
    other = await desk.add("same", "b.md")
    await desk.make_ready(other)
    await desk.make_ready(await desk.add("edited", "a.md"))
    await library.delete(other.document_id, purge=True)
    assert is_kept(blobs, sha256("same"))  # revision 1 of a.md is kept
    await library.past.purge(first.document_id)
    assert not is_kept(blobs, sha256("same"))


async def test_a_document_goes_with_its_past_when_that_is_asked_for(
    desk: Desk, library: Library, blobs: Blobs, database: Database
) -> None:
    added = await desk.add("one")
    await desk.make_ready(added, ["tents"])
    newer = await desk.add("two")
    await desk.revisions.keep_words(await desk.start(newer), {1: words("boots")})
    await desk.make_ready(newer, ["boots"])
    await library.delete(added.document_id, purge=True)
    for table in (past_revisions, past_chunks, page_words):
        assert await count(database, table) == 0
    assert not is_kept(blobs, sha256("one"))
    assert not is_kept(blobs, sha256("two"))


async def test_the_words_of_a_page_stay_as_long_as_their_revision(
    desk: Desk, library: Library, database: Database
) -> None:
    first = await desk.add("one")
    await desk.revisions.keep_words(await desk.start(first), {1: words("a"), 3: words("b")})
    await desk.make_ready(first)
    overtaken = await desk.add("two")
    await desk.revisions.keep_words(await desk.start(overtaken), {1: words("c")})
    await desk.make_ready(await desk.add("three"))
    assert await library.past.purge_before(datetime(2000, 1, 1, tzinfo=UTC)) == 0
    found = await library.words_of(first.document_id, 1, page=3)
    assert found is not None
    assert [word.text for word in found.words] == ["b"]
    assert await library.words_of(first.document_id, 2, page=1) is None  # overtaken before it was ready
    assert await library.words_of(first.document_id, 1, page=2) is None
    await library.past.purge_before(FUTURE)
    assert await count(database, page_words) == 0


async def test_a_rename_keeps_the_document_and_what_it_was(desk: Desk, library: Library) -> None:
    added = await desk.add("old", "drafts/plan.md")
    await desk.make_ready(added, ["tents"])
    await desk.make_ready(await desk.add("new", "drafts/plan.md"), ["boots"])
    assert await library.move(
        added.document_id, path="final/plan.md", modified_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert (await library.document(added.document_id)).path == "final/plan.md"
    past = await library.past.one(added.document_id, 1)
    assert past.path == "drafts/plan.md"
    assert texts(await library.past.text_of(added.document_id, 1)) == ["tents"]


async def test_ids_of_chunks_that_an_edit_left_alone_stay(desk: Desk, database: Database) -> None:
    index = PostgresIndex(database)
    added = await desk.add("old")
    await desk.make_ready(added, ["a", "b", "c", "b"])
    before = {chunk.id: chunk.text for chunk in await index.chunks_of(added.document_id)}
    await desk.make_ready(await desk.add("new"), ["new", "a", "b", "b"])
    after = await index.chunks_of(added.document_id)
    assert [(chunk.ordinal, chunk.text) for chunk in after] == [(0, "new"), (1, "a"), (2, "b"), (3, "b")]
    assert [chunk.id in before for chunk in after] == [False, True, True, True]
    assert len({chunk.id for chunk in after}) == 4


async def _written(desk: Desk, text: str, said: Sequence[str]) -> Added:
    added = await desk.add(text)
    await desk.make_ready(added, said)
    return added


async def test_a_revision_is_read_by_its_number_whether_it_is_the_newest_or_past(
    desk: Desk, library: Library
) -> None:
    added = await desk.add("old")
    await desk.make_ready(added, ["tents"])
    await desk.make_ready(await desk.add("new"), ["boots"])
    newest = await library.revision(added.document_id)
    assert (newest.revision, newest.blob, newest.retired_at) == (2, sha256("new"), None)
    assert newest == await library.revision(added.document_id, 2)
    assert texts(await library.read(newest)) == ["boots"]
    past = await library.revision(added.document_id, 1)
    assert (past.blob, past.retired_at is None) == (sha256("old"), False)
    assert texts(await library.read(past)) == ["tents"]
    for number in (3, 77):
        with pytest.raises(NotFoundError):
            await library.revision(added.document_id, number)
    await library.delete(added.document_id)
    assert texts(await library.read(await library.revision(added.document_id, 2))) == ["boots"]
    with pytest.raises(NotFoundError):
        await library.revision(added.document_id)


async def test_where_no_past_is_kept_a_deleted_document_leaves_nothing(
    desk: Desk,
    database: Database,
    collections: Collections,
    originals: Originals,
    durable: Durable,
    blobs: Blobs,
) -> None:
    added = await desk.add("one")
    await desk.revisions.keep_words(await desk.start(added), {1: words("tents")})
    await desk.make_ready(added, ["tents"])
    forgetful = Library(
        database=database, collections=collections, originals=originals, durable=durable, keeps_past=False
    )
    await forgetful.delete(added.document_id)
    for table in (past_revisions, past_chunks, page_words):
        assert await count(database, table) == 0
    assert not is_kept(blobs, sha256("one"))
