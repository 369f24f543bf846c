"""Pause, resume, cancel and re-index, over a real queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from causeway.errors import InvalidInputError, NotFoundError
from causeway.knowledge.collections import Collections
from causeway.knowledge.document import DocumentState
from causeway.knowledge.holds import Selection
from causeway.knowledge.ingest.control import REQUEUE
from causeway.knowledge.library import work_key
from causeway.knowledge.originals import Originals
from causeway.storage.database import Database
from tests.knowledge.ingest.worksite import Worksite


@pytest.fixture
async def site(
    database: Database, collections: Collections, originals: Originals, tmp_path: Path
) -> AsyncIterator[Worksite]:
    made = Worksite(database, collections, originals, tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_a_paused_collection_reads_nothing_until_it_is_resumed(site: Worksite) -> None:
    first = await site.add("# One\n\nFirst.", "one.md")
    chosen = Selection(collection_id=await site.collections.ensure())
    assert await site.control.pause(chosen) == 1
    assert await site.durable.state(work_key(first.document_id, 1)) == "failed"  # withdrawn
    await site.work()
    await site.add("# Two\n\nSecond.", "two.md")
    await site.until_states(paused=2)
    assert site.readers.read == []

    assert await site.control.resume(chosen)
    await site.until_states(ready=2)
    assert not await site.control.resume(chosen)


async def test_a_document_that_is_being_read_stops_when_it_is_paused(site: Worksite) -> None:
    site.readers.reading.gate.clear()
    await site.work()
    added = await site.add("# One\n\nFirst.")
    await site.readers.reading.entered.wait()
    chosen = await site.control.selection(added.document_id)
    await site.control.pause(chosen)
    async with asyncio.timeout(20):
        while site.readers.reading.inside:  # noqa: ASYNC110 - it is let go within a poll
            await asyncio.sleep(0.05)
    assert (await site.library.document(added.document_id)).state == DocumentState.PAUSED

    site.readers.reading.gate.set()
    await site.control.resume(chosen)
    await site.until_states(ready=1)


async def test_only_the_paused_source_waits(site: Worksite) -> None:
    collection_id = await site.collections.ensure()
    await site.control.pause(Selection(collection_id=collection_id, source="folder:/bulk"))
    await site.work()
    await site.add("# One\n\nFirst.", "one.md", source="folder:/bulk")
    await site.add("# Two\n\nSecond.", "two.md", source="folder:/other")
    await site.until_states(paused=1, ready=1)
    assert site.readers.read == ["two.md"]


async def test_what_is_held_twice_stays_paused_until_both_are_let_go(site: Worksite) -> None:
    added = await site.add("# One\n\nFirst.")
    collection = Selection(collection_id=await site.collections.ensure())
    document = await site.control.selection(added.document_id)
    await site.control.pause(collection)
    await site.control.pause(document)
    assert await site.control.held() == {collection, document}
    await site.control.resume(document)
    assert (await site.library.document(added.document_id)).state == DocumentState.PAUSED
    await site.work()
    await site.control.resume(collection)
    await site.until_states(ready=1)


async def test_what_was_cancelled_is_not_read_and_what_was_searchable_stays_so(site: Worksite) -> None:
    known = await site.add("# Known\n\nIt has sails.", "known.md")
    await site.ingest(known)
    await site.add("# Known\n\nIt has oars.", "known.md")
    await site.add("# New\n\nUnread.", "new.md")
    chosen = Selection(collection_id=await site.collections.ensure())
    assert await site.control.cancel(chosen) == 2
    await site.work()
    later = await site.add("# Later\n\nRead.", "later.md")
    await site.until_states(cancelled=2, ready=1)
    assert site.readers.read == ["known.md", "later.md"]
    assert "sails" in await site.texts(known.document_id)
    assert later.change == "new"

    assert await site.control.reindex(chosen) == 3
    await site.until_states(ready=3)
    assert "oars" in await site.texts(known.document_id)


async def test_changed_options_have_every_document_read_again_and_old_chunks_searched_until_then(
    site: Worksite,
) -> None:
    words = " ".join(f"word{n}." for n in range(300))
    added = [await site.add(f"# Plan {n}\n\n{words}", f"{n}.md") for n in range(3)]
    for each in added:
        await site.ingest(each)
    before = {each.document_id: await site.library.text_of(each.document_id) for each in added}
    site.readers.reading.gate.clear()
    site.readers.reading.entered.clear()
    collection_id = await site.options({"chunking": {"strategy": "fixed", "max_tokens": 64}})
    await site.work()
    await site.readers.reading.entered.wait()
    for document_id, chunks in before.items():
        assert await site.library.text_of(document_id) == chunks
    site.readers.reading.gate.set()
    await site.until_read(6)
    await site.until_states(ready=3)
    for document_id, chunks in before.items():
        after = await site.library.text_of(document_id)
        assert len(after) > len(chunks)
        assert max(chunk.tokens for chunk in after) <= 64

    read = len(site.readers.read)
    options = await site.control.change_options(collection_id, {"chunking": {"max_tokens": 64}})
    assert options.chunking.strategy == "fixed"
    await site.until_states(ready=3)
    assert len(site.readers.read) == read  # nothing differs, so nothing is read again


async def test_requeueing_that_is_killed_between_two_batches_queues_each_document_once(
    site: Worksite,
) -> None:
    added = [await site.add(f"# Plan {n}\n\nText {n}.", f"{n}.md") for n in range(5)]
    for each in added:
        await site.ingest(each)
    await site.options({"chunking": {"strategy": "sentence"}})
    async with (
        site.database.begin() as connection
    ):  # as a kill leaves it: some are queued again, some are not
        await connection.execute(
            text(
                "UPDATE documents SET revision = 2, state = 'queued', options_version = 1"
                " WHERE path IN ('0.md', '1.md')"
            )
        )
    for each in added[:2]:
        key = work_key(each.document_id, 2)
        await site.durable.enqueue("ingest", f"{each.document_id}@2", key=key)
    site.readers.read.clear()
    await site.work()
    await site.control.requeue("")
    await site.until_read(5)
    await site.until_states(ready=5)
    assert sorted(site.readers.read) == [f"{n}.md" for n in range(5)]
    assert {(await site.library.document(each.document_id)).revision for each in added} == {2}


async def test_a_change_of_options_is_queued_with_it(site: Worksite) -> None:
    await site.options({"pii": {"action": "mask"}})
    async with site.database.connect() as connection:
        queued = await connection.scalar(
            text("SELECT count(*) FROM dbos.workflow_status WHERE queue_name = :name"), {"name": REQUEUE}
        )
    assert queued == 1


async def test_a_paused_collection_is_not_read_again_before_it_is_resumed(site: Worksite) -> None:
    added = await site.add("# One\n\nFirst.")
    await site.ingest(added)
    site.readers.read.clear()
    chosen = Selection(collection_id=await site.collections.ensure())
    await site.control.pause(chosen)
    await site.options({"chunking": {"strategy": "fixed"}})
    await site.control.requeue("")
    assert (await site.library.document(added.document_id)).revision == 1
    await site.work()
    await site.control.resume(chosen)
    await site.until_read(1)
    await site.until_states(ready=1)


async def test_unknown_names_and_values_are_refused_with_what_can_be_used(site: Worksite) -> None:
    collection_id = await site.collections.ensure()
    for changes, message in (
        ({"chunking": {"strategy": "magic"}}, "parent_child"),
        ({"chunking": {"max_tokens": 4}}, "64 to 512"),
        ({"chunking": {"max_tokens": "many"}}, "whole number"),
        ({"chunking": {"max_tokens": 64, "overlap_tokens": 60}}, "half"),
        ({"chunking": {"speed": 4}}, "overlap_tokens"),
        ({"pii": {"action": "burn"}}, "refuse"),
        ({"pii": {"kinds": ["shoe size"]}}, "date_of_birth"),
        ({"pii": {"kinds": []}}, "keep"),
        ({"colour": {}}, "chunking, pii"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            await site.control.change_options(collection_id, changes)
    with pytest.raises(NotFoundError):
        await site.control.change_options("col_none", {})
    with pytest.raises(NotFoundError):
        await site.control.selection("doc_none")


# --- back-pressure ----------------------------------------------------------------------------------------


async def test_reading_and_embedding_overlap_and_no_more_than_twice_the_readers_are_in_flight(
    site: Worksite,
) -> None:
    site.models.embedding.gate.clear()
    await site.work(workers=2)
    for n in range(12):
        await site.add(f"# Plan {n}\n\nText {n}.", f"{n}.md")
    async with asyncio.timeout(50):
        while site.models.embedding.inside < 4:  # noqa: ASYNC110 - counters have no event
            await asyncio.sleep(0.02)
    # four wait in the embedder, and no further file is begun: what is read and not embedded is bounded
    counts = (await site.library.documents()).counts
    assert counts[DocumentState.PROCESSING] == 4
    assert len(site.readers.read) == 4

    # the embedder goes on, and its places are taken by files that are read while others are embedded
    site.readers.reading.gate.clear()
    site.readers.reading.entered.clear()
    site.models.embedding.entered.clear()
    site.models.embedding.let_through(2)
    await site.readers.reading.entered.wait()
    assert site.models.embedding.inside == 2
    assert site.readers.reading.inside >= 1
    site.models.embedding.gate.set()
    site.readers.reading.gate.set()
    await site.until_states(ready=12)
    assert site.readers.reading.most == 2
    assert site.models.embedding.most == 4
