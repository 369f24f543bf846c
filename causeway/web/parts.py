"""What the web is built over: the objects it is handed, as narrow as it uses them.

The Protocols have two implementations each: the real thing that wiring opens, and the scripted one behind the browser
tests (``tests/web/scripted.py``), which is why pages can be worked on without a model or a database. The administrators'
pages stand over the gateway's own classes, in tests too.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from causeway.analyst.analyst import Analyst
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.contracts.model_gateway import Call
from causeway.gateway.audit import Audit
from causeway.gateway.breaker import Breaker
from causeway.gateway.budget_standing import BudgetStandings
from causeway.gateway.keys import Keys
from causeway.gateway.live_settings import LiveSettings
from causeway.gateway.provider_check import ProviderChecks
from causeway.gateway.routing import Routes
from causeway.gateway.teams import Teams
from causeway.gateway.usage import UsageReader
from causeway.knowledge import (
    Added,
    AnswerEvent,
    AskRequest,
    Chunk,
    Collection,
    Document,
    DocumentPage,
    DocumentState,
    KeptRevision,
    PageWords,
    SearchRequest,
    SearchResult,
    SourceStatus,
)
from causeway.observability.trace_store import Trace, TraceSummary
from causeway.settings import ServerSettings

AsgiScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[AsgiScope, Receive, Send], Awaitable[None]]

Readiness = Callable[[], Awaitable[Mapping[str, str | None]]]
"""Each part that must work, and why it does not; None when it does."""


class KeyDoor(Protocol):
    """Whose key is this? `causeway.gateway.keys.Keys`."""

    async def identify(self, secret: str) -> Principal:
        """Whose key ``secret`` is."""
        ...


class SessionDoor(Protocol):
    """Browser sessions; see `causeway.web.sessions.Sessions`."""

    async def open(self, key_id: str) -> str:
        """Begin a session; returns the cookie's value."""
        ...

    async def principal(self, token: str) -> Principal:
        """Whose session it is."""
        ...

    async def close(self, token: str) -> None:
        """End a session."""
        ...


class LibraryDoor(Protocol):
    """The documents; `causeway.knowledge.Library`."""

    async def collections(self) -> Sequence[Collection]:
        """Every collection, by name."""
        ...

    async def document(self, document_id: str) -> Document:
        """One document."""
        ...

    async def documents(
        self,
        *,
        collection: str | None = None,
        state: DocumentState | None = None,
        text: str = "",
        limit: int = 50,
        offset: int = 0,
    ) -> DocumentPage:
        """Documents that match, those that changed last first."""
        ...

    async def text_of(self, document_id: str) -> Sequence[Chunk]:
        """Its chunks in order."""
        ...

    async def revision(self, document_id: str, number: int | None = None) -> KeptRevision:
        """The searchable revision, or one from before."""
        ...

    async def revisions(self, document_id: str) -> Sequence[KeptRevision]:
        """Those from before, the newest first."""
        ...

    async def read(self, revision: KeptRevision) -> Sequence[Chunk]:
        """A revision's chunks in order."""
        ...

    async def words_of(self, document_id: str, revision: int, *, page: int) -> PageWords | None:
        """The words of a page that was read from its picture."""
        ...

    async def retry(self, document_id: str) -> None:
        """Read its newest bytes once more."""
        ...

    async def delete(self, document_id: str, *, purge: bool = False) -> None:
        """Forget it; with its past when it is to be purged."""
        ...

    async def purge(self, document_id: str) -> int:
        """Forget its past."""
        ...


class ArrivalDoor(Protocol):
    """A file on its way in; `causeway.knowledge.ingest.upload.Arrival`."""

    async def write(self, piece: bytes) -> None:
        """Append a piece."""
        ...

    async def add(
        self, *, collection: str | None = None, metadata: Mapping[str, object] | None = None
    ) -> Added:
        """Keep it and queue its ingestion."""
        ...


class UploadDoor(Protocol):
    """What people send; `causeway.knowledge.Uploads`."""

    def arriving(self, name: str) -> AbstractAsyncContextManager[ArrivalDoor]:
        """A file that is about to arrive; it is gone after the block unless it was added."""
        ...


class SourceDoor(Protocol):
    """What collections are kept equal to; `causeway.knowledge.Sources`."""

    async def all(self) -> Sequence[SourceStatus]:
        """Every source, by name."""
        ...

    async def request(self, name: str) -> SourceStatus:
        """Have one synced as soon as a worker is free."""
        ...


class BlobDoor(Protocol):
    """Stored files; `causeway.storage.blobs.Blobs`."""

    def path(self, sha256: str) -> Path:
        """Where a file is."""
        ...


class SearchDoor(Protocol):
    """`causeway.knowledge.Search`."""

    async def search(self, request: SearchRequest, call: Call) -> SearchResult:
        """Hits, best first."""
        ...


class AnswerDoor(Protocol):
    """`causeway.knowledge.Answerer`."""

    def ask(self, request: AskRequest, call: Call) -> AsyncGenerator[AnswerEvent, None]:
        """An answer as it is made."""
        ...


class TraceDoor(Protocol):
    """`causeway.observability.trace_store.TraceStore`."""

    async def recent(self, *, limit: int = 50, before: datetime | None = None) -> list[TraceSummary]:
        """The newest traces."""
        ...

    async def trace(self, trace_id: str) -> Trace:
        """One whole trace."""
        ...


class FeedbackDoor(Protocol):
    """`causeway.observability.feedback.Feedback`."""

    async def vote(
        self,
        trace_id: str,
        principal_id: str,
        *,
        is_up: bool,
        reason: str | None = None,
        correction: str | None = None,
    ) -> None:
        """Record a thumb."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminParts:
    """What administrators see and change.

    Attributes:
        live: The settings in force.
        routes: The way to every model, as it is now.
        breakers: Models that are left alone now, by ``provider/model``.
    """

    keys: Keys
    teams: Teams
    live: LiveSettings[Any]
    checks: ProviderChecks
    budgets: BudgetStandings
    usage: UsageReader
    audit: Audit
    routes: Callable[[], Routes]
    breakers: Callable[[], Mapping[str, Breaker]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """Everything the web needs.

    Attributes:
        analyst: What the analyst's pages stand over; None where no database is asked.
        admin: What the administrators' pages stand over; None where there is no gateway, as in the pages' demo.
        edge: The ASGI application of ``/v1/*``.
        readiness: What ``/health/ready`` asks.
        examples: Questions to suggest, when a document of the named collection is ready.
    """

    settings: ServerSettings
    clock: Clock
    keys: KeyDoor
    sessions: SessionDoor
    library: LibraryDoor
    uploads: UploadDoor
    sources: SourceDoor
    blobs: BlobDoor
    search: SearchDoor
    answerer: AnswerDoor
    traces: TraceDoor
    feedback: FeedbackDoor
    edge: AsgiApp
    readiness: Readiness
    analyst: Analyst | None = None
    admin: AdminParts | None = None
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
