from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.errors import InvalidInputError, NotFoundError, SettingsError
from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.document import Chunk, DocumentState, Place
from causeway.knowledge.document_rows import title_of
from causeway.knowledge.incoming import Added, Incoming
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest.revisions import Revision, Revisions
from causeway.knowledge.library import Library, work_key
from causeway.knowledge.originals import Originals
from causeway.settings import KnowledgeSettings
from causeway.storage.blobs import BlobRef, Blobs
from causeway.storage.database import Database
from causeway.storage.durable import Durable, Priority

MODIFIED = datetime(2025, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture
def revisions(database: Database, originals: Originals) -> Revisions:
    return Revisions(database=database, originals=originals)


class Desk:
    """Adds texts as files and makes them searchable by hand."""

    def __init__(self, library: Library, revisions: Revisions, index: PostgresIndex, folder: Path) -> None:
        self.library = library
        self.revisions = revisions
        self.index = index
        self._folder = folder
        self._number = 0

    async def add(
        self,
        text: str,
        path: str = "a.md",
        *,
        collection: str | None = None,
        source: str = "upload",
        metadata: dict[str, object] | None = None,
        retry_failed: bool = False,
    ) -> Added:
        self._number += 1
        file = self._folder / f"incoming-{self._number}"
        file.write_text(text)
        incoming = Incoming(
            collection=collection,
            source=source,
            path=path,
            file=file,
            modified_at=MODIFIED,
            metadata=metadata or {},
        )
        return await self.library.add(incoming, retry_failed=retry_failed)

    async def start(self, added: Added) -> Revision:
        revision = await self.revisions.start(added.document_id, added.revision)
        assert revision is not None
        return revision

    async def make_ready(
        self, added: Added, texts: Sequence[str] = ("one", "two"), *, places: tuple[Place, ...] = ()
    ) -> None:
        revision = await self.start(added)
        page = places[0].page if places else None
        chunks = [
            Chunk(ordinal=n, heading="h", text=text, page=page, tokens=2, places=places)
            for n, text in enumerate(texts)
        ]
        vectors = np.eye(8, dtype=np.float32)[: len(chunks)]
        assert await self.index.replace_document(
            revision.document_id,
            revision.number,
            chunks,
            vectors,
            media_type="text/markdown",
            title="A title",
            pages=None,
            blob=revision.blob,
        )
        await self.revisions.forget_replaced(revision)


@pytest.fixture
async def desk(library: Library, revisions: Revisions, database: Database, tmp_path: Path) -> Desk:
    index = PostgresIndex(database)
    await index.prepare()
    return Desk(library, revisions, index, tmp_path)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def is_kept(blobs: Blobs, sha256: str) -> bool:
    try:
        return blobs.path(sha256).is_file()
    except NotFoundError:
        return False


# --- adding --------------------------------------------------------------------------------------------


async def test_a_new_file_is_kept_and_queued_as_its_first_revision(
    desk: Desk, library: Library, durable: Durable, blobs: Blobs
) -> None:
    added = await desk.add("hello", "notes/plan.md", metadata={"team": "desk"})
    assert (added.change, added.revision, added.state) == ("new", 1, DocumentState.QUEUED)
    document = await library.document(added.document_id)
    assert document.collection == "default"
    assert (document.source, document.path, document.title) == ("upload", "notes/plan.md", "plan")
    assert (document.size_bytes, document.blob, document.modified_at) == (5, sha256("hello"), MODIFIED)
    assert (document.ready_revision, document.chunks, document.metadata) == (None, 0, {"team": "desk"})
    assert blobs.path(document.blob).read_text() == "hello"
    assert await durable.state(work_key(added.document_id, 1)) == "pending"


async def test_the_same_bytes_change_nothing_but_what_is_said_of_them(
    desk: Desk, library: Library, durable: Durable
) -> None:
    first = await desk.add("hello", metadata={"team": "desk"})
    await desk.make_ready(first)
    second = await desk.add("hello", metadata={"year": 2026})
    assert (second.change, second.document_id, second.state) == (
        "unchanged",
        first.document_id,
        DocumentState.READY,
    )
    document = await library.document(first.document_id)
    assert (document.revision, document.state) == (1, DocumentState.READY)
    assert document.metadata == {"team": "desk", "year": 2026}
    assert await durable.state(work_key(first.document_id, 2)) == "unknown"


async def test_other_bytes_are_a_new_revision_while_the_old_stays_searchable(
    desk: Desk, library: Library, durable: Durable, blobs: Blobs
) -> None:
    first = await desk.add("old")
    await desk.make_ready(first)
    second = await desk.add("new")
    assert (second.change, second.document_id, second.revision) == ("changed", first.document_id, 2)
    document = await library.document(first.document_id)
    assert (document.state, document.ready_revision) == (DocumentState.QUEUED, 1)
    assert (document.blob, document.ready_blob) == (sha256("new"), sha256("old"))
    assert [chunk.text for chunk in await library.text_of(first.document_id)] == ["one", "two"]
    assert blobs.path(sha256("old")).exists()
    assert await durable.state(work_key(first.document_id, 2)) == "pending"


async def test_the_same_path_in_another_collection_or_source_is_another_document(desk: Desk) -> None:
    added = [
        await desk.add("same"),
        await desk.add("same", collection="other"),
        await desk.add("same", source="folder:/srv"),
    ]
    assert [each.change for each in added] == ["new"] * 3
    assert len({each.document_id for each in added}) == 3


async def test_many_uploads_of_one_path_at_once_are_one_document_and_the_last_one_wins(
    desk: Desk, library: Library, durable: Durable, blobs: Blobs
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(desk.add(f"text {n}")) for n in range(8)]
    added = [task.result() for task in tasks]
    assert len({each.document_id for each in added}) == 1
    assert sorted(each.revision for each in added) == list(range(1, 9))
    document = await library.document(added[0].document_id)
    newest = max(added, key=lambda each: each.revision)
    assert document.revision == 8
    assert document.blob == sha256(f"text {added.index(newest)}")
    assert blobs.path(document.blob).exists()
    for n in range(8):
        assert n == added.index(newest) or not is_kept(blobs, sha256(f"text {n}"))
    for revision in range(1, 9):
        assert await durable.state(work_key(document.id, revision)) == "pending"


async def test_a_failed_document_is_queued_once_more_only_when_asked(desk: Desk, library: Library) -> None:
    first = await desk.add("broken")
    await desk.revisions.fail(await desk.start(first), "its pages are torn")
    assert (await desk.add("broken")).change == "unchanged"
    again = await desk.add("broken", retry_failed=True)
    assert (again.change, again.revision) == ("changed", 2)
    document = await library.document(first.document_id)
    assert (document.state, document.failure) == (DocumentState.QUEUED, None)


async def test_a_file_deleted_while_it_is_being_added_is_stored_again(
    desk: Desk, database: Database, tmp_path: Path, collections: Collections, durable: Durable
) -> None:
    class Slippery(Blobs):
        losses = 2

        async def put(self, source: Path) -> BlobRef:
            kept = await super().put(source)
            if self.losses:
                self.losses -= 1
                await self.delete(kept.sha256)
            return kept

    blobs = Slippery(tmp_path / "slippery")
    originals = Originals(database=database, blobs=blobs)
    desk.library = Library(database=database, collections=collections, originals=originals, durable=durable)
    added = await desk.add("hello")
    assert added.change == "new"
    assert blobs.path(sha256("hello")).read_text() == "hello"


async def test_adding_and_deleting_the_same_bytes_at_once_never_loses_a_file(
    desk: Desk, library: Library, blobs: Blobs
) -> None:
    async def come_and_go(path: str) -> None:
        for _ in range(6):
            added = await desk.add("shared", path)
            assert blobs.path(sha256("shared")).exists()
            await library.delete(added.document_id)

    async with asyncio.TaskGroup() as group:
        for n in range(4):
            group.create_task(come_and_go(f"{n}.md"))
    assert not is_kept(blobs, sha256("shared"))


# --- collections ---------------------------------------------------------------------------------------


async def test_a_collection_of_another_embedding_model_is_refused_with_both_names(
    desk: Desk, database: Database, knowledge_settings: KnowledgeSettings
) -> None:
    await desk.add("hello")
    embedding = EmbeddingModel(name="large", dimensions=16)
    other = Collections(database=database, embedding=embedding, settings=knowledge_settings)
    with pytest.raises(SettingsError, match=r"'default' holds vectors of 'small' \(8.*'large' \(16\)"):
        await other.ensure()
    assert await other.ensure("fresh")


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 101, "nul\x00"])
async def test_a_name_that_cannot_be_a_collections_is_refused(collections: Collections, name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot name a collection"):
        await collections.ensure(name)


async def test_one_collection_comes_of_many_who_make_it_at_once(collections: Collections) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(collections.ensure("shared")) for _ in range(8)]
    assert len({task.result() for task in tasks}) == 1


