"""Opens the platform: each service built once, opened in order and closed in the reverse order, whatever happened in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from causeway.analyst.analyst import Analyst
from causeway.analyst.verified_pairs import Notebook, VerifiedPairs
from causeway.contracts.clock import SystemClock
from causeway.evals.calibration import Calibrations
from causeway.evals.collected import CollectedSuites
from causeway.evals.evals import Evals
from causeway.evals.experiments import Experiments
from causeway.evals.feedback_export import FeedbackExport
from causeway.evals.improve import Improver
from causeway.evals.learning import Reviewing
from causeway.evals.measures import AnswerMeasure, RetrievalMeasure
from causeway.evals.run_store import RunStore
from causeway.evals.subjects import Subjects
from causeway.gateway import audit
from causeway.gateway.edge_path import EdgePath
from causeway.gateway.keys import Keys
from causeway.gateway.opening import open_gateway
from causeway.guard.pii import Finder
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
from causeway.knowledge.collections import Collections
from causeway.knowledge.index.collection_moves import CollectionMoves
from causeway.knowledge.index.pinecone_api import open_pinecone
from causeway.knowledge.index.pinecone_index import PineconeIndex
from causeway.knowledge.index.pinecone_upkeep import PineconeUpkeep
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.ingest.control import IngestControl
from causeway.knowledge.ingest.progress import ProgressReader
from causeway.knowledge.ingest.source_runs import SourceRuns
from causeway.knowledge.originals import Originals
from causeway.knowledge.search.sections import SectionSearch
from causeway.observability.alerts import Alerts
from causeway.observability.feedback import Feedback
from causeway.observability.review import Reviews
from causeway.observability.rollups import Rollups
from causeway.observability.stats import Stats
from causeway.observability.trace_store import TraceStore
from causeway.prompts.registry import Registry
from causeway.prompts.shelf import Shelf
from causeway.settings import Settings, Source
from causeway.storage.blobs import Blobs
from causeway.storage.data_folder import DataFolder
from causeway.storage.database import open_database
from causeway.storage.durable import Durable
from causeway.storage.notices import Notices
from causeway.wiring.analyst_subject import AnalystSubject, Range, analysts
from causeway.wiring.platform import Platform, Work
from causeway.wiring.services import (
    answering_settings,
    asked_databases,
    embedding_model,
    observing,
    slack_bot,
)
from causeway.wiring.tenants_subject import Reached, TenantsSubject
from causeway.wiring.watching import alert_channels, top_questions
from causeway.wiring.working import working

KNOWLEDGE_MODEL = "knowledge"
"""The name under which ``/v1`` offers the knowledge base."""


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
        database = await open_database(settings.database, folder.postgres)
        opened.push_async_callback(database.close)
        notices = Notices(database)
        await opened.enter_async_context(notices.listening())
        keys = Keys(database, clock, notices=notices, default_tier=settings.gateway.default_tier)
        await opened.enter_async_context(keys.running())
        telemetry = await opened.enter_async_context(observing(settings, database, clock))
        spans = telemetry.spans
        durable = Durable(database.url, executor_id=_executor(folder, opened, is_worker=is_worker))
        opened.push_async_callback(durable.close)
        doorway = await opened.enter_async_context(
            open_gateway(
                settings,
                source=source or Source(),
                database=database,
                notices=notices,
                run_dir=folder.run,
                spans=spans,
                lone_calls=telemetry.lone_calls,
            )
        )
        gateway, live = doorway.gateway, doorway.live
        settings, providers = live.current, live.built.providers
        embedding = await embedding_model(settings, providers, gateway)
        keeps_past = settings.knowledge.keep_versions_days > 0
        pinecone = await opened.enter_async_context(open_pinecone(settings.pinecone))
        vectors = PineconeUpkeep(database, pinecone, clock=clock) if pinecone else None
        index = PineconeIndex(
            PostgresIndex(database, keeps_past=keeps_past), database, api=pinecone, upkeep=vectors
        )
        blobs = Blobs(folder.blobs)
        originals = Originals(database=database, blobs=blobs)
        collections = Collections(
            database=database,
            embedding=embedding,
            settings=settings.knowledge,
            originals=originals,
            record=audit.record,
        )
        prompts = Shelf.packaged()
        registry = Registry(database, prompts, notices=notices, record=audit.record)
        await opened.enter_async_context(registry.running())
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
            settings=lambda: answering_settings(live.current, live.built.providers),
            capture_content=settings.telemetry.capture_content,
        )

        def adapters() -> tuple[str, ...]:
            return live.built.providers.adapters("chat")

        answerer = answering(prompts=prompts).shown(examples).adapted(adapters)
        runs = RunStore(database)
        finder = Finder(settings.guard)
        subjects = Subjects(
            settings,
            answering=lambda shelf: answering(prompts=shelf).shown(examples).adapted(adapters),
            search=search,
            library=library,
            gateway=gateway,
            calibrations=Calibrations(runs, prompts.steady(), models=settings.models),
            clock=clock,
        )
        subjects.learnt = proofs.identity
        conversations, collected = Conversations(database), CollectedSuites(database)
        conversing = ConversingAnswerer(answerer, conversations)
        feedback, traces, stats = (
            Feedback(database, spans, flush=doorway.ledger.flush),
            TraceStore(database, spans, flush=doorway.ledger.flush),
            Stats(database, spans, flush=doorway.ledger.flush),
        )
        analyst, attacks = analysts(
            await asked_databases(settings, folder, database, clock, opened),
            partial(
                Analyst,
                gateway=gateway,
                notebook=Notebook(database, VerifiedPairs(database, gateway)),
                prompts=prompts,
                spans=spans,
                settings=settings.analyst,
                capture_content=settings.telemetry.capture_content,
            ),
            Range(folder.root / "red-team", clock),
            opened,
        )
        subjects.add(
            AnalystSubject(analyst, prompts.steady(), clock, model=settings.models.chat, attacks=attacks),
            TenantsSubject(
                Reached(
                    search=search,
                    answerer=conversing,
                    assistant=KnowledgeAssistant(answerer),
                    conversations=conversations,
                    library=library,
                    traces=traces,
                    feedback=feedback,
                    gateway=gateway,
                    analyst=attacks.analyst,
                ),
                subjects.knowledge_identity,
                clock,
                ready=attacks.range.state,
            ),
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
            feedback_export=FeedbackExport(
                database, Reviews(database), traces=traces, finder=finder, record=audit.record
            ),
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
            telemetry=telemetry,
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
            control=IngestControl(database=database, durable=durable, record=audit.record),
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
            moves=CollectionMoves(
                database=database, api=pinecone, upkeep=vectors, clock=clock, record=audit.record
            ),
            evals=Evals(
                runs,
                durable,
                subjects=subjects,
                personal_data=finder.kinds,
                clock=clock,
            ),
            improver=Improver(
                subjects,
                gateway=gateway,
                prompts=prompts.steady(),
                personal_data=finder.kinds,
            ),
            analyst=analyst,
            prompts=registry,
            stats=stats,
            rollups=Rollups(database, clock),
            top_questions=top_questions(settings, database, gateway, space=embedding.name, clock=clock),
            alerts=Alerts(
                database,
                stats,
                channels=alert_channels(lambda: live.current, clock),
                clock=clock,
                record=audit.record,
            ),
            slack=await slack_bot(
                settings, database, durable, conversing, feedback, clock=clock, opened=opened
            ),
        )
        if is_worker:
            await opened.enter_async_context(working(platform, durable, providers, prompts))
        yield platform


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


def _executor(folder: DataFolder, opened: AsyncExitStack, *, is_worker: bool) -> str:
    """The name that this process's durable work goes by; a worker's is claimed until the platform closes."""
    return opened.enter_context(folder.executor()) if is_worker else folder.executor_id
