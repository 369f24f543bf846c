"""What an answer can be made of: the found passages for each part of a question, and their statements, rated.

A question of several parts is searched for whole and part by part, side by side: the second half of 'how much is the float,
and how much petty cash is there?' is in a document that the whole question does not find. The first passages are the whole
question's, so that a part that was cut badly costs no more than its search.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from causeway.contracts.model_gateway import Call, ModelGateway
from causeway.contracts.vectors import RerankRequest
from causeway.errors import CausewayError
from causeway.knowledge.answer.asked import Part, parts
from causeway.knowledge.answer.context import Candidate, cut
from causeway.knowledge.answer.evidence import Evidence, rate
from causeway.knowledge.search.facets import FacetValue
from causeway.knowledge.search.request import Hit, SearchRequest
from causeway.knowledge.search.search import Search
from causeway.knowledge.search.sections import SectionSearch

log = logging.getLogger(__name__)

_RERANK_TIMEOUT_S: Final = 15.0
_MORE_A_PART: Final = 2
"""Passages that a part of a question may add to those of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Passages for a question.

    Attributes:
        question: What is sought: without the words that said a filter.
        parts: Of the question; at least one.
        hits: Hit number 0 is cited as [1].
        scores: For each part, how well search likes each hit for it.
        understood: As `causeway.knowledge.search.request.SearchResult` has it, like ``facets``.
    """

    question: str
    parts: tuple[Part, ...]
    hits: tuple[Hit, ...]
    scores: tuple[tuple[float, ...], ...]
    understood: Mapping[str, object] = field(default_factory=dict)
    facets: Mapping[str, tuple[FacetValue, ...]] = field(default_factory=dict)


async def gather(request: SearchRequest, search: Search | SectionSearch, call: Call) -> Gathered:
    """The passages for the question of ``request``, whose ``top_k`` is meant for a question of one part.

    Raises:
        CausewayError: Search failed.
    """
    asked = parts(request.query)
    apart = [part.query for part in asked] if len(asked) > 1 else []
    try:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(search.search(request, call))
            rest = [
                group.create_task(_of_part(replace(request, query=query, facets=()), search, call))
                for query in apart
            ]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    whole = first.result()
    # words that say a filter are in the whole question, and a part's search would not have obeyed them
    is_filtered = bool(whole.understood.get("filters"))
    found = [whole.hits if is_filtered else task.result() or whole.hits for task in rest]
    hits = list(whole.hits)
    for part_hits in found:
        known = {hit.chunk_id for hit in hits}
        hits += [hit for hit in part_hits[: request.top_k] if hit.chunk_id not in known][:_MORE_A_PART]
    # what said a filter has been done by now, and would only make a model doubt
    sought = str(whole.understood.get("query") or request.query)
    return Gathered(
        question=sought,
        parts=asked if len(asked) > 1 else parts(sought),
        hits=tuple(hits),
        scores=tuple(_scores(hits, part_hits) for part_hits in found or [whole.hits]),
        understood=whole.understood,
        facets=whole.facets,
    )


async def _of_part(request: SearchRequest, search: Search | SectionSearch, call: Call) -> tuple[Hit, ...]:
    """The passages for a part; none, and a line in the log, when its search fails: the whole question's are there.

    Their statements are scored in any case, and the cross-encoder is what search takes its time for, so it is left out.
    """
    try:
        return (await search.search(replace(request, rerank=False), call)).hits
    except CausewayError as exc:
        log.warning("a part of a question was not searched for", extra={"reason": exc.code})
        return ()


def _scores(hits: Sequence[Hit], found: Sequence[Hit]) -> tuple[float, ...]:
    """Of ``hits``; those that a part's own search did not find come after all that it found.

    Without the cross-encoder scores are lower, so a passage that the whole question found keeps its score if that is higher.
    """
    known = {hit.chunk_id: hit.score for hit in found}
    least = min(known.values(), default=0.0)
    return tuple(
        max(known[hit.chunk_id], hit.score) if hit.chunk_id in known else min(hit.score, least)
        for hit in hits
    )


async def rated(
    gathered: Gathered, gateway: ModelGateway, call: Call
) -> tuple[tuple[Candidate, ...], tuple[tuple[Evidence, ...], ...]]:
    """Every statement of the passages; and for each part of the question, every statement as evidence for it."""
    candidates = cut(gathered.hits)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_relevance(part, gathered.hits, candidates, gateway, call))
            for part in gathered.parts
        ]
    found = tuple(
        rate(part, gathered.hits, candidates, task.result(), scores)
        for part, scores, task in zip(gathered.parts, gathered.scores, tasks, strict=True)
    )
    return candidates, found


async def _relevance(
    part: Part, hits: Sequence[Hit], candidates: Sequence[Candidate], gateway: ModelGateway, call: Call
) -> Sequence[float]:
    """How well each statement answers, by the cross-encoder; all the same where search did without it."""
    nothing_known = [0.5] * len(candidates)
    if not any(hit.scores.rerank is not None for hit in hits):
        return nothing_known
    texts = tuple(f"{hits[one.hit].heading}\n{one.statement.words}" for one in candidates)
    try:
        async with asyncio.timeout(_RERANK_TIMEOUT_S):
            request = RerankRequest(model="rerank", query=part.query, texts=texts)
            return (await gateway.rerank(request, msgspec.structs.replace(call, purpose="answer"))).scores
    except (CausewayError, TimeoutError) as exc:
        reason = exc.code if isinstance(exc, CausewayError) else "timeout"
        log.warning("statements in the order of their passages", extra={"reason": reason})
        return nothing_known
