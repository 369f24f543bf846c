"""Whether a pooled connection still lives: looked at each time it is taken, asked over the wire only where that may tell more.

A server that stops or ends a connection closes its socket, which the operating system knows without a trip to the server. Half
of a search's trips were such questions. A connection that has slept for seconds is asked, since a firewall says nothing when
it drops one.
"""

from __future__ import annotations

import select
import time
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

_TRUSTED_S: Final = 5.0


def watch_connections(engine: Engine) -> None:
    """Replace connections of ``engine`` that died in its pool before anybody uses them."""

    @event.listens_for(engine, "checkin")
    def note_time(connection: Any, record: Any) -> None:  # noqa: ARG001 - SQLAlchemy's
        record.info["slept_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def look(connection: Any, record: Any, proxy: Any) -> None:  # noqa: ARG001 - SQLAlchemy's
        slept_since = record.info.get("slept_since")
        if slept_since is None:
            return
        if time.monotonic() - slept_since < _TRUSTED_S and not _has_news(connection.driver_connection):
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as exc:
            raise InvalidatePoolError from exc


def _has_news(connection: Any) -> bool:
    """Whether it is closed, or has something to read: a server's last words, or a harmless notice."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
