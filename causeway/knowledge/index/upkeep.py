"""What the one working process does for the index, again and again: moves of collections, and what writes leave to do."""

from __future__ import annotations

import asyncio
import logging

from causeway.errors import CausewayError
from causeway.knowledge.index.collection_moves import CollectionMoves
from causeway.knowledge.index.stores import ChunkIndex
from causeway.storage.background import rest

log = logging.getLogger(__name__)

_STEP_S = 240.0
"""Longest time that a step may take: the lock that it holds is the database's for five minutes."""


async def tend(
    index: ChunkIndex,
    moves: CollectionMoves,
    *,
    stop: asyncio.Event,
    waiting_s: float = 2.0,
    idle_s: float = 5.0,
) -> None:
    """Make steps until ``stop`` is set: at once while there is something to do, and else ever again."""
    while not stop.is_set():
        pause_s = idle_s
        try:
            async with asyncio.timeout(_STEP_S):
                moved, kept = await moves.step(), await index.maintain()
            if moved.done or kept.done:
                pause_s = 0.0
            elif moved.waiting or kept.waiting:
                pause_s = waiting_s
        except TimeoutError:
            log.warning("the upkeep of the index takes too long", extra={"seconds": _STEP_S})
        except CausewayError as exc:
            log.warning("the upkeep of the index has to wait", extra={"reason": exc.message})
        except Exception:  # a worker's loop: the next round may fare better
            log.exception("the upkeep of the index failed")
        await rest(stop, pause_s)
