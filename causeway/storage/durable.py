"""Work that outlives the process: queued by key, run at least once, resumed after ``kill -9``.

Owns the queue and the retries; the only file that knows DBOS (hence its length), whose tables live in the schema
``dbos`` of the same database. Does not own what the work does: a ``Task`` gets its argument string and must be safe to run twice, since
one that was running when the process died runs again.

How DBOS is used, and what of it is kept out:

- One workflow, registered under one name, looks the task up by its own name. DBOS records that the workflow was
  started and how it ended; the task keeps no steps, so its data stays in our tables.
- DBOS runs the workflow in one of its threads; the task runs on the event loop that called ``launch``, where the
  database pool lives. An asynchronous DBOS workflow would instead replace that loop's default executor.
- The application version is fixed: DBOS resumes only work of its own version, and a new release must resume the
  old one's.
- No conductor, no telemetry, no pickle: arguments and results are JSON.
- Which workers live is `leases`' to know; what those held that do not is queued again here (`Durable.tend`).

Numbers: ``bench/results/durable_queue.md``. Choice: ``docs/adr/0002-durable-work-on-dbos.md``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import Clock, SystemClock
from causeway.errors import CausewayError, DatabaseUnavailableError, TryLaterError
from causeway.seams import deferred
from causeway.storage.background import rest
from causeway.storage.database_failures import explained
from causeway.storage.leases import LEASE_S, Leases
from causeway.storage.turns_by_priority import TurnsByPriority

if TYPE_CHECKING:
    import dbos
else:  # a process that only serves needs it with its first upload
    dbos = deferred("dbos")

log = logging.getLogger(__name__)

Task = Callable[[str], Awaitable[None]]
P = ParamSpec("P")
T = TypeVar("T")
State = Literal["unknown", "pending", "done", "failed"]

_APPLICATION = "causeway"
_WORKFLOW = "causeway.run"
_SCHEMA = "dbos"


class Priority(IntEnum):
    """Which work is begun first; of equal work, what was queued first."""

    PERSON = 1
    """Somebody waits for it."""
    NORMAL = 10
    BULK = 20
    """It may take hours, and nobody misses it meanwhile."""


_POLL_S = 0.2
_AHEAD = 24
"""Tasks fetched beyond those that may run: with one fetch per poll, short tasks would leave workers idle."""

_MOST_STARTS = 50
"""A task that was running at this many crashes is given up: it may be what crashes the process."""

_RETRY_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""About a minute in all: a local model server restarts in less."""

_KEEP_FINISHED = timedelta(days=7)
_SWEEP_EVERY = 500
_SWEEP_BATCH = 1000
_CLOSE_DEADLINE_S = 5.0

_FINISHED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]

# What `DBOS.recover_pending_workflows` does, for every executor that is not alive and in one statement. A workflow that
# a living one has taken meanwhile has that one's name, so that of two who do this at once one finds nothing.
_TAKE_OVER = text(
    f"""
    UPDATE {_SCHEMA}.workflow_status
    SET status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL,
        updated_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    WHERE status = 'PENDING' AND queue_name IS NOT NULL AND application_version = '{_APPLICATION}'
        AND executor_id <> ALL(:living)
    """  # noqa: S608 - constants
)
_WITHDRAW = text(
    f"""
    UPDATE {_SCHEMA}.workflow_status
    SET status = 'CANCELLED', completed_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
        updated_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    WHERE status = 'ENQUEUED' AND workflow_uuid = ANY(:keys)
    """  # noqa: S608 - constants
)


@dataclass(frozen=True, slots=True)
class _Registered:
    run: Task
    concurrency: int


