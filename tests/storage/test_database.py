from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text

from causeway.errors import (
    DatabaseUnavailableError,
    DeadlineError,
    MissingCapabilityError,
    SettingsError,
)
from causeway.settings import DatabaseSettings
from causeway.storage.capabilities import Bm25Wish, choose_bm25, require_pgvector
from causeway.storage.database import Database, open_database
from causeway.storage.embedded_postgres import EmbeddedPostgres
from causeway.storage.postgres_package import offered_version

NOWHERE = Path("unused")
URL = make_url("postgresql://someone:secret@db.example:5432/kb")


def settings(url: str, **more: object) -> DatabaseSettings:
    return DatabaseSettings.model_validate({"url": url, **more})


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="causeway-") as name:
        yield Path(name) / "postgres"


@pytest.fixture
async def table(database: Database) -> str:
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE notes (word text)"))
    return "SELECT count(*) FROM notes"


async def test_embedded_database_opens_without_settings_and_tells_what_it_can_do(folder: Path) -> None:
    database = await open_database(DatabaseSettings(), folder)
    can = database.capabilities
    assert can.kind == "embedded"
    assert can.server_version.startswith("18")
    assert can.pgvector == offered_version("vector")
    assert can.bm25_extension == offered_version("pg_textsearch")
    async with database.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM documents")) == 0
    await database.close()


async def test_embedded_database_opens_twice_at_once(folder: Path) -> None:
    async with asyncio.TaskGroup() as group:
        opened = [group.create_task(open_database(DatabaseSettings(), folder)) for _ in range(2)]
    first, second = (task.result() for task in opened)
    await first.close()
    async with second.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await second.close()


def test_opening_a_database_at_the_newest_revision_does_not_import_alembic(
    postgres: EmbeddedPostgres, database_url: str
) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from causeway.settings import DatabaseSettings\n"
        "from causeway.storage.database import open_database\n"
        f"settings = DatabaseSettings.model_validate({{'url': {database_url!r}}})\n"
        "asyncio.run(open_database(settings, Path('unused')))\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_block_that_ends_well_is_kept(database: Database, table: str) -> None:
    async with database.begin() as connection:
        await connection.execute(text("INSERT INTO notes VALUES ('kept')"))
    async with database.connect() as connection:
        assert await connection.scalar(text(table)) == 1


async def test_block_that_fails_leaves_nothing(database: Database, table: str) -> None:
    async def fail() -> None:
        async with database.begin() as connection:
            await connection.execute(text("INSERT INTO notes VALUES ('lost')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.connect() as connection:
        await connection.execute(text("INSERT INTO notes VALUES ('only read')"))
    async with database.connect() as connection:
        assert await connection.scalar(text(table)) == 0


async def test_connection_lost_while_idle_is_replaced(
    database: Database, postgres: EmbeddedPostgres, database_url: str
) -> None:
    async with database.connect() as connection:
        lost = await connection.scalar(text("SELECT pg_backend_pid()"))
    other = await open_database(settings(database_url), NOWHERE)
    async with other.connect() as connection:
        await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": lost})
    await other.close()

    async with database.connect() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1


async def test_scans_of_vectors_go_on_until_a_filter_has_enough(database: Database) -> None:
    async with database.connect() as connection:
        await connection.execute(
            text("SELECT '[1,2]'::vector")
        )  # which loads pgvector, and its settings' meaning
        assert await connection.scalar(text("SHOW hnsw.iterative_scan")) == "relaxed_order"
        assert int(await connection.scalar(text("SHOW hnsw.ef_search")) or 0) >= 200


async def test_statement_over_its_time_is_a_deadline(database: Database) -> None:
    async def sleep() -> None:
        async with database.connect() as connection:
            await connection.execute(text("SET LOCAL statement_timeout = 10"))
            await connection.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(DeadlineError, match="did not answer in time"):
        await sleep()


async def test_connection_lost_in_use_is_a_database_out_of_reach(database: Database) -> None:
    with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
        async with database.connect() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


async def test_unreachable_server_is_named_by_host_and_never_by_password() -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"'127\.0\.0\.1:9' cannot be reached") as failure:
        await open_database(settings("postgresql://someone:secret@127.0.0.1:9/kb"), NOWHERE)
    assert "secret" not in failure.value.message


@pytest.mark.parametrize("url", ["mysql://someone:secret@host/kb", "not a url with secret", "//secret"])
async def test_url_of_no_postgresql_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="postgresql://user:password@host/name") as failure:
        await open_database(settings(url), NOWHERE)
    assert "secret" not in failure.value.message


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
async def test_every_way_to_write_the_scheme_is_understood(scheme: str, database_url: str) -> None:
    database = await open_database(settings(database_url.replace("postgresql+psycopg", scheme)), NOWHERE)
    assert database.url == database_url
    await database.close()


