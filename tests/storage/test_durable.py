from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from causeway.errors import DatabaseUnavailableError, ModelUnavailableError, UnreadableDocumentError
from causeway.settings import DatabaseSettings
from causeway.storage import embedded_postgres
from causeway.storage.database import Database, open_database
from causeway.storage.durable import Durable, Priority, Task
from causeway.testing.clock import FrozenClock

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
Launch = Callable[..., Awaitable[Durable]]


@pytest.fixture
async def launch(database: Database) -> AsyncIterator[Launch]:
    """Launches a worker with one task; closes what the test left open."""
    opened: list[Durable] = []

    async def launch(run: Task, *, concurrency: int = 4, clock: FrozenClock | None = None) -> Durable:
        durable = Durable(
            database.url, executor_id="exe_test", clock=clock, retry_after_s=(0.0, 0.0), grace_s=0.3
        )
        opened.append(durable)
        durable.register("work", run, concurrency=concurrency)
        await durable.launch()
        return durable

    yield launch
    for durable in opened:
        await durable.close()


@pytest.fixture
def settled(eventually: Eventually) -> Callable[[Durable, str], Awaitable[str]]:
    async def settled(durable: Durable, key: str) -> str:
        async def is_settled() -> bool:
            return await durable.state(key) in {"done", "failed"}

        await eventually(is_settled)
        return await durable.state(key)

    return settled


Settled = Callable[[Durable, str], Awaitable[str]]


class Recorder:
    """A task that notes its arguments and fails as told."""

    def __init__(self, *failures: Exception) -> None:
        self.arguments: list[str] = []
        self._failures = list(failures)

    async def __call__(self, argument: str) -> None:
        self.arguments.append(argument)
        if self._failures:
            raise self._failures.pop(0)


async def test_enqueued_work_gets_its_argument_and_is_done(launch: Launch, settled: Settled) -> None:
    task = Recorder()
    durable = await launch(task)

    await durable.enqueue("work", "doc_1@1", key="ingest:doc_1@1")

    assert await settled(durable, "ingest:doc_1@1") == "done"
    assert task.arguments == ["doc_1@1"]
    assert await durable.state("ingest:doc_2@1") == "unknown"


async def test_key_counts_once_also_when_it_is_done(launch: Launch, settled: Settled) -> None:
    task = Recorder()
    durable = await launch(task)
    for _ in range(3):
        await durable.enqueue("work", "a", key="a")
    await settled(durable, "a")

    await durable.enqueue("work", "a", key="a")
    await durable.enqueue("work", "b", key="b")

    assert await settled(durable, "b") == "done"
    assert task.arguments == ["a", "b"]


async def test_process_that_does_not_work_can_enqueue_for_one_that_does(
    database: Database, launch: Launch, settled: Settled
) -> None:
    visitor = Durable(database.url, executor_id="exe_visitor")
    await visitor.enqueue("work", "early", key="early")
    assert await visitor.state("early") == "pending"

    task = Recorder()
    await launch(task)
    await visitor.enqueue("work", "late", key="late")

    assert await settled(visitor, "early") == "done"
    assert await settled(visitor, "late") == "done"
    assert sorted(task.arguments) == ["early", "late"]
    await visitor.close()


async def test_work_enqueued_within_a_transaction_shares_its_fate(
    database: Database, launch: Launch, settled: Settled
) -> None:
    durable = await launch(Recorder())

    async with database.connect() as connection:
        await durable.enqueue("work", "lost", key="lost", within=connection)
        await connection.rollback()
    async with database.begin() as connection:
        await durable.enqueue("work", "kept", key="kept", within=connection)

    assert await settled(durable, "kept") == "done"
    assert await durable.state("lost") == "unknown"


async def test_first_word_with_the_queue_is_not_within_a_transaction(database: Database) -> None:
    durable = Durable(database.url, executor_id="exe_test")
    async with database.begin() as connection:
        with pytest.raises(RuntimeError, match="before enqueueing 'a' within"):
            await durable.enqueue("work", "a", key="a", within=connection)
    await durable.close()


async def test_work_that_asks_to_be_tried_later_is(launch: Launch, settled: Settled) -> None:
    task = Recorder(ModelUnavailableError("starting"), DatabaseUnavailableError("restarting"))
    durable = await launch(task)

    await durable.enqueue("work", "a", key="a")

    assert await settled(durable, "a") == "done"
    assert len(task.arguments) == 3