class Durable:
    """The queue of one process.

    A process may only enqueue, or also work: register the tasks, then ``launch``, and ``tend`` meanwhile. Any number of
    processes may work on one database, each under an ``executor_id`` of its own; one ``Durable`` per process works at
    a time, because DBOS is one per process.

    Args:
        url: The database's SQLAlchemy URL, of a server itself and not of a transaction pooler before it.
        executor_id: The same after a restart; what was running under it is resumed by ``launch``.
        retry_after_s: Waits between the attempts at a task that asks to be tried later.
        grace_s: What ``close`` gives running tasks to end.
        lease_s: A worker that has not said for so long that it lives is dead, and others take over what it held.
    """

    def __init__(
        self,
        url: str,
        *,
        executor_id: str,
        clock: Clock | None = None,
        retry_after_s: Sequence[float] = _RETRY_AFTER_S,
        grace_s: float = 5.0,
        lease_s: float = LEASE_S,
    ) -> None:
        self._url = make_url(url)
        self._executor_id = executor_id
        self._lease_s = lease_s
        self._clock = clock or SystemClock()
        self._retry_after_s = retry_after_s
        self._grace_s = grace_s
        self._tasks: dict[str, _Registered] = {}
        self._opening = threading.Lock()
        self._connection: _Connection | None = None
        self._worker: _Worker | None = None
        self._leases: Leases | None = None
        self._calls: set[asyncio.Future[Any]] = set()

    def register(self, name: str, run: Task, *, concurrency: int) -> None:
        """Say what does the work called ``name``, and how much of it at the same time; before ``launch``."""
        if name in self._tasks or self._worker is not None:
            raise RuntimeError(f"the work '{name}' is registered twice, or after launch")
        self._tasks[name] = _Registered(run, concurrency)

    async def launch(self) -> None:
        """Start working: first on what was running when this executor's last process ended.

        Raises:
            DatabaseUnavailableError: The database cannot be reached.
        """
        connection = await self._reach()
        leases = Leases(connection.engine, self._executor_id, lease_s=self._lease_s)
        with explained(self._url):
            await asyncio.to_thread(leases.renew)  # before others could take it for dead
        worker = _Worker(
            connection, self._tasks, self._executor_id, clock=self._clock, retry_after_s=self._retry_after_s
        )
        with explained(self._url):
            await asyncio.to_thread(worker.start)
        self._worker, self._leases = worker, leases

    async def tend(self, *, stop: asyncio.Event) -> None:
        """Say that this worker lives and take over what dead ones held, until ``stop`` is set; after ``launch``.

        What a killed worker was at is begun again at most a lease and a quarter after it was last seen.
        """
        while not stop.is_set():
            try:
                taken = await self.take_over()
            except CausewayError as exc:
                log.warning("the lease was not renewed", extra={"reason": exc.message})
            else:
                if taken:
                    log.warning("work of a dead worker taken over", extra={"count": taken})
            await rest(stop, self._lease_s / 4)

    async def take_over(self) -> int:
        """Renew this worker's lease and queue again what workers held whose leases have run out; how much that was.

        Raises:
            DatabaseUnavailableError: The database cannot be reached.
        """
        leases = self._leases
        if leases is None:
            msg = "launch first: who only enqueues has no lease"
            raise RuntimeError(msg)
        with explained(self._url):
            return await self._in_thread(_take_over, leases)

    async def enqueue(
        self,
        name: str,
        argument: str,
        *,
        key: str,
        within: AsyncConnection | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> None:
        """Have ``argument`` worked on; a key that was enqueued before, even if done since, changes nothing.

        Args:
            name: The task, which the process that works must have registered.
            argument: All that the task gets; ids, not contents.
            key: What makes this work one piece, whoever enqueues it however often.
            within: A connection whose transaction decides whether the work exists; None commits at once. Await
                ``state`` or ``launch`` before opening it: the first call may make the queue's tables, which
                waits for open transactions and so would wait for this one for ever.
            priority: Whom it overtakes.

        Raises:
            DatabaseUnavailableError: The database cannot be reached.
        """
        if within is not None and self._connection is None:
            raise RuntimeError(f"await state() or launch() before enqueueing '{key}' within a transaction")
        client = (await self._reach()).client
        options: dbos.EnqueueOptions = {
            "workflow_name": _WORKFLOW,
            "queue_name": name,
            "workflow_id": key,
            "app_version": _APPLICATION,
            "priority": int(priority),
        }
        work: list[str | int] = [name, argument, key]
        if priority != Priority.NORMAL:
            work.append(int(priority))
        if within is not None:
            await within.run_sync(
                lambda connection: client.enqueue_in_transaction(connection, options, *work)
            )
            return
        with explained(self._url):
            await self._in_thread(client.enqueue, options, *work)

    async def withdraw(self, keys: Sequence[str], *, within: AsyncConnection) -> None:
        """Forget the work of ``keys`` that nobody has begun; with the transaction that ``within`` is in."""
        if keys:
            await within.execute(_WITHDRAW, {"keys": list(keys)})

    async def state(self, key: str) -> State:
        """How far the work of ``key`` is; finished work is remembered for a week.

        Raises:
            DatabaseUnavailableError: The database cannot be reached.
        """
        client = (await self._reach()).client
        with explained(self._url):
            found = await self._in_thread(client.list_workflows, workflow_ids=[key], load_input=False)
        if not found:
            return "unknown"
        match found[0].status:
            case "ENQUEUED" | "DELAYED" | "PENDING":
                return "pending"
            case "SUCCESS":
                return "done" if found[0].output == "done" else "failed"
            case _:
                return "failed"

    async def close(self) -> None:
        """Stop working and let go of the database.

        Running tasks get ``grace_s`` to end; then they are cancelled and run again after the next ``launch``.
        """
        worker, self._worker = self._worker, None
        try:
            if worker is not None:
                await worker.stop(self._grace_s)
            leases, self._leases = self._leases, None
            if leases is not None:
                await asyncio.to_thread(leases.end)
        finally:
            if self._calls:
                await asyncio.wait(self._calls, timeout=_CLOSE_DEADLINE_S)
            connection, self._connection = self._connection, None
            if connection is not None:
                await asyncio.to_thread(connection.close)

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``call`` in a thread, which runs on when its caller is cancelled, and which ``close`` waits for.

        A connection that such a thread returned to a pool that is closed already would stay open.
        """
        running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
        self._calls.add(running)
        running.add_done_callback(self._settle)
        return await asyncio.shield(running)

    def _settle(self, call: asyncio.Future[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # now it has been seen, should its caller be gone

    async def _reach(self) -> _Connection:
        if self._connection is None:
            with explained(self._url):
                return await self._in_thread(self._open)
        return self._connection

    def _open(self) -> _Connection:
        with self._opening:
            if self._connection is None:
                self._connection = _Connection(self._url)
            return self._connection


class _Connection:
    """The queue's tables, made when they are not there, and a client of them."""

    def __init__(self, url: URL) -> None:
        _route_logs()
        self.url = url.render_as_string(hide_password=False)
        dbos.DBOS.migrate(self.url, schema=_SCHEMA)
        # two are held for listening and for the lock of DBOS's own jobs; queues and workflows share the others
        self.engine: Engine = create_engine(
            url,
            pool_size=8,
            max_overflow=4,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "application_name": "causeway durable"},
        )
        self.client = dbos.DBOSClient(
            system_database_engine=self.engine,
            dbos_system_schema=_SCHEMA,
            serializer=dbos.DBOSPortableJSONSerializer(),
            application_name=_APPLICATION,
            retry_connection_errors=False,
        )

    def close(self) -> None:
        self.client.destroy()
        self.engine.dispose()