@pytest.mark.parametrize("rights", ["", "GRANT USAGE ON SCHEMA public TO guest"])
async def test_user_without_rights_learns_what_an_administrator_must_run(
    rights: str, database: Database
) -> None:
    async with database.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
        roles = (
            "SELECT 1 FROM pg_roles WHERE rolname = 'guest'"  # roles belong to the server, not the database
        )
        if await connection.scalar(text(roles)) is None:
            await connection.execute(text("CREATE ROLE guest LOGIN"))
        await connection.execute(text(rights or "SELECT 1"))
    guest = database.url.replace("postgres@", "guest@")

    with pytest.raises(
        MissingCapabilityError, match=r"user 'guest' may not .*CREATE EXTENSION IF NOT EXISTS"
    ):
        await open_database(settings(guest), NOWHERE)


@pytest.mark.parametrize(
    ("extensions", "remedy"),
    [
        ({}, 'apt install .* psql -d kb -c "CREATE EXTENSION vector"'),
        ({"vector": "0.7.4"}, 'needs 0.8 .* psql -d kb -c "ALTER EXTENSION vector UPDATE"'),
    ],
)
def test_server_without_a_fit_pgvector_is_refused_with_the_command(
    extensions: dict[str, str], remedy: str
) -> None:
    with pytest.raises(MissingCapabilityError, match=remedy) as failure:
        require_pgvector(extensions, URL)
    assert "secret" not in failure.value.message


def creation(problem: str | None) -> Callable[[], Awaitable[str | None]]:
    async def create() -> str | None:
        return problem

    return create


@pytest.mark.parametrize(
    ("wish", "offered", "problem", "chosen"),
    [
        ("own", "1.4.0", None, "own"),
        ("auto", None, None, "own"),
        ("auto", "1.0.0", None, "own"),  # loses its index in a crash
        ("auto", "1.4.0", None, "extension"),
        ("auto", "1.4.0", "has not loaded it at its start", "own"),
        ("extension", "1.0.0", None, "extension"),
    ],
)
async def test_keyword_search_is_the_servers_only_where_it_can_be_trusted(
    wish: Bm25Wish, offered: str | None, problem: str | None, chosen: str
) -> None:
    assert await choose_bm25(wish, offered, URL, create=creation(problem)) == chosen


@pytest.mark.parametrize(("offered", "problem"), [(None, "does not offer it"), ("1.0.0", "refuses it")])
async def test_insisting_on_an_extension_that_does_not_work_is_refused(
    offered: str | None, problem: str
) -> None:
    with pytest.raises(MissingCapabilityError, match=rf"{problem}.*CAUSEWAY_DATABASE__BM25=auto"):
        await choose_bm25("extension", offered, URL, create=creation(problem))


async def test_insisting_on_the_extension_of_a_server_that_did_not_load_it_is_refused(
    database_url: str,
) -> None:
    with pytest.raises(MissingCapabilityError, match="pg_textsearch"):
        await open_database(settings(database_url, bm25="extension"), NOWHERE)


async def test_embedded_server_loads_the_extension_when_the_settings_insist(folder: Path) -> None:
    if offered_version("pg_textsearch") is None:
        pytest.skip("the installed package does not bring pg_textsearch")
    database = await open_database(DatabaseSettings(bm25="extension"), folder)
    assert database.capabilities.bm25 == "extension"
    await database.close()


def test_secret_url_is_not_shown() -> None:
    assert "secret" not in repr(DatabaseSettings(url=SecretStr("postgresql://someone:secret@host/kb")))
