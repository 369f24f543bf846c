"""Which processes work on the queue: each says again and again that it lives, by the database's clock.

A process that is killed, or loses the network, stops saying so; when its lease has run out the others take it for dead.
One that was only slow goes on beside them, which durable work allows: it must be safe to run twice. Machines' own clocks
have no say.
"""

from __future__ import annotations

import logging
import os
import socket

from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from causeway.storage.schema import durable_workers

log = logging.getLogger(__name__)

LEASE_S = 20.0
"""Long enough for a busy machine to be late four times, short enough to wait for."""
_FORGOTTEN_AFTER = text("clock_timestamp() - interval '1 day'")


class Leases:
    """The lease of one process, and those of the others. Blocking: call it in a thread."""

    def __init__(self, engine: Engine, executor_id: str, *, lease_s: float = LEASE_S) -> None:
        self.engine = engine
        self._executor_id = executor_id
        self._lease_s = lease_s

    def renew(self, connection: Connection | None = None) -> None:
        """Say that this process lives."""
        if connection is None:
            with self.engine.begin() as own:
                self.renew(own)
            return
        now = func.clock_timestamp()
        seen = insert(durable_workers).values(
            executor_id=self._executor_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=now,
            seen_at=now,
        )
        seen = seen.on_conflict_do_update(
            index_elements=["executor_id"],
            set_={"seen_at": now, "host": seen.excluded.host, "pid": seen.excluded.pid},
        )
        connection.execute(seen)

    def living(self, connection: Connection) -> list[str]:
        """The executors that live, this one among them; those that have been dead for long are forgotten."""
        connection.execute(durable_workers.delete().where(durable_workers.c.seen_at < _FORGOTTEN_AFTER))
        lease = func.make_interval(0, 0, 0, 0, 0, 0, self._lease_s)
        is_living = durable_workers.c.seen_at > func.clock_timestamp() - lease
        return list(connection.scalars(select(durable_workers.c.executor_id).where(is_living)))

    def end(self) -> None:
        """Say that this process works no more, so that others take over at once what it left."""
        mine = durable_workers.c.executor_id == self._executor_id
        try:
            with self.engine.begin() as connection:
                connection.execute(durable_workers.delete().where(mine))
        except SQLAlchemyError:  # the database went first; the lease runs out by itself
            log.warning("the lease was not ended")
