from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from causeway.errors import (
    DeadlineError,
    InvalidInputError,
    NotFoundError,
    SettingsError,
    UnreadableDocumentError,
    UpstreamError,
)
from causeway.knowledge.collections import Collections
from causeway.knowledge.holds import Selection
from causeway.knowledge.ingest.connector import Connector
from causeway.knowledge.ingest.control import IngestControl
from causeway.knowledge.ingest.source_kinds import open_source
from causeway.knowledge.ingest.source_runs import SourceRuns
from causeway.knowledge.ingest.sources import Sources
from causeway.knowledge.library import Library
from causeway.observability.spans import Spans
from causeway.settings import KnowledgeSettings, SourceSettings, load
from causeway.storage.database import Database
from causeway.storage.durable import Durable
from causeway.testing.clock import FrozenClock
from causeway.testing.connectors import MemorySource
from causeway.testing.spans import CollectedSpans

WIKI = SourceSettings.model_validate({"kind": "notion", "token": "x", "collection": "wiki"})
ASKED = SourceSettings.model_validate({"kind": "web", "urls": ["https://a.test"], "schedule_minutes": 0})


@pytest.fixture
def memory() -> MemorySource:
    source = MemorySource("notion:wiki")
    source.put("a.md", "one")
    return source


@pytest.fixture
def runs(database: Database, durable: Durable) -> SourceRuns:
    return SourceRuns(database=database, durable=durable)


@pytest.fixture
def collected() -> CollectedSpans:
    return CollectedSpans()


@pytest.fixture
def sources(
    library: Library, runs: SourceRuns, clock: FrozenClock, memory: MemorySource, collected: CollectedSpans
) -> Sources:
    def opening(name: str, settings: SourceSettings) -> AbstractAsyncContextManager[Connector]:
        assert name in ("wiki", "site")
        return memory.opened()

    spans = Spans(collected)
    return Sources(
        library=library,
        runs=runs,
        clock=clock,
        spans=spans,
        settings={"wiki": WIKI, "site": ASKED},
        knowledge=KnowledgeSettings(),
        opening=opening,
    )


@pytest.fixture
async def running(database: Database, sources: Sources) -> AsyncIterator[Durable]:
    """A worker that syncs."""
    worker = Durable(database.url, executor_id="exe_worker")
    sources.register(worker)
    await worker.launch()
    yield worker
    await worker.close()


# --- when ----------------------------------------------------------------------------------------------


async def test_a_source_is_due_at_once_and_then_on_its_schedule(sources: Sources, clock: FrozenClock) -> None:
    assert await sources.queue_due() == 1
    await sources.run("wiki@1")
    status = await sources.source("wiki")
    assert (status.state, status.last.run, status.last.counts["new"]) == ("ok", 1, 1)
    assert status.last.next_at == clock.now() + timedelta(minutes=60)
    clock.advance(59 * 60)
    assert await sources.queue_due() == 0
    clock.advance(60)
    assert await sources.queue_due() == 1


async def test_a_source_without_a_schedule_runs_when_asked(sources: Sources) -> None:
    await sources.queue_due()
    assert (await sources.source("site")).state == "never"
    assert (await sources.request("site")).state == "queued"
    await sources.queue_due()
    await sources.run("site@1")
    status = await sources.source("site")
    assert (status.state, status.last.next_at, status.last.is_requested) == ("ok", None, False)
    assert await sources.queue_due() == 0


async def test_of_many_processes_one_queues_a_run(
    sources: Sources, database: Database, clock: FrozenClock
) -> None:
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(sources.queue_due()) for _ in range(8)]
    assert sum(each.result() for each in tries) == 1


async def test_what_is_asked_for_during_a_run_runs_after_it(sources: Sources, memory: MemorySource) -> None:
    await sources.queue_due()

    async def ask(path: str) -> None:
        await sources.request("wiki")

    memory.meanwhile = ask
    await sources.run("wiki@1")
    assert await sources.queue_due() == 1
    memory.put("a.md", "changed")
    await sources.run("wiki@2")
    assert await sources.queue_due() == 1, "also during one that was asked for"


async def test_an_unknown_source_is_named_with_those_there_are(sources: Sources) -> None:
    with pytest.raises(NotFoundError, match="no source 'wikki'; they have: site, wiki"):
        await sources.request("wikki")


# --- paused and cancelled --------------------------------------------------------------------------------


@pytest.fixture
def control(database: Database, durable: Durable) -> IngestControl:
    return IngestControl(database=database, durable=durable)


@pytest.fixture
async def wiki(collections: Collections) -> Selection:
    """The documents of the source ``wiki``."""
    return Selection(collection_id=await collections.ensure("wiki"), source="notion:wiki")