async def test_collections_come_with_their_counts(
    desk: Desk, library: Library, collections: Collections
) -> None:
    await collections.ensure("empty")
    await desk.make_ready(await desk.add("a", "a.md"))
    await desk.add("b", "b.md")
    found = {each.name: (each.documents, each.ready, each.chunks) for each in await library.collections()}
    assert found == {"default": (2, 1, 2), "empty": (0, 0, 0)}


# --- deleting and moving -------------------------------------------------------------------------------


async def test_a_purged_document_takes_its_chunks_and_its_file_along(
    desk: Desk, library: Library, blobs: Blobs
) -> None:
    added = await desk.add("hello")
    await desk.make_ready(added)
    await library.delete(added.document_id, purge=True)
    assert await library.text_of(added.document_id) == ()
    assert not is_kept(blobs, sha256("hello"))
    with pytest.raises(NotFoundError, match=added.document_id):
        await library.document(added.document_id)
    with pytest.raises(NotFoundError, match=added.document_id):
        await library.delete(added.document_id)


async def test_a_file_stays_while_another_document_needs_it(
    desk: Desk, library: Library, blobs: Blobs
) -> None:
    first, second = await desk.add("same", "a.md"), await desk.add("same", "b.md")
    await library.delete(first.document_id)
    assert blobs.path(sha256("same")).exists()
    await library.delete(second.document_id)
    assert not is_kept(blobs, sha256("same"))


