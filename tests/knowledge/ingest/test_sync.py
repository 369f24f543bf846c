from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from causeway.errors import (
    DeadlineError,
    NotFoundError,
    TryLaterError,
    UnreadableDocumentError,
    UpstreamError,
)
from causeway.knowledge.document import Document
from causeway.knowledge.ingest.item_paths import part, unique_paths
from causeway.knowledge.ingest.pacing import Pacer, asked_wait_s
from causeway.knowledge.ingest.patterns import Patterns
from causeway.knowledge.ingest.sync import SizeLimit, Synchroniser
from causeway.knowledge.ingest.sync_summary import SyncSummary
from causeway.knowledge.library import Library
from causeway.storage.blobs import Blobs
from causeway.testing.clock import FrozenClock
from causeway.testing.connectors import MemorySource

LIMIT = SizeLimit(5000, "sources.test.max_file_bytes")


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


class Desk:
    """Syncs a source and looks at what came of it."""

    def __init__(self, library: Library, source: MemorySource) -> None:
        self.library = library
        self.source = source

    async def sync(self, *, retry_failed: bool = True) -> SyncSummary:
        return await Synchroniser(self.library).sync(self.source, limit=LIMIT, retry_failed=retry_failed)

    async def documents(self) -> dict[str, Document]:
        return {each.path: each for each in (await self.library.documents(limit=500)).documents}


@pytest.fixture
def desk(library: Library, source: MemorySource) -> Desk:
    return Desk(library, source)


async def test_what_is_new_becomes_documents_with_what_the_source_says(desk: Desk) -> None:
    desk.source.put("Plans/Road.md", "x" * 2500, identity="id1", url="https://a.test/1")
    assert (await desk.sync()).new == ("Plans/Road.md",)
    (document,) = (await desk.documents()).values()
    assert (document.source, document.size_bytes) == ("memory:test", 2500)
    assert document.metadata == {"url": "https://a.test/1", "author": "Ada"}


async def test_what_has_the_same_revision_is_not_fetched(desk: Desk) -> None:
    desk.source.put("a.md", "one")
    desk.source.put("b.md", "two")
    await desk.sync()
    desk.source.put("b.md", "two and more")
    desk.source.fetched.clear()
    summary = await desk.sync()
    assert (summary.changed, summary.unchanged, desk.source.fetched) == (("b.md",), ("a.md",), ["b.md"])


async def test_another_revision_of_the_same_bytes_changes_nothing_and_is_fetched_once(desk: Desk) -> None:
    desk.source.put("a.md", "one", revision="1")
    await desk.sync()
    desk.source.put("a.md", "one", revision="2")
    for _ in range(2):
        assert (await desk.sync()).unchanged == ("a.md",)
    assert desk.source.fetched == ["a.md", "a.md"]
    assert (await desk.documents())["a.md"].revision == 1


async def test_what_is_renamed_keeps_its_document(desk: Desk) -> None:
    desk.source.put("a.md", "one", identity="id1")
    await desk.sync()
    before = (await desk.documents())["a.md"]
    desk.source.rename("a.md", "sub/b.md")
    desk.source.fetched.clear()
    summary = await desk.sync()
    assert (summary.changed, summary.new, summary.deleted) == (("sub/b.md",), (), ())
    assert (await desk.documents())["sub/b.md"].id == before.id
    assert desk.source.fetched == []


async def test_what_is_renamed_and_edited_is_one_change(desk: Desk) -> None:
    desk.source.put("a.md", "one", identity="id1")
    await desk.sync()
    before = (await desk.documents())["a.md"]
    desk.source.remove("a.md")
    desk.source.put("b.md", "other words", identity="id1")
    summary = await desk.sync()
    assert (summary.changed, summary.deleted) == (("b.md",), ())
    after = (await desk.documents())["b.md"]
    assert (after.id, after.size_bytes) == (before.id, len("other words"))


async def test_two_that_change_places_keep_their_documents(desk: Desk) -> None:
    desk.source.put("a.md", "one", identity="id1")
    desk.source.put("b.md", "two", identity="id2")
    await desk.sync()
    before = await desk.documents()
    desk.source.swap("a.md", "b.md")
    assert (await desk.sync()).changed == ("a.md", "b.md")
    after = await desk.documents()
    assert {path: each.id for path, each in after.items()} == {
        "a.md": before["b.md"].id,
        "b.md": before["a.md"].id,
    }


async def test_a_new_owner_of_a_path_is_another_document(desk: Desk) -> None:
    desk.source.put("a.md", "one", identity="id1")
    desk.source.put("b.md", "two", identity="id2")
    await desk.sync()
    before = await desk.documents()
    desk.source.remove("a.md")
    desk.source.rename("b.md", "a.md")
    summary = await desk.sync()
    assert (summary.changed, len(summary.deleted)) == (("a.md",), 1)
    after = await desk.documents()
    assert {path: each.id for path, each in after.items()} == {"a.md": before["b.md"].id}


