from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from sqlalchemy import text

from causeway.contracts.identity import SYSTEM, Principal, Scope, viewer_names
from causeway.contracts.model_gateway import Call
from causeway.contracts.vectors import Embeddings, EmbedRequest, RerankRequest
from causeway.errors import InvalidInputError, ModelUnavailableError, NotFoundError
from causeway.knowledge.index.filters import EVERYTHING, Filter
from causeway.knowledge.index.postgres_index import PostgresIndex
from causeway.knowledge.index.stores import Match
from causeway.knowledge.search.request import LONGEST_QUERY, SearchRequest, SearchResult
from causeway.knowledge.search.search import Search
from causeway.observability import genai_names as names
from causeway.observability.spans import Spans
from causeway.settings import KnowledgeSettings, ModelSettings
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from causeway.testing.documents import Sheet, SheetPile
from causeway.testing.gateway import FakeGateway
from causeway.testing.spans import CollectedSpans

RETURNS = Sheet(
    id="doc_returns",
    title="Returns",
    path="policies/returns.md",
    media_type="text/markdown",
    texts=("Send web orders back within 45 days.", "Bring the receipt to the shop within 30 days."),
    metadata={"team": "desk"},
)
TENTS = Sheet(
    id="doc_tents",
    title="Larkrise tents",
    path="products/tents.pdf",
    media_type="application/pdf",
    texts=(
        "The Larkrise 2 weighs 1.9 kg.",
        "Poles are made of aluminium.",
        "Part FS-TNT-210 is the spare pole.",
    ),
)
LEAVE = Sheet(
    id="doc_leave", title="Leave", path="handbook/leave.md", texts=("Everybody has 28 days of leave.",)
)


@pytest.fixture
async def stocked(search: Search, pile: SheetPile) -> Search:
    await pile.add(RETURNS, TENTS, LEAVE)
    return search


def ids(result: SearchResult) -> list[str]:
    return [hit.chunk_id for hit in result.hits]


async def test_the_passage_that_answers_comes_first_with_where_it_is_from(
    stocked: Search, call: Call
) -> None:
    result = await stocked.search(SearchRequest(query="how many days to send web orders back"), call)
    first = result.hits[0]
    assert (first.chunk_id, first.document_id, first.ordinal) == ("chk_returns_1_0", "doc_returns", 0)
    assert (first.title, first.path, first.collection) == ("Returns", "policies/returns.md", "default")
    assert (first.heading, first.text) == ("Returns", "Send web orders back within 45 days.")
    assert first.metadata == {"team": "desk"}
    assert result.notes == ()


async def test_scores_say_how_a_hit_was_found(stocked: Search, call: Call) -> None:
    result = await stocked.search(SearchRequest(query="aluminium poles"), call)
    first, last = result.hits[0], result.hits[-1]
    assert first.scores.bm25 is not None
    assert first.scores.bm25 > 0
    assert first.scores.vector is not None
    assert 0 < first.scores.vector <= 1
    assert 0 <= first.scores.fused <= 1
    assert first.scores.rerank == 1.0
    assert last.scores.bm25 is None
    assert result.is_reranked
    assert all(one.score >= other.score for one, other in pairwise(result.hits))
    assert all(0 <= hit.score <= 1 for hit in result.hits)


async def test_top_k_bounds_the_hits(stocked: Search, call: Call) -> None:
    few = await stocked.search(SearchRequest(query="days", top_k=2), call)
    all_of_them = await stocked.search(SearchRequest(query="days", top_k=100), call)
    assert len(few.hits) == 2
    assert len(all_of_them.hits) == 6
    assert ids(all_of_them)[:2] == ids(few)


# --- where ---------------------------------------------------------------------------------------------


async def test_filters_and_the_collection_bound_what_is_found(
    stocked: Search, pile: SheetPile, call: Call
) -> None:
    await pile.add(Sheet(id="doc_other", texts=("days of rain",), collection="weather"))
    for request, found in (
        (SearchRequest(query="days", filters={"type": "pdf"}), {"doc_tents"}),
        (SearchRequest(query="days", filters={"team": "desk"}), {"doc_returns"}),
        (SearchRequest(query="days", filters={"folder": "policies", "type": "pdf"}), set()),
        (SearchRequest(query="days", collection="weather"), {"doc_other"}),
        (SearchRequest(query="days", collection="weather", filters={"team": "desk"}), set()),
        (
            SearchRequest(query="days", filters={"collection": ["weather", "default"], "team": "desk"}),
            {"doc_returns"},
        ),
    ):
        result = await stocked.search(request, call)
        assert {hit.document_id for hit in result.hits} == found, request
        read = {"query": request.query, "collection": request.collection, "filters": dict(request.filters)}
        assert result.understood == {**read, "chips": [], "mended": []}