async def test_where_no_past_is_kept_replaced_bytes_go_when_the_new_revision_is_searchable(
    desk: Desk, database: Database, blobs: Blobs
) -> None:
    desk.index = PostgresIndex(database, keeps_past=False)
    await desk.make_ready(await desk.add("old"))
    newer = await desk.add("new")
    assert is_kept(blobs, sha256("old"))
    await desk.make_ready(newer)
    assert not is_kept(blobs, sha256("old"))
    assert is_kept(blobs, sha256("new"))
    assert await desk.library.past.all(newer.document_id) == ()


async def test_a_document_deleted_and_added_again_is_new(desk: Desk, library: Library) -> None:
    first = await desk.add("hello")
    await library.delete(first.document_id)
    second = await desk.add("hello")
    assert (second.change, second.revision) == ("new", 1)
    assert second.document_id != first.document_id


async def test_a_moved_document_keeps_its_id_and_is_ingested_again_only_when_its_name_counts(
    desk: Desk, library: Library, durable: Durable
) -> None:
    added = await desk.add("hello", "old/plan.md")
    await desk.make_ready(added)
    later = MODIFIED + timedelta(days=1)
    assert await library.move(added.document_id, path="new/plan b.md", modified_at=later)
    document = await library.document(added.document_id)
    assert (document.path, document.modified_at, document.revision) == ("new/plan b.md", later, 1)
    assert document.state == DocumentState.READY
    assert await library.move(added.document_id, path="new/plan b.txt", modified_at=later)
    document = await library.document(added.document_id)
    assert (document.revision, document.state) == (2, DocumentState.QUEUED)
    assert await durable.state(work_key(added.document_id, 2)) == "pending"


