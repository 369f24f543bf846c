"""The sources of the settings: synced on time and on request, by whichever process works, each once at a time.

A sync that nobody asked for takes up where the last complete one stood; once a day, and when it was asked for, it looks
at everything again. What failed is tried again then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from causeway.contracts.clock import Clock
from causeway.errors import (
    CausewayError,
    DatabaseUnavailableError,
    DeadlineError,
    NotFoundError,
    SettingsError,
)
from causeway.knowledge.document import DocumentState
from causeway.knowledge.ingest.connector import Connector
from causeway.knowledge.ingest.folder_source import PREFIX
from causeway.knowledge.ingest.interruption import while_wanted
from causeway.knowledge.ingest.left_sources import LeftSource, LeftSources, Place
from causeway.knowledge.ingest.source_kinds import folder_root, open_source
from causeway.knowledge.ingest.source_runs import SYNC, SourceRun, SourceRuns
from causeway.knowledge.ingest.sync import SizeLimit, Synchroniser
from causeway.knowledge.ingest.sync_summary import SyncSummary
from causeway.knowledge.library import Library
from causeway.observability.spans import Spans
from causeway.settings import KnowledgeSettings, SourceSettings
from causeway.storage.background import rest
from causeway.storage.durable import Durable

log = logging.getLogger(__name__)

_AT_ONCE = 2
_THOROUGH_EVERY = timedelta(days=1)
_REST_AFTER_LOSS = timedelta(minutes=15)
_POLL_S = 0.3

Opening = Callable[[str, SourceSettings], AbstractAsyncContextManager[Connector]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """A source and how it stands; ``source`` is what its documents have as theirs."""

    name: str
    kind: str
    source: str
    collection: str
    place: str
    schedule_minutes: int
    last: SourceRun
    is_paused: bool = False

    @property
    def state(self) -> str:
        """``never``, ``queued``, ``running``, ``paused``, ``failed`` (the run), ``partial`` (some documents) or ``ok``."""
        if self.is_paused and self.last.state != "running":
            return "paused"
        if self.last.state != "idle":
            return self.last.state
        if self.last.is_requested:
            return "queued"
        if self.last.problem:
            return "failed"
        if self.last.failures:
            return "partial"
        return "ok" if self.last.run else "never"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        last = self.last
        moments = {
            "started_at": last.started_at,
            "finished_at": last.finished_at,
            "complete_at": last.complete_at,
            "next_at": last.next_at,
        }
        return {
            "name": self.name,
            "kind": self.kind,
            "collection": self.collection,
            "place": self.place,
            "schedule_minutes": self.schedule_minutes,
            "state": self.state,
            "run": last.run,
            "counts": dict(last.counts),
            "failures": [dict(each) for each in last.failures],
            "problem": last.problem,
            **{name: when.isoformat() if when else None for name, when in moments.items()},
        }


class Sources:
    """Keeps collections equal to the sources of the settings."""

    def __init__(
        self,
        *,
        library: Library,
        runs: SourceRuns,
        clock: Clock,
        spans: Spans,
        settings: Mapping[str, SourceSettings],
        knowledge: KnowledgeSettings,
        opening: Opening | None = None,
    ) -> None:
        """``opening`` makes connectors in place of the packaged kinds, for tests and plugins."""
        self._library = library
        self._synchroniser = Synchroniser(library)
        self._runs = runs
        self._clock = clock
        self._spans = spans
        self._settings = settings
        self._knowledge = knowledge
        self._opening = opening or self._open
        self._left = LeftSources(library=library, runs=runs, current=self._places())

    def _open(self, name: str, settings: SourceSettings) -> AbstractAsyncContextManager[Connector]:
        return open_source(name, settings, clock=self._clock)

    def register(self, durable: Durable) -> None:
        """Let durable work sync sources; before `Durable.launch`."""
        durable.register(SYNC, self.run, concurrency=_AT_ONCE)

    # --- looking and asking ----------------------------------------------------------------------------

    async def all(self) -> tuple[SourceStatus, ...]:
        """Every source, by name."""
        paused = await self._runs.paused()
        return tuple(self._status(each, paused) for each in await self._runs.all(sorted(self._settings)))

    async def source(self, name: str) -> SourceStatus:
        """One source.

        Raises:
            NotFoundError: The settings have none of that name.
        """
        self._section(name)
        (run,) = await self._runs.all([name])
        return self._status(run, await self._runs.paused())

    async def request(self, name: str) -> SourceStatus:
        """Have a source synced as soon as a worker is free.

        Raises:
            NotFoundError: The settings have none of that name.
        """
        self._section(name)
        await self._runs.request(name)
        return await self.source(name)

    async def cancel(self, name: str) -> bool:
        """Want the sync of a source no longer that is queued or under way; False when there is none.

        Raises:
            NotFoundError: The settings have none of that name.
        """
        self._section(name)
        return await self._runs.cancel(name, self._clock.now())

    async def left(self) -> tuple[LeftSource, ...]:
        """Sources that were taken out of the settings and whose documents nobody has decided on, by name."""
        return await self._left.all()

    async def forget(self, name: str, *, documents: bool) -> LeftSource:
        """Show such a source no more; with ``documents``, delete what it left. Raises as `LeftSources.forget` does."""
        return await self._left.forget(name, documents=documents)

    def _places(self) -> dict[str, Place]:
        return {
            name: (section.collection or self._knowledge.collection, _source_of(name, section))
            for name, section in self._settings.items()
        }

    async def wait(self, name: str, after: int, *, patience_s: float) -> SourceStatus:
        """A source once a run later than number ``after`` is finished.

        Raises:
            DeadlineError: No worker began it within ``patience_s``.
        """
        asked_at = self._clock.monotonic()
        while True:
            status = await self.source(name)
            if status.last.run > after and status.last.state == "idle":
                return status
            is_begun = status.last.run > after or status.last.state != "idle"
            if not is_begun and self._clock.monotonic() - asked_at > patience_s:
                raise DeadlineError(f"nobody syncs '{name}'; is 'causeway up' or a worker running?")
            await asyncio.sleep(_POLL_S)

    async def unready(self, name: str) -> dict[str, str]:
        """Id -> path of a source's documents whose newest revision is not searchable, or not yet.

        Raises:
            NotFoundError: The settings have none of that name.
        """
        status = await self.source(name)
        known = await self._library.known(status.collection, status.source)
        return {each.document_id: path for path, each in known.items() if each.state != DocumentState.READY}

    def _section(self, name: str) -> SourceSettings:
        try:
            return self._settings[name]
        except KeyError:
            known = ", ".join(sorted(self._settings)) or "none"
            raise NotFoundError(f"the settings have no source '{name}'; they have: {known}") from None

    def _status(self, run: SourceRun, paused: frozenset[tuple[str, str]]) -> SourceStatus:
        section = self._settings[run.name]
        source, collection = _source_of(run.name, section), section.collection or self._knowledge.collection
        place = str(section.path) if section.path else ", ".join(section.urls) or _server(section)
        return SourceStatus(
            name=run.name,
            kind=section.kind,
            source=source,
            collection=collection,
            place=place,
            schedule_minutes=section.schedule_minutes,
            last=run,
            is_paused=not paused.isdisjoint({(collection, source), (collection, "")}),
        )

    # --- working ---------------------------------------------------------------------------------------

    async def tend(self, *, stop: asyncio.Event, every_s: float = 2.0, mend_every_s: float = 60.0) -> None:
        """Queue what is due, again and again until ``stop`` is set; for the process that works."""
        mended_at: float | None = None
        while not stop.is_set():
            try:
                if mended_at is None or self._clock.monotonic() - mended_at >= mend_every_s:
                    mended_at = self._clock.monotonic()
                    await self._runs.mend(sorted(self._settings), self._clock.now() + _REST_AFTER_LOSS)
                await self.queue_due()
            except CausewayError as exc:
                log.warning("sources could not be looked after", extra={"reason": exc.message})
            except Exception:  # a worker's loop: the next round may fare better
                log.exception("sources could not be looked after")
            await rest(stop, every_s)

    async def queue_due(self) -> int:
        """Queue the runs that are due; how many."""
        schedules = {each.name: each.schedule_minutes > 0 for each in await self.all() if not each.is_paused}
        return await self._runs.queue_due(schedules, self._clock.now())

    async def run(self, argument: str) -> None:
        """Sync a source; ``argument`` is ``<name>@<run>``. A repeat of a finished run changes nothing.

        Raises:
            DatabaseUnavailableError: The database is gone.
        """
        name, _, number = argument.rpartition("@")
        collection, source = self._places().get(name, ("", ""))
        begun = await self._runs.start(
            name, int(number), self._clock.now(), source=source, collection=collection
        )
        if begun is None or begun.started_at is None:
            return
        since = self._since(begun)
        summary: SyncSummary | None = None
        problem: str | None = None
        with self._spans.start("sync", attributes={"causeway.source": name}) as span:
            try:
                summary = await self._wanted(begun, since)
                if summary is None:
                    span.set({"causeway.is_dropped": True})
                    return
                span.set({f"causeway.sync.{outcome}": n for outcome, n in summary.counts().items()})
            except DatabaseUnavailableError:
                raise
            except CausewayError as exc:
                problem = exc.message
                span.fail(exc)
                log.warning("a sync failed", extra={"source": name, "reason": exc.message})
            except Exception as exc:  # the worker's door: one source's trouble is its own
                problem = f"Causeway failed to sync it ({type(exc).__name__}); its log says more"
                span.fail(exc)
                log.exception("a sync failed unexpectedly", extra={"source": name})
        now = self._clock.now()
        await self._runs.finish(
            begun,
            now,
            summary=summary,
            problem=problem,
            next_at=_next(self._settings.get(name), now),
            is_thorough=since is None,
        )

    async def _wanted(self, begun: SourceRun, since: datetime | None) -> SyncSummary | None:
        """The sync of a run; None when it was paused, and is put off, or cancelled."""
        found: list[SyncSummary] = []

        async def sync() -> None:
            found.append(await self._sync(begun.name, since, retry_failed=begun.is_asked))

        async def is_wanted() -> bool:
            is_paused = begun.name in self._settings and (await self.source(begun.name)).is_paused
            return not is_paused and await self._runs.is_running(begun)

        if await while_wanted(sync(), is_wanted):
            return found[0]
        await self._runs.put_off(begun)
        return None

    def _since(self, begun: SourceRun) -> datetime | None:
        """Where to go on from; None for a thorough run."""
        now = self._clock.now()
        is_old = begun.thorough_at is None or now - begun.thorough_at >= _THOROUGH_EVERY
        return None if begun.is_asked or is_old else begun.complete_at

    async def _sync(self, name: str, since: datetime | None, *, retry_failed: bool) -> SyncSummary:
        section = self._section(name)
        limit = (
            SizeLimit(self._knowledge.max_file_bytes, "knowledge.max_file_bytes")
            if section.kind == "folder"
            else SizeLimit(section.max_file_bytes, f"sources.{name}.max_file_bytes")
        )
        async with self._opening(name, section) as connector:
            return await self._synchroniser.sync(
                connector,
                section.collection or None,
                since=since,
                retry_failed=retry_failed,
                limit=limit,
            )


def _server(section: SourceSettings) -> str:
    return section.host or f"{section.kind}'s API"


def _source_of(name: str, section: SourceSettings) -> str:
    if section.kind != "folder":
        return f"{section.kind}:{name}"
    try:
        return f"{PREFIX}{folder_root(name, section)}"
    except SettingsError:  # a run says so; a listing only shows
        return f"{PREFIX}{section.path}"


def _next(section: SourceSettings | None, now: datetime) -> datetime | None:
    if section is None or section.schedule_minutes == 0:
        return None
    return now + timedelta(minutes=section.schedule_minutes)