async def test_an_unknown_collection_is_named_with_those_there_are(stocked: Search, call: Call) -> None:
    with pytest.raises(NotFoundError, match="there is no collection 'defualt'; there are 'default'"):
        await stocked.search(SearchRequest(query="days", collection="defualt"), call)


async def test_without_documents_nothing_is_found(search: Search, gateway: FakeGateway, call: Call) -> None:
    assert (await search.search(SearchRequest(query="days"), call)).hits == ()
    assert gateway.requests == []
    with pytest.raises(NotFoundError, match="ingest documents to make one"):
        await search.search(SearchRequest(query="days", collection="default"), call)


async def test_each_collection_is_searched_with_its_own_model(
    search: Search, gateway: FakeGateway, pile: SheetPile, call: Call
) -> None:
    await pile.add(Sheet(id="doc_a", texts=("red tents",), collection="a"), embedding_model="one@0a1b2c")
    await pile.add(Sheet(id="doc_b", texts=("red tents",), collection="b"), embedding_model="two")
    both = await search.search(SearchRequest(query="red tents"), call)
    assert {hit.document_id for hit in both.hits} <= {"doc_a", "doc_b"}
    assert {request.model for request in gateway.requests if isinstance(request, EmbedRequest)} == {
        "one",
        "two",
    }
    gateway.requests.clear()
    (hit,) = (await search.search(SearchRequest(query="red tents", collection="b"), call)).hits
    assert hit.document_id == "doc_b"
    assert [request.model for request in gateway.requests if isinstance(request, EmbedRequest)] == ["two"]


