"""How far ingestion is, and what may be said of how long the rest takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from causeway.knowledge.collections import Collections
from causeway.knowledge.document import DocumentState
from causeway.knowledge.holds import Selection
from causeway.knowledge.ingest.progress import Pace, ProgressReader, Smoothed, Waiting, remaining_s
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


def test_what_is_left_takes_as_long_as_the_same_took_by_as_many_at_once() -> None:
    paces = {"pdf": Pace(count=10, size_bytes=1000, work_s=50.0)}
    assert remaining_s(paces, {"pdf": Waiting(20, 2000)}, at_once=2.0) == 50.0


def test_kinds_have_paces_of_their_own() -> None:
    paces = {"pdf": Pace(10, 1000, 100.0), "md": Pace(10, 1000, 1.0)}
    assert remaining_s(paces, {"md": Waiting(10, 1000)}, at_once=1.0) == 1.0
    assert remaining_s(paces, {"pdf": Waiting(10, 1000)}, at_once=1.0) == 100.0


def test_larger_files_of_a_kind_are_expected_to_take_longer_but_not_all_by_the_byte() -> None:
    paces = {"pdf": Pace(10, 1000, 10.0)}
    assert remaining_s(paces, {"pdf": Waiting(1, 1000)}, at_once=1.0) == pytest.approx((10.0 + 1.0) / 2)


@pytest.mark.parametrize(
    ("paces", "waiting"),
    [
        ({}, {"pdf": Waiting(1, 10)}),
        ({"pdf": Pace(2, 20, 2.0)}, {"pdf": Waiting(1, 10)}),
        ({"md": Pace(9, 90, 1.0)}, {"png": Waiting(5, 5000), "md": Waiting(1, 10)}),
    ],
    ids=["nothing finished", "too few finished", "most is of a kind never timed"],
)
def test_an_estimate_that_means_nothing_is_not_given(
    paces: dict[str, Pace], waiting: dict[str, Waiting]
) -> None:
    assert remaining_s(paces, waiting, at_once=1.0) is None


def test_the_shown_estimate_runs_down_and_does_not_jump() -> None:
    shown = Smoothed()
    assert shown.take(100.0, 0.0) == 100.0
    assert shown.take(100.0, 10.0) == pytest.approx(0.7 * 90 + 0.3 * 100)
    jump = shown.take(1000.0, 11.0)
    assert jump is not None
    assert 300 < jump < 400
    assert shown.take(None, 12.0) is None
    assert shown.take(50.0, 13.0) == 50.0


async def test_progress_tells_what_is_left_by_documents_and_bytes(site: Worksite, database: Database) -> None:
    reader = ProgressReader(database)
    nothing = await reader.read()
    assert (nothing.left, nothing.share_done, nothing.remaining_s) == (0, 1.0, None)
    ready = [await site.add("# Plan\n\n" + "word " * (n + 1), f"{n}.md") for n in range(4)]
    for each in ready:
        await site.ingest(each)
    paused = await site.add("# Paused", "p.md", source="folder:/x")
    await site.add("# Waiting " + "word " * 10, "w.md")
    collection_id = await site.collections.ensure()
    await site.control.pause(Selection(collection_id=collection_id, source="folder:/x"))

    found = await reader.read(collection_id=collection_id)
    assert (found.documents, found.left, found.stale) == (6, 1, 0)
    assert found.counts[DocumentState.READY] == 4
    assert found.counts[DocumentState.PAUSED] == 1
    assert found.bytes_left == len("# Waiting " + "word " * 10)
    assert found.remaining_s is not None
    assert found.remaining_s > 0
    only = await reader.read(document_ids=[paused.document_id])
    assert (only.documents, only.left, only.remaining_s) == (1, 0, None)
    elsewhere = await reader.read(collection_id="col_other")
    assert elsewhere.documents == 0


async def test_nothing_is_estimated_when_nothing_was_finished_for_long(
    site: Worksite, database: Database
) -> None:
    for n in range(4):
        await site.ingest(await site.add(f"# Plan {n}", f"{n}.md"))
    await site.add("# Waiting", "w.md")
    async with database.begin() as connection:
        await connection.execute(
            text(
                "UPDATE documents SET updated_at = now() - interval '1 hour', started_at = now() - interval '2 hours'"
            )
        )
    found = await ProgressReader(database).read()
    assert (found.left, found.remaining_s) == (1, None)


async def test_documents_that_are_to_be_read_again_are_left_to_do(site: Worksite, database: Database) -> None:
    for n in range(3):
        await site.ingest(await site.add(f"# Plan {n}", f"{n}.md"))
    await site.options({"chunking": {"strategy": "fixed"}})
    found = await ProgressReader(database).read()
    assert (found.documents, found.left, found.stale) == (3, 3, 3)
    assert found.share_done == 0.0
