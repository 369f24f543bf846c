from __future__ import annotations

import logging
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import func, select, text

from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.errors import DeadlineError, SettingsError, UpstreamError, UpstreamRateLimitError
from causeway.knowledge.document import Chunk
from causeway.knowledge.index.filters import Eq, In, Not
from causeway.knowledge.index.pinecone_api import Record, Space, open_pinecone
from causeway.knowledge.index.pinecone_index import PineconeIndex
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.search.request import SearchRequest
from causeway.knowledge.search.search import Search
from causeway.observability.spans import Spans
from causeway.settings import KnowledgeSettings, ModelSettings
from causeway.storage.database import Database
from causeway.storage.schema import external_vectors
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import FakeGateway, bags_of_words
from tests.knowledge.index.conftest import Pinecone, keep_all_in_pinecone, pinecone_settings
from tests.knowledge.index.pinecone_server import PineconeServer, refused

TENTS = bags_of_words(["t tents"], 64)[0]


@pytest.fixture
async def pile(pinecone: Pinecone, database: Database) -> SheetPile:
    await keep_all_in_pinecone(database)
    return SheetPile(database, pinecone.index)


async def tents(pinecone: Pinecone, k: int = 100) -> list[str]:
    return [match.chunk_id for match in await pinecone.index.dense(TENTS, k)]


async def noted(database: Database) -> int:
    async with database.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(external_vectors)) or 0


async def test_vectors_end_up_in_pinecone_alone_and_text_stays(pile: SheetPile, pinecone: Pinecone) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents", "stoves")))
    assert await pinecone.here() == 2
    await pinecone.settle()
    assert await pinecone.here() == 0
    assert pinecone.server.ids("col_default") == {"chk_a_1_0", "chk_a_1_1"}
    (index,) = pinecone.server.indexes.values()
    assert index.name == "causeway-64"
    assert index.written["col_default"]["chk_a_1_0"].metadata == {"document": "doc_a"}
    assert [chunk.text for chunk in await pinecone.index.chunks_of("doc_a")] == ["tents", "stoves"]


async def test_a_vector_leaves_only_when_it_was_read_back(pile: SheetPile, pinecone: Pinecone) -> None:
    pinecone.server.lag = 5
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",) * 3))
    first = await pinecone.index.maintain()
    assert (first.done, first.waiting) == (0, 3)
    assert await pinecone.here() == 3
    assert len(await tents(pinecone)) == 3
    await pinecone.settle()
    assert await pinecone.here() == 0
    assert len(await tents(pinecone)) == 3


async def test_a_vector_that_never_shows_is_sent_again_and_stays_meanwhile(
    pile: SheetPile, pinecone: Pinecone
) -> None:
    pinecone.server.forgetful = {"chk_a_1_1"}
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",) * 3))
    for _ in range(3):
        await pinecone.index.maintain()
    assert await pinecone.here() == 1
    assert len(await tents(pinecone)) == 3
    sent = sum("upsert" in each for each in pinecone.server.asked)
    pinecone.server.forgetful = set()
    await pinecone.index.maintain()
    assert sum("upsert" in each for each in pinecone.server.asked) == sent
    pinecone.clock.advance(timedelta(minutes=2).total_seconds())
    await pinecone.settle()
    assert await pinecone.here() == 0


async def test_a_damaged_vector_is_not_taken_for_the_one_that_was_sent(
    pile: SheetPile, pinecone: Pinecone
) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",)))
    pinecone.server.lag = 2
    await pinecone.index.maintain()
    pinecone.server.settle()
    (index,) = pinecone.server.indexes.values()
    index.seen["col_default"]["chk_a_1_0"].values = [0.0] * 63 + [1.0]
    await pinecone.index.maintain()
    assert await pinecone.here() == 1