@given_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(["a", "b", "c", "d", "e"]), st.sets(st.sampled_from("abcde"), max_size=3))
async def test_whatever_moves_where_every_item_is_one_document(
    desk: Desk, order: list[str], gone: set[str]
) -> None:
    names = sorted("abcde")
    source = MemorySource(f"memory:{order}{sorted(gone)}")
    for name in names:
        source.put(f"{name}.md", name, identity=name)
    await Synchroniser(desk.library).sync(source, limit=LIMIT)
    before = await desk.library.known(None, source.source)
    ids = {each.identity: each.document_id for each in before.values()}
    moved = MemorySource(source.source)
    for name, place in zip(names, order, strict=True):
        if name not in gone:
            moved.put(f"{place}.md", name, identity=name)
    await Synchroniser(desk.library).sync(moved, limit=LIMIT)
    after = await desk.library.known(None, source.source)
    assert {each.identity: (each.document_id, path) for path, each in after.items()} == {
        name: (ids[name], f"{place}.md") for name, place in zip(names, order, strict=True) if name not in gone
    }


# --- deletions ---------------------------------------------------------------------------------------


async def test_what_is_gone_is_forgotten(desk: Desk) -> None:
    desk.source.put("a.md", "one")
    desk.source.put("b.md", "two")
    await desk.sync()
    desk.source.remove("b.md")
    assert (await desk.sync()).deleted == ("b.md",)
    assert set(await desk.documents()) == {"a.md"}


async def test_what_could_not_be_seen_stays(desk: Desk) -> None:
    for path in ("team/a.md", "teams/b.md", "c.md"):
        desk.source.put(path, path)
    await desk.sync()
    for path in ("team/a.md", "teams/b.md"):
        desk.source.remove(path)
    desk.source.unseen = {"team": "the app is not in #team"}
    summary = await desk.sync()
    assert summary.deleted == ("teams/b.md",)
    assert summary.failed == (("team", "the app is not in #team"),)
    assert not summary.is_complete
    desk.source.remove("c.md")
    desk.source.unseen = {"": "it broke off"}
    summary = await desk.sync()
    assert (summary.deleted, summary.failed) == ((), (("memory:test", "it broke off"),))


async def test_an_empty_source_takes_nothing_from_the_index(desk: Desk) -> None:
    desk.source.put("a.md", "one")
    await desk.sync()
    desk.source.remove("a.md")
    ((place, reason),) = (await desk.sync()).failed
    assert (place, "1 documents came from it: they stay" in reason) == ("memory:test", True)
    assert set(await desk.documents()) == {"a.md"}


async def test_a_source_that_is_down_takes_nothing_from_the_index(desk: Desk) -> None:
    desk.source.put("a.md", "one")
    await desk.sync()
    for error in (UpstreamError("it is down"), NotFoundError("it is gone")):
        desk.source.down = error
        with pytest.raises(type(error)):
            await desk.sync()
    assert set(await desk.documents()) == {"a.md"}


# --- what cannot be taken ----------------------------------------------------------------------------


async def test_a_bad_item_is_named_and_the_rest_goes_on(desk: Desk) -> None:
    for name in "abc":
        desk.source.put(f"{name}.md", name)
    desk.source.put("large.md", "x" * 6000)
    desk.source.broken = {
        "a.md": UnreadableDocumentError("it has too many blocks"),
        "b.md": UpstreamError("it answers 500"),
    }
    summary = await desk.sync()
    assert summary.new == ("c.md",)
    assert dict(summary.failed) == {
        "a.md": "it has too many blocks",
        "b.md": "it answers 500",
        "large.md": "it is larger than the 5,000 bytes that sources.test.max_file_bytes allows",
    }
    desk.source.broken = {}
    assert (await desk.sync()).new == ("a.md", "b.md")


async def test_an_item_that_cannot_be_taken_any_more_keeps_its_last_good_document(desk: Desk) -> None:
    desk.source.put("a.md", "one")
    await desk.sync()
    desk.source.put("a.md", "two")
    desk.source.broken = {"a.md": UnreadableDocumentError("no")}
    summary = await desk.sync()
    assert (summary.failed, summary.deleted) == ((("a.md", "no"),), ())
    assert (await desk.documents())["a.md"].revision == 1


async def test_a_source_that_stops_answering_ends_the_sync_and_not_each_item(desk: Desk) -> None:
    for n in range(100):
        desk.source.put(f"{n:03}.md", f"{n}")
        if n >= 10:
            desk.source.broken[f"{n:03}.md"] = TryLaterError("no answer")
    with pytest.raises(DeadlineError, match=r"20 items of memory:test failed in a row.*no answer"):
        await desk.sync()
    assert 10 - 2 <= len(await desk.documents()) <= 10, "two others may have been under way"
    assert len(desk.source.fetched) < 80, "others that end well meanwhile begin the count anew"


async def test_nothing_of_a_refused_item_is_left_in_the_store(
    desk: Desk, blobs: Blobs, tmp_path: Path
) -> None:
    desk.source.put("large.md", "x" * 6000)
    await desk.sync()
    assert [file for file in (tmp_path / "blobs").rglob("*") if file.is_file()] == []
    assert blobs is not None


# --- stopped and started again -------------------------------------------------------------------------