async def test_a_document_named_for_its_file_takes_the_new_name(desk: Desk, library: Library) -> None:
    added = await desk.add("hello", "plan.md")
    assert await library.move(added.document_id, path="scheme.md", modified_at=MODIFIED)
    document = await library.document(added.document_id)
    assert (document.title, document.revision, document.state) == ("scheme", 2, DocumentState.QUEUED)


async def test_nothing_moves_to_a_path_that_is_taken(desk: Desk, library: Library) -> None:
    first, _ = await desk.add("a", "a.md"), await desk.add("b", "b.md")
    assert not await library.move(first.document_id, path="b.md", modified_at=MODIFIED)
    assert (await library.document(first.document_id)).path == "a.md"
    assert not await library.move("doc_gone", path="c.md", modified_at=MODIFIED)


# --- unfinished work -----------------------------------------------------------------------------------


async def test_a_file_whose_work_cannot_be_queued_leaves_no_document(
    desk: Desk, database: Database, library: Library, collections: Collections, originals: Originals
) -> None:
    class CrashError(Exception): ...

    class Crashing(Durable):
        async def enqueue(
            self,
            name: str,
            argument: str,
            *,
            key: str,
            within: AsyncConnection | None = None,
            priority: Priority = Priority.NORMAL,
        ) -> None:
            await super().enqueue(name, argument, key=key, within=within, priority=priority)
            raise CrashError

    broken = Crashing(database.url, executor_id="exe_broken")
    desk.library = Library(database=database, collections=collections, originals=originals, durable=broken)
    with pytest.raises(CrashError):
        await desk.add("hello")
    await broken.close()
    assert (await library.documents()).total == 0


async def test_unfinished_work_that_is_not_queued_is_queued_again(
    desk: Desk, database: Database, library: Library, durable: Durable
) -> None:
    added, other = await desk.add("hello"), await desk.add("other", "other.md")
    async with database.begin() as connection:
        lost = {"key": work_key(added.document_id, 1)}
        await connection.execute(text("DELETE FROM dbos.workflow_status WHERE workflow_uuid = :key"), lost)
    assert await durable.state(work_key(added.document_id, 1)) == "unknown"
    assert await library.resume() == 1
    assert (await library.document(added.document_id)).revision == 2
    assert await durable.state(work_key(added.document_id, 2)) == "pending"
    assert (await library.document(other.document_id)).revision == 1
    assert await library.resume() == 0


async def test_a_retried_document_is_queued_under_a_revision_of_its_own(
    desk: Desk, library: Library, durable: Durable
) -> None:
    added = await desk.add("hello")
    await desk.make_ready(added)
    await library.retry(added.document_id)
    document = await library.document(added.document_id)
    assert (document.revision, document.state, document.ready_revision) == (2, DocumentState.QUEUED, 1)
    assert await durable.state(work_key(added.document_id, 2)) == "pending"
    with pytest.raises(NotFoundError):
        await library.retry("doc_gone")


async def test_a_run_that_was_overtaken_changes_nothing(desk: Desk, library: Library) -> None:
    first = await desk.add("old")
    old = await desk.start(first)
    second = await desk.add("new")
    assert await desk.revisions.start(first.document_id, first.revision) is None
    await desk.revisions.fail(old, "too late")
    await desk.revisions.describe(old, {"author": "nobody"})
    document = await library.document(first.document_id)
    assert (document.state, document.failure, document.metadata) == (DocumentState.QUEUED, None, {})
    assert (await desk.start(second)).blob == sha256("new")


async def test_a_finished_revision_is_not_started_again(desk: Desk) -> None:
    added = await desk.add("hello")
    await desk.make_ready(added)
    assert await desk.revisions.start(added.document_id, added.revision) is None


