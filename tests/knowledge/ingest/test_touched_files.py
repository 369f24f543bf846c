"""Files that were touched: their times have moved, their bytes are the same."""

from __future__ import annotations

import asyncio
import os
import zipfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, select, update

from causeway.errors import NotFoundError, SettingsError
from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.document import Document, DocumentState
from causeway.knowledge.incoming import Incoming, Known, Touched
from causeway.knowledge.ingest import sync as sync_module
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing
from causeway.knowledge.ingest.folder_source import FolderSource
from causeway.knowledge.ingest.sync import SizeLimit, Synchroniser
from causeway.knowledge.ingest.sync_summary import SyncSummary
from causeway.knowledge.ingest.watch_folder import Folders
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.settings import KnowledgeSettings
from causeway.storage.blobs import BlobRef, Blobs
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.storage.schema import documents
from causeway.testing.clock import FrozenClock

LONG_AGO = datetime(2025, 5, 4, 3, 2, 1, tzinfo=UTC).timestamp()
LIMIT = SizeLimit(10**6, "test")
Meanwhile = Callable[[], Awaitable[None]]


class WatchedBlobs(Blobs):
    """Counts the files that are stored."""

    puts = 0

    async def put(self, source: Path) -> BlobRef:
        self.puts += 1
        return await super().put(source)


class BusyLibrary(Library):
    """Lets a test do something between the comparing of files and the noting of what came of it."""

    meanwhile: Meanwhile | None = None

    async def note_touched(
        self, collection: str | None, source: str, files: Sequence[Touched], *, retry_failed: bool = False
    ) -> dict[str, DocumentState]:
        if self.meanwhile is not None:
            await self.meanwhile()
        return await super().note_touched(collection, source, files, retry_failed=retry_failed)


class BusySource(FolderSource):
    """Lets a test do something once the folder is listed, and tells what was fetched."""

    after_listing: Callable[[], object] | None = None

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:
        self.fetched = list[str]()
        listing = await super().listing(before, since=since)
        if self.after_listing is not None:
            self.after_listing()
        return listing

    async def fetch(self, item: Item) -> Fetched:
        self.fetched.append(item.path)
        return await super().fetch(item)


class Desk:
    """A folder, and a library that is kept equal to it."""

    def __init__(self, root: Path, library: BusyLibrary, database: Database, clock: FrozenClock) -> None:
        self.root = root
        self.library = library
        self.database = database
        self.clock = clock
        self.source = BusySource(root, clock=clock, settle_s=0.05)

    def write(self, path: str, text: str, *, at: float = LONG_AGO) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (at, at))
        return file

    def touch(self, *, at: float = LONG_AGO + 9) -> None:
        for file in self.root.rglob("*.*"):
            os.utime(file, (at, at))

    async def sync(self, *, retry_failed: bool = True, limit: SizeLimit = LIMIT) -> SyncSummary:
        return await Synchroniser(self.library).sync(self.source, retry_failed=retry_failed, limit=limit)

    async def documents(self) -> dict[str, Document]:
        return {each.path: each for each in (await self.library.documents(limit=1000)).documents}

    async def known(self) -> dict[str, Known]:
        return await self.library.known(None, self.source.source)

    async def set_state(self, state: DocumentState) -> None:
        async with self.database.begin() as connection:
            await connection.execute(update(documents).values(state=state))

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """What the database was asked for in the block."""
        seen: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            seen.append(statement)

        engine = self.database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def blobs(tmp_path: Path) -> WatchedBlobs:
    return WatchedBlobs(tmp_path / "blobs")


@pytest.fixture
def library(
    database: Database, collections: Collections, originals: Originals, durable: Durable
) -> BusyLibrary:
    return BusyLibrary(database=database, collections=collections, originals=originals, durable=durable)


@pytest.fixture
def desk(tmp_path: Path, library: BusyLibrary, database: Database, clock: FrozenClock) -> Desk:
    root = tmp_path / "docs"
    root.mkdir()
    return Desk(root, library, database, clock)


def updates(statements: list[str]) -> int:
    return sum("UPDATE documents" in each for each in statements)


# --- what is noted -------------------------------------------------------------------------------------


