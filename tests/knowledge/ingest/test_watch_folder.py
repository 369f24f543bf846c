from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from causeway.errors import DeadlineError, NotFoundError, SettingsError
from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.document import Document, DocumentState
from causeway.knowledge.incoming import Known
from causeway.knowledge.ingest import watch_folder
from causeway.knowledge.ingest.connector import Fetched, Item
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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


@pytest.fixture
def folders(library: Library, clock: FrozenClock, knowledge_settings: KnowledgeSettings) -> Folders:
    return Folders(library=library, clock=clock, settings=knowledge_settings, settle_s=0.05)


def write(root: Path, path: str, text: str, *, at: float = LONG_AGO) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    os.utime(file, (at, at))
    return file


async def all_of(library: Library) -> dict[str, Document]:
    return {each.path: each for each in (await library.documents(limit=1000)).documents}


async def set_state(database: Database, state: DocumentState, failure: str | None = None) -> None:
    """What the ingestion would do."""
    async with database.begin() as connection:
        await connection.execute(update(documents).values(state=state, failure=failure))


class WatchedBlobs(Blobs):
    """Counts the files that are read, and lets a test do something meanwhile."""

    puts = 0
    meanwhile: Callable[[], object] | None = None

    async def put(self, source: Path) -> BlobRef:
        self.puts += 1
        if self.meanwhile is not None:
            self.meanwhile()
        return await super().put(source)


@pytest.fixture
def blobs(tmp_path: Path) -> WatchedBlobs:
    return WatchedBlobs(tmp_path / "blobs")


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(50):
        while not is_so():  # noqa: ASYNC110 - what is waited for lies outside this process's loop
            await asyncio.sleep(0.01)


# --- a folder ------------------------------------------------------------------------------------------


async def test_a_folder_becomes_documents_under_their_paths(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "a.md", "one")
    write(root, "sub/b.md", "two")
    summary = await folders.sync(root)
    assert summary.new == ("a.md", "sub/b.md")
    assert set(summary.documents.values()) == {"a.md", "sub/b.md"}
    found = await all_of(library)
    assert {each.source for each in found.values()} == {f"folder:{root}"}
    assert found["a.md"].modified_at.timestamp() == LONG_AGO


async def test_what_has_not_changed_is_not_read_again(
    folders: Folders, database: Database, root: Path, blobs: WatchedBlobs
) -> None:
    for n in range(5):
        write(root, f"{n}.md", f"text {n}")
    await folders.sync(root)
    await set_state(database, DocumentState.READY)
    assert blobs.puts == 5
    summary = await folders.sync(root)
    assert (len(summary.unchanged), summary.new, summary.changed, summary.documents) == (5, (), (), {})
    assert blobs.puts == 5


async def test_a_touched_file_is_unchanged_and_not_stored_again(
    folders: Folders, root: Path, blobs: WatchedBlobs
) -> None:
    write(root, "a.md", "one")
    await folders.sync(root)
    os.utime(root / "a.md", (LONG_AGO + 9, LONG_AGO + 9))
    for _ in range(2):
        assert (await folders.sync(root)).unchanged == ("a.md",)
    assert blobs.puts == 1


async def test_edits_and_deletes_are_followed(folders: Folders, library: Library, root: Path) -> None:
    for name in ("a.md", "b.md", "c.md"):
        write(root, name, name)
    before = (await folders.sync(root), await all_of(library))[1]
    write(root, "a.md", "edited", at=LONG_AGO + 1)
    (root / "b.md").unlink()
    summary = await folders.sync(root)
    assert (summary.changed, summary.deleted, summary.unchanged) == (("a.md",), ("b.md",), ("c.md",))
    after = await all_of(library)
    assert set(after) == {"a.md", "c.md"}
    assert (after["a.md"].id, after["a.md"].revision) == (before["a.md"].id, 2)