async def test_what_a_file_says_of_itself_does_not_overrule_its_owner(desk: Desk, library: Library) -> None:
    added = await desk.add("hello", metadata={"author": "Ada"})
    revision = await desk.start(added)
    await desk.revisions.describe(revision, {"author": "PDF printer", "subject": "plans"})
    assert (await library.document(added.document_id)).metadata == {"author": "Ada", "subject": "plans"}


# --- looking -------------------------------------------------------------------------------------------


async def test_documents_are_listed_by_pages_and_counted_by_state(desk: Desk, library: Library) -> None:
    for n in range(5):
        await desk.add(f"text {n}", f"{n}.md")
    await desk.make_ready(await desk.add("ready", "ready.md"))
    page = await library.documents(limit=2, offset=2)
    assert (len(page.documents), page.total) == (2, 6)
    assert page.counts == {
        DocumentState.QUEUED: 5,
        DocumentState.PROCESSING: 0,
        DocumentState.READY: 1,
        DocumentState.FAILED: 0,
        DocumentState.PAUSED: 0,
        DocumentState.CANCELLED: 0,
    }
    only = await library.documents(state=DocumentState.READY)
    assert ([each.path for each in only.documents], only.total) == (["ready.md"], 1)
    assert only.counts[DocumentState.QUEUED] == 5
    assert only.documents[0].chunks == 2
    everything = [await library.documents(limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert len({each.id for page in everything for each in page.documents}) == 6


async def test_documents_are_sorted_by_what_is_asked(desk: Desk, library: Library) -> None:
    for said, path in (("aaa", "pears.md"), ("a", "Apples.md"), ("aa", "figs/ripe.md")):
        await desk.add(said, path)

    async def order(by: str) -> list[str]:
        return [each.path for each in (await library.documents(order=by)).documents]

    assert await order("title") == ["Apples.md", "pears.md", "figs/ripe.md"]
    assert await order("-title") == ["figs/ripe.md", "pears.md", "Apples.md"]
    assert await order("size") == ["Apples.md", "figs/ripe.md", "pears.md"]
    assert await order("-size") == ["pears.md", "figs/ripe.md", "Apples.md"]
    assert sorted(await order("-updated")) == sorted(await order("collection"))


async def test_every_word_is_looked_for_in_title_or_path(desk: Desk, library: Library) -> None:
    for path in ("hr/travel policy 2026.md", "hr/travel policy 2025.md", "travel 2026.md"):
        await desk.add(path, path)
    assert (await library.documents(text="2026 travel")).total == 2
    assert [each.path for each in (await library.documents(text="2026 HR")).documents] == [
        "hr/travel policy 2026.md"
    ]


async def test_a_search_takes_percent_and_underscore_as_they_are(desk: Desk, library: Library) -> None:
    for path in ("100% wool.md", "100 percent.md", "a_b.md", "aXb.md"):
        await desk.add(path, path)
    assert [each.path for each in (await library.documents(text="100%")).documents] == ["100% wool.md"]
    assert [each.path for each in (await library.documents(text="A_B")).documents] == ["a_b.md"]
    assert (await library.documents(text="a_b")).total == 1
    assert (await library.documents(collection="other")).total == 0


async def test_progress_counts_what_is_over_and_names_what_failed(desk: Desk, library: Library) -> None:
    ready, failed, gone, queued = [await desk.add(name, f"{name}.md") for name in "rfgq"]
    await desk.make_ready(ready)
    await desk.revisions.fail(await desk.start(failed), "it is torn")
    await library.delete(gone.document_id)
    ids = [each.document_id for each in (ready, failed, gone, queued)]
    progress = await library.progress(ids)
    assert (progress.total, progress.done, progress.chunks) == (4, 3, 2)
    assert progress.failures == {failed.document_id: "it is torn"}
    assert (await library.progress([])).done == 0


async def test_a_title_comes_from_the_files_name() -> None:
    assert title_of("a/b/leave policy.v2.md") == "leave policy.v2"
    assert title_of("README") == "README"