async def test_a_vector_that_was_written_anew_is_not_let_go_for_the_one_before(
    pile: SheetPile, pinecone: Pinecone
) -> None:
    sheet = Sheet(id="doc_a", title="t", texts=("tents",))
    await pile.add(sheet)
    space = Space("col_default", 64)
    assert (await pinecone.upkeep.copy(space)).done == 1
    other = bags_of_words(["something else"], 64)
    assert await pile.index(sheet, vectors=other)
    assert await pinecone.upkeep.empty_here(space) == 0
    await pinecone.settle()
    assert await pinecone.here() == 0
    (match,) = await pinecone.index.dense(other[0], 5)
    assert match.score == pytest.approx(1.0, abs=1e-5)


async def test_a_failure_half_way_through_a_write_is_mended_by_the_next_step(
    pile: SheetPile, pinecone: Pinecone
) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",) * 20))
    pinecone.server.half = 4  # the SDK tries four times
    with pytest.raises(UpstreamError):
        await pinecone.index.maintain()
    assert len(pinecone.server.ids()) == 10
    assert await pinecone.here() == 20
    assert len(await tents(pinecone)) == 20
    pinecone.clock.advance(120)
    await pinecone.settle()
    assert (await pinecone.here(), len(pinecone.server.ids())) == (0, 20)


