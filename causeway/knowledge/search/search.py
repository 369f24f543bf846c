"""Search: a query becomes hits.

Embed the query, search by keywords meanwhile -> search by vectors -> fuse -> promote by neighbours -> boosts, where a collection
has any -> drop what says the same -> the cross-encoder on the best few -> hits, and facets where they are asked for. A part that
fails or is off makes the hits worse, not the search: the result says so in its notes. Only when no arm is left does the
search fail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Final

import msgspec

from causeway.contracts.clock import Clock
from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import EmbedRequest, RerankRequest
from causeway.errors import CausewayError, NotFoundError
from causeway.knowledge.collection_options import options_of
from causeway.knowledge.index.field_values import field_values
from causeway.knowledge.index.filters import EVERYTHING, Eq, Filter, In, all_of, from_pairs
from causeway.knowledge.index.stores import ChunkIndex, IndexedCollection
from causeway.knowledge.search.facets import FacetValue, count_facets
from causeway.knowledge.search.plain_words import Understood, fields_to_ask_for, understand
from causeway.knowledge.search.ranked import Ranked, blended, ranked
from causeway.knowledge.search.read_otherwise import read_otherwise
from causeway.knowledge.search.request import Hit, Scores, SearchRequest, SearchResult
from causeway.knowledge.search.retrieval_votes import Boosts
from causeway.knowledge.search.retrieve import Candidates, QueryVector, retrieve
from causeway.observability import genai_names as names
from causeway.observability.spans import Span, Spans
from causeway.settings import KnowledgeSettings, ModelSettings

log = logging.getLogger(__name__)

_EMBED_TIMEOUT_S: Final = 15.0
_RERANK_TIMEOUT_S: Final = 15.0


class Search:
    """Finds the chunks that match a query best; safe for many callers at once."""

    def __init__(
        self,
        index: ChunkIndex,
        gateway: ModelGateway,
        settings: KnowledgeSettings,
        *,
        models: ModelSettings,
        spans: Spans,
        clock: Clock,
        capture_content: bool = True,
    ) -> None:
        self._index = index
        self._gateway = gateway
        self._settings = settings
        self._models = models
        self._spans = spans
        self._clock = clock
        self._capture_content = capture_content
        self._votes: Boosts | None = None

    def moved_by(self, votes: Boosts) -> Search:
        """This search with its candidates moved by ``votes``."""
        moved = copy(self)
        moved._votes = votes
        return moved

    async def search(self, request: SearchRequest, call: Call) -> SearchResult:
        """The best hits, and how the request was understood.

        Raises:
            InvalidInputError: The query, a filter or ``top_k`` cannot be used.
            NotFoundError: There is no such collection; the message names those there are.
            DeadlineError: The database did not answer in time.
        """
        request.check()
        where = from_pairs(request.filters)
        started = self._clock.monotonic()
        with self._spans.start("search", parent=call.traceparent) as span:
            self._describe(span, request, call)
            inner = msgspec.structs.replace(call, traceparent=span.traceparent)
            notes: list[str] = []
            index = self._index.seen_by(call.principal)
            known: list[IndexedCollection] = []
            # First, so that one that is hidden is as much work as one that is not there.
            if request.collection is not None:
                known.extend(await _collections(index, request.collection))
            understood = await self._understood(index, request)
            where = all_of(where, understood.where)
            if request.collection is not None:
                where = all_of(Eq("collection", request.collection), where)
            sought = replace(request, query=understood.query)
            hits, candidates = await self._hits(index, sought, known, where, inner, notes)
            facets: Mapping[str, tuple[FacetValue, ...]] = {}
            if request.facets:
                facets = await count_facets(index.sight, request.facets, candidates.matched)
            result = SearchResult(
                hits=hits,
                understood={
                    "query": understood.query,
                    "collection": request.collection,
                    "filters": {**understood.filters, **request.filters},
                    "chips": [
                        {"field": chip.field, "value": chip.value, "words": chip.words}
                        for chip in understood.chips
                    ],
                    "mended": await read_otherwise(index.sight, understood.query, candidates.mended, hits),
                },
                took_ms=round((self._clock.monotonic() - started) * 1000),
                is_reranked=any(hit.scores.rerank is not None for hit in hits),
                notes=tuple(notes),
                facets=facets,
            )
            self._record(span, result)
            return result

    async def _understood(self, index: ChunkIndex, request: SearchRequest) -> Understood:
        """The filters that the query says; what the request gives itself is not read once more."""
        zone = request.zone
        if not request.plain_words:
            return Understood(query=request.query)
        wanted = fields_to_ask_for(request.query)
        if request.collection is not None:
            wanted -= {"collections"}
        values = await field_values(index.sight, wanted, collection=request.collection)
        return understand(
            request.query,
            values,
            self._clock.now().astimezone(zone),
            literal=request.literal,
            given=request.filters,
        )

    async def _hits(
        self,
        index: ChunkIndex,
        request: SearchRequest,
        known: list[IndexedCollection],
        where: Filter,
        call: Call,
        notes: list[str],
    ) -> tuple[tuple[Hit, ...], Candidates]:
        """The hits, and what they were chosen from; ``known`` gets all collections where the request names none."""

        async def embed() -> Sequence[QueryVector]:
            if request.collection is None:
                known.extend(await _collections(index, None))
            return await self._vectors(request.query, known, call, notes)

        is_reranked = self._wants_rerank(request, notes)
        with self._spans.start("retrieve", parent=call.traceparent) as span:
            k = max(self._settings.candidates, request.top_k)
            weight = self._settings.vector_weight
            candidates = await retrieve(
                index, request.query, embed, k=k, where=where, vector_weight=weight, top_k=request.top_k
            )
            span.set({"causeway.candidates.vector": candidates.from_vectors})
            span.set({"causeway.candidates.keyword": candidates.from_keywords})
            votes = await self._votes.boosts(candidates.vectors, known) if self._votes else {}
            span.set({"causeway.votes": len(votes) or None})
            notes.extend(candidates.missing)
            rankings = {each.name: options_of(each.options).ranking for each in known}
            wanted = max(request.top_k, self._settings.rerank_candidates if is_reranked else 0)
            found = await ranked(
                index, request.query, candidates, votes, rankings, self._clock.now(), wanted=wanted
            )
        if is_reranked:
            found = await self._reranked(request.query, found, call, notes)
        return tuple(_hit(candidate) for candidate in found[: request.top_k]), candidates

    # --- embed ---------------------------------------------------------------------------------------

    async def _vectors(
        self, query: str, collections: Sequence[IndexedCollection], call: Call, notes: list[str]
    ) -> list[QueryVector]:
        """The query's vector for each embedding model that the collections were made with."""
        by_model: dict[tuple[str, int], list[str]] = {}
        for collection in collections:
            by_model.setdefault((collection.embedding_model, collection.dimensions), []).append(
                collection.name
            )
        vectors = []
        for (model, dimensions), collection_names in by_model.items():
            # a local model's name in a collection ends in '@' and its file's hash; it is called without that
            request = EmbedRequest(model=model.partition("@")[0], texts=(query,), kind="query")
            try:
                async with asyncio.timeout(_EMBED_TIMEOUT_S):
                    embeddings = await self._gateway.embed(request, call)
            except (CausewayError, TimeoutError) as exc:
                notes.append(f"found by keywords alone: the embedding model '{model}' {_reason(exc)}")
                log.warning("search without vectors", extra={"model": model, "reason": _reason(exc)})
                continue
            if embeddings.vectors.shape[1] != dimensions:
                notes.append(
                    f"found by keywords alone in {', '.join(collection_names)}: '{model}' now makes vectors of "
                    f"{embeddings.vectors.shape[1]} dimensions instead of {dimensions}; ingest into a new collection"
                )
                continue
            theirs = In("collection", tuple(collection_names)) if len(by_model) > 1 else EVERYTHING
            vectors.append(QueryVector(embeddings.vectors[0], theirs, model))
        return vectors

    # --- order ---------------------------------------------------------------------------------------

    def _wants_rerank(self, request: SearchRequest, notes: list[str]) -> bool:
        if request.rerank and not self._models.rerank:
            notes.append("not reranked: models.rerank is empty")
        wanted = self._settings.rerank if request.rerank is None else request.rerank
        return wanted and bool(self._models.rerank)

    async def _reranked(self, query: str, found: list[Ranked], call: Call, notes: list[str]) -> list[Ranked]:
        """``found`` with the best few in the order that the cross-encoder has a share in."""
        best = found[: self._settings.rerank_candidates]
        if not best:
            return found
        request = RerankRequest(
            model=self._models.rerank,
            query=query,
            texts=tuple(candidate.placed.chunk.searchable for candidate in best),
        )
        try:
            async with asyncio.timeout(_RERANK_TIMEOUT_S):
                relevance = await self._gateway.rerank(request, call)
        except (CausewayError, TimeoutError) as exc:
            notes.append(f"not reranked: the model '{self._models.rerank}' {_reason(exc)}")
            log.warning("search without rerank", extra={"model": self._models.rerank, "reason": _reason(exc)})
            return found
        return [*blended(best, relevance.scores, self._settings.rerank_weight), *found[len(best) :]]

    # --- spans ---------------------------------------------------------------------------------------

    def _describe(self, span: Span, request: SearchRequest, call: Call) -> None:
        span.set(
            {
                names.OPERATION: "retrieval",
                names.DATA_SOURCE: request.collection,
                names.RETRIEVAL_TOP_K: request.top_k,
                names.RETRIEVAL_QUERY: request.query if self._capture_content else None,
                names.PRINCIPAL: call.principal.id,
                names.OWNER: call.principal.owner,
                names.TEAM: call.principal.team,
                names.PURPOSE: call.purpose,
                "causeway.filters": dict(request.filters) or None,
            }
        )

    def _record(self, span: Span, result: SearchResult) -> None:
        documents = [_described(hit, with_text=self._capture_content) for hit in result.hits]
        span.set({names.RETRIEVAL_DOCUMENTS: documents, "causeway.took_ms": result.took_ms})
        for note in result.notes:
            span.event("degraded", {"reason": note})