async def test_a_renamed_file_keeps_its_document(folders: Folders, library: Library, root: Path) -> None:
    write(root, "old/plan.md", "the plan")
    write(root, "old/same size", "the plum")
    before = (await folders.sync(root), await all_of(library))[1]
    (root / "old").rename(root / "new")
    summary = await folders.sync(root)
    assert (summary.changed, summary.new, summary.deleted) == (("new/plan.md", "new/same size"), (), ())
    after = await all_of(library)
    assert set(after) == {"new/plan.md", "new/same size"}
    assert after["new/plan.md"].id == before["old/plan.md"].id


async def test_files_that_change_places_keep_their_documents(
    folders: Folders, library: Library, root: Path
) -> None:
    for name in ("a", "b", "c", "log", "log.1"):
        write(root, f"{name}.md", f"text {name}" + "." * len(name))
    await folders.sync(root)
    before = {each.blob: each.id for each in (await all_of(library)).values()}
    for source, target in (("a", "aside"), ("b", "a"), ("c", "b"), ("aside", "c")):  # a ring
        (root / f"{source}.md").rename(root / f"{target}.md")
    (root / "log.1.md").rename(root / "log.2.md")  # a chain
    (root / "log.md").rename(root / "log.1.md")
    summary = await folders.sync(root)
    after = await all_of(library)
    assert {each.blob: each.id for each in after.values()} == before
    assert set(after) == {"a.md", "b.md", "c.md", "log.1.md", "log.2.md"}
    assert (summary.new, summary.deleted, set(summary.changed)) == ((), (), set(after))
    assert len((await folders.sync(root)).unchanged) == 5


async def test_a_file_that_is_renamed_again_while_it_is_followed_keeps_its_document(
    library: Library, clock: FrozenClock, root: Path
) -> None:
    write(root, "a.md", "one")
    write(root, "stays.md", "another")
    synchroniser, limit = Synchroniser(library), SizeLimit(10**6, "test")

    class Busy(FolderSource):
        """Renames the file a second time between the listing and the fetch."""

        async def fetch(self, item: Item) -> Fetched:
            if (root / "b.md").exists():
                (root / "b.md").rename(root / "c.md")
            return await super().fetch(item)

    def source() -> FolderSource:
        return Busy(root, clock=clock, settle_s=0.0)

    await synchroniser.sync(source(), limit=limit)
    before = (await all_of(library))["a.md"].id
    (root / "a.md").rename(root / "b.md")
    assert (await synchroniser.sync(source(), limit=limit)).deleted == ()
    await synchroniser.sync(source(), limit=limit)
    after = await all_of(library)
    assert (set(after), after["c.md"].id) == ({"c.md", "stays.md"}, before)


async def test_who_saves_over_a_file_goes_on_with_its_document(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "plan.md", "the old plan")
    write(root, "plan.new.md", "the new one!")
    await folders.sync(root)
    before = await all_of(library)
    (root / "plan.new.md").replace(root / "plan.md")
    await folders.sync(root)
    after = await all_of(library)
    assert (set(after), after["plan.md"].id) == ({"plan.md"}, before["plan.md"].id)
    assert after["plan.md"].blob == before["plan.new.md"].blob


async def test_a_copy_takes_nothing_from_what_it_was_made_of(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "a.md", "one")
    await folders.sync(root)
    before = (await all_of(library))["a.md"].id
    shutil.copy(root / "a.md", root / "b.md")
    (root / "a.md").touch()
    assert (await folders.sync(root)).new == ("b.md",)
    after = await all_of(library)
    assert after["a.md"].id == before != after["b.md"].id


async def test_another_file_of_the_same_size_and_time_is_noticed(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "a.md", "one")
    write(root, ".ready", "two")
    await folders.sync(root)
    (root / ".ready").replace(root / "a.md")
    assert (await folders.sync(root)).changed == ("a.md",)


