"""Background ingestion: what each process that works does for it."""

from __future__ import annotations

import asyncio
import logging

from causeway.errors import CausewayError
from causeway.knowledge.ingest.pipeline import Pipeline
from causeway.knowledge.library import INGEST, Library
from causeway.settings import KnowledgeSettings
from causeway.storage.background import rest
from causeway.storage.durable import Durable

log = logging.getLogger(__name__)

IN_FLIGHT_PER_READER = 2
"""Documents that one process has begun on: as many as it reads at once, and as many again that wait to be embedded or
are, so that neither stage waits for the other. No more than that are held in memory."""


def register(durable: Durable, pipeline: Pipeline, settings: KnowledgeSettings) -> None:
    """Let durable work ingest documents; before `Durable.launch`."""
    durable.register(INGEST, pipeline.ingest, concurrency=IN_FLIGHT_PER_READER * settings.workers)


async def tend(library: Library, *, stop: asyncio.Event, every_s: float = 60.0) -> None:
    """Queue what is unfinished and not queued, at once and then ever again until ``stop`` is set.

    At start that mends a crash of this process; later on, one of a ``causeway ingest`` that ran beside it, and work
    that gave up after many tries.
    """
    while not stop.is_set():
        try:
            queued = await library.resume()
        except CausewayError as exc:
            log.warning("unfinished documents could not be queued", extra={"reason": exc.message})
        except Exception:  # a worker's loop: the next round may fare better
            log.exception("unfinished documents could not be queued")
        else:
            if queued:
                log.info("unfinished documents queued", extra={"documents": queued})
        await rest(stop, every_s)