async def _collections(index: ChunkIndex, name: str | None) -> Sequence[IndexedCollection]:
    known = await index.collections()
    if name is None:
        return known
    wanted = [collection for collection in known if collection.name == name]
    if not wanted:
        there_are = ", ".join(f"'{collection.name}'" for collection in known)
        raise NotFoundError(
            f"there is no collection '{name}'; "
            + (f"there are {there_are}" if known else "ingest documents to make one")
        )
    return wanted


def _reason(error: CausewayError | TimeoutError) -> str:
    return f"failed ({error.code})" if isinstance(error, CausewayError) else "did not answer in time"


def _hit(candidate: Ranked) -> Hit:
    placed, chunk = candidate.placed, candidate.placed.chunk
    return Hit(
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        ordinal=chunk.ordinal,
        collection=placed.collection,
        title=placed.title,
        source=placed.source,
        path=placed.path,
        media_type=placed.media_type,
        page=chunk.page,
        heading=chunk.heading,
        text=chunk.text,
        tokens=chunk.tokens,
        score=round(candidate.score, 6),
        scores=Scores(
            bm25=candidate.fused.bm25,
            vector=candidate.fused.cosine,
            fused=candidate.fused.score,
            rerank=candidate.rerank,
        ),
        metadata=placed.metadata,
        revision=placed.revision,
        places=chunk.places,
        boosts=candidate.boosts,
    )


def _described(hit: Hit, *, with_text: bool) -> Mapping[str, object]:
    described: dict[str, object] = {
        "id": hit.chunk_id,
        "document_id": hit.document_id,
        "revision": hit.revision,
        "ordinal": hit.ordinal,
        "title": hit.title,
        "page": hit.page,
        "score": hit.score,
    }
    return {**described, "text": hit.text} if with_text else described
