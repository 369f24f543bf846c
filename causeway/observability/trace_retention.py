"""Deletes old traces, a small batch a transaction, so that nothing waits for it: ``bench/traces.py`` has it beside writers.

A trace is as old as its arrival, not as its own clock says: a program whose clock is a year slow would lose its traces at
once, and one whose clock is fast would never.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text

from causeway.observability.trace_policy import TracePolicy
from causeway.storage.database import Database

_BATCH: Final = 500
_PAUSE_S: Final = 0.02
_PROJECTS: Final = text(
    "WITH RECURSIVE found AS ("
    "(SELECT project FROM trace_summaries ORDER BY project LIMIT 1) UNION ALL "
    "SELECT (SELECT project FROM trace_summaries WHERE project > found.project ORDER BY project LIMIT 1) FROM found "
    "WHERE found.project IS NOT NULL) SELECT project FROM found WHERE project IS NOT NULL"
)
_FORGET: Final = text(
    "WITH old AS (SELECT trace_id FROM trace_summaries WHERE project = :project AND stored_at < :before "
    "ORDER BY stored_at LIMIT :batch FOR UPDATE SKIP LOCKED), "
    "steps AS (DELETE FROM spans USING old WHERE spans.trace_id = old.trace_id) "
    "DELETE FROM trace_summaries USING old WHERE trace_summaries.trace_id = old.trace_id"
)


async def forget_old(database: Database, now: datetime, policy: TracePolicy) -> int:
    """Delete what is older than its project keeps it; how many traces there were."""
    async with database.connect() as connection:
        projects = (await connection.execute(_PROJECTS)).scalars().all()
    gone = 0
    for project in projects:
        before = now - timedelta(days=policy.days(project))
        while deleted := await _forget(database, project, before):
            gone += deleted
            await asyncio.sleep(_PAUSE_S)
    return gone


async def _forget(database: Database, project: str, before: datetime) -> int:
    async with database.begin() as connection:
        done = await connection.execute(_FORGET, {"project": project, "before": before, "batch": _BATCH})
        return int(done.rowcount)