async def test_two_files_of_the_same_bytes_stay_two_documents_when_one_moves(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "a.md", "same")
    write(root, "b.md", "same")
    await folders.sync(root)
    (root / "a.md").rename(root / "c.md")
    summary = await folders.sync(root)
    assert (summary.changed, summary.unchanged) == (("c.md",), ("b.md",))
    assert set(await all_of(library)) == {"b.md", "c.md"}


async def test_only_what_came_from_the_folder_vanishes_with_it(
    folders: Folders, library: Library, root: Path, tmp_path: Path
) -> None:
    write(root, "a.md", "one")
    write(root, "kept.md", "two")
    write(tmp_path / "other", "a.md", "one")
    await folders.sync(root)
    await folders.sync(root, "second")
    await folders.sync(tmp_path / "other")
    (root / "a.md").unlink()
    assert (await folders.sync(root)).deleted == ("a.md",)
    assert (await library.documents()).total == 4
    assert (await library.documents(collection="second")).total == 2


async def test_a_missing_root_takes_nothing_from_the_index(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "a.md", "one")
    await folders.sync(root)
    shutil.rmtree(root)
    with pytest.raises(NotFoundError, match=r"nothing at .*docs.*the 1 documents .* stay"):
        await folders.sync(root)
    assert (await library.documents()).total == 1


async def test_a_root_that_goes_just_before_it_is_read_takes_nothing_from_the_index(
    database: Database,
    collections: Collections,
    originals: Originals,
    durable: Durable,
    clock: FrozenClock,
    knowledge_settings: KnowledgeSettings,
    folders: Folders,
    root: Path,
) -> None:
    class Unlucky(Library):
        async def known(self, collection: str | None, source: str) -> dict[str, Known]:
            await asyncio.to_thread(shutil.rmtree, root)
            return await super().known(collection, source)

    write(root, "a.md", "one")
    await folders.sync(root)
    unlucky = Unlucky(database=database, collections=collections, originals=originals, durable=durable)
    with pytest.raises(NotFoundError, match="the 1 documents"):
        await Folders(library=unlucky, clock=clock, settings=knowledge_settings).sync(root)
    assert (await unlucky.documents()).total == 1


async def test_a_root_that_is_suddenly_empty_takes_nothing_from_the_index(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "a.md", "one")
    await folders.sync(root)
    (root / "a.md").unlink()
    summary = await folders.sync(root)
    ((path, reason),) = summary.failed
    assert path == str(root)
    assert "1 documents came from it: they stay" in reason
    assert (await library.documents()).total == 1


async def test_an_empty_folder_is_no_failure_when_nothing_came_from_it(folders: Folders, root: Path) -> None:
    assert await folders.sync(root) == SyncSummary()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_documents_beneath_an_unreadable_folder_stay(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "private/a.md", "one")
    write(root, "b.md", "two")
    await folders.sync(root)
    (root / "private").chmod(0)
    try:
        summary = await folders.sync(root)
    finally:
        (root / "private").chmod(0o700)
    assert summary.failed == (("private", "permission denied; let Causeway's user read it"),)
    assert summary.deleted == ()


async def test_a_bad_file_is_named_and_the_rest_goes_on(
    library: Library, clock: FrozenClock, knowledge_settings: KnowledgeSettings, root: Path
) -> None:
    write(root, "a.md", "one")
    write(root, "big.md", "x" * 101)
    (root / os.fsdecode(b"caf\xe9.md")).write_text("x")
    settings = knowledge_settings.model_copy(update={"max_file_bytes": 100})
    summary = await Folders(library=library, clock=clock, settings=settings, settle_s=0.01).sync(root)
    assert summary.new == ("a.md",)
    assert dict(summary.failed) == {
        "big.md": "it has 101 bytes and knowledge.max_file_bytes allows 100",
        "caf?.md": "its name is not valid UTF-8; rename it",
    }