async def test_a_paused_source_is_not_synced_and_is_when_it_is_resumed(
    sources: Sources, control: IngestControl, wiki: Selection
) -> None:
    await control.pause(wiki)
    assert (await sources.source("wiki")).state == "paused"
    await sources.request("wiki")
    assert await sources.queue_due() == 0
    await control.resume(wiki)
    assert (await sources.source("wiki")).state == "queued"
    assert await sources.queue_due() == 1


async def test_pausing_its_collection_pauses_a_source(
    sources: Sources, control: IngestControl, wiki: Selection
) -> None:
    await control.pause(Selection(collection_id=wiki.collection_id))
    assert (await sources.source("wiki")).state == "paused"
    assert (await sources.source("site")).state == "never"


async def test_a_sync_that_is_paused_while_it_runs_is_done_once_more_when_it_is_resumed(
    sources: Sources, control: IngestControl, wiki: Selection, memory: MemorySource
) -> None:
    await sources.queue_due()

    async def pause(path: str) -> None:
        await control.pause(wiki)
        await asyncio.Event().wait()  # until it is let go

    memory.meanwhile = pause
    async with asyncio.timeout(30):
        await sources.run("wiki@1")
    status = await sources.source("wiki")
    assert (status.state, status.last.problem) == ("paused", None)
    memory.meanwhile = None
    await control.resume(wiki)
    assert await sources.queue_due() == 1
    await sources.run("wiki@2")
    assert (await sources.source("wiki")).last.counts["new"] == 1


async def test_a_cancelled_sync_ends_and_says_so(
    sources: Sources, memory: MemorySource, library: Library
) -> None:
    await sources.queue_due()

    async def cancel(path: str) -> None:
        assert await sources.cancel("wiki")
        await asyncio.Event().wait()

    memory.meanwhile = cancel
    async with asyncio.timeout(30):
        await sources.run("wiki@1")
    status = await sources.source("wiki")
    assert (status.state, status.last.problem) == ("failed", "somebody cancelled it")
    assert (await library.documents()).total == 0
    assert not await sources.cancel("wiki")


async def test_a_queued_sync_that_was_cancelled_never_begins(sources: Sources, library: Library) -> None:
    await sources.queue_due()
    assert await sources.cancel("wiki")
    await sources.run("wiki@1")
    assert (await library.documents()).total == 0


# --- how -----------------------------------------------------------------------------------------------


async def test_a_scheduled_run_goes_on_from_the_last_complete_one_and_is_thorough_once_a_day(
    sources: Sources, memory: MemorySource, clock: FrozenClock
) -> None:
    began = clock.now()
    for run in (1, 2):
        await sources.queue_due()
        await sources.run(f"wiki@{run}")
        clock.advance(3600)
    assert memory.listed == [None, began]
    await sources.request("wiki")
    await sources.queue_due()
    await sources.run("wiki@3")
    assert memory.listed[2:] == [None], "asked for, it looks at everything"
    clock.advance(86_400)
    await sources.queue_due()
    await sources.run("wiki@4")
    assert memory.listed[3:] == [None]


async def test_after_a_run_with_failures_the_next_goes_on_from_where_all_was_well(
    sources: Sources, memory: MemorySource, clock: FrozenClock
) -> None:
    began = clock.now()
    await sources.queue_due()
    await sources.run("wiki@1")
    memory.put("b.md", "two")
    memory.broken = {"b.md": UnreadableDocumentError("it is torn")}
    clock.advance(3600)
    await sources.queue_due()
    await sources.run("wiki@2")
    status = await sources.source("wiki")
    assert (status.state, status.last.complete_at) == ("partial", began)
    assert [dict(each) for each in status.last.failures] == [{"path": "b.md", "reason": "it is torn"}]
    assert status.last.counts == {"new": 0, "changed": 0, "unchanged": 1, "deleted": 0, "failed": 1}


async def test_a_source_that_is_down_says_why_and_is_tried_again_on_time(
    sources: Sources, memory: MemorySource, clock: FrozenClock, collected: CollectedSpans
) -> None:
    memory.down = UpstreamError("Notion cannot be reached")
    await sources.queue_due()
    await sources.run("wiki@1")
    status = await sources.source("wiki")
    assert (status.state, status.last.problem) == ("failed", "Notion cannot be reached")
    assert status.last.next_at == clock.now() + timedelta(minutes=60)
    memory.down = None
    clock.advance(3600)
    await sources.queue_due()
    await sources.run("wiki@2")
    assert (await sources.source("wiki")).last.problem is None


