"""The two walls, each alone: what one caller reads when the other is missing."""

from __future__ import annotations

import pytest
from sqlalchemy import ColumnElement, select, text, true
from sqlalchemy.exc import ProgrammingError

from causeway.contracts.identity import Principal, Scope, viewer_names
from causeway.gateway.audit import record
from causeway.knowledge.access import AccessRules
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.sight import Sight
from causeway.storage.database import Database
from causeway.storage.schema import chunks, collections, documents
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import bags_of_words

ANN = viewer_names("usr_ann", ())
PRINCIPAL = Principal(id="usr_ann", name="Ann", scopes=frozenset({Scope.ASK}), user="usr_ann", sees_as=ANN)
TEXT = "tents are returned within 45 days"


class Unfiltered(Sight):
    """The second wall alone: no predicate in any query."""

    @property
    def names(self) -> tuple[str, ...] | None:
        return None

    @property
    def collections(self) -> ColumnElement[bool]:
        return true()


@pytest.fixture
async def rules(database: Database, index: PostgresIndex, pile: SheetPile) -> AccessRules:
    """One document for all, one for nobody, and a collection for nobody."""
    await index.prepare()
    made = AccessRules(database, record)
    await pile.add(Sheet(id="doc_open", texts=[TEXT]), Sheet(id="doc_closed", texts=[TEXT, "stoves too"]))
    await pile.add(Sheet(id="doc_board", collection="board", texts=[TEXT]))
    await made.allow_document("doc_closed", [])
    await made.allow_collection("board", [])
    return made


async def found_by(index: PostgresIndex) -> set[str]:
    """Every document that any read of the index brings."""
    vector = bags_of_words([TEXT], 64)[0]
    by_vector = [*await index.dense(vector, 10), *await index.dense(vector, 10, exact=True)]
    by_word = await index.lexical("tents stoves returned", 10)
    every_chunk = [f"chk_{name}_1_{n}" for name in ("open", "closed", "board") for n in (0, 1)]
    got = await index.get(every_chunk)
    texts = [
        chunk.document_id
        for name in ("open", "closed", "board")
        for chunk in await index.chunks_of(f"doc_{name}")
    ]
    near = await index.cosines(every_chunk, vector)
    return {
        *(match.chunk_id.split("_")[1] for match in (*by_vector, *by_word)),
        *(placed.chunk.document_id.removeprefix("doc_") for placed in got.values()),
        *(document_id.removeprefix("doc_") for document_id in texts),
        *(chunk_id.split("_")[1] for chunk_id in near),
    }


@pytest.mark.usefixtures("rules")
async def test_both_walls_stand(index: PostgresIndex) -> None:
    seen = index.seen_by(PRINCIPAL)
    assert await found_by(seen) == {"open"}
    assert [each.name for each in await seen.collections()] == ["default"]
    assert await found_by(index) == {"open", "closed", "board"}


@pytest.mark.usefixtures("rules")
async def test_the_predicate_holds_without_row_level_security(
    database: Database, index: PostgresIndex
) -> None:
    async with database.begin() as connection:
        for table in ("documents", "chunks", "collections"):
            await connection.execute(text(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"))
    seen = index.seen_by(PRINCIPAL)
    assert await found_by(seen) == {"open"}
    assert [each.name for each in await seen.collections()] == ["default"]


@pytest.mark.usefixtures("rules")
async def test_row_level_security_holds_without_the_predicate(
    database: Database, index: PostgresIndex
) -> None:
    """All but the ids of chunks that have a word, which lead to nothing: a search reads the chunks themselves."""
    seen = index.seen_by(PRINCIPAL)
    seen._sight = Unfiltered(database, ANN)
    vector = bags_of_words([TEXT], 64)[0]
    assert {match.chunk_id for match in await seen.dense(vector, 10)} == {"chk_open_1_0"}
    assert set(await seen.get([f"chk_{name}_1_0" for name in ("open", "closed", "board")])) == {
        "chk_open_1_0"
    }
    assert await seen.chunks_of("doc_closed") == []
    assert set(await seen.cosines(["chk_open_1_0", "chk_closed_1_0"], vector)) == {"chk_open_1_0"}
    assert [each.name for each in await seen.collections()] == ["default"]


@pytest.mark.usefixtures("rules")
async def test_a_connection_of_a_caller_sees_their_rows_and_gives_its_rights_back(database: Database) -> None:
    count = select(documents.c.id).order_by(documents.c.id)
    async with database.seen_by(ANN).connect() as connection:
        assert (await connection.scalars(count)).all() == ["doc_open"]
        assert len((await connection.scalars(select(chunks.c.id))).all()) == 1
        assert (await connection.scalars(select(collections.c.name))).all() == ["default"]
        assert await connection.scalar(text("SELECT current_user")) == "causeway_reader"
    for _ in range(12):  # more than the pool has
        async with database.connect() as connection:
            assert len((await connection.scalars(count)).all()) == 3
            assert await connection.scalar(text("SELECT current_user")) != "causeway_reader"


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("viewer", [None, "", "{}", "{user:usr_ben}", "{group:grp_1,user:x}"])
async def test_the_role_sees_nothing_without_a_viewer_it_is_for(
    database: Database, viewer: str | None
) -> None:
    async with database.connect() as connection:
        if viewer is not None:
            await connection.execute(text("SELECT set_config('causeway.viewer', :v, true)"), {"v": viewer})
        await connection.execute(text("SET LOCAL ROLE causeway_reader"))
        for table in (documents, chunks, collections):
            assert (await connection.execute(select(table.c.id))).all() == []


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM documents",
        "UPDATE documents SET own_readers = '{everyone}'",
        "SELECT * FROM users",
        "SELECT * FROM api_keys",
        "SELECT * FROM sessions",
        "SELECT * FROM spans",
        "SELECT * FROM folder_rules",
        "SELECT * FROM chunk_keywords",
        "CREATE TABLE own (a int)",
        "ALTER TABLE documents DISABLE ROW LEVEL SECURITY",
    ],
)
async def test_the_role_reads_documents_and_does_nothing_else(database: Database, statement: str) -> None:
    with pytest.raises(ProgrammingError):
        async with database.seen_by(ANN).connect() as connection:
            await connection.execute(text(statement))


async def test_statistics_of_a_search_are_of_what_its_caller_sees(
    database: Database, index: PostgresIndex, pile: SheetPile
) -> None:
    """Else a score tells how often a word is in documents that are not for them."""
    await index.prepare()
    seen = index.seen_by(PRINCIPAL)
    await pile.add(Sheet(id="doc_open", texts=[TEXT, "stoves too"]))
    before = await seen.lexical("tents", 10)
    await pile.add(*(Sheet(id=f"doc_{n}", collection="board", texts=[TEXT]) for n in range(5)))
    assert await seen.lexical("tents", 10) != before
    await AccessRules(database, record).allow_collection("board", [])
    assert await seen.lexical("tents", 10) == before