async def test_a_sync_that_is_stopped_goes_on_where_it_was(desk: Desk) -> None:
    for n in range(30):
        desk.source.put(f"{n:02}.md", f"text {n}")

    reached = asyncio.Event()

    async def hang_at(path: str) -> None:
        if path == "12.md":
            reached.set()
            await asyncio.Event().wait()

    desk.source.meanwhile = hang_at
    async with asyncio.TaskGroup() as group:
        syncing = group.create_task(desk.sync())
        await reached.wait()
        syncing.cancel()
    done = await desk.documents()
    assert 9 <= len(done) < 30
    desk.source.meanwhile = None
    desk.source.fetched.clear()
    summary = await desk.sync()
    assert len(desk.source.fetched) == 30 - len(done)
    assert (len(summary.new), len(summary.unchanged)) == (30 - len(done), len(done))
    assert {each.revision for each in (await desk.documents()).values()} == {1}


async def test_no_more_are_fetched_at_once_than_the_source_bears(desk: Desk) -> None:
    under_way, most = 0, 0

    async def count(path: str) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(20):
            await asyncio.sleep(0)
        under_way -= 1

    for n in range(12):
        desk.source.put(f"{n}.md", f"{n}")
    desk.source.meanwhile = count
    await desk.sync()
    assert most == 3


# --- what is found in items ----------------------------------------------------------------------------


async def test_what_is_found_in_an_item_is_taken_whatever_stops_the_sync_in_between(desk: Desk) -> None:
    desk.source.put("page.md", "one", identity="p")
    desk.source.attached = {"page.md": {"page/a.pdf": "a", "page/b.pdf": "b"}}
    desk.source.broken = {"page/b.pdf": UpstreamError("it answers 500")}
    assert (await desk.sync()).new == ("page.md", "page/a.pdf")
    reached = asyncio.Event()

    async def hang_at(path: str) -> None:
        if path == "page/b.pdf":
            reached.set()
            await asyncio.Event().wait()

    desk.source.meanwhile = hang_at
    async with asyncio.TaskGroup() as group:
        syncing = group.create_task(desk.sync())
        await reached.wait()
        syncing.cancel()
    desk.source.meanwhile, desk.source.broken = None, {}
    summary = await desk.sync()
    assert (summary.new, summary.unchanged) == (("page/b.pdf",), ("page.md", "page/a.pdf"))
    desk.source.fetched.clear()
    assert (await desk.sync()).unchanged == ("page.md", "page/a.pdf", "page/b.pdf")
    assert desk.source.fetched == []


async def test_what_is_found_in_an_item_no_more_goes_and_with_the_item_all_of_it(desk: Desk) -> None:
    desk.source.put("page.md", "one", identity="p")
    desk.source.put("other.md", "two", identity="o")
    desk.source.attached = {"page.md": {"page/a.pdf": "a", "page/b.pdf": "b"}}
    await desk.sync()
    desk.source.put("page.md", "edited", identity="p")
    del desk.source.attached["page.md"]["page/b.pdf"]
    assert (await desk.sync()).deleted == ("page/b.pdf",)
    desk.source.unseen = {"page.md": "it does not answer"}
    desk.source.remove("page.md")
    assert (await desk.sync()).deleted == ()
    desk.source.unseen = {}
    assert (await desk.sync()).deleted == ("page.md", "page/a.pdf")


# --- the pieces --------------------------------------------------------------------------------------


def test_patterns_take_and_leave_out_whatever_the_case() -> None:
    patterns = Patterns(["Team-*", "docs/*.md"], ["*secret*"])
    named = ["team-a", "docs/x/y.MD", "docs/a.txt", "team-Secret", "other"]
    assert [patterns.allow(name) for name in named] == [True, True, False, False, False]


def test_titles_become_parts_of_paths() -> None:
    assert part(" a/b\n..") == "a\N{DIVISION SLASH}b"
    assert part("...") == "Untitled"
    assert len(part("x" * 500)) == 100


@given(st.dictionaries(st.text("0123456789abcdef", min_size=12, max_size=12), st.text("ab", max_size=2)))
def test_paths_are_unique_whatever_the_titles(titles: dict[str, str]) -> None:
    wanted = {identity: ([part(title)], ".md") for identity, title in titles.items()}
    paths = unique_paths(wanted)
    assert len(set(paths.values())) == len(titles)
    assert paths == unique_paths(dict(reversed(wanted.items())))


async def test_turns_are_so_far_apart_and_rest_when_told(clock: FrozenClock) -> None:
    pacer = Pacer(clock, 0.0)
    await pacer.turn()
    await pacer.turn()
    pacer.slow_down(30)
    await pacer.turn()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await pacer.turn()
    clock.advance(30)
    await pacer.turn()
    pacer.rest(60)
    clock.advance(59)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await pacer.turn()
    clock.advance(1)
    await pacer.turn()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("3", 3.0),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2020 03:05:05 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(clock: FrozenClock, written: str, expected: float | None) -> None:
    assert asked_wait_s({"retry-after": written}, clock.now()) == expected
    assert asked_wait_s({}, clock.now()) is None
