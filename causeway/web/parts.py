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
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from causeway.accounts.groups import Groups
from causeway.accounts.users import Users
from causeway.analyst.analyst import Analyst
from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.evals.collected import CollectedSuites
from causeway.evals.experiments import Experiments
from causeway.evals.feedback_export import FeedbackExport
from causeway.evals.learning import Reviewing
from causeway.evals.record import Record
from causeway.evals.run import Progress, Result, Run, RunOptions
from causeway.evals.suite import Suite
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
    AccessRules,
    Added,
    AnswerEvent,
    AskRequest,
    Chunk,
    Collection,
    Collections,
    Conversation,
    Document,
    DocumentPage,
    DocumentState,
    IngestControl,
    KeptRevision,
    LeftSource,
    Move,
    PageWords,
    ProgressReader,
    SearchRequest,
    SearchResult,
    SourceStatus,
)
from causeway.observability.alerts import Alerts
from causeway.observability.feedback import Vote
from causeway.observability.otlp_import import Imported
from causeway.observability.stats_report import StatsQuery, StatsReport
from causeway.observability.trace_search import TraceQuery
from causeway.observability.trace_store import Rating, Trace, TraceChoices, TraceSummary
from causeway.prompts.registry import Registry
from causeway.prompts.usage import PromptUsage
from causeway.settings import ServerSettings

if TYPE_CHECKING:  # they bring libraries of cryptography and HTTP, which few need
    from causeway.accounts.single_sign_on import SingleSignOn
    from causeway.knowledge.slack_bot import SlackBot

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

    @property
    def lifetime(self) -> timedelta:
        """How long a session may last at most."""
        ...

    async def open(self, key_id: str) -> str:
        """Begin a session for a key; returns the cookie's value."""
        ...

    async def open_for(self, user_id: str) -> str:
        """The same for a person."""
        ...

    async def principal(self, token: str) -> Principal:
        """Whose session it is."""
        ...

    async def close(self, token: str) -> None:
        """End a session."""
        ...

    async def close_all(self, principal: Principal) -> int:
        """End every session of a caller."""
        ...


class LibraryDoor(Protocol):
    """The documents, only ever as somebody sees them; `causeway.knowledge.Library`."""

    def seen_by(self, principal: Principal) -> SeenLibraryDoor:
        """What a caller may see of them."""
        ...


class SeenLibraryDoor(Protocol):
    """The documents that one caller may see; any other is not there. `causeway.knowledge.Library.seen_by`."""

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
        order: str = "-updated",
        limit: int = 50,
        offset: int = 0,
    ) -> DocumentPage:
        """Documents that match, sorted by title, collection, size or updated; ``-`` turns it round."""
        ...

    async def text_of(self, document_id: str) -> Sequence[Chunk]:
        """Its chunks in order."""
        ...

    async def is_original_hidden(self, document_id: str) -> bool:
        """Whether its file is only for those who may manage documents."""
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
        self,
        *,
        by: Principal,
        collection: str | None = None,
        metadata: Mapping[str, object] | None = None,
        key: str = "",
    ) -> Added:
        """Keep it and queue its ingestion; ``key`` names this very upload."""
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

    async def source(self, name: str) -> SourceStatus:
        """One source."""
        ...

    async def cancel(self, name: str) -> bool:
        """Want its sync no longer."""
        ...

    async def request(self, name: str) -> SourceStatus:
        """Have one synced as soon as a worker is free."""
        ...

    async def left(self) -> Sequence[LeftSource]:
        """Those that were taken out of the settings."""
        ...

    async def forget(self, name: str, *, documents: bool) -> LeftSource:
        """Show such a one no more, and delete its documents if they are to go."""
        ...


class MoveDoor(Protocol):
    """Where collections keep their vectors; `causeway.knowledge.index.collection_moves.CollectionMoves`."""

    async def all(self) -> Sequence[Move]:
        """The last move of every collection that was moved, by name."""
        ...

    @property
    def can_move(self) -> bool:
        """Whether there is another place to move vectors to."""
        ...

    async def request(self, name: str, target: str, *, by: Principal) -> Move:
        """Have one moved, as ``by`` asks."""
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


class ConversationDoor(Protocol):
    """What was said, as somebody may see it; `causeway.knowledge.Conversations`."""

    async def of(
        self, principal: Principal, *, limit: int = 30, before: datetime | None = None, text: str = ""
    ) -> Sequence[Conversation]:
        """The newest of one's own, without their turns; every word of ``text`` is in their titles."""
        ...

    async def read(self, conversation_id: str, principal: Principal) -> Conversation:
        """One's own, or a shared one, whole."""
        ...

    async def change(
        self,
        conversation_id: str,
        principal: Principal,
        *,
        title: str | None = None,
        shared: bool | None = None,
    ) -> Conversation:
        """Rename one's own, or share it or not."""
        ...

    async def delete(self, conversation_id: str, principal: Principal) -> None:
        """Forget one's own."""
        ...


