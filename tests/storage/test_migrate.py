from __future__ import annotations

import asyncio
from pkgutil import iter_modules, resolve_name

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import Connection, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway import storage
from causeway.errors import DatabaseTooNewError
from causeway.settings import DatabaseSettings
from causeway.storage import migrate, telemetry_schema
from causeway.storage.database import Database, open_database
from causeway.storage.embedded_postgres import EmbeddedPostgres
from causeway.storage.metadata import tables
from causeway.storage.schema import api_keys, ledger

for _module in iter_modules(storage.__path__):  # importing them puts their tables in
    if _module.name.endswith("_schema"):
        resolve_name(f"causeway.storage.{_module.name}")


async def test_migrated_database_needs_no_further_migration(database: Database) -> None:
    def difference(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), tables)

    async with database.connect() as connection:
        assert await connection.run_sync(difference) == []


async def test_migrated_database_is_what_the_schema_makes(database: Database) -> None:
    """Also where Alembic does not look: defaults, generated columns, comments, index conditions."""
    async with database.begin() as connection:
        migrated = await connection.run_sync(_catalogue)
        await connection.run_sync(tables.drop_all)
        await connection.run_sync(tables.create_all)
        assert migrated == await connection.run_sync(_catalogue)


def _catalogue(connection: Connection) -> list[tuple[object, ...]]:
    """Columns, constraints and indexes of our tables, as PostgreSQL itself spells them."""
    rows = (tuple(row) for query in _CATALOGUE for row in connection.execute(text(query)))
    return sorted((row for row in rows if row[0] in tables.tables), key=repr)


_CATALOGUE = (
    "SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attgenerated, attidentity, "
    "pg_get_expr(adbin, adrelid), col_description(attrelid, attnum) FROM pg_attribute "
    "JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
    "WHERE attnum > 0 AND NOT attisdropped",
    "SELECT relname, conname, pg_get_constraintdef(k.oid) FROM pg_constraint k "
    "JOIN pg_class c ON c.oid = conrelid",
    "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indrelid",
)


def test_file_names_tell_the_newest_revision() -> None:
    scripts = ScriptDirectory(str(migrate.MIGRATIONS))

    assert scripts.get_heads() == [migrate.REVISIONS[-1]]
    assert sorted(script.revision for script in scripts.walk_revisions()) == list(migrate.REVISIONS)


async def test_keywords_that_a_worker_of_the_first_release_made_are_taken_over(database: Database) -> None:
    async with database.begin() as connection:
        wanted = await connection.run_sync(_catalogue)
        await _go_back_to_the_first_release(connection)
        for statement in _FIRST_KEYWORDS:
            await connection.execute(text(statement))

    assert await migrate.migrate(database.engine) is True

    async with database.connect() as connection:
        assert await connection.run_sync(_catalogue) == wanted
        assert await connection.scalar(text("SELECT length FROM chunk_keywords")) == 2


_FIRST_KEYWORDS = (
    "CREATE TABLE chunk_keywords (chunk_id text PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE, "
    "document_id text NOT NULL, lexemes tsvector NOT NULL, length integer NOT NULL)",
    "CREATE INDEX chunk_keywords_lexemes ON chunk_keywords USING gin (lexemes) "
    "WITH (fastupdate = on, gin_pending_list_limit = 512)",
    "CREATE INDEX chunk_keywords_document ON chunk_keywords (document_id)",
    "CREATE INDEX chunk_keywords_length ON chunk_keywords (length)",
    "INSERT INTO collections VALUES ('col_a', 'a', 'small', 2)",
    "INSERT INTO documents (id, collection_id, source, path, title, size_bytes, blob, modified_at, state) "
    "VALUES ('doc_a', 'col_a', 'upload', 'a.md', 'A', 1, 'b', now(), 'ready')",
    "INSERT INTO chunks (id, document_id, collection_id, ordinal, heading, text, tokens, embedding) "
    "VALUES ('chk_a', 'doc_a', 'col_a', 0, 'tents', 'poles', 2, '[1,0]')",
    "INSERT INTO chunk_keywords VALUES ('chk_a', 'doc_a', to_tsvector('english', 'tents poles'), 2)",
)


async def test_newest_database_is_left_alone(database: Database) -> None:
    assert await migrate.migrate(database.engine) is False


async def test_database_of_a_newer_release_is_refused_with_both_revisions(
    database: Database, postgres: EmbeddedPostgres
) -> None:
    async with database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(DatabaseTooNewError, match=rf"9999.*{migrate.REVISIONS[-1]}.*newer Causeway"):
        await open_database(DatabaseSettings(url=SecretStr(database.url)), postgres.folder)


async def test_many_who_migrate_at_once_migrate_once(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))

    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(migrate.migrate(database.engine)) for _ in range(4)]

    assert sorted(done.result() for done in tries) == [False, False, False, True]


async def test_keys_and_ledger_of_the_first_release_are_kept(database: Database) -> None:
    async with database.begin() as connection:
        await _go_back_to_the_first_release(connection)
        await connection.execute(
            text(
                "INSERT INTO api_keys (id, name, prefix, secret_hash, scopes) VALUES ('k', 'ci', 'cw-', 'h', '{ask}')"
            )
        )
        await connection.execute(
            text(
                "INSERT INTO ledger (id, principal_id, purpose, operation, model, provider, input_tokens, output_tokens, "
                "cost_micros, outcome) VALUES ('led', 'k', 'api', 'chat', 'words', 'test', 1, 2, 3, 'ok')"
            )
        )
    assert await migrate.migrate(database.engine)
    async with database.connect() as connection:
        key = (await connection.execute(select(api_keys))).mappings().one()
        line = (await connection.execute(select(ledger))).mappings().one()
    assert (key["tier"], key["models"], key["team_id"]) == ("pro", [], None)
    assert (line["requested_model"], line["cost_micros"], line["attempts"]) == ("words", 3, 1)


async def test_traces_of_before_get_a_line_each(database: Database) -> None:
    async with database.begin() as connection:
        await _go_back_to_the_first_release(connection)
        for span_id, parent_id, attributes in (
            ("s1", None, '{"causeway.owner.id": "usr_1", "causeway.question": "why?"}'),
            ("s2", "s1", '{"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 3}'),
        ):
            await connection.execute(
                text(
                    "INSERT INTO spans (span_id, trace_id, parent_id, name, kind, started_at, duration_ms, status, attributes) "
                    "VALUES (:id, 't', :parent_id, :id, 'internal', now(), 5, 'ok', CAST(:attributes AS jsonb))"
                ),
                {"id": span_id, "parent_id": parent_id, "attributes": attributes},
            )
    assert await migrate.migrate(database.engine)
    async with database.connect() as connection:
        line = (await connection.execute(select(telemetry_schema.trace_summaries))).mappings().one()
    assert (line["name"], line["owner"], line["question"], line["input_tokens"], line["span_count"]) == (
        "s1",
        "usr_1",
        "why?",
        3,
        2,
    )


async def _go_back_to_the_first_release(connection: AsyncConnection) -> None:
    """An empty database as the first release made it."""

    def upgrade(connection: Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(migrate.MIGRATIONS))
        command.upgrade(config, "0001")

    await connection.execute(text("DROP SCHEMA public CASCADE"))
    await connection.execute(text("CREATE SCHEMA public"))
    await connection.run_sync(upgrade)