async def test_work_that_never_succeeds_is_given_up(launch: Launch, settled: Settled) -> None:
    task = Recorder(*(ModelUnavailableError("starting") for _ in range(10)))
    durable = await launch(task)

    await durable.enqueue("work", "a", key="a")

    assert await settled(durable, "a") == "failed"
    assert len(task.arguments) == 3


@pytest.mark.parametrize("failure", [UnreadableDocumentError("it is empty"), ZeroDivisionError("a bug")])
async def test_work_that_cannot_succeed_fails_at_once_and_alone(
    failure: Exception, launch: Launch, settled: Settled, caplog: pytest.LogCaptureFixture
) -> None:
    task = Recorder(failure)
    durable = await launch(task)

    await durable.enqueue("work", "bad", key="bad")

    assert await settled(durable, "bad") == "failed"
    assert task.arguments == ["bad"]
    assert [record.levelno >= logging.WARNING for record in caplog.records if record.msg == "work failed"]
    await durable.enqueue("work", "good", key="good")
    assert await settled(durable, "good") == "done"


async def test_no_more_runs_at_the_same_time_than_registered(launch: Launch, settled: Settled) -> None:
    running, most = 0, 0

    async def task(_argument: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    durable = await launch(task, concurrency=2)
    for n in range(12):
        await durable.enqueue("work", str(n), key=str(n))
    for n in range(12):
        assert await settled(durable, str(n)) == "done"

    assert most == 2


async def test_close_lets_running_work_end(launch: Launch, eventually: Eventually) -> None:
    started = asyncio.Event()

    async def task(_argument: str) -> None:
        started.set()
        await asyncio.sleep(0.1)

    durable = await launch(task)
    await durable.enqueue("work", "a", key="a")
    await started.wait()
    await durable.close()

    assert await durable.state("a") == "done"


async def test_work_cut_off_by_close_runs_again_after_the_next_launch(
    launch: Launch, settled: Settled
) -> None:
    started, is_cancelled = asyncio.Event(), False

    async def endless(_argument: str) -> None:
        nonlocal is_cancelled
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            is_cancelled = True

    first = await launch(endless, concurrency=1)
    for n in range(5):
        await first.enqueue("work", str(n), key=str(n))
    await started.wait()
    await first.close()
    assert is_cancelled

    task = Recorder()
    second = await launch(task)
    for n in range(5):
        assert await settled(second, str(n)) == "done"
    assert sorted(task.arguments) == list("01234")


async def test_one_worker_per_process(launch: Launch) -> None:
    await launch(Recorder())

    with pytest.raises(RuntimeError, match="another Durable works in this process"):
        await launch(Recorder())


async def test_workers_come_and_go_and_leave_the_loop_usable(launch: Launch, settled: Settled) -> None:
    for n in range(3):
        durable = await launch(Recorder())
        await durable.enqueue("work", str(n), key=str(n))
        assert await settled(durable, str(n)) == "done"
        await durable.close()

    assert await asyncio.to_thread(lambda: "a thread") == "a thread"


async def test_work_finished_long_ago_is_forgotten(
    database: Database, launch: Launch, settled: Settled
) -> None:
    durable = await launch(Recorder())
    await durable.enqueue("work", "a", key="a")
    await settled(durable, "a")
    await durable.close()

    clock = FrozenClock(datetime.now(UTC) + timedelta(days=6))  # noqa: TID251 - beside the server's clock
    durable = await launch(Recorder(), clock=clock)
    assert await durable.state("a") == "done"
    await durable.close()

    clock.advance(timedelta(days=2).total_seconds())
    durable = await launch(Recorder(), clock=clock)
    assert await durable.state("a") == "unknown"
    async with database.connect() as connection:
        for table in ("workflow_status", "workflow_input", "workflow_output"):
            assert await connection.scalar(text(f"SELECT count(*) FROM dbos.{table}")) == 0  # noqa: S608


async def test_work_belongs_to_no_release_so_the_next_one_resumes_it(
    database: Database, launch: Launch, settled: Settled
) -> None:
    durable = await launch(Recorder())
    await durable.enqueue("work", "a", key="a")
    await settled(durable, "a")

    async with database.connect() as connection:
        versions = await connection.scalars(text("SELECT application_version FROM dbos.workflow_status"))
        assert versions.all() == ["causeway"]


async def test_arguments_and_outcomes_are_stored_readable(
    database: Database, launch: Launch, settled: Settled
) -> None:
    durable = await launch(Recorder())
    await durable.enqueue("work", "doc_1@1", key="a")
    await settled(durable, "a")

    async with database.connect() as connection:
        inputs = await connection.scalar(text("SELECT inputs FROM dbos.workflow_input"))
    assert inputs == '{"namedArgs":{},"positionalArgs":["work","doc_1@1","a"]}'


async def test_worker_writes_nothing_to_the_console(
    launch: Launch, settled: Settled, capfd: pytest.CaptureFixture[str]
) -> None:
    durable = await launch(Recorder(ZeroDivisionError("a bug")))
    await durable.enqueue("work", "a", key="a")
    await settled(durable, "a")
    await durable.close()

    assert capfd.readouterr() == ("", "")


async def test_unreachable_database_is_one_sentence_without_the_password() -> None:
    durable = Durable("postgresql+psycopg://someone:secret@127.0.0.1:9/causeway", executor_id="exe_test")

    with pytest.raises(DatabaseUnavailableError, match="cannot be reached") as failure:
        await durable.enqueue("work", "a", key="a")

    assert "secret" not in failure.value.message
    await durable.close()


async def test_a_queue_whose_database_has_gone_closes_and_says_it_briefly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with tempfile.TemporaryDirectory(prefix="causeway-") as folder:
        server = embedded_postgres.start(Path(folder) / "postgres")
        settings = DatabaseSettings(url=SecretStr(server.url()))
        await (await open_database(settings, Path(folder))).close()
        durable = Durable(server.url(), executor_id="exe_test", grace_s=0.1)
        durable.register("work", Recorder(), concurrency=1)
        await durable.launch()
        server.close()
        with caplog.at_level(logging.WARNING):
            await durable.close()
    assert "closed without its database" in caplog.text
    assert "Traceback" not in caplog.text


# --- several workers, and what goes first ---------------------------------------------------------------


async def test_urgent_work_is_begun_before_what_was_queued_earlier(
    database: Database, launch: Launch, eventually: Eventually
) -> None:
    begun: list[str] = []
    first_is_running, may_go_on = asyncio.Event(), asyncio.Event()

    async def run(argument: str) -> None:
        begun.append(argument)
        if argument == "first":
            first_is_running.set()
            await may_go_on.wait()

    durable = await launch(run, concurrency=1)
    await durable.enqueue("work", "first", key="first")
    await first_is_running.wait()
    for number in range(40):  # more than a worker fetches ahead
        await durable.enqueue("work", f"bulk {number}", key=f"bulk {number}", priority=Priority.BULK)
    await durable.enqueue("work", "urgent", key="urgent", priority=Priority.PERSON)
    may_go_on.set()

    async def is_all_done() -> bool:
        return len(begun) == 42

    await eventually(is_all_done)
    assert begun.index("urgent") <= 2  # one may have been fetched while the first ended
    assert begun[-1] == "bulk 39"


async def test_withdrawn_work_is_never_begun(database: Database, launch: Launch, settled: Settled) -> None:
    visitor = Durable(database.url, executor_id="exe_visitor")
    for key in ("stays", "goes"):
        await visitor.enqueue("work", key, key=key)
    async with database.begin() as connection:
        await visitor.withdraw(["goes", "unknown"], within=connection)
    await visitor.close()

    task = Recorder()
    durable = await launch(task)
    assert await settled(durable, "stays") == "done"
    assert await durable.state("goes") == "failed"
    assert task.arguments == ["stays"]


async def _held_by(database: Database, executor_id: str, *, seen_s_ago: float | None) -> None:
    """Have work ``held`` look as if a worker had begun it, and that worker as if it were seen so long ago."""
    async with database.begin() as connection:
        await connection.execute(
            text("UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = :executor_id"),
            {"executor_id": executor_id},
        )
        if seen_s_ago is not None:
            await connection.execute(
                text(
                    "INSERT INTO durable_workers (executor_id, host, pid, seen_at)"
                    " VALUES (:executor_id, 'elsewhere', 1, clock_timestamp() - make_interval(secs => :ago))"
                ),
                {"executor_id": executor_id, "ago": seen_s_ago},
            )


@pytest.mark.parametrize("seen_s_ago", [3600.0, None], ids=["lease ran out", "never seen"])
async def test_work_of_a_dead_worker_is_taken_over(
    database: Database, launch: Launch, settled: Settled, seen_s_ago: float | None
) -> None:
    visitor = Durable(database.url, executor_id="exe_visitor")
    await visitor.enqueue("work", "held", key="held")
    await visitor.close()
    await _held_by(database, "exe_dead", seen_s_ago=seen_s_ago)

    task = Recorder()
    durable = await launch(task)
    assert await durable.take_over() == 1
    assert await settled(durable, "held") == "done"
    assert await durable.take_over() == 0
    assert task.arguments == ["held"]


async def test_work_of_a_living_worker_is_left_to_it(database: Database, launch: Launch) -> None:
    visitor = Durable(database.url, executor_id="exe_visitor")
    await visitor.enqueue("work", "held", key="held")
    await visitor.close()
    await _held_by(database, "exe_alive", seen_s_ago=0.0)

    durable = await launch(Recorder())
    assert await durable.take_over() == 0
    assert await durable.state("held") == "pending"


async def test_a_worker_that_closes_leaves_its_work_to_others_at_once(
    database: Database, launch: Launch
) -> None:
    durable = await launch(Recorder())

    async def workers() -> list[str]:
        async with database.connect() as connection:
            return list(await connection.scalars(text("SELECT executor_id FROM durable_workers")))

    assert await workers() == ["exe_test"]
    await durable.close()
    assert await workers() == []


async def test_killed_process_loses_nothing_and_repeats_nothing(
    database: Database, eventually: Eventually
) -> None:
    count = 50
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE starts (key text)"))
        await connection.execute(text("CREATE TABLE effects (key text PRIMARY KEY)"))

    async def effects() -> int:
        async with database.connect() as connection:
            return int(await connection.scalar(text("SELECT count(*) FROM effects")) or 0)

    target = Path(__file__).with_name("kill_target.py")
    command = [sys.executable, str(target), database.url, str(count)]
    chance = Random()  # any moment will do, and every run another
    for moment in (chance.randrange(2, 20), chance.randrange(21, 45)):
        process = await asyncio.create_subprocess_exec(*command)

        async def has_come(moment: int = moment) -> bool:
            return await effects() >= moment

        await eventually(has_come)
        process.kill()
        await process.wait()
    last = await asyncio.create_subprocess_exec(*command)

    assert await asyncio.wait_for(last.wait(), timeout=40) == 0
    assert await effects() == count
    observer = Durable(database.url, executor_id="exe_observer")
    assert {await observer.state(f"row:{n}") for n in range(count)} == {"done"}
    await observer.close()
    async with database.connect() as connection:
        starts = int(await connection.scalar(text("SELECT count(*) FROM starts")) or 0)
    # what ran, or had ended and was not yet recorded, when the process was killed ran twice: at most what was fetched
    assert count <= starts <= count + 2 * (4 + 24)


async def test_closing_waits_for_a_call_that_was_cancelled_and_leaves_no_connection(
    database: Database, eventually: Eventually
) -> None:
    durable = Durable(database.url, executor_id="exe_test")
    await durable.state("a")

    async def backends(state: str) -> int:
        ours = "FROM pg_stat_activity WHERE application_name = 'causeway durable' AND datname = current_database()"
        async with database.connect() as connection:
            return await connection.scalar(text(f"SELECT count(*) {ours} AND {state}")) or 0

    async def is_waiting() -> bool:
        return await backends("wait_event_type = 'Lock'") == 1

    async def is_gone() -> bool:
        return await backends("true") == 0

    async with asyncio.TaskGroup() as group, database.begin() as connection:
        await connection.execute(text("LOCK TABLE dbos.workflow_status IN ACCESS EXCLUSIVE MODE"))
        call = group.create_task(durable.state("a"))
        await eventually(is_waiting)
        call.cancel()
        closing = group.create_task(durable.close())
        await asyncio.wait([call])
        assert not closing.done()
    await eventually(is_gone)