class TraceDoor(Protocol):
    """`causeway.observability.trace_store.TraceStore`."""

    async def find(self, query: TraceQuery) -> list[TraceSummary]:
        """The traces that match."""
        ...

    async def trace(self, trace_id: str, *, owner: str | None = None) -> Trace:
        """One whole trace; with ``owner``, only of theirs."""
        ...

    async def ratings(self, trace_id: str) -> list[Rating]:
        """What people and evaluations said of it."""
        ...

    async def choices(self, *, owner: str | None = None) -> TraceChoices:
        """What lists of traces can be narrowed by."""
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
        owner: str | None = None,
    ) -> None:
        """Record a thumb; with ``owner``, only on their own answers."""
        ...

    async def withdraw(self, trace_id: str, principal_id: str) -> bool:
        """Take one back."""
        ...

    async def given(self, principal_id: str, trace_ids: Sequence[str]) -> Sequence[Vote]:
        """What somebody has said of answers."""
        ...


class EvalDoor(Protocol):
    """Suites and their runs; `causeway.evals.evals.Evals`."""

    async def runs(
        self, *, suite: str | None = None, subject: str | None = None, limit: int = 50
    ) -> Sequence[Run]:
        """The newest runs."""
        ...

    async def progress(self, run_id: str) -> tuple[Run, Progress]:
        """A run and how far it is."""
        ...

    async def record(self, run_id: str) -> Record:
        """A run's scores."""
        ...

    async def results(self, run_id: str) -> Sequence[Result]:
        """What became of a run's cases."""
        ...

    async def suite_of(self, run: Run) -> Suite:
        """The suite as it was when a run began."""
        ...

    async def start(
        self,
        suite: Suite,
        subject: str,
        options: RunOptions,
        *,
        principal: Principal = ...,
        label: str | None = None,
    ) -> Run:
        """Queue a run."""
        ...

    async def resume(self, run_id: str) -> Run:
        """Queue the rest of a run."""
        ...

    async def stop(self, run_id: str) -> Run:
        """Have a run end."""
        ...


class StatsDoor(Protocol):
    """The dashboard's numbers; `causeway.observability.stats.Stats`."""

    async def read(self, query: StatsQuery, *, is_own: bool = False) -> StatsReport:
        """The numbers of a period and of the one before it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountParts:
    """How people sign in.

    Attributes:
        takes_passwords: Whether accounts may have passwords.
        single_sign_on: Through the OpenID provider; None without one.
        provider: What the button to it is called.
        redirect_uri: Where the provider sends browsers back to, when the settings say; else empty.
    """

    users: Users
    takes_passwords: bool = True
    single_sign_on: SingleSignOn | None = None
    provider: str = ""
    redirect_uri: str = ""


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
    users: Users
    groups: Groups
    access: AccessRules
    budgets: BudgetStandings
    usage: UsageReader
    audit: Audit
    routes: Callable[[], Routes]
    breakers: Callable[[], Mapping[str, Breaker]]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestParts:
    """What collections are managed by, and how far they are."""

    collections: Collections
    control: IngestControl
    progress: ProgressReader


class ImportDoor(Protocol):
    """Takes other programs' spans; `causeway.observability.otlp_import.TraceImport`."""

    async def take(self, body: bytes, *, is_json: bool, sender: Principal) -> Imported:
        """Store the spans of an OTLP request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptParts:
    """What prompts are managed and tried by.

    Attributes:
        models: Names of the chat models that can be asked, aliases first.
    """

    registry: Registry
    usage: PromptUsage
    gateway: ModelGateway
    models: Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryParts:
    """How other programs' spans come in, and what Prometheus reads.

    Attributes:
        import_max_bytes: Largest request of spans, unpacked.
        is_open: Whether everybody may read the meters.
    """

    imports: ImportDoor
    metrics: Callable[[], Awaitable[str]]
    import_max_bytes: int
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewParts:
    """What feedback is reviewed, collected and learnt from by."""

    reviewing: Reviewing
    collected: CollectedSuites
    experiments: Experiments
    export: FeedbackExport


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """Everything the web needs.

    Attributes:
        analyst: What the analyst's pages stand over; None where no database is asked.
        admin: What the administrators' pages stand over; None where there is no gateway, as in the pages' demo.
        ingest: What collections are managed by; None where there is no database, as in the pages' demo.
        accounts: People's accounts; None where there are keys alone.
        evals: Suites and their runs; None where there are none, as in the pages' demo.
        alerts: What is watched; None where nothing is.
        prompts: What prompts are managed by; None where there is no database, as in the pages' demo.
        stats: The dashboard's numbers; None where there are none, as in the pages' demo.
        edge: The ASGI application of ``/v1/*``.
        readiness: What ``/health/ready`` asks.
        review: Review of feedback; None where there is no database, as in the pages' demo.
        slack: The bot; None where Slack is not set up.
        telemetry: The doors of spans and meters; None where there are none, as in the pages' demo.
        examples: Questions to suggest, when a document of the named collection is ready.
    """

    settings: ServerSettings
    clock: Clock
    keys: KeyDoor
    sessions: SessionDoor
    library: LibraryDoor
    uploads: UploadDoor
    sources: SourceDoor
    moves: MoveDoor
    blobs: BlobDoor
    search: SearchDoor
    answerer: AnswerDoor
    conversations: ConversationDoor
    traces: TraceDoor
    feedback: FeedbackDoor
    edge: AsgiApp
    readiness: Readiness
    analyst: Analyst | None = None
    admin: AdminParts | None = None
    ingest: IngestParts | None = None
    accounts: AccountParts | None = None
    evals: EvalDoor | None = None
    prompts: PromptParts | None = None
    stats: StatsDoor | None = None
    alerts: Alerts | None = None
    review: ReviewParts | None = None
    slack: SlackBot | None = None
    telemetry: TelemetryParts | None = None
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