async def test_a_run_that_broke_unexpectedly_is_the_sources_trouble_alone(
    sources: Sources, memory: MemorySource
) -> None:
    async def break_down(path: str) -> None:
        raise ZeroDivisionError

    memory.meanwhile = break_down
    await sources.queue_due()
    await sources.run("wiki@1")
    problem = (await sources.source("wiki")).last.problem
    assert problem == "Causeway failed to sync it (ZeroDivisionError); its log says more"


async def test_a_run_that_was_killed_is_resumed_and_one_that_is_done_is_not(
    sources: Sources, memory: MemorySource
) -> None:
    await sources.queue_due()

    reached = asyncio.Event()

    async def hang(path: str) -> None:
        reached.set()
        await asyncio.Event().wait()

    memory.meanwhile = hang
    async with asyncio.TaskGroup() as group:
        running = group.create_task(sources.run("wiki@1"))
        await reached.wait()
        running.cancel()
    assert (await sources.source("wiki")).state == "running"
    memory.meanwhile = None
    await sources.run("wiki@1")
    assert (await sources.source("wiki")).last.counts["new"] == 1
    await sources.run("wiki@1")
    await sources.run("wiki@7")
    assert len(memory.listed) == 2


async def test_a_run_whose_work_was_lost_is_freed(
    sources: Sources, runs: SourceRuns, clock: FrozenClock, durable: Durable, database: Database
) -> None:
    await sources.queue_due()
    assert await runs.mend(["wiki"], clock.now()) == 0, "it is queued"
    await runs.start("wiki", 1, clock.now())
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM dbos.workflow_status"))
    assert await runs.mend(["wiki"], clock.now() + timedelta(minutes=15)) == 1
    status = await sources.source("wiki")
    assert status.state == "failed"
    assert "never ended" in (status.last.problem or "")
    assert await sources.queue_due() == 0
    clock.advance(15 * 60)
    assert await sources.queue_due() == 1


async def test_a_worker_does_what_is_due(
    sources: Sources,
    running: Durable,
    memory: MemorySource,
    library: Library,
    eventually: Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]],
) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(sources.tend(stop=stop, every_s=0.05))
        done = await sources.wait("wiki", 0, patience_s=20)
        assert done.last.counts["new"] == 1
        memory.put("b.md", "two")
        before = await sources.request("wiki")
        done = await sources.wait("wiki", before.last.run, patience_s=20)
        stop.set()
    assert (done.last.counts["new"], done.last.counts["unchanged"]) == (1, 1)
    assert (await library.documents(collection="wiki")).total == 2
    assert set((await sources.unready("wiki")).values()) == {"a.md", "b.md"}


async def test_waiting_for_a_worker_that_is_not_there_ends(sources: Sources, clock: FrozenClock) -> None:
    await sources.request("wiki")
    with pytest.raises(DeadlineError, match="is 'causeway up' or a worker running"):
        await sources.wait("wiki", 0, patience_s=-1)


async def test_a_status_becomes_json(sources: Sources) -> None:
    (site, wiki) = await sources.all()
    assert site.as_dict() == {
        "name": "site",
        "kind": "web",
        "collection": "default",
        "place": "https://a.test",
        "schedule_minutes": 0,
        "state": "never",
        "run": 0,
        "counts": {},
        "failures": [],
        "problem": None,
        "started_at": None,
        "finished_at": None,
        "complete_at": None,
        "next_at": None,
    }
    assert "token" not in str(wiki.as_dict())


# --- settings ------------------------------------------------------------------------------------------


def test_sources_come_from_the_file_and_secrets_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "causeway.toml"
    file.write_text("[sources.team-chat]\nkind = 'slack'\ninclude = ['team-*']\ntoken = 'in the file'\n")
    settings = load({"CAUSEWAY_CONFIG": str(file), "CAUSEWAY_SOURCES__TEAM-CHAT__TOKEN": "xoxb-1"})
    assert settings.sources["team-chat"].token.get_secret_value() == "xoxb-1"
    assert "xoxb-1" not in repr(settings)
    listed = load(
        {"CAUSEWAY_SOURCES__SITE__KIND": "web", "CAUSEWAY_SOURCES__SITE__URLS": "https://a.b,https://c.d"}
    )
    assert listed.sources["site"].urls == ["https://a.b", "https://c.d"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "folder"}, "needs 'path'"),
        ({"kind": "web"}, "needs 'urls'"),
        ({"kind": "notion"}, "needs a 'token', or the 'path' of an export"),
        ({"kind": "web", "urls": ["https://a.b"], "allow_networks": ["10.0.0.0/99"]}, "10.0.0.0/99"),
        ({"kind": "ftp"}, "kind"),
    ],
)
def test_a_source_that_says_too_little_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SourceSettings.model_validate(values)