async def test_touched_files_are_noted_in_few_statements_and_not_read_again(
    desk: Desk, blobs: WatchedBlobs
) -> None:
    for n in range(70):
        desk.write(f"{n}.md", f"text {n}")
    first = await desk.sync()
    before = await desk.documents()
    desk.touch()
    with desk.statements() as statements:
        summary = await desk.sync()
    assert (len(summary.unchanged), len(desk.source.fetched)) == (70, 70)
    assert (updates(statements), len(statements) <= 5) == (1, True), statements
    assert summary.documents == first.documents, "those are waited for still"
    after = await desk.documents()
    assert {each.modified_at.timestamp() for each in after.values()} == {LONG_AGO + 9}
    was = {path: replace(each, modified_at=before[path].modified_at) for path, each in after.items()}
    assert was == before, "nothing else is touched"
    with desk.statements() as statements:
        assert len((await desk.sync()).unchanged) == 70
    assert (desk.source.fetched, updates(statements), blobs.puts) == ([], 0, 70)


async def test_many_are_noted_a_batch_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "_NOTED_AT_ONCE", 3)
    for n in range(7):
        desk.write(f"{n}.md", f"text {n}")
    await desk.sync()
    desk.touch()
    with desk.statements() as statements:
        assert len((await desk.sync()).unchanged) == 7
    assert updates(statements) == 3


async def test_what_was_noted_before_a_sync_is_stopped_is_not_read_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_module, "_NOTED_AT_ONCE", 3)
    for n in range(7):
        desk.write(f"{n}.md", f"text {n}")
    await desk.sync()
    desk.touch()
    turns = iter([False, True])

    async def stop() -> None:
        if next(turns):
            raise asyncio.CancelledError

    desk.library.meanwhile = stop
    with pytest.raises(asyncio.CancelledError):
        await desk.sync()
    desk.library.meanwhile = None
    assert len((await desk.sync()).unchanged) == 7
    assert sorted(desk.source.fetched) == ["3.md", "4.md", "5.md", "6.md"]