async def test_a_collection_of_another_model_is_one_plain_error(
    database: Database,
    originals: Originals,
    durable: Durable,
    clock: FrozenClock,
    knowledge_settings: KnowledgeSettings,
    folders: Folders,
    root: Path,
) -> None:
    for n in range(6):
        write(root, f"{n}.md", f"text {n}")
    await folders.sync(root)
    embedding = EmbeddingModel(name="large", dimensions=16)
    collections = Collections(database=database, embedding=embedding, settings=knowledge_settings)
    other = Library(database=database, collections=collections, originals=originals, durable=durable)
    for n in range(6):
        write(root, f"{n}.md", f"changed {n}")
    with pytest.raises(SettingsError, match="'small'"):
        await Folders(library=other, clock=clock, settings=knowledge_settings).sync(root)


# --- files, and folders within folders -----------------------------------------------------------------


async def test_a_single_file_is_a_document_of_its_folder(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "a.md", "one")
    write(root, "b.md", "two")
    assert (await folders.sync(root / "a.md")).new == ("a.md",)
    assert set(await all_of(library)) == {"a.md"}
    summary = await folders.sync(root)
    assert (summary.new, summary.unchanged) == (("b.md",), ("a.md",))


async def test_a_part_of_a_known_folder_is_no_second_copy(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "a.md", "one")
    write(root, "sub/b.md", "two")
    write(root, "sub/c.md", "three")
    await folders.sync(root)
    write(root, "sub/b.md", "edited", at=LONG_AGO + 1)
    (root / "sub/c.md").unlink()
    (root / "a.md").unlink()
    assert (await folders.sync(root / "sub/b.md")).changed == ("sub/b.md",)
    summary = await folders.sync(root / "sub")
    assert (summary.unchanged, summary.deleted) == (("sub/b.md",), ("sub/c.md",))
    assert set(await all_of(library)) == {"a.md", "sub/b.md"}


async def test_a_path_where_nothing_is_is_refused(folders: Folders, root: Path) -> None:
    with pytest.raises(NotFoundError, match="there is nothing at"):
        await folders.sync(root / "gone.md")


# --- files that are being written ----------------------------------------------------------------------


async def test_a_young_file_is_taken_when_it_stands_still(
    folders: Folders, clock: FrozenClock, root: Path
) -> None:
    write(root, "a.md", "one", at=clock.now().timestamp() - 0.01)
    write(root, "future.md", "two", at=clock.now().timestamp() + 1000)
    assert (await folders.sync(root)).new == ("a.md", "future.md")


async def test_a_file_that_grows_is_left_for_later(
    folders: Folders, clock: FrozenClock, root: Path, blobs: WatchedBlobs
) -> None:
    growing = write(root, "growing.md", "half", at=clock.now().timestamp())
    write(root, "done.md", "whole")
    blobs.meanwhile = lambda: growing.write_text("half and more")
    summary = await folders.sync(root)
    assert summary.new == ("done.md",)
    assert summary.failed == (
        ("growing.md", "it is still being written; ingest it again when it is complete"),
    )


async def test_a_file_that_changed_while_it_was_read_is_read_again(
    folders: Folders, library: Library, root: Path
) -> None:
    write(root, "a.md", "one")
    await folders.sync(root)
    # the row holds the time from before the file was read, so a write during the read leaves another time behind
    write(root, "a.md", "two", at=LONG_AGO + 0.001)
    assert (await folders.sync(root)).changed == ("a.md",)


# --- failures and waiting ------------------------------------------------------------------------------


async def test_what_failed_is_tried_again_when_asked_for_and_not_by_a_sweep(
    folders: Folders, database: Database, root: Path
) -> None:
    write(root, "a.md", "one")
    await folders.sync(root)
    await set_state(database, DocumentState.FAILED, "it is torn")
    assert (await folders.sync(root, retry_failed=False)).unchanged == ("a.md",)
    again = await folders.sync(root)
    assert again.changed == ("a.md",)
    assert len(again.documents) == 1