class _Interrupted(BaseException):
    """Ends a workflow's thread without an outcome, so DBOS leaves the work to be resumed.

    Not an ``Exception``: DBOS would record that as how the work ended.
    """


_THE_WORKER_OF_THIS_PROCESS = threading.Lock()


class _Worker:
    """DBOS, launched, and the tasks that it makes run on the event loop."""

    def __init__(
        self,
        connection: _Connection,
        tasks: dict[str, _Registered],
        executor_id: str,
        *,
        clock: Clock,
        retry_after_s: Sequence[float],
    ) -> None:
        self._connection = connection
        self._tasks = tasks
        self._executor_id = executor_id
        self._clock = clock
        self._retry_after_s = retry_after_s
        self._loop = asyncio.get_running_loop()
        self._turns = {name: TurnsByPriority(task.concurrency) for name, task in tasks.items()}
        self._attended: set[asyncio.Task[object]] = set()
        self._running: set[asyncio.Task[object]] = set()
        self._interrupted: set[str] = set()
        self._is_closing = False
        self._is_stopped = False
        self._finished = 0

    # --- in a thread, where DBOS may block -----------------------------------------------------------

    def start(self) -> None:
        if not _THE_WORKER_OF_THIS_PROCESS.acquire(blocking=False):
            raise RuntimeError(
                f"another Durable works in this process; close it before '{self._executor_id}'"
            )
        try:
            self._launch()
        except BaseException:
            self._destroy()
            raise
        self._sweep()

    def _launch(self) -> None:
        for name, task in self._tasks.items():
            self._connection.client.register_queue(
                name, worker_concurrency=task.concurrency + _AHEAD, polling_interval_sec=_POLL_S
            )
        dbos.DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=_MOST_STARTS)(self._workflow())
        config: dbos.DBOSConfig = {
            "name": _APPLICATION,
            "application_version": _APPLICATION,
            "executor_id": self._executor_id,
            "system_database_url": self._connection.url,
            "system_database_engine": self._connection.engine,
            "dbos_system_schema": _SCHEMA,
            "serializer": dbos.DBOSPortableJSONSerializer(),
            "run_migrations": False,
            "enable_otlp": False,
            "log_level": "WARNING",
            "scheduler_polling_interval_sec": 3600.0,
        }
        dbos.DBOS(config=config)
        dbos.DBOS.listen_queues(list(self._tasks))
        dbos.DBOS.launch()

    def _workflow(self) -> Callable[..., str]:
        def run(name: str, argument: str, key: str, priority: int = Priority.NORMAL) -> str:
            attending = self._attend(name, argument, key, priority)
            try:
                return asyncio.run_coroutine_threadsafe(attending, self._loop).result()
            except concurrent.futures.CancelledError:
                self._interrupted.add(key)
                raise _Interrupted from None

        return run

    def _destroy(self) -> None:
        try:
            dbos.DBOS.destroy(destroy_registry=True)
        finally:
            _THE_WORKER_OF_THIS_PROCESS.release()

    def _sweep(self) -> None:
        """Forget work that finished long ago, so the tables do not grow for ever."""
        client = self._connection.client
        old_ones = partial(
            client.list_workflows,
            status=_FINISHED,
            completed_before=(self._clock.now() - _KEEP_FINISHED).isoformat(),
            limit=_SWEEP_BATCH,
            load_input=False,
            load_output=False,
        )
        try:
            while old := old_ones():
                client.delete_workflows([workflow.workflow_id for workflow in old])
                log.info("finished work forgotten", extra={"count": len(old)})
        except SQLAlchemyError:
            log.warning("finished work not forgotten", exc_info=True)

    def _await_outcomes(self) -> None:
        """Wait, briefly, until DBOS has recorded how the tasks that have ended did."""
        deadline = time.monotonic() + _CLOSE_DEADLINE_S
        pending = partial(
            self._connection.client.list_workflows,
            status="PENDING",
            executor_id=self._executor_id,
            load_input=False,
            load_output=False,
        )
        try:
            while time.monotonic() < deadline:
                if all(workflow.workflow_id in self._interrupted for workflow in pending()):
                    return
                time.sleep(0.02)
        except SQLAlchemyError:  # the database went first; what has ended runs again, and changes nothing
            log.warning("the queue closed without its database")

    # --- on the event loop ---------------------------------------------------------------------------

    async def stop(self, grace_s: float) -> None:
        self._is_closing = True
        try:
            if self._running:
                await asyncio.wait(self._running, timeout=grace_s)
            self._is_stopped = True
            for attended in self._attended:
                attended.cancel()
            if self._attended:
                await asyncio.wait(self._attended, timeout=_CLOSE_DEADLINE_S)
            await asyncio.to_thread(self._await_outcomes)
        finally:
            await asyncio.to_thread(self._destroy)

    async def _attend(self, name: str, argument: str, key: str, priority: int) -> Literal["done", "failed"]:
        """Wait for a place, run the task, say how it ended."""
        current = asyncio.current_task()
        if current is None or self._is_stopped:
            raise asyncio.CancelledError
        self._attended.add(current)
        try:
            async with self._turns[name].turn(priority):
                if self._is_closing:
                    await self._loop.create_future()  # until it is cancelled: keeps DBOS from fetching more
                self._running.add(current)
                outcome = await self._run(name, argument, key)
        finally:
            self._running.discard(current)
            self._attended.discard(current)
        self._finished += 1
        if self._finished % _SWEEP_EVERY == 0:
            await asyncio.to_thread(self._sweep)
        return outcome

    async def _run(self, name: str, argument: str, key: str) -> Literal["done", "failed"]:
        run = self._tasks[name].run
        waits = iter(self._retry_after_s)
        while True:
            try:
                await run(argument)
            except (TryLaterError, DatabaseUnavailableError) as exc:
                wait_s = next(waits, None)
                if wait_s is None:
                    log.warning("work given up", extra={"work": name, "key": key, "reason": str(exc)})
                    return "failed"
                log.warning("work tried again", extra={"work": name, "key": key, "reason": str(exc)})
                await asyncio.sleep(wait_s)
            except CausewayError as exc:
                log.warning("work failed", extra={"work": name, "key": key, "reason": str(exc)})
                return "failed"
            except Exception:  # a worker's loop: one bad piece of work must not stop the others
                log.exception("work failed", extra={"work": name, "key": key})
                return "failed"
            else:
                return "done"


def _take_over(leases: Leases) -> int:
    with leases.engine.begin() as connection:
        leases.renew(connection)
        living = leases.living(connection)
        return connection.execute(_TAKE_OVER, {"living": living}).rowcount


# --- what both share -------------------------------------------------------------------------------------


def _route_logs() -> None:
    """Send DBOS's lines to our handlers: with a handler of its own, it prints to the console."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.addFilter(_BriefLines())
    logger.setLevel(logging.WARNING)


class _BriefLines(logging.Filter):
    """Keeps of what DBOS says the first line, once: without its database it repeats tracebacks every second.

    The errors of our own code are not among them: a task's are caught and logged by `_Worker`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: deque[str] = deque(maxlen=32)

    def filter(self, record: logging.LogRecord) -> bool:
        line = record.getMessage().partition("\n")[0].removesuffix("Traceback (most recent call last):")
        record.msg, record.args, record.exc_info = line, None, None
        if line in self._said:
            return False
        self._said.append(line)
        return True