async def test_files_touched_a_moment_ago_are_looked_at_twice(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.write(f"{name}.md", name)
    await desk.sync()
    now = desk.clock.now().timestamp()
    desk.touch(at=now)
    desk.source.after_listing = lambda: desk.write("b.md", "x", at=now + 1)
    with desk.statements() as statements:
        summary = await desk.sync()
    reason = "it is still being written; ingest it again when it is complete"
    assert (summary.unchanged, summary.failed) == (("a.md", "c.md"), (("b.md", reason),))
    assert updates(statements) == 1
    desk.source.after_listing = None
    assert (await desk.sync()).changed == ("b.md",)


async def test_a_touched_archive_is_opened_again_and_is_unchanged(
    library: Library, clock: FrozenClock, knowledge_settings: KnowledgeSettings, tmp_path: Path
) -> None:
    root = tmp_path / "docs"
    root.mkdir()
    with zipfile.ZipFile(root / "all.zip", "w") as archive:
        archive.writestr("a.md", "one")
    (root / "b.md").write_text("two")
    folders = Folders(library=library, clock=clock, settings=knowledge_settings, settle_s=0.01)
    await folders.sync(root)
    for name in ("all.zip", "b.md"):
        os.utime(root / name, (LONG_AGO, LONG_AGO))
    assert (await folders.sync(root)).unchanged == ("all.zip", "all.zip/a.md", "b.md")


# --- what is more than touched -------------------------------------------------------------------------


async def test_a_changed_file_among_touched_ones_is_taken(desk: Desk) -> None:
    for name in ("a", "b", "c", "d"):
        desk.write(f"{name}.md", f"text {name}")
    await desk.sync()
    desk.touch()
    desk.write("b.md", "text B", at=LONG_AGO + 9)
    desk.write("d.md", "longer text", at=LONG_AGO + 9)
    summary = await desk.sync()
    assert (summary.changed, summary.unchanged) == (("b.md", "d.md"), ("a.md", "c.md"))
    assert (await desk.documents())["b.md"].revision == 2


async def test_moved_files_among_touched_ones_keep_their_documents(desk: Desk) -> None:
    for name in ("a", "b", "c", "one", "two", "gone"):
        desk.write(f"{name}.md", f"text {name}")
    await desk.sync()
    before = {each.blob: each.id for each in (await desk.documents()).values()}
    (desk.root / "b.md").rename(desk.root / "moved.md")
    for source, target in (("one", "aside"), ("two", "one"), ("aside", "two")):
        (desk.root / f"{source}.md").rename(desk.root / f"{target}.md")
    (desk.root / "gone.md").unlink()
    desk.touch()
    summary = await desk.sync()
    assert (summary.changed, summary.unchanged) == (("moved.md", "one.md", "two.md"), ("a.md", "c.md"))
    assert (summary.new, summary.deleted) == ((), ("gone.md",))
    after = {each.blob: each.id for each in (await desk.documents()).values()}
    assert after.items() <= before.items()
    assert len((await desk.sync()).unchanged) == 5
    assert desk.source.fetched == []


async def test_a_file_that_vanishes_before_it_is_read_is_told(desk: Desk) -> None:
    for name in ("a", "b"):
        desk.write(f"{name}.md", name)
    await desk.sync()
    desk.touch()
    desk.source.after_listing = (desk.root / "a.md").unlink
    summary = await desk.sync()
    assert summary.unchanged == ("b.md",)
    ((path, reason),) = summary.failed
    assert (path, "No such file" in reason) == ("a.md", True)
    desk.source.after_listing = None
    assert (await desk.sync()).deleted == ("a.md",)


async def test_a_touched_file_that_is_too_large_by_now_fails(desk: Desk) -> None:
    desk.write("a.md", "long text")
    desk.write("b.md", "text")
    await desk.sync()
    desk.touch()
    summary = await desk.sync(limit=SizeLimit(5, "test"))
    assert summary.unchanged == ("b.md",)
    assert summary.failed == (("a.md", "it has 9 bytes and test allows 5"),)


# --- what happens between the comparing and the noting -------------------------------------------------


async def test_a_file_changed_after_it_was_compared_is_taken_by_the_next_sync(desk: Desk) -> None:
    desk.write("a.md", "one")
    await desk.sync()
    desk.touch()

    async def edit() -> None:
        desk.write("a.md", "two", at=LONG_AGO + 10)

    desk.library.meanwhile = edit
    assert (await desk.sync()).unchanged == ("a.md",)
    desk.library.meanwhile = None
    assert (await desk.sync()).changed == ("a.md",)
    assert (await desk.documents())["a.md"].revision == 2


async def test_a_document_that_has_other_bytes_by_now_is_not_noted(desk: Desk, tmp_path: Path) -> None:
    desk.write("a.md", "one")
    desk.write("b.md", "two")
    await desk.sync()
    desk.touch()
    other = tmp_path / "other"
    other.write_text("six")

    async def change() -> None:
        when = datetime.fromtimestamp(LONG_AGO, UTC)
        source = desk.source.source
        await desk.library.add(
            Incoming(collection=None, source=source, path="a.md", file=other, modified_at=when, revision="6")
        )

    desk.library.meanwhile = change
    summary = await desk.sync()
    assert (summary.changed, summary.unchanged) == (("a.md",), ("b.md",))
    document = (await desk.documents())["a.md"]
    assert (document.revision, desk.library.originals.path(document.blob).read_text()) == (3, "one")


async def test_a_document_deleted_or_moved_meanwhile_is_made_anew(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.write(f"{name}.md", name)
    await desk.sync()
    before = await desk.documents()
    desk.touch()

    async def change() -> None:
        await desk.library.delete(before["a.md"].id)
        when = before["b.md"].modified_at
        assert await desk.library.move(before["b.md"].id, path="elsewhere.md", modified_at=when)

    desk.library.meanwhile = change
    summary = await desk.sync()
    assert (summary.new, summary.unchanged) == (("a.md", "b.md"), ("c.md",))
    after = await desk.documents()
    assert after["elsewhere.md"].id == before["b.md"].id
    assert after["elsewhere.md"].modified_at == before["b.md"].modified_at


async def test_two_syncs_at_once_note_every_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "_NOTED_AT_ONCE", 10)
    for n in range(40):
        desk.write(f"{n}.md", f"text {n}")
    await desk.sync()
    desk.touch()
    sources = [BusySource(desk.root, clock=desk.clock, settle_s=0.05) for _ in range(4)]
    synchroniser = Synchroniser(desk.library)
    async with asyncio.TaskGroup() as group:
        syncs = [group.create_task(synchroniser.sync(each, limit=LIMIT)) for each in sources]
    assert [len(each.result().unchanged) for each in syncs] == [40] * 4
    assert len((await desk.sync()).unchanged) == 40
    assert desk.source.fetched == []
    assert {each.revision for each in (await desk.documents()).values()} == {1}


# --- documents that want more than a note --------------------------------------------------------------


async def test_a_touched_file_whose_document_failed_is_tried_again_when_asked_for(desk: Desk) -> None:
    desk.write("a.md", "one")
    await desk.sync()
    await desk.set_state(DocumentState.FAILED)
    desk.touch()
    assert (await desk.sync(retry_failed=False)).unchanged == ("a.md",)
    assert (await desk.sync(retry_failed=False)).unchanged == ("a.md",)
    assert desk.source.fetched == []
    desk.touch(at=LONG_AGO + 20)
    summary = await desk.sync()
    assert (summary.changed, len(summary.documents)) == (("a.md",), 1)


async def test_one_that_fails_meanwhile_is_tried_again_too(desk: Desk) -> None:
    desk.write("a.md", "one")
    await desk.sync()
    desk.touch()
    desk.library.meanwhile = lambda: desk.set_state(DocumentState.FAILED)
    summary = await desk.sync()
    assert (summary.changed, len(summary.documents)) == (("a.md",), 1)


async def test_what_is_ready_is_not_waited_for(desk: Desk) -> None:
    desk.write("a.md", "one")
    await desk.sync()
    desk.touch()
    desk.library.meanwhile = lambda: desk.set_state(DocumentState.READY)
    summary = await desk.sync()
    assert (summary.unchanged, summary.documents) == (("a.md",), {})


@pytest.mark.parametrize("is_cut_off", [False, True])
async def test_a_stored_file_that_is_lost_or_cut_off_is_stored_again(desk: Desk, *, is_cut_off: bool) -> None:
    desk.write("a.md", "one")
    desk.write("b.md", "two")
    await desk.sync()
    kept = desk.library.originals.path((await desk.documents())["a.md"].blob)
    kept.unlink()
    if is_cut_off:
        kept.write_text("o")
    desk.touch()
    assert (await desk.sync()).unchanged == ("a.md", "b.md")
    assert kept.read_text() == "one"


# --- the statement -------------------------------------------------------------------------------------


async def test_a_row_that_somebody_holds_is_passed_over_and_the_others_are_noted(desk: Desk) -> None:
    for name in ("a", "b"):
        desk.write(f"{name}.md", name)
    await desk.sync()
    known = await desk.known()
    later = datetime.fromtimestamp(LONG_AGO, UTC) + timedelta(days=1)
    files = [Touched(before=each, modified_at=later, revision="2") for each in known.values()]
    held = select(documents.c.id).where(documents.c.path == "a.md").with_for_update()
    async with desk.database.begin() as connection:
        await connection.execute(held)
        noted = await desk.library.note_touched(None, desk.source.source, files)
    assert noted == {known["b.md"].document_id: DocumentState.QUEUED}
    after = await desk.known()
    assert (after["a.md"], after["b.md"].revision) == (known["a.md"], "2")
    assert await desk.library.note_touched(None, desk.source.source, []) == {}


async def test_documents_of_another_place_are_not_noted(desk: Desk) -> None:
    desk.write("a.md", "one")
    await desk.sync()
    (known,) = (await desk.known()).values()
    file = Touched(before=known, modified_at=known.modified_at, revision="2")
    source = desk.source.source
    for collection, place in (("other", source), (None, "folder:/elsewhere")):
        assert await desk.library.note_touched(collection, place, [file]) == {}
    assert (await desk.known())["a.md"] == known


async def test_a_collection_of_another_model_is_refused(
    desk: Desk,
    database: Database,
    originals: Originals,
    durable: Durable,
    knowledge_settings: KnowledgeSettings,
) -> None:
    desk.write("a.md", "one")
    await desk.sync()
    desk.touch()
    embedding = EmbeddingModel(name="large", dimensions=16)
    collections = Collections(database=database, embedding=embedding, settings=knowledge_settings)
    other = Library(database=database, collections=collections, originals=originals, durable=durable)
    with pytest.raises(SettingsError, match="'small'"):
        await Synchroniser(other).sync(desk.source, limit=LIMIT)


async def test_whether_a_stored_file_is_whole(originals: Originals, tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("one")
    blob = await originals.put(file)
    assert originals.is_kept(blob.sha256, 3)
    assert not originals.is_kept(blob.sha256, 4)
    assert not originals.is_kept("0" * 64, 3)
    with pytest.raises(NotFoundError):
        originals.path("0" * 64)
