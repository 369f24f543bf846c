"""What any process changes in the database, heard by every other at once: PostgreSQL's LISTEN and NOTIFY.

Triggers tell ``<table> <id>`` in the transaction of the change, so a notice arrives if and when the change is
committed. Whoever caches rows follows their table and uses the cache only while ``is_live``: a connection that broke,
or sits behind a pooler that swallows notices, is found out by a beat that the process sends to itself. Without
``listening`` nothing is ever live, which is right for a command that ends soon.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from causeway.storage.background import alongside
from causeway.storage.database import Database

log = logging.getLogger(__name__)

_CHANNEL = "causeway_changes"
_BEAT_EVERY_S = 5.0
_BEAT_DEADLINE_S = 3.0
"""A change made while the network to the server is cut is noticed, as a cache that is no longer used, within both."""
_CONNECT_DEADLINE_S = 10
_RETRY_S = 1.0

Heard = Callable[[str | None], None]
"""Takes the id of what changed; None when anything may have."""


class Notices:
    """The notices of one database; several caches may follow them over one connection."""

    def __init__(self, database: Database, *, beat_every_s: float = _BEAT_EVERY_S) -> None:
        self.is_live = False
        """Whether every change committed from now on is heard."""
        self._database = database
        self._beat_every_s = beat_every_s
        self._followers: dict[str, list[Heard]] = defaultdict(list)
        self._was_told = False
        self._went_live = asyncio.Event()

    def follow(self, table: str, heard: Heard) -> None:
        """Call ``heard`` in the event loop for each change of a table, and with None when notices may be missing."""
        self._followers[table].append(heard)

    async def live(self) -> None:
        """Wait until changes are heard."""
        await self._went_live.wait()

    def listening(self) -> AbstractAsyncContextManager[None]:
        """Hear changes until the block ends, over a connection of its own that is opened anew when it breaks."""
        return alongside(self._listen())

    async def _listen(self) -> None:
        while True:
            try:
                async with await self._connected() as connection:
                    await self._hear(connection)
            except (psycopg.Error, OSError, TimeoutError) as exc:
                self._complain(exc)
            finally:
                self._set_live(is_live=False)
            await asyncio.sleep(_RETRY_S)

    async def _connected(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        url = self._database.engine.url
        given = {**url.translate_connect_args(username="user", database="dbname"), **url.query}
        return await psycopg.AsyncConnection.connect(
            make_conninfo(**given),
            autocommit=True,
            connect_timeout=_CONNECT_DEADLINE_S,
            application_name="causeway notices",
        )

    async def _hear(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        own = f"causeway_beat_{secrets.token_hex(8)}"
        async with asyncio.timeout(_BEAT_DEADLINE_S):
            for channel in (_CHANNEL, own):
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        while True:
            await self._beat(connection, own)
            self._set_live(is_live=True)
            async for notice in connection.notifies(timeout=self._beat_every_s):
                self._tell(notice)

    async def _beat(self, connection: psycopg.AsyncConnection[tuple[object, ...]], own: str) -> None:
        """Send a notice to ourselves and wait until it is back, passing on what comes before it."""
        is_back = False
        async with asyncio.timeout(_BEAT_DEADLINE_S):
            await connection.execute("SELECT pg_notify(%s, '')", (own,))
            while not is_back:
                # to its end, never a break: a notice that came in the same packet would be lost
                async for notice in connection.notifies(stop_after=1):
                    is_back = is_back or notice.channel == own
                    self._tell(notice)

    def _tell(self, notice: psycopg.Notify) -> None:
        if notice.channel != _CHANNEL:
            return
        table, _, changed = notice.payload.partition(" ")
        for heard in self._followers.get(table, ()):
            heard(changed)

    def _set_live(self, *, is_live: bool) -> None:
        if is_live == self.is_live:
            return
        self.is_live = is_live
        for heard in [heard for followers in self._followers.values() for heard in followers]:
            heard(None)
        if is_live:
            self._was_told = False
            self._went_live.set()
        else:
            self._went_live.clear()

    def _complain(self, error: BaseException) -> None:
        if not self._was_told:
            self._was_told = True
            log.warning(
                "changes made by other processes are not heard; what they may change is read anew on every call",
                extra={"reason": str(error) or type(error).__name__},
            )