async def test_what_was_replaced_or_deleted_is_taken_away_there(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    await pile.add(
        Sheet(id="doc_a", title="t", texts=("tents",) * 3), Sheet(id="doc_b", title="t", texts=("b",))
    )
    await pinecone.settle()
    newer = Sheet(id="doc_a", title="t", texts=("stoves",))
    await pile.register(newer, revision=2)
    assert await pile.index(newer, revision=2)
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM documents WHERE id = 'doc_b'"))
    assert len(pinecone.server.ids()) == 4
    assert await tents(pinecone) == ["chk_a_2_0"]
    await pinecone.settle()
    assert pinecone.server.ids() == {"chk_a_2_0"}
    assert await noted(database) == 1


async def test_a_collection_that_is_deleted_leaves_nothing_there(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",) * 3))
    await pinecone.settle()
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM collections"))
    assert await tents(pinecone) == []
    await pinecone.settle()
    assert (pinecone.server.ids(), await noted(database)) == (set(), 0)


async def test_chunks_that_were_replaced_take_nobodys_place(pile: SheetPile, pinecone: Pinecone) -> None:
    """Pinecone still brings 60 old ones first; more are asked for until there are enough."""
    for number in range(3):
        await pile.add(Sheet(id=f"doc_{number}", title="t", texts=["tents"] * 20))
    await pile.add(Sheet(id="doc_other", title="t", texts=["tents stoves"] * 5))
    await pinecone.settle()
    for number in range(3):
        newer = Sheet(id=f"doc_{number}", title="t", texts=("ropes",))
        await pile.register(newer, revision=2)
        await pile.index(newer, revision=2)
    pinecone.server.queries.clear()
    assert (await tents(pinecone, 5)) == [f"chk_other_1_{n}" for n in range(5)]
    assert [query["topK"] for query in pinecone.server.queries] == [25, 100]


async def test_few_documents_are_named_to_pinecone_and_many_are_sifted_here(
    pile: SheetPile, pinecone: Pinecone
) -> None:
    """``most_documents`` is 2 here."""
    sheets = [
        Sheet(id=f"doc_{n}", title="t", texts=("tents",), metadata={"n": n, "half": n < 10})
        for n in range(40)
    ]
    await pile.add(*sheets)
    await pinecone.settle()
    pinecone.server.queries.clear()
    found = await pinecone.index.dense(TENTS, 10, In("n", (3, 39)))
    assert {match.chunk_id for match in found} == {"chk_3_1_0", "chk_39_1_0"}
    assert pinecone.server.queries[0]["filter"] == {"document": {"$in": ["doc_3", "doc_39"]}}
    pinecone.server.queries.clear()
    found = await pinecone.index.dense(TENTS, 10, Eq("half", True))
    assert {match.chunk_id for match in found} == {f"chk_{n}_1_0" for n in range(10)}
    assert "filter" not in pinecone.server.queries[0]
    assert await pinecone.index.dense(TENTS, 10, Eq("n", 99)) == []


async def test_many_documents_are_named_when_sifting_does_not_bring_enough(
    pile: SheetPile, pinecone: Pinecone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("causeway.knowledge.index.pinecone_index.MOST_MATCHES", 20)
    monkeypatch.setattr("causeway.knowledge.index.pinecone_index.MOST_NAMED", 2)
    for n in range(30):
        said = "tents" if n >= 5 else "tents and other things"
        await pile.add(Sheet(id=f"doc_{n:02}", title="t", texts=(said,), metadata={"is_far": n < 5}))
    await pinecone.settle()
    found = await pinecone.index.dense(TENTS, 10, Eq("is_far", True))
    assert {match.chunk_id for match in found} == {f"chk_{n:02}_1_0" for n in range(5)}


async def test_a_collection_in_postgresql_is_searched_beside_one_in_pinecone(
    pile: SheetPile, pinecone: Pinecone, database: Database
) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",), collection="there"))
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE collections ALTER vectors_in SET DEFAULT 'postgres'"))
    await pile.add(Sheet(id="doc_b", title="t", texts=("tents",), collection="here"))
    await pinecone.settle()
    assert {each.collection: each.vectors_here for each in await pinecone.index.stats()} == {
        "there": 0,
        "here": 1,
    }
    assert await tents(pinecone) == ["chk_a_1_0", "chk_b_1_0"]
    pinecone.server.queries.clear()
    assert [match.chunk_id for match in await pinecone.index.dense(TENTS, 5, Eq("collection", "here"))] == [
        "chk_b_1_0"
    ]
    assert pinecone.server.queries == []
    found = await pinecone.index.dense(TENTS, 5, Not(Eq("collection", "here")))
    assert [match.chunk_id for match in found] == ["chk_a_1_0"]


async def test_an_upsert_keeps_to_the_limits_of_records_and_bytes(pinecone: Pinecone) -> None:
    random = np.random.default_rng(3)
    for dimensions, number in ((8, 2300), (1536, 130)):
        vectors = random.normal(size=(number, dimensions)).astype(np.float32)
        space = Space(f"col_{dimensions}", dimensions)
        records = [Record(f"chk_{'f' * 32}_1_{n}", f"doc_{'f' * 32}", each) for n, each in enumerate(vectors)]
        await pinecone.api.upsert(space, records)
        assert len(pinecone.server.ids(space.collection_id)) == number
        found = await pinecone.api.fetch(space, [record.chunk_id for record in records])
        assert all(np.array_equal(found[each.chunk_id], each.vector) for each in records)
        assert await pinecone.api.count(space) == number
        await pinecone.api.delete(space, [record.chunk_id for record in records])
        assert await pinecone.api.count(space) == 0
    batches = [each for each in pinecone.server.asked if "upsert" in each]
    assert len(batches) == 3 + 3


async def test_rate_limits_are_waited_out_and_then_told(pile: SheetPile, pinecone: Pinecone) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",)))
    await pinecone.settle()
    pinecone.server.stumbles = [refused(), refused(503)]
    assert await tents(pinecone) == ["chk_a_1_0"]
    pinecone.server.stumbles = [refused() for _ in range(4)]
    with pytest.raises(UpstreamRateLimitError, match="fewer calls"):
        await tents(pinecone)


async def test_a_server_that_is_not_there_is_told_and_keeps_nothing_from_being_written(
    pile: SheetPile, pinecone: Pinecone
) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",)))
    await pinecone.settle()
    pinecone.server.stumbles = [refused(503) for _ in range(100)]
    await pile.add(Sheet(id="doc_b", title="t", texts=("tents",)))
    assert [match.chunk_id for match in await pinecone.index.lexical("tents", 5)] == [
        "chk_a_1_0",
        "chk_b_1_0",
    ]
    with pytest.raises((UpstreamError, DeadlineError)):
        await tents(pinecone)
    missing: list[str] = []
    found = await pinecone.index.dense(TENTS, 5, missing=missing)
    assert [match.chunk_id for match in found] == ["chk_b_1_0"], (
        "what has not been sent yet is found all the same"
    )
    assert await pinecone.index.cosines(["chk_a_1_0"], TENTS, missing=missing) == {}
    assert len(missing) == 2
    assert all(
        "'default' was searched by keywords alone: Pinecone cannot be reached" in each for each in missing
    )


async def test_a_key_that_is_refused_is_an_error_of_the_settings_and_is_never_shown(
    pinecone_server: PineconeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_pinecone(pinecone_settings(pinecone_server.address, key="pcsk_wrong")) as api:
        assert api is not None
        with pytest.raises(SettingsError, match=r"refuses pinecone.api_key") as told:
            await api.check()
    assert "pcsk_wrong" not in f"{told.value} {caplog.text}"
    with pytest.raises(SettingsError):
        async with open_pinecone(pinecone_settings(pinecone_server.address, key="two\nlines")):
            pass


async def test_without_a_key_a_search_says_where_the_vectors_are(
    pile: SheetPile, pinecone: Pinecone, index: PostgresIndex, database: Database
) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",)))
    without = PineconeIndex(index, database, None, None)
    with pytest.raises(SettingsError, match=r"'default' are in Pinecone and pinecone.api_key is empty"):
        await without.dense(TENTS, 5)
    assert len(await without.lexical("tents", 5)) == 1
    missing: list[str] = []
    assert len(await without.dense(TENTS, 5, missing=missing)) == 1
    assert "pinecone.api_key is empty" in missing[0]
    assert (await without.maintain()).done == 0


async def test_a_vector_that_cannot_be_fetched_is_embedded_again(pile: SheetPile, pinecone: Pinecone) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",)))
    await pinecone.settle()
    digest = Chunk(ordinal=0, heading="t", text="tents", page=None, tokens=1).digest("fake")
    assert list(await pinecone.index.vectors_of("doc_a", [digest])) == [digest]
    pinecone.server.stumbles = [refused(503) for _ in range(4)]
    assert await pinecone.index.vectors_of("doc_a", [digest]) == {}


async def test_scores_of_many_chunks_are_asked_for_and_their_vectors_are_not(
    pile: SheetPile, pinecone: Pinecone
) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=["tents"] * 150))
    await pinecone.settle()
    ids = [f"chk_a_1_{n}" for n in range(150)]
    for number, calls in ((150, ["query"]), (100, ["vectors/fetch"])):
        pinecone.server.asked.clear()
        assert len(await pinecone.index.cosines(ids[:number], TENTS)) == number
        assert [each.split("causeway-64/")[1].split()[0] for each in pinecone.server.asked] == calls


async def test_vectors_that_cannot_be_fetched_are_left_out_of_an_order(
    pile: SheetPile, pinecone: Pinecone
) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",)))
    await pinecone.settle()
    assert list(await pinecone.index.embeddings(["chk_a_1_0"])) == ["chk_a_1_0"]
    pinecone.server.stumbles = [refused(503) for _ in range(4)]
    assert await pinecone.index.embeddings(["chk_a_1_0"]) == {}


async def test_a_search_says_that_pinecone_could_not_be_asked(
    pile: SheetPile, pinecone: Pinecone, clock: FrozenClock
) -> None:
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",)))
    await pinecone.settle()
    pinecone.server.stumbles = [refused(503) for _ in range(100)]
    search = Search(
        pinecone.index, FakeGateway(), KnowledgeSettings(), models=ModelSettings(), spans=Spans(), clock=clock
    )
    result = await search.search(SearchRequest(query="tents"), Call(principal=SYSTEM, purpose="test"))
    assert [hit.chunk_id for hit in result.hits] == ["chk_a_1_0"]
    (note,) = [note for note in result.notes if "Pinecone" in note]
    assert note.startswith("'default' was searched by keywords alone")


async def test_an_index_that_is_being_made_is_waited_for(pile: SheetPile, pinecone: Pinecone) -> None:
    pinecone.server.not_ready = 2
    await pile.add(Sheet(id="doc_a", title="t", texts=("tents",)))
    with pytest.raises(UpstreamError, match="still making the index 'causeway-64'"):
        await pinecone.index.maintain()
    with pytest.raises(UpstreamError, match="still making"):
        await tents(pinecone)
    await pinecone.settle()
    assert await tents(pinecone) == ["chk_a_1_0"]