# --- what cannot be asked ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (SearchRequest(query=""), "the query is empty"),
        (SearchRequest(query=" \n\t"), "the query is empty"),
        (
            SearchRequest(query="x" * (LONGEST_QUERY + 1)),
            "the query has 10001 characters; shorten it to 10000",
        ),
        (SearchRequest(query="x", top_k=0), "top_k is 0; ask for 1 to 100"),
        (SearchRequest(query="x", top_k=101), "top_k is 101"),
        (SearchRequest(query="x", filters={"modified": "soon"}), "'modified=soon' is not a day"),
    ],
)
async def test_a_request_that_cannot_be_used_says_why(
    search: Search, call: Call, request_: SearchRequest, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        await search.search(request_, call)


async def test_the_longest_query_is_answered(stocked: Search, call: Call) -> None:
    query = ("aluminium poles " * LONGEST_QUERY)[:LONGEST_QUERY]
    assert ids(await stocked.search(SearchRequest(query=query), call))[0] == "chk_tents_1_1"


# --- order ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rerank", [True, False])
async def test_an_identifier_brings_its_chunk_first(
    stocked: Search, pile: SheetPile, call: Call, rerank: bool
) -> None:
    await pile.add(
        *(
            Sheet(id=f"doc_{n}", title="Spare parts", texts=(f"Part FS-TNT-{n} is the spare pole.",))
            for n in range(211, 240)
        )
    )
    for query in ("FS-TNT-210", "fs-tnt-210", "which part is FS-TNT-210?"):
        result = await stocked.search(SearchRequest(query=query, rerank=rerank), call)
        assert ids(result)[0] == "chk_tents_1_2", query


async def test_an_identifier_that_nobody_has_changes_nothing(stocked: Search, call: Call) -> None:
    plain = await stocked.search(SearchRequest(query="spare pole", rerank=False), call)
    odd = await stocked.search(SearchRequest(query="spare pole ZZ-99", rerank=False), call)
    assert ids(odd)[0] == ids(plain)[0]
    assert odd.hits[0].score == pytest.approx(odd.hits[0].scores.fused, abs=1e-6)


async def test_the_same_text_is_a_hit_once(stocked: Search, pile: SheetPile, call: Call) -> None:
    await pile.add(Sheet(id="doc_copy", texts=("Poles  are made of\nALUMINIUM.", "Poles are made of steel.")))
    result = await stocked.search(SearchRequest(query="aluminium poles"), call)
    same = [hit for hit in result.hits if "aluminium" in hit.text.lower()]
    assert len(same) == 1
    assert any("steel" in hit.text for hit in result.hits)


async def test_a_page_is_full_however_many_say_the_same(search: Search, pile: SheetPile, call: Call) -> None:
    same = [f"Poles are made of aluminium{' ' * n}." for n in range(60)]
    other = [f"Poles number {n} are made of steel." for n in range(14)]
    await pile.add(Sheet(id="doc_same", texts=same), Sheet(id="doc_other", texts=other))
    result = await search.search(SearchRequest(query="poles made of aluminium", rerank=False), call)
    assert len({" ".join(hit.text.split()) for hit in result.hits}) == len(result.hits) == 10


class _FirstWords(PostgresIndex):
    """Tells when the words are searched for."""

    are_asked: asyncio.Event

    async def lexical(
        self, query: str, k: int, where: Filter = EVERYTHING, *, mended: dict[str, str] | None = None
    ) -> Sequence[Match]:
        self.are_asked.set()
        return await super().lexical(query, k, where, mended=mended)


class _ThenVectors(FakeGateway):
    """Embeds only when the words are searched for."""

    may_embed: asyncio.Event

    async def embed(self, request: EmbedRequest, call: Call) -> Embeddings:
        async with asyncio.timeout(5):
            await self.may_embed.wait()
        return await super().embed(request, call)


async def test_words_are_searched_for_while_the_query_is_embedded(
    database: Database, spans: Spans, clock: FrozenClock, pile: SheetPile, call: Call
) -> None:
    await pile.add(TENTS)
    index, gateway = _FirstWords(database), _ThenVectors()
    index.are_asked = gateway.may_embed = asyncio.Event()
    search = Search(index, gateway, KnowledgeSettings(), models=ModelSettings(), spans=spans, clock=clock)
    result = await search.search(SearchRequest(query="aluminium poles"), call)
    assert result.notes == ()
    assert ids(result)[0] == "chk_tents_1_1"


async def test_the_cross_encoder_reorders_the_best_few_and_those_alone(
    index: PostgresIndex, gateway: FakeGateway, spans: Spans, clock: FrozenClock, pile: SheetPile, call: Call
) -> None:
    await pile.add(RETURNS, TENTS, LEAVE)
    settings = KnowledgeSettings(rerank_candidates=2, rerank_weight=1.0)
    search = Search(index, gateway, settings, models=ModelSettings(), spans=spans, clock=clock)
    result = await search.search(SearchRequest(query="days of leave for everybody"), call)
    asked = [request for request in gateway.requests if isinstance(request, RerankRequest)]
    assert [len(request.texts) for request in asked] == [2]
    assert [hit.scores.rerank is not None for hit in result.hits] == [
        True,
        True,
        *[False] * (len(result.hits) - 2),
    ]
    assert asked[0].texts[0] == "Leave\nEverybody has 28 days of leave."


# --- what fails ----------------------------------------------------------------------------------------


async def test_without_the_embedding_model_keywords_still_find_and_the_result_says_so(
    stocked: Search, gateway: FakeGateway, call: Call
) -> None:
    gateway.embed_error = ModelUnavailableError("starting")
    result = await stocked.search(SearchRequest(query="aluminium poles"), call)
    assert ids(result)[0] == "chk_tents_1_1"
    assert result.notes == ("found by keywords alone: the embedding model 'fake' failed (model_unavailable)",)
    assert result.hits[0].scores.vector is None


async def test_without_the_cross_encoder_the_fused_order_stays_and_the_result_says_so(
    stocked: Search, gateway: FakeGateway, call: Call
) -> None:
    gateway.rerank_error = ModelUnavailableError("starting")
    broken = await stocked.search(SearchRequest(query="aluminium poles"), call)
    off = await stocked.search(SearchRequest(query="aluminium poles", rerank=False), call)
    assert broken.notes == ("not reranked: the model 'reranker-en' failed (model_unavailable)",)
    assert off.notes == ()
    assert not broken.is_reranked
    assert not off.is_reranked
    assert ids(broken) == ids(off)
    assert broken.hits[0].scores.rerank is None


async def test_a_rerank_that_is_asked_for_and_not_configured_is_said(
    index: PostgresIndex, gateway: FakeGateway, spans: Spans, clock: FrozenClock, pile: SheetPile, call: Call
) -> None:
    await pile.add(TENTS)
    models = ModelSettings(rerank="")
    search = Search(index, gateway, KnowledgeSettings(), models=models, spans=spans, clock=clock)
    assert (await search.search(SearchRequest(query="poles"), call)).notes == ()
    asked = await search.search(SearchRequest(query="poles", rerank=True), call)
    assert asked.notes == ("not reranked: models.rerank is empty",)


async def test_vectors_of_other_dimensions_are_not_compared(
    search: Search, database: Database, index: PostgresIndex, call: Call
) -> None:
    await SheetPile(database, index, dimensions=32).add(Sheet(id="doc_a", texts=("aluminium poles",)))
    result = await search.search(SearchRequest(query="poles"), call)
    assert ids(result) == ["chk_a_1_0"]
    assert "'fake' now makes vectors of 64 dimensions instead of 32" in result.notes[0]


# --- traces --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture_content", [True, False])
async def test_a_search_leaves_a_span_with_what_was_asked_and_found(
    index: PostgresIndex,
    gateway: FakeGateway,
    clock: FrozenClock,
    pile: SheetPile,
    call: Call,
    capture_content: bool,
) -> None:
    await pile.add(TENTS)
    collected = CollectedSpans()
    spans = Spans(collected)
    search = Search(
        index,
        gateway,
        KnowledgeSettings(),
        models=ModelSettings(),
        spans=spans,
        clock=clock,
        capture_content=capture_content,
    )
    await search.search(SearchRequest(query="aluminium poles", filters={"type": "pdf"}), call)
    spans.close()
    (span,) = [span for span in collected.finished if span.name == "search"]
    attributes = span.attributes
    found = json.loads(str(attributes[names.RETRIEVAL_DOCUMENTS]))
    assert found[0]["id"] == "chk_tents_1_1"
    assert (found[0]["revision"], found[0]["ordinal"]) == (1, 1)
    assert ("text" in found[0]) is capture_content
    assert (attributes.get(names.RETRIEVAL_QUERY) == "aluminium poles") is capture_content
    assert json.loads(str(attributes["causeway.filters"])) == {"type": "pdf"}


async def test_filters_said_in_plain_words_are_read_over_what_is_there(
    search: Search, pile: SheetPile, call: Call
) -> None:
    await pile.add(
        Sheet(id="doc_pdf", texts=["tents are returned"], media_type="application/pdf", path="hr/a.pdf"),
        Sheet(id="doc_text", texts=["tents are returned"], path="b.txt", metadata={"author": "Dana Reyes"}),
    )
    found = await search.search(SearchRequest(query="tents, only PDF files"), call)
    assert [hit.document_id for hit in found.hits] == ["doc_pdf"]
    assert found.understood["filters"] == {"type": "application/pdf"}
    assert found.understood["chips"] == [
        {"field": "type", "value": "application/pdf", "words": "only PDF files"}
    ]
    for query, document_id in (("tents by Dana", "doc_text"), ("tents in the HR folder", "doc_pdf")):
        found = await search.search(SearchRequest(query=query), call)
        assert [hit.document_id for hit in found.hits] == [document_id]


async def test_a_chip_that_is_taken_away_filters_no_longer(
    search: Search, pile: SheetPile, call: Call
) -> None:
    await pile.add(
        Sheet(id="doc_pdf", texts=["tents are returned"], media_type="application/pdf"),
        Sheet(id="doc_text", texts=["tents and stoves are returned"]),
    )
    for request in (
        SearchRequest(query="tents, only PDF files", literal=("only PDF files",)),
        SearchRequest(query="tents, only PDF files", plain_words=False),
        SearchRequest(query="tents, only PDF files", filters={"type": "plain"}),
    ):
        found = await search.search(request, call)
        assert "doc_text" in {hit.document_id for hit in found.hits}
        assert found.understood["chips"] == []


async def test_words_name_only_values_that_the_asker_sees(
    search: Search, pile: SheetPile, database: Database
) -> None:
    await pile.add(
        Sheet(id="doc_open", texts=["tents"]),
        Sheet(
            id="doc_closed",
            texts=["tents"],
            path="board/x.txt",
            metadata={"author": "Dana", "tags": ["secret"]},
        ),
    )
    async with database.begin() as connection:
        await connection.execute(text("UPDATE documents SET own_readers = '{}' WHERE id = 'doc_closed'"))
    seen = viewer_names("usr_ann", ())
    ann = Principal(id="usr_ann", name="Ann", scopes=frozenset({Scope.ASK}), user="usr_ann", sees_as=seen)
    for query in ("tents by Dana", "tents in the board folder", "tents tagged secret"):
        found = await search.search(SearchRequest(query=query), Call(principal=ann, purpose="test"))
        assert found.understood["filters"] == {}
        found = await search.search(SearchRequest(query=query), Call(principal=SYSTEM, purpose="test"))
        assert found.understood["filters"] != {}


async def test_a_time_zone_that_is_none_is_refused(search: Search, call: Call) -> None:
    for zone in ("Nowhere/Land", "../etc/passwd", "\x00"):
        with pytest.raises(InvalidInputError, match="is no time zone"):
            await search.search(SearchRequest(query="tents", time_zone=zone), call)
