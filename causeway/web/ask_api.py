"""``/api/search`` and ``/api/ask``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from causeway.contracts.identity import Principal
from causeway.contracts.model_gateway import Call
from causeway.knowledge import LONGEST_ID, MOST_FACETS, AskRequest, SearchRequest
from causeway.web.answers import (
    AnswerShape,
    FacetShape,
    HitShape,
    answer_shape,
    as_events,
    collect,
    facet_shapes,
    hit_shape,
)
from causeway.web.event_stream import EventStream, until_gone
from causeway.web.sign_in import Asker, Parts
from causeway.web.stops import OUTLIVES_S, Stops

router = APIRouter(prefix="/api", tags=["Search and answers"])

MAX_QUESTION_CHARS = 4000


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


_Literal = Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=20)]
_LITERAL = "Words that are not to be read as a filter: those of a chip that was taken away"
_TIME_ZONE = "The asker's, such as `Europe/Berlin`: `yesterday` is theirs; empty is UTC"


_Facets = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=MOST_FACETS)]
_COUNTED = (
    "Fields whose values are counted among what is found: collection, type, folder, source, modified, created, or a"
    " metadata key"
)


class SearchBody(_Body):
    """What to look for."""

    query: str = Field(min_length=1, max_length=MAX_QUESTION_CHARS, examples=["return window for tents"])
    collection: str | None = Field(default=None, description="Only in this collection; null searches all")
    filters: dict[str, Any] = Field(default_factory=dict, description="Metadata that must be equal")
    top_k: int = Field(default=10, ge=1, le=100)
    plain_words: bool = Field(
        default=True, description="Read filters out of the query, such as `only PDF files since March`"
    )
    literal: _Literal = Field(default_factory=list, description=_LITERAL)
    time_zone: str = Field(default="", max_length=60, description=_TIME_ZONE)
    facets: _Facets = Field(default_factory=list, description=_COUNTED)
    rerank: bool | None = Field(default=None, description="Score with the cross-encoder; null as in settings")


class SearchAnswer(BaseModel):
    """Hits, best first."""

    hits: list[HitShape]
    understood: dict[str, Any] = Field(
        description="How the request was read: `query`, what was looked for; `collection`; `filters`, those that the query says among them; and "
        "`chips`, which words said which; and `mended`, words that no document has (`written`) and what was searched for"
        " instead (`read`)"
    )
    took_ms: int
    notes: list[str] = Field(
        description="What failed or was left out and made the hits worse; empty when all went well"
    )
    facets: dict[str, list[FacetShape]] = Field(
        description="Of the fields that were asked for, the most frequent values first"
    )


class AskBody(_Body):
    """A question."""

    question: str = Field(
        min_length=1, max_length=MAX_QUESTION_CHARS, examples=["How long may I return a tent?"]
    )
    collection: str | None = Field(default=None, description="Ask only this collection; null asks all")
    conversation_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=LONGEST_ID,
        description="The conversation that this goes on with; null begins one",
    )
    stream: bool = Field(default=False, description="Answer as server-sent events")
    filters: dict[str, Any] = Field(
        default_factory=dict, description="Answer from documents with these fields or metadata alone"
    )
    facets: _Facets = Field(
        default_factory=list, description=f"With `stream`, counted in `retrieved`. {_COUNTED}"
    )
    literal: _Literal = Field(default_factory=list, description=_LITERAL)
    time_zone: str = Field(default="", max_length=60, description=_TIME_ZONE)
    answer_id: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{32}$",
        description="Of your making, with `stream`: the answer is written to its end, and kept in its conversation, even if"
        " the connection breaks; `DELETE /api/ask/ID` stops it",
    )


def call_of(principal: Principal, purpose: str, conversation_id: str | None = None) -> Call:
    """A call on behalf of whoever is asking."""
    return Call(principal=principal, purpose=purpose, conversation_id=conversation_id)


@router.post("/search", name="api_search")
async def search(body: SearchBody, parts: Parts, asker: Asker) -> SearchAnswer:
    """Passages for a query, best first."""
    found = await parts.search.search(
        SearchRequest(
            query=body.query,
            collection=body.collection,
            filters=body.filters,
            top_k=body.top_k,
            rerank=body.rerank,
            plain_words=body.plain_words,
            literal=tuple(body.literal),
            time_zone=body.time_zone,
            facets=tuple(body.facets),
        ),
        call_of(asker, "search"),
    )
    return SearchAnswer(
        hits=[hit_shape(hit) for hit in found.hits],
        understood=dict(found.understood),
        took_ms=found.took_ms,
        notes=list(found.notes),
        facets=facet_shapes(found.facets),
    )


_STREAM = {
    "description": "The answer; with `stream`, server-sent events `retrieved` `{hits, understood, facets, question, conversation_id}`, `text` `{text}`, "
    "`citation`, then `done` (this shape) or `error` (a problem)",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.post("/ask", name="api_ask", response_model=AnswerShape, responses={200: _STREAM})
async def ask(body: AskBody, request: Request, parts: Parts, asker: Asker) -> Any:
    """An answer from the documents, with its evidence."""
    events = parts.answerer.ask(
        AskRequest(
            question=body.question,
            collection=body.collection,
            conversation_id=body.conversation_id,
            filters=body.filters,
            facets=tuple(body.facets),
            literal=tuple(body.literal),
            time_zone=body.time_zone,
        ),
        call_of(asker, "ask", body.conversation_id),
    )
    if body.stream and body.answer_id:
        stops: Stops = request.app.state.stops
        stop = stops.expect(asker.owner, body.answer_id)
        return EventStream(as_events(events), outlives_s=OUTLIVES_S, stop=stop)
    if body.stream:
        return EventStream(as_events(events))
    whole = await until_gone(lambda: collect(events), request.receive)
    return answer_shape(whole[1]) if whole else Response(status_code=499)


@router.delete("/ask/{answer_id}", name="api_stop", status_code=204)
async def stop(
    answer_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")], request: Request, asker: Asker
) -> None:
    """Stop an answer that nobody reads any more; one that is over, or not here, is left alone."""
    stops: Stops = request.app.state.stops
    stops.stop(asker.owner, answer_id)