async def test_waiting_ends_when_all_are_ready_or_failed(
    folders: Folders, library: Library, database: Database, root: Path
) -> None:
    for name in ("a.md", "b.md", "c.md"):
        write(root, name, name)
    summary = await folders.sync(root)
    ids = {path: document_id for document_id, path in summary.documents.items()}
    seen: list[int] = []
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(folders.wait(summary, seen.append))
        await until(lambda: seen)
        await library.delete(ids["c.md"])
        async with database.begin() as connection:
            torn, whole = (update(documents).where(documents.c.id == ids[path]) for path in ("b.md", "a.md"))
            await connection.execute(torn.values(state=DocumentState.FAILED, failure="it is torn"))
            await connection.execute(whole.values(state=DocumentState.READY))
    done = waiting.result()
    assert (done.new, done.failed) == (("a.md", "c.md"), (("b.md", "it is torn"),))
    assert (seen[0], seen[-1]) == (0, 3)


async def test_unfinished_work_of_an_earlier_sync_is_waited_for(folders: Folders, root: Path) -> None:
    write(root, "a.md", "one")
    first = await folders.sync(root)
    second = await folders.sync(root)
    assert second.unchanged == ("a.md",)
    assert second.documents == first.documents


async def test_waiting_gives_up_when_nothing_moves(folders: Folders, clock: FrozenClock, root: Path) -> None:
    write(root, "a.md", "one")
    summary = await folders.sync(root)
    with pytest.raises(DeadlineError, match="1 documents do not advance"):
        await folders.wait(summary, lambda _: clock.advance(watch_folder.NOTHING_MOVES_S))


async def test_a_summary_adds_up_and_becomes_json() -> None:
    first = SyncSummary(new=("a",), failed=(("x", "why"),), documents={"doc_1": "a"})
    both = first + replace(first, new=("b",), documents={"doc_2": "b"})
    assert both.as_dict() == {
        "new": ["a", "b"],
        "changed": [],
        "unchanged": [],
        "deleted": [],
        "failed": [{"path": "x", "reason": "why"}, {"path": "x", "reason": "why"}],
        "documents": ["doc_1", "doc_2"],
    }


# --- watching ------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
async def test_watching_follows_what_happens_and_says_it_once(
    folders: Folders, library: Library, database: Database, root: Path
) -> None:
    write(root, "a.md", "one")
    await folders.sync(root)
    await set_state(database, DocumentState.READY)
    stop, told, away = asyncio.Event(), list[SyncSummary](), root.with_name("away")

    async def finish() -> None:
        while not stop.is_set():
            await set_state(database, DocumentState.READY)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        group.create_task(folders.watch([root], on_sync=told.append, stop=stop, every_s=0.05))
        group.create_task(finish())
        write(root, "b.md", "two")
        await until(lambda: any(each.new == ("b.md",) for each in told))
        (root / "b.md").unlink()
        await until(lambda: any(each.deleted == ("b.md",) for each in told))
        shutil.move(root, away)
        await until(lambda: any(each.failed for each in told))
        shutil.move(away, root)
        write(root, "c.md", "three")
        await until(lambda: told[-1].new == ("c.md",))
        stop.set()
    assert not any(each.deleted for each in told if each.failed)
    assert set(await all_of(library)) == {"a.md", "c.md"}


@pytest.mark.timeout(120)
async def test_watching_goes_on_when_documents_do_not_advance(
    folders: Folders, clock: FrozenClock, root: Path
) -> None:
    write(root, "a.md", "one")
    stop, told = asyncio.Event(), list[SyncSummary]()

    async def pass_time() -> None:
        while not stop.is_set():
            clock.advance(watch_folder.NOTHING_MOVES_S)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        group.create_task(folders.watch([root], on_sync=told.append, stop=stop, every_s=0.05))
        group.create_task(pass_time())
        await until(lambda: any("do not advance" in reason for each in told for _, reason in each.failed))
        write(root, "b.md", "two")
        await until(lambda: any(each.new == ("b.md",) for each in told))
        stop.set()
