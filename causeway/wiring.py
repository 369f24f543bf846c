"""What exists, and what is handed to what: settings in, an open platform out.

Each service is built once, opened in order and closed in the reverse order, whatever happened in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from sqlalchemy import text

from causeway.analyst import shop_tables
from causeway.analyst.analyst import Analyst
from causeway.analyst.asked import AskedDatabases
from causeway.analyst.verified_pairs import Notebook, VerifiedPairs
from causeway.contracts.clock import Clock, SystemClock
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import EmbedRequest
from causeway.errors import CausewayError
from causeway.gateway.edge_path import EdgePath
from causeway.gateway.gateway import Gateway
from causeway.gateway.keys import Keys
from causeway.gateway.ledger import Ledger
from causeway.gateway.live_settings import LiveSettings
from causeway.gateway.opening import Built, open_gateway
from causeway.gateway.providers import Providers, vector_space
from causeway.knowledge import Answerer, Folders, KnowledgeAssistant, Library, Search, Sources, Uploads
from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest import worker
from causeway.knowledge.ingest.chunking import Chunker
from causeway.knowledge.ingest.pipeline import Pipeline
from causeway.knowledge.ingest.revisions import Revisions
from causeway.knowledge.ingest.sandbox import ParseLimits
from causeway.knowledge.ingest.source_runs import SourceRuns
from causeway.knowledge.ingest.warm_sandbox import WarmSandbox
from causeway.knowledge.originals import Originals
from causeway.observability.feedback import Feedback
from causeway.observability.spans import Spans
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.prompts.shelf import Shelf
from causeway.settings import Settings, Source
from causeway.storage.blobs import Blobs
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import Database, open_database
from causeway.storage.durable import Durable
from causeway.storage.notices import Notices
from causeway.storage.shared_state import SharedState

log = logging.getLogger(__name__)

_TIDY_EVERY_S = 3600.0
KNOWLEDGE_MODEL = "knowledge"
"""The name under which ``/v1`` offers the knowledge base."""


class Work(StrEnum):
    """Whether this process does the data folder's background work."""

    MUST = "must"
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
    feedback: Feedback
    keys: Keys
    gateway: Gateway
    live: LiveSettings[Built]
    ledger: Ledger
    state: SharedState
    edge: EdgePath
    library: Library
    folders: Folders
    uploads: Uploads
    sources: Sources
    search: Search
    answerer: Answerer
    analyst: Analyst

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


@asynccontextmanager
async def open_platform(
    settings: Settings, *, work: Work, source: Source | None = None
) -> AsyncIterator[Platform]:
    """Everything, opened; closed when the block ends.

    Args:
        settings: What this process was started with.
        work: Whether it does background work.
        source: Where settings are read anew when they change; this process's environment and file when not given.

    Raises:
        AlreadyRunningError: ``work`` is ``MUST`` and another process works on the data folder.
        SettingsError: A model alias names no model.
        CausewayError: The database or a model cannot be opened.
    """
    async with AsyncExitStack() as opened:
        clock = SystemClock()
        folder = DataFolder(settings.storage.dir)
        is_worker = _claim(folder, work, opened)
        database = await open_database(settings.database, folder.postgres)
        opened.push_async_callback(database.close)
        notices = Notices(database)
        await opened.enter_async_context(notices.listening())
        keys = Keys(database, clock, notices=notices, default_tier=settings.gateway.default_tier)
        await opened.enter_async_context(keys.running())
        spans = Spans(SpanWriter(database.url))
        opened.push_async_callback(asyncio.to_thread, spans.close)
        durable = Durable(database.url, executor_id=folder.executor_id)
        opened.push_async_callback(durable.close)
        doorway = await opened.enter_async_context(
            open_gateway(
                settings,
                source=source or Source(),
                database=database,
                notices=notices,
                run_dir=folder.run,
                spans=spans,
                clock=clock,
            )
        )
        gateway, live = doorway.gateway, doorway.live
        settings, providers = live.current, live.built.providers
        embedding = await _embedding_model(settings, providers, gateway)
        keeps_past = settings.knowledge.keep_versions_days > 0
        index = PostgresIndex(database, keeps_past=keeps_past)
        blobs = Blobs(folder.blobs)
        originals = Originals(database=database, blobs=blobs)
        library = Library(
            database=database,
            collections=Collections(database=database, embedding=embedding, settings=settings.knowledge),
            originals=originals,
            durable=durable,
            keeps_past=keeps_past,
        )
        search = Search(
            index,
            gateway,
            settings.knowledge,
            models=settings.models,
            spans=spans,
            clock=clock,
            capture_content=settings.telemetry.capture_content,
        )
        answerer = Answerer(
            search=search,
            gateway=gateway,
            prompts=Shelf.packaged(),
            spans=spans,
            clock=clock,
            settings=settings.knowledge,
            capture_content=settings.telemetry.capture_content,
        )
        traces = TraceStore(database, spans)
        analyst = Analyst(
            databases=await _asked_databases(settings, folder, database, clock, opened),
            gateway=gateway,
            notebook=Notebook(database, VerifiedPairs(database, gateway)),
            prompts=Shelf.packaged(),
            spans=spans,
            settings=settings.analyst,
            capture_content=settings.telemetry.capture_content,
        )
        platform = Platform(
            settings=settings,
            clock=clock,
            folder=folder,
            database=database,
            blobs=blobs,
            traces=traces,
            feedback=Feedback(database, spans),
            keys=keys,
            gateway=gateway,
            live=live,
            ledger=doorway.ledger,
            state=doorway.state,
            edge=EdgePath(
                gateway=gateway,
                keys=keys,
                clock=clock,
                assistants={KNOWLEDGE_MODEL: KnowledgeAssistant(answerer)},
                settings=settings.gateway,
            ),
            library=library,
            folders=Folders(library=library, clock=clock, settings=settings.knowledge),
            uploads=Uploads(
                library=library,
                originals=originals,
                clock=clock,
                max_bytes=settings.server.max_upload_bytes,
            ),
            sources=Sources(
                library=library,
                runs=SourceRuns(database=database, durable=durable),
                clock=clock,
                spans=spans,
                settings=settings.sources,
                knowledge=settings.knowledge,
            ),
            search=search,
            answerer=answerer,
            analyst=analyst,
        )
        if is_worker:
            await index.prepare()
            pipeline = Pipeline(
                revisions=Revisions(database=database, originals=originals),
                index=index,
                chunker=Chunker(providers.tokenizer(), max_tokens=settings.knowledge.chunk_tokens),
                gateway=gateway,
                spans=spans,
                model="embed",
                sandbox=await opened.enter_async_context(
                    WarmSandbox(ParseLimits.from_settings(settings.knowledge))
                ),
            )
            await opened.enter_async_context(_working(platform, durable, pipeline))
        yield platform


