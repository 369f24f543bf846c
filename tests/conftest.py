"""Fixtures for every test: a real PostgreSQL, a database of its own per test, a clock that stands still."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis
import redis.asyncio
from pydantic import SecretStr
from sqlalchemy import make_url

from causeway.settings import DatabaseSettings, RedisSettings
from causeway.storage import embedded_postgres
from causeway.storage.database import Database, open_database
from causeway.storage.durable import Durable
from causeway.storage.embedded_postgres import EmbeddedPostgres
from causeway.storage.process_state import ProcessState
from causeway.storage.redis_state import RedisState
from causeway.testing.clock import FrozenClock
from causeway.testing.shared_state_contract import Bench

# what a crash of the machine would need; a test's database does not outlive it
_CARELESS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running server whose database ``causeway`` is at the newest revision: the template of every test's."""
    # not below pytest's folder: as root the server has an account of its own, which every pytest that starts
    # on the machine locks out of there
    with tempfile.TemporaryDirectory(prefix="causeway-") as name:
        folder = Path(name)
        server = embedded_postgres.start(folder, options=_CARELESS)

        async def migrate() -> None:
            database = await open_database(DatabaseSettings(url=SecretStr(server.url())), folder)
            durable = Durable(database.url, executor_id="exe_template")
            await durable.state("nothing")  # makes its tables
            await durable.close()
            await database.close()

        asyncio.run(migrate())
        yield server
        server.close()


@pytest.fixture
def database_url(new_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of a database at the newest revision that is this test's alone."""
    with new_database() as url:
        yield url


@pytest.fixture
def new_database(postgres: EmbeddedPostgres) -> Callable[[], AbstractContextManager[str]]:
    """Makes databases for tests that need several; each is gone after its block."""
    return lambda: _new_database(postgres)


@contextmanager
def _new_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    query = make_url(postgres.url()).query
    administrator = psycopg.connect(
        host=str(query["host"]), port=str(query["port"]), user="postgres", dbname="postgres", autocommit=True
    )
    with administrator:
        administrator.execute(f"CREATE DATABASE {name} TEMPLATE causeway STRATEGY FILE_COPY".encode())
        yield postgres.url(name)
        administrator.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def database(database_url: str, postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    """An open database that is this test's alone."""
    opened = await open_database(DatabaseSettings(url=SecretStr(database_url)), postgres.folder)
    yield opened
    await opened.close()


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running ``redis-server`` without persistence."""

    url: str
    pid: int


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    """A Redis of this run's own, on a free port of the loopback."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    assert program, "redis-server is not installed; 'apt install redis-server' (or valkey-server) brings it"
    with tempfile.TemporaryDirectory(prefix="causeway-redis-") as folder:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        place = ["--bind", "127.0.0.1", "--port", port, "--dir", folder, "--logfile", "log"]
        server = subprocess.Popen([program, *place, "--save", "", "--appendonly", "no"])
        try:
            started = RedisServer(url=f"redis://127.0.0.1:{port}/0", pid=server.pid)
            deadline = time.monotonic() + 20
            while not _answers(started.url):
                is_hopeless = server.poll() is not None or time.monotonic() > deadline
                assert not is_hopeless, f"redis-server does not answer: {(Path(folder) / 'log').read_text()}"
                time.sleep(0.02)
            yield started
        finally:
            server.kill()
            server.wait()


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """The run's Redis, emptied."""
    with redis.Redis.from_url(redis_process.url) as client:
        client.flushall()
    return redis_process


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands still until the test moves it."""
    return FrozenClock()


@pytest.fixture(params=["process", "redis"])
async def shared_state(request: pytest.FixtureRequest, clock: FrozenClock) -> AsyncIterator[Bench]:
    """Each implementation of the shared state, at the time of ``clock``."""

    async def pass_time(seconds: float) -> None:
        clock.advance(seconds)

    def now() -> float:
        return clock.now().timestamp()

    if request.param == "process":
        process = ProcessState(clock=clock)
        yield Bench(state=process, other=process, pass_time=pass_time, now=now)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    settings = RedisSettings(url=SecretStr(server.url))
    client = redis.asyncio.Redis.from_url(server.url)

    async def pass_time_there(seconds: float) -> None:
        """Scripts are told the time; lives of keys are made shorter by as much."""
        clock.advance(seconds)
        for key in await client.keys():
            left_ms = await client.pttl(key)
            if left_ms > 0:
                await client.pexpire(key, left_ms - int(seconds * 1000))

    first, second = (RedisState(settings, clock=clock, time_from="clock") for _ in range(2))
    yield Bench(state=first, other=second, pass_time=pass_time_there, now=now)
    await first.close()
    await second.close()
    await client.aclose()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """``await eventually(condition)`` returns when the awaited condition is true, and fails after 20 s."""

    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + 20
        while not await condition():
            assert time.monotonic() < deadline, "the condition did not come true within 20 s"
            await asyncio.sleep(0.01)

    return wait
