"""What exists, and what is handed to what: settings in, an open platform out.

Each service is built once, opened in order and closed in the reverse order, whatever happened in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path

from sqlalchemy import text

from causeway.accounts.users import Users
from causeway.analyst import shop_tables
from causeway.analyst.analyst import Analyst
from causeway.analyst.asked import AskedDatabases
from causeway.analyst.verified_pairs import Notebook, VerifiedPairs
from causeway.contracts.clock import Clock, SystemClock
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import EmbedRequest, Vectors
from causeway.errors import CausewayError
from causeway.evals.calibration import Calibrations
from causeway.evals.collected import CollectedSuites
from causeway.evals.evals import Evals
from causeway.evals.experiments import Experiments
from causeway.evals.improve import Improver
from causeway.evals.learning import Reviewing
from causeway.evals.measures import AnswerMeasure, RetrievalMeasure
from causeway.evals.run_store import RunStore
from causeway.evals.subjects import Subjects
from causeway.gateway.edge_path import EdgePath
from causeway.gateway.gateway import Gateway
from causeway.gateway.keys import Keys
from causeway.gateway.ledger import Ledger
from causeway.gateway.live_settings import LiveSettings
from causeway.gateway.opening import Built, open_gateway
from causeway.gateway.providers import Providers, vector_space
from causeway.guard.guarded_post import guarded_post
from causeway.guard.pii import Finder
from causeway.guard.restore import Placeholders
from causeway.knowledge import (
    Answerer,
    AnswerExamples,
    ConfirmedAnswers,
    Conversations,
    ConversingAnswerer,
    Folders,
    KnowledgeAssistant,
    Library,
    Proofs,
    RetrievalVotes,
    Search,
    Sources,
    Uploads,
)
from causeway.knowledge.collections import Collections, EmbeddingModel
from causeway.knowledge.index import upkeep
from causeway.knowledge.index.collection_moves import CollectionMoves
from causeway.knowledge.index.pinecone_api import open_pinecone
from causeway.knowledge.index.pinecone_index import PineconeIndex
from causeway.knowledge.index.pinecone_upkeep import PineconeUpkeep
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.index.stores import ChunkIndex
from causeway.knowledge.ingest import worker
from causeway.knowledge.ingest.bounded_sandbox import BoundedSandbox
from causeway.knowledge.ingest.chunk_context import ContextWriter
from causeway.knowledge.ingest.chunk_strategies import ChunkStrategies
from causeway.knowledge.ingest.control import IngestControl
from causeway.knowledge.ingest.personal_data import PersonalData
from causeway.knowledge.ingest.pipeline import Pipeline
from causeway.knowledge.ingest.preparation import Preparation
from causeway.knowledge.ingest.progress import ProgressReader
from causeway.knowledge.ingest.revisions import Revisions
from causeway.knowledge.ingest.sandbox import ParseLimits
from causeway.knowledge.ingest.slack_calls import open_slack_calls
from causeway.knowledge.ingest.source_runs import SourceRuns
from causeway.knowledge.ingest.warm_sandbox import WarmSandbox
from causeway.knowledge.originals import Originals
from causeway.knowledge.search.sections import SectionSearch
from causeway.knowledge.slack_bot import SlackBot
from causeway.knowledge.slack_rows import SlackQuestions
from causeway.observability.alert_channels import channels_of
from causeway.observability.alerts import Alerts
from causeway.observability.feedback import Feedback
from causeway.observability.review import Reviews
from causeway.observability.rollups import Rollups
from causeway.observability.spans import Spans
from causeway.observability.stats import Stats
from causeway.observability.top_questions import TopQuestions
from causeway.observability.trace_store import SpanWriter, TraceStore
from causeway.prompts.shelf import Shelf
from causeway.settings import Settings, Source
from causeway.storage.background import rest
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
    feedback: Feedback
    reviewing: Reviewing
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
        folder = DataFolder(settings.storage.dir, blobs=settings.storage.blobs_dir)
        is_worker = _claim(folder, work, opened)
        executor_id = opened.enter_context(folder.executor()) if is_worker else folder.executor_id
        database = await open_database(settings.database, folder.postgres)
        opened.push_async_callback(database.close)
        notices = Notices(database)
        await opened.enter_async_context(notices.listening())
        keys = Keys(database, clock, notices=notices, default_tier=settings.gateway.default_tier)
        await opened.enter_async_context(keys.running())
        spans = Spans(SpanWriter(database.url))
        opened.push_async_callback(asyncio.to_thread, spans.close)
        durable = Durable(database.url, executor_id=executor_id)
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
        pinecone = await opened.enter_async_context(open_pinecone(settings.pinecone))
        vectors = PineconeUpkeep(database, pinecone, clock=clock) if pinecone else None
        index = PineconeIndex(
            PostgresIndex(database, keeps_past=keeps_past), database, api=pinecone, upkeep=vectors
        )
        blobs = Blobs(folder.blobs)
        originals = Originals(database=database, blobs=blobs)
        collections = Collections(
            database=database, embedding=embedding, settings=settings.knowledge, originals=originals
        )
        prompts = Shelf.packaged()
        library = Library(
            database=database,
            collections=collections,
            originals=originals,
            durable=durable,
            keeps_past=keeps_past,
        )
        learnt, proofs = ConfirmedAnswers(database, gateway), Proofs(database, settings.knowledge, clock)
        plain_search = Search(
            index,
            gateway,
            settings.knowledge,
            models=settings.models,
            spans=spans,
            clock=clock,
            capture_content=settings.telemetry.capture_content,
        )
        search = plain_search.moved_by(RetrievalVotes(learnt, proofs, clock))
        examples = AnswerExamples(learnt, proofs, database=database, gateway=gateway, clock=clock)
        answering = partial(
            Answerer,
            search=SectionSearch(search, database),
            gateway=gateway,
            spans=spans,
            clock=clock,
            settings=settings.knowledge,
            capture_content=settings.telemetry.capture_content,
        )
        answerer = answering(prompts=prompts).shown(examples)
        runs = RunStore(database)
        calibrations = Calibrations(runs, prompts, models=settings.models)
        subjects = Subjects(
            settings,
            answering=lambda shelf: answering(prompts=shelf).shown(examples),
            search=search,
            library=library,
            gateway=gateway,
            calibrations=calibrations,
            clock=clock,
        )
        finder, stats = Finder(settings.guard), Stats(database, spans, flush=doorway.ledger.flush)
        conversations, collected = Conversations(database), CollectedSuites(database)
        conversing = ConversingAnswerer(answerer, conversations)
        feedback = Feedback(database, spans)
        traces = TraceStore(database, spans)
        analyst = Analyst(
            databases=await _asked_databases(settings, folder, database, clock, opened),
            gateway=gateway,
            notebook=Notebook(database, VerifiedPairs(database, gateway)),
            prompts=prompts,
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
            feedback=feedback,
            reviewing=Reviewing(Reviews(database), answers=learnt, traces=traces, library=library),
            collected=collected,
            experiments=Experiments(
                database,
                durable,
                answers=learnt,
                proofs=proofs,
                suites=collected,
                measures={
                    "retrieval-votes": RetrievalMeasure(gateway, plain_search.moved_by),
                    "answer-examples": AnswerMeasure(
                        gateway,
                        lambda shown: subjects.answering_by(answering(prompts=prompts).shown(shown)),
                        finder.kinds,
                    ),
                },
                clock=clock,
            ),
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
            collections=collections,
            control=IngestControl(database=database, durable=durable),
            progress=ProgressReader(database),
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
            answerer=conversing,
            conversations=conversations,
            index=index,
            moves=CollectionMoves(database=database, api=pinecone, upkeep=vectors, clock=clock),
            evals=Evals(
                runs,
                durable,
                subjects=subjects,
                personal_data=finder.kinds,
                clock=clock,
            ),
            improver=Improver(subjects, gateway=gateway, prompts=prompts, personal_data=finder.kinds),
            analyst=analyst,
            stats=stats,
            rollups=Rollups(database, clock),
            top_questions=TopQuestions(
                database,
                embed=partial(_question_vectors, gateway),
                space=embedding.name,
                mask=lambda question: Placeholders().mask(question, finder.find(question)),
                distance=settings.telemetry.question_distance,
                clock=clock,
            ),
            alerts=Alerts(
                database,
                stats,
                channels=lambda: channels_of(live.current.alerts, post=guarded_post, clock=clock),
                clock=clock,
            ),
            slack=await _slack_bot(
                settings, database, durable, conversing, feedback, clock=clock, opened=opened
            ),
        )
        if is_worker:
            await index.prepare()
            pipeline = Pipeline(
                revisions=Revisions(database=database, originals=originals),
                index=index,
                preparation=_preparation(settings, database, gateway, providers, prompts),
                gateway=gateway,
                spans=spans,
                model="embed",
                sandbox=BoundedSandbox(
                    await opened.enter_async_context(
                        WarmSandbox(ParseLimits.from_settings(settings.knowledge))
                    ),
                    at_once=settings.knowledge.workers,
                ),
            )
            await opened.enter_async_context(_working(platform, durable, pipeline))
        yield platform


async def _slack_bot(
    settings: Settings,
    database: Database,
    durable: Durable,
    answerer: ConversingAnswerer,
    feedback: Feedback,
    *,
    clock: Clock,
    opened: AsyncExitStack,
) -> SlackBot | None:
    """The bot; None where Slack is not set up."""
    if not settings.slack.is_on:
        return None
    calls = await opened.enter_async_context(
        open_slack_calls(
            base_url=settings.slack.base_url,
            token=settings.slack.token,
            section="slack",
            clock=clock,
            every_s=0.0,
            timeout_s=settings.slack.timeout_s,
        )
    )
    users = Users(database, clock)
    return SlackBot(
        settings.slack,
        calls=calls,
        questions=SlackQuestions(database, durable),
        answerer=answerer,
        who_is=partial(users.principal, tier=settings.gateway.default_tier),
        votes=feedback,
        clock=clock,
    )


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
        case Work.ALSO:
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
    platform.control.register(durable)
    platform.evals.register(durable)
    platform.experiments.register(durable)
    if platform.slack is not None:
        platform.slack.register(durable)
    await durable.launch()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(durable.tend(stop=stop))
        group.create_task(worker.tend(platform.library, stop=stop))
        group.create_task(platform.control.tend(stop=stop))
        group.create_task(platform.sources.tend(stop=stop))
        group.create_task(upkeep.tend(platform.index, platform.moves, stop=stop))
        group.create_task(platform.rollups.tend(stop=stop))
        group.create_task(platform.alerts.tend(stop=stop))
        if platform.settings.telemetry.top_questions:
            group.create_task(platform.top_questions.tend(stop=stop))
        group.create_task(_tidy(platform, stop))
        try:
            yield
        finally:
            stop.set()
            await durable.close()  # before the models that running work still needs


async def _tidy(platform: Platform, stop: asyncio.Event) -> None:
    """Delete traces, past revisions and conversations, the analyst's too, that are older than is wanted, every hour."""
    while not stop.is_set():
        now, settings = platform.clock.now(), platform.settings
        try:
            oldest = now - timedelta(days=settings.telemetry.trace_days)
            await platform.traces.forget_before(oldest)
            await platform.analyst.notebook.forget_before(oldest)
            await platform.library.past.purge_before(
                now - timedelta(days=settings.knowledge.keep_versions_days)
            )
            conversed = now - timedelta(days=settings.knowledge.keep_conversations_days)
            await platform.conversations.forget_before(conversed)
            if platform.slack is not None:
                await platform.slack.forget_before(conversed)
        except CausewayError as exc:
            log.warning("what is old could not be deleted", extra={"reason": exc.message})
        await rest(stop, _TIDY_EVERY_S)


def _preparation(
    settings: Settings, database: Database, gateway: Gateway, providers: Providers, prompts: Shelf
) -> Preparation:
    contexts = ContextWriter(database=database, gateway=gateway, prompts=prompts, model=settings.models.fast)
    strategies = ChunkStrategies(
        providers.tokenizer(), default_tokens=settings.knowledge.chunk_tokens, contexts=contexts
    )
    return Preparation(strategies=strategies, personal_data=PersonalData(settings.guard))


async def _question_vectors(gateway: Gateway, questions: Sequence[str]) -> Vectors:
    request = EmbedRequest(model="embed", texts=tuple(questions))
    return (await gateway.embed(request, Call(principal=SYSTEM, purpose="top_questions"))).vectors


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
