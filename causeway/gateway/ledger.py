"""The ledger: one line for every model call, in exact micro-dollars, kept apart from traces.

A call writes two lines, when its cost is reserved and when it has ended, each a few microseconds into the journal;
the database gets them in batches behind its back. Nothing is lost on a clean stop or when the process is killed; what
the journal says of a machine that loses its power is in its own docstring. While PostgreSQL is away the newest entries
are kept in memory and all of them in the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, closing
from datetime import datetime
from itertools import islice
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from causeway.contracts.money import Micros
from causeway.errors import CausewayError, OperatorError
from causeway.gateway.entries import (
    Opening,
    Row,
    encoded_opening,
    encoded_row,
    interrupted,
)
from causeway.gateway.journal import Journal, Orphan, orphans, read_segment
from causeway.gateway.ledger_table import BudgetScope, LedgerTable
from causeway.storage.background import alongside
from causeway.storage.database import Database
from causeway.storage.random_hex import time_ordered_hex

log = logging.getLogger(__name__)

Settle = Callable[[str, Micros, int], Awaitable[None]]
"""Told a call's id, cost and tokens, at most once, when its process died before it may have settled the call."""

_BATCH = 2_000
_MOST_PENDING = 20_000
_MOST_PENDING_BYTES = 64_000_000
_SEGMENT_BYTES = 4_000_000
_ADOPT_EVERY_S = 60.0
_FAILED = (CausewayError, SQLAlchemyError, OSError)


def new_call_id() -> str:
    """An id for a call, its ledger line and its reservations."""
    return f"call_{time_ordered_hex()}"


@asynccontextmanager
async def open_ledger(
    database: Database, folder: Path, *, flush_s: float, settle: Settle | None = None
) -> AsyncIterator[Ledger]:
    """The ledger of this process until the block ends, which writes everything down.

    Args:
        database: Where the entries go.
        folder: Holds the journals of every process of this machine, on a disk of its own machine; made when missing.
        flush_s: How often the database gets what is new.
        settle: Puts the shared budgets right for calls of processes that died.

    Raises:
        DiskFullError: There is no room for a journal.
        OperatorError: The folder cannot be written to.
    """
    ledger = Ledger(database, Journal(folder), folder, settle=settle)
    try:
        await ledger.adopt()
        async with alongside(ledger.keep_flushing(flush_s), ledger.keep_adopting()):
            yield ledger
    finally:
        await ledger.close()