def test_a_source_with_a_strange_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="cannot name a source"):
        load({"CAUSEWAY_SOURCES__A B__KIND": "web", "CAUSEWAY_SOURCES__A B__URLS": "https://a.b"})


async def test_each_kind_is_opened_by_its_own_connector(tmp_path: Path, clock: FrozenClock) -> None:
    (tmp_path / "a.md").write_text("a")
    folder = SourceSettings.model_validate({"kind": "folder", "path": tmp_path, "exclude": ["*.txt"]})
    async with open_source("docs", folder, clock=clock) as connector:
        (tmp_path / "b.txt").write_text("b")
        listing = await connector.listing({}, since=None)
        assert connector.source == f"folder:{tmp_path}"
        assert [item.path for item in listing.items] == ["a.md"]
    for name, section in (("wiki", WIKI), ("site", ASKED)):
        async with open_source(name, section, clock=clock) as connector:
            assert connector.source == f"{section.kind}:{name}"
    relative = SourceSettings.model_validate({"kind": "folder", "path": "docs"})
    with pytest.raises(SettingsError, match=r"sources\.docs\.path: 'docs' is relative"):
        open_source("docs", relative, clock=clock)
    for kind in ("notion", "slack"):
        export = SourceSettings.model_validate({"kind": kind, "path": tmp_path / "gone.zip"})
        with pytest.raises(NotFoundError, match="no export at"):
            async with open_source("old", export, clock=clock):
                pass


# --- what is taken out of the settings -----------------------------------------------------------------


def without(sources: Sources, runs: SourceRuns, library: Library, clock: FrozenClock, *names: str) -> Sources:
    """As the next process has it, with sections gone."""
    left = {name: section for name, section in {"wiki": WIKI, "site": ASKED}.items() if name not in names}
    return Sources(
        library=library, runs=runs, clock=clock, spans=Spans(), settings=left, knowledge=KnowledgeSettings()
    )


async def test_a_source_that_is_taken_out_keeps_its_documents_until_somebody_decides(
    sources: Sources, runs: SourceRuns, library: Library, clock: FrozenClock, memory: MemorySource
) -> None:
    memory.put("b.md", "two")
    await sources.queue_due()
    await sources.run("wiki@1")
    assert await sources.left() == ()
    later = without(sources, runs, library, clock, "wiki")
    (left,) = await later.left()
    assert (left.name, left.source, left.collection, left.documents) == ("wiki", "notion:wiki", "wiki", 2)
    assert (await library.documents()).total == 2

    assert (await later.forget("wiki", documents=False)).documents == 2
    assert await later.left() == ()
    assert (await library.documents()).total == 2, "kept"


async def test_its_documents_are_deleted_when_that_is_asked_for(
    sources: Sources, runs: SourceRuns, library: Library, clock: FrozenClock
) -> None:
    await sources.queue_due()
    await sources.run("wiki@1")
    later = without(sources, runs, library, clock, "wiki")
    assert (await later.forget("wiki", documents=True)).documents == 1
    assert (await library.documents()).total == 0
    with pytest.raises(NotFoundError, match="no source 'wiki'"):
        await later.forget("wiki", documents=True)


async def test_a_source_of_the_settings_cannot_be_removed_so(sources: Sources) -> None:
    with pytest.raises(InvalidInputError, match="take its section out"):
        await sources.forget("wiki", documents=True)


async def test_documents_that_a_source_of_the_settings_has_too_are_not_left(
    sources: Sources, runs: SourceRuns, library: Library, clock: FrozenClock, database: Database
) -> None:
    await sources.queue_due()
    await sources.run("wiki@1")
    async with database.begin() as connection:
        await connection.execute(
            text("INSERT INTO source_runs (name, source, collection) VALUES ('twin', 'notion:wiki', 'wiki')")
        )
    (left,) = await sources.left()
    assert (left.name, left.documents) == ("twin", 0)
    await sources.forget("twin", documents=True)
    assert (await library.documents()).total == 1


async def test_a_source_that_ran_in_an_earlier_release_is_found_by_its_name(
    sources: Sources, runs: SourceRuns, library: Library, clock: FrozenClock, database: Database
) -> None:
    await sources.queue_due()
    await sources.run("wiki@1")
    async with database.begin() as connection:
        await connection.execute(text("UPDATE source_runs SET source = '', collection = ''"))
    (left,) = await without(sources, runs, library, clock, "wiki").left()
    assert (left.source, left.collection, left.documents) == ("notion:wiki", "wiki", 1)