async def _asked_databases(
    settings: Settings, folder: DataFolder, database: Database, clock: Clock, opened: AsyncExitStack
) -> AskedDatabases:
    """What the analyst may be asked about: the settings' databases, and the sample shop where it was loaded."""
    asked = AskedDatabases(settings.analyst.databases, folder=folder.root / "analyst", clock=clock)
    opened.push_async_callback(asked.close)
    if database.capabilities.kind == "embedded" and await asyncio.to_thread(
        shop_tables.is_loaded, database.url
    ):
        asked.offer_shop(shop_tables.reader(database.url))
    return asked


async def load_shop(platform: Platform) -> bool:
    """Load the sample shop into the embedded server and let it be asked; False when it was there, or the server is not ours."""
    if platform.database.capabilities.kind != "embedded":
        return False
    try:
        is_new = await asyncio.to_thread(shop_tables.load, platform.database.url)
    except CausewayError as exc:  # a demo's data are no reason to stop
        log.warning("the sample shop is not there", extra={"reason": exc.message})
        return False
    platform.analyst.databases.offer_shop(shop_tables.reader(platform.database.url))
    return is_new


def _claim(folder: DataFolder, work: Work, opened: AsyncExitStack) -> bool:
    """Whether this process does the background work."""
    match work:
        case Work.MUST:
            opened.enter_context(folder.claim())
            return True
        case Work.IF_FREE:
            return opened.enter_context(folder.try_claim())
        case Work.NEVER:
            return False


@asynccontextmanager
async def _working(platform: Platform, durable: Durable, pipeline: Pipeline) -> AsyncIterator[None]:
    """Background work, until the block ends."""
    worker.register(durable, pipeline, platform.settings.knowledge)
    platform.sources.register(durable)
    await durable.launch()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.tend(platform.library, stop=stop))
        group.create_task(platform.sources.tend(stop=stop))
        group.create_task(_tidy(platform, stop))
        try:
            yield
        finally:
            stop.set()
            await durable.close()  # before the models that running work still needs


async def _tidy(platform: Platform, stop: asyncio.Event) -> None:
    """Delete traces, past revisions and the analyst's conversations that are older than is wanted, every hour."""
    while not stop.is_set():
        now, settings = platform.clock.now(), platform.settings
        try:
            oldest = now - timedelta(days=settings.telemetry.trace_days)
            await platform.traces.forget_before(oldest)
            await platform.analyst.notebook.forget_before(oldest)
            await platform.library.past.purge_before(
                now - timedelta(days=settings.knowledge.keep_versions_days)
            )
        except CausewayError as exc:
            log.warning("what is old could not be deleted", extra={"reason": exc.message})
        try:
            await asyncio.wait_for(stop.wait(), _TIDY_EVERY_S)
        except TimeoutError:
            continue


async def _embedding_model(settings: Settings, providers: Providers, gateway: Gateway) -> EmbeddingModel:
    """What a collection's vectors are made with: a local model and its file, or a provider's, which has to be asked."""
    card = providers.local_card("embed")
    if card is not None:
        return EmbeddingModel(name=vector_space(card), dimensions=card.dimensions)
    request = EmbedRequest(model="embed", texts=("How many numbers?",))
    probe = await gateway.embed(request, Call(principal=SYSTEM, purpose="start"))
    return EmbeddingModel(name=settings.models.embed, dimensions=probe.vectors.shape[1])


def sample_documents() -> Path:
    """The sample company's documents: in a wheel beside the code, in a clone at its top."""
    package = Path(__file__).parent
    installed, cloned = package / "_samples", package.parent / "samples" / "documents"
    return installed if installed.is_dir() else cloned