class Ledger:
    """Takes entries; made by ``open_ledger``."""

    def __init__(self, database: Database, journal: Journal, folder: Path, *, settle: Settle | None) -> None:
        self._table = LedgerTable(database, folder / "unstorable.jsonl")
        self._journal = journal
        self._folder = folder
        self._settle = settle
        self._open: dict[str, bytes] = {}
        self._pending: deque[bytes] = deque()
        self._unjournaled: deque[bytes] = deque()
        self._spilled: list[Path] = []
        self._is_due = asyncio.Event()
        self._turn = asyncio.Lock()
        self._has_room = True
        self._is_flowing = True
        self._lost = 0

    @property
    def waiting(self) -> int:
        """Entries in memory that the database does not have yet."""
        return len(self._pending) + len(self._unjournaled)

    def opened(self, opening: Opening) -> None:
        """A call begins: nothing may be spent on it before this has returned.

        Raises:
            DiskFullError: There is no room to write it down, so the call must not be made.
            OperatorError: The disk failed; the same holds.
        """
        line = encoded_opening(opening)
        try:
            self._journal.opened(line)
        except OperatorError as exc:
            self._tell_room(exc)
            raise
        self._tell_room(None)
        self._open[opening.id] = line

    def closed(self, row: Row) -> None:
        """A call has ended, whether it was opened or refused before that; never raises."""
        line = encoded_row(row)
        self._open.pop(row.id, None)
        try:
            self._journal.closed(line)
        except OperatorError as exc:  # the money is spent: memory holds it until the database does
            self._tell_room(exc)
            self._hold(line)
        else:
            self._pending.append(line)
        if len(self._pending) >= _BATCH:
            self._is_due.set()
        if len(self._pending) >= _MOST_PENDING or self._journal.size_bytes >= _MOST_PENDING_BYTES:
            self._spill()

    async def spent(self, scope: BudgetScope, spender: str, start: datetime) -> Micros:
        """What a key, team or tier has spent on calls that began at ``start`` or later, up to this moment.

        It knows every ended call of this process and what other processes have flushed.

        Raises:
            DatabaseUnavailableError: The server cannot be reached.
        """
        await self.flush()
        return await self._table.spent(scope, spender, start)

    async def flush(self) -> None:
        """Bring the database up to date with every call of this process that has ended.

        Raises:
            DatabaseUnavailableError: The server cannot be reached; nothing is lost.
            DiskFullError: The server has no room left.
            DeadlineError: It did not answer in time; nothing is lost.
        """
        async with self._turn:
            sealed = list(self._journal.sealed)  # before the first wait: what they hold is in the queues now
            await self._drain(self._unjournaled)
            for segment in list(self._spilled):
                await self._replay(segment)
                self._spilled.remove(segment)
            await self._drain(self._pending)
            for segment in sealed:
                if segment not in self._spilled:
                    self._journal.discard(segment)
            self._shorten_journal()

    async def adopt(self) -> None:
        """Write down the calls of processes that died, those they were making at the cost reserved for them."""
        try:
            with closing(orphans(self._folder)) as found:
                for orphan in found:
                    await self._adopt(orphan)
        except _FAILED as exc:
            log.warning("calls of a process that died wait to be settled", extra={"reason": _reason(exc)})

    async def keep_flushing(self, every_s: float) -> None:
        """Flush every so often, or when a batch is full, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(every_s):
                    await self._is_due.wait()
            except TimeoutError:
                pass
            self._is_due.clear()
            if not await self._try_flush():
                await asyncio.sleep(every_s)

    async def keep_adopting(self) -> None:
        """Look for journals of dead processes every minute, until cancelled."""
        while True:
            await asyncio.sleep(_ADOPT_EVERY_S)
            await self.adopt()

    async def close(self) -> None:
        """Flush; what cannot be flushed now is adopted by the next process that starts."""
        is_flushed = False
        try:
            is_flushed = await self._try_flush()
        finally:
            self._journal.close(is_settled=is_flushed and not self._open)

    async def _try_flush(self) -> bool:
        try:
            await self.flush()
        except _FAILED as exc:
            if self._is_flowing:
                log.warning("the ledger waits in its journal", extra={"reason": _reason(exc)})
            self._is_flowing = False
            return False
        if not self._is_flowing:
            log.info("the ledger is written to the database again")
        self._is_flowing = True
        return True

    def _hold(self, line: bytes) -> None:
        """Keep what the journal has no room for. Only calls that were refused can come to so many."""
        if len(self._unjournaled) < _MOST_PENDING:
            self._unjournaled.append(line)
            return
        self._lost += 1
        if self._lost == 1:
            log.error("entries of refused calls are lost: journal and database both refuse them")

    async def _drain(self, queue: deque[bytes]) -> None:
        """Insert what is in the queue now; what is added meanwhile stays for the next time."""
        left = len(queue)
        while left > 0 and queue:
            batch = [queue.popleft() for _ in range(min(left, _BATCH, len(queue)))]
            left -= len(batch)
            is_stored = False
            try:
                await self._table.insert(batch)
                is_stored = True
            finally:
                if not is_stored:
                    queue.extendleft(reversed(batch))

    async def _replay(self, segment: Path) -> None:
        rows = (record for record in read_segment(segment) if isinstance(record, Row))
        while batch := list(islice(rows, _BATCH)):
            await self._table.insert([encoded_row(row) for row in batch])

    def _spill(self) -> None:
        """Leave what is pending to the journal: memory has had enough of it."""
        try:
            self._journal.seal(self._open.values())
        except OperatorError as exc:
            self._tell_room(exc)
            return
        self._spilled = list(self._journal.sealed)
        self._pending.clear()

    def _shorten_journal(self) -> None:
        is_settled = not (self._open or self._pending or self._unjournaled or self._spilled)
        if is_settled and self._journal.size_bytes:
            self._journal.clear()
        elif self._journal.size_bytes > _SEGMENT_BYTES:
            try:
                self._journal.seal(self._open.values())
            except OperatorError as exc:
                self._tell_room(exc)

    async def _adopt(self, orphan: Orphan) -> None:
        adopted = 0
        for batch in orphan.rows(_BATCH):
            adopted += await self._settled(batch)
        broken_off = [interrupted(opening) for opening in orphan.never_closed()]
        await self._settled(broken_off)
        orphan.discard()
        if adopted or broken_off:
            log.warning(
                "calls of a process that died were settled",
                extra={"ended": adopted, "interrupted": len(broken_off)},
            )

    async def _settled(self, rows: Iterable[Row]) -> int:
        """Insert rows and settle those that were new; how many."""
        known = {row.id: row for row in rows}
        new = await self._table.insert_new([encoded_row(row) for row in known.values()])
        if self._settle is not None:
            for row in (known[call_id] for call_id in new):
                try:
                    await self._settle(row.id, Micros(row.cost_micros), row.input_tokens + row.output_tokens)
                except CausewayError as exc:  # its reservation ends by itself, at the cost reserved
                    log.warning("a call that broke off was not settled", extra={"reason": exc.message})
        return len(new)

    def _tell_room(self, failure: OperatorError | None) -> None:
        """Say once that calls cannot be written down, and once that they can again."""
        if failure is not None and self._has_room:
            log.error("calls are refused: they cannot be written down", extra={"reason": failure.message})
        elif failure is None and not self._has_room:
            log.info("calls are written down again")
        self._has_room = failure is None


def _reason(error: BaseException) -> str:
    return error.message if isinstance(error, CausewayError) else type(error).__name__
