"""Background work of a process: durable work, and what comes round again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from causeway.errors import CausewayError
from causeway.gateway.providers import Providers
from causeway.knowledge.index import upkeep
from causeway.knowledge.ingest import worker
from causeway.knowledge.ingest.bounded_sandbox import BoundedSandbox
from causeway.knowledge.ingest.chunk_context import ContextWriter
from causeway.knowledge.ingest.chunk_strategies import ChunkStrategies
from causeway.knowledge.ingest.personal_data import PersonalData
from causeway.knowledge.ingest.pipeline import Pipeline
from causeway.knowledge.ingest.preparation import Preparation
from causeway.knowledge.ingest.revisions import Revisions
from causeway.knowledge.ingest.sandbox import ParseLimits
from causeway.knowledge.ingest.warm_sandbox import WarmSandbox
from causeway.knowledge.originals import Originals
from causeway.prompts.shelf import Shelf
from causeway.storage.background import rest
from causeway.storage.durable import Durable
from causeway.wiring.platform import Platform

log = logging.getLogger(__name__)

_TIDY_EVERY_S = 3600.0


@asynccontextmanager
async def working(
    platform: Platform, durable: Durable, providers: Providers, prompts: Shelf
) -> AsyncIterator[None]:
    """Background work, until the block ends."""
    await platform.index.prepare()
    async with WarmSandbox(ParseLimits.from_settings(platform.settings.knowledge)) as sandbox:
        pipeline = _pipeline(platform, providers, prompts, sandbox)
        async with _registered(platform, durable, pipeline):
            yield


def _pipeline(platform: Platform, providers: Providers, prompts: Shelf, sandbox: WarmSandbox) -> Pipeline:
    """How a file becomes searchable."""
    settings = platform.settings
    contexts = ContextWriter(
        database=platform.database, gateway=platform.gateway, prompts=prompts, model=settings.models.fast
    )
    strategies = ChunkStrategies(
        providers.tokenizer(), default_tokens=settings.knowledge.chunk_tokens, contexts=contexts
    )
    return Pipeline(
        revisions=Revisions(
            database=platform.database, originals=Originals(database=platform.database, blobs=platform.blobs)
        ),
        index=platform.index,
        preparation=Preparation(strategies=strategies, personal_data=PersonalData(settings.guard)),
        gateway=platform.gateway,
        spans=platform.telemetry.spans,
        model="embed",
        sandbox=BoundedSandbox(sandbox, at_once=settings.knowledge.workers),
    )


@asynccontextmanager
async def _registered(platform: Platform, durable: Durable, pipeline: Pipeline) -> AsyncIterator[None]:
    """Every kind of durable work known, and what comes round again going round, until the block ends."""
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
            await platform.traces.forget_old(now, platform.telemetry.policy)
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
