"""Everything that is open, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import text

from causeway.analyst.analyst import Analyst
from causeway.contracts.clock import Clock
from causeway.errors import CausewayError
from causeway.evals.collected import CollectedSuites
from causeway.evals.evals import Evals
from causeway.evals.experiments import Experiments
from causeway.evals.feedback_export import FeedbackExport
from causeway.evals.improve import Improver
from causeway.evals.learning import Reviewing
from causeway.gateway.edge_path import EdgePath
from causeway.gateway.gateway import Gateway
from causeway.gateway.keys import Keys
from causeway.gateway.ledger import Ledger
from causeway.gateway.live_settings import LiveSettings
from causeway.gateway.opening import Built
from causeway.gateway.providers import Providers
from causeway.knowledge import (
    Conversations,
    ConversingAnswerer,
    Folders,
    Library,
    Search,
    Sources,
    Uploads,
)
from causeway.knowledge.collections import Collections
from causeway.knowledge.index.collection_moves import CollectionMoves
from causeway.knowledge.index.stores import ChunkIndex
from causeway.knowledge.ingest.control import IngestControl
from causeway.knowledge.ingest.progress import ProgressReader
from causeway.knowledge.slack_bot import SlackBot
from causeway.observability.alerts import Alerts
from causeway.observability.feedback import Feedback
from causeway.observability.rollups import Rollups
from causeway.observability.stats import Stats
from causeway.observability.telemetry import Telemetry
from causeway.observability.top_questions import TopQuestions
from causeway.observability.trace_store import TraceStore
from causeway.prompts.registry import Registry
from causeway.settings import Settings
from causeway.storage.blobs import Blobs
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import Database
from causeway.storage.shared_state import SharedState


class Work(StrEnum):
    """Whether this process does the data folder's background work."""

    MUST = "must"
    """It is the only one that does so unasked: the folder's owner."""
    ALSO = "also"
    """Beside the owner and others like it, on this machine or another."""
    IF_FREE = "if free"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything that is open."""

    settings: Settings
    clock: Clock
    folder: DataFolder
    database: Database
    blobs: Blobs
    traces: TraceStore
    telemetry: Telemetry
    feedback: Feedback
    reviewing: Reviewing
    feedback_export: FeedbackExport
    collected: CollectedSuites
    experiments: Experiments
    keys: Keys
    gateway: Gateway
    live: LiveSettings[Built]
    ledger: Ledger
    state: SharedState
    edge: EdgePath
    library: Library
    collections: Collections
    control: IngestControl
    progress: ProgressReader
    folders: Folders
    uploads: Uploads
    sources: Sources
    search: Search
    answerer: ConversingAnswerer
    conversations: Conversations
    index: ChunkIndex
    moves: CollectionMoves
    evals: Evals
    improver: Improver
    analyst: Analyst
    stats: Stats
    rollups: Rollups
    top_questions: TopQuestions
    alerts: Alerts
    prompts: Registry
    slack: SlackBot | None = None

    @property
    def providers(self) -> Providers:
        """The providers of the settings in force."""
        return self.live.built.providers

    async def readiness(self) -> Mapping[str, str | None]:
        """Each part that an answer needs, and why it does not work; None when it does."""
        parts: dict[str, str | None] = {"database": None, "models": None}
        try:
            async with self.database.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except CausewayError as exc:
            parts["database"] = exc.message
        missing = self.providers.missing()
        if missing:
            parts["models"] = f"not on this machine: {', '.join(missing)}; run 'causeway models pull'"
        return parts
