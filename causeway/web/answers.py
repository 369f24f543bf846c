"""Answers and passages in the shapes of ``/api``, shared by the JSON answer, the event stream and the page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, assert_never

from pydantic import BaseModel, ConfigDict, Field

from causeway.contracts.money import to_dollars
from causeway.knowledge import AnswerEvent, Cited, FacetValue, Finished, Hit, Place, Retrieved, TextDelta
from causeway.web.event_stream import Event


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class ScoresShape(_Shape):
    """How the stages scored a passage; null where a stage did not."""

    bm25: float | None
    vector: float | None
    fused: float | None
    rerank: float | None


class PlaceShape(_Shape):
    """A rectangle on a page."""

    page: int = Field(description="From 1")
    x0: float = Field(
        description="Its left side, as a share of the page's width as shown: 0 to 1 from the left"
    )
    y0: float = Field(description="Its top, as a share of the page's height: 0 to 1 from the top")
    x1: float = Field(description="Its right side")
    y1: float = Field(description="Its bottom")


_BBOX = "Where it stands on its pages, a rectangle for each page or column; empty where that is not known"


class HitShape(_Shape):
    """A passage that was found."""

    chunk_id: str
    document_id: str
    ordinal: int = Field(description="Its place in the document: `/documents/ID#chunk-ORDINAL` shows it")
    collection: str
    title: str
    source: str
    path: str
    media_type: str
    page: int | None
    heading: str = Field(description="The headings above it, joined by ` > `")
    text: str = Field(description="Markdown")
    score: float
    scores: ScoresShape
    metadata: dict[str, Any]
    revision: int = Field(description="The document's revision that it is of")
    boosts: dict[str, float] = Field(
        description="What its collection's boosts (`recency`, `authority`) added to its score, as shares of it; empty where"
        " none did"
    )
    bbox: list[PlaceShape] = Field(description=_BBOX)


class FacetShape(_Shape):
    """A value of a field; a filter of the field takes it."""

    value: str
    count: int = Field(description="Of the documents that were found so many have it")


class CitationShape(_Shape):
    """A passage that an answer cites."""

    n: int = Field(description="The number in the answer's text: `[1]`")
    document_id: str
    chunk_id: str
    ordinal: int
    title: str
    source: str
    path: str
    page: int | None
    heading: str
    quote: str = Field(description="The sentence of the passage that bears the claim")
    score: float
    revision: int = Field(
        description="The document's revision that was cited; it can be opened for knowledge.keep_versions_days after it"
        " was replaced"
    )
    bbox: list[PlaceShape] = Field(description=_BBOX)


class UsageShape(_Shape):
    """Tokens, as the model counts them."""

    input_tokens: int
    output_tokens: int


class AnswerShape(_Shape):
    """A whole answer."""

    answer: str = Field(description="Markdown, with `[n]` where passage n is cited")
    refused: bool = Field(description="True when the documents do not say; `answer` then says so")
    is_sure: bool = Field(
        description="False when it is not clear that the documents answer: `answer` then begins with a caution; true for a refusal"
    )
    left_out: int = Field(
        description="Sentences that the model wrote and no passage supports; none of them is in `answer`"
    )
    citations: list[CitationShape]
    trace_id: str
    conversation_id: str | None = Field(
        description="Send it with the next question, which may lean on this one"
    )
    question: str = Field(description="As it was understood: a follow-up stands alone in it")
    usage: UsageShape
    cost_usd: float
    model: str
    took_ms: int


def place_shapes(places: Iterable[Place]) -> list[PlaceShape]:
    """Places for the wire."""
    return [
        PlaceShape(page=place.page, x0=place.x0, y0=place.y0, x1=place.x1, y1=place.y1) for place in places
    ]


def hit_shape(hit: Hit) -> HitShape:
    """A hit for the wire."""
    return HitShape(
        chunk_id=hit.chunk_id,
        document_id=hit.document_id,
        ordinal=hit.ordinal,
        collection=hit.collection,
        title=hit.title,
        source=hit.source,
        path=hit.path,
        media_type=hit.media_type,
        page=hit.page,
        heading=hit.heading,
        text=hit.text,
        score=hit.score,
        scores=ScoresShape(
            bm25=hit.scores.bm25, vector=hit.scores.vector, fused=hit.scores.fused, rerank=hit.scores.rerank
        ),
        metadata=dict(hit.metadata),
        revision=hit.revision,
        boosts=dict(hit.boosts),
        bbox=place_shapes(hit.places),
    )


def facet_shapes(facets: Mapping[str, Sequence[FacetValue]]) -> dict[str, list[FacetShape]]:
    """Facets for the wire, the most frequent values first."""
    return {
        field: [FacetShape(value=each.value, count=each.count) for each in values]
        for field, values in facets.items()
    }


def citation_shape(cited: Cited) -> CitationShape:
    """A citation for the wire."""
    return CitationShape(
        n=cited.n,
        document_id=cited.document_id,
        chunk_id=cited.chunk_id,
        ordinal=cited.ordinal,
        title=cited.title,
        source=cited.source,
        path=cited.path,
        page=cited.page,
        heading=cited.heading,
        quote=cited.quote,
        score=cited.score,
        revision=cited.revision,
        bbox=place_shapes(cited.places),
    )


def answer_shape(finished: Finished) -> AnswerShape:
    """An answer for the wire."""
    return AnswerShape(
        answer=finished.answer,
        refused=finished.refused,
        is_sure=finished.is_sure,
        left_out=finished.left_out,
        citations=[citation_shape(cited) for cited in finished.citations],
        trace_id=finished.trace_id,
        conversation_id=finished.conversation_id,
        question=finished.question,
        usage=UsageShape(
            input_tokens=finished.usage.input_tokens, output_tokens=finished.usage.output_tokens
        ),
        cost_usd=to_dollars(finished.cost_micros),
        model=finished.model,
        took_ms=finished.took_ms,
    )


async def as_events(answer: AsyncGenerator[AnswerEvent, None]) -> AsyncGenerator[Event, None]:
    """An answer as server-sent events: ``retrieved``, ``text``, ``citation``, ``done``."""
    async with aclosing(answer) as events:
        async for event in events:
            yield _event(event)


async def collect(answer: AsyncGenerator[AnswerEvent, None]) -> tuple[tuple[Hit, ...], Finished]:
    """The passages and the end of an answer."""
    hits: tuple[Hit, ...] = ()
    finished: Finished | None = None
    async with aclosing(answer) as events:
        async for event in events:
            if isinstance(event, Retrieved):
                hits = event.hits
            elif isinstance(event, Finished):
                finished = event
    if finished is None:
        msg = "the answer ended without its last event"
        raise RuntimeError(msg)
    return hits, finished


def _event(event: AnswerEvent) -> Event:
    match event:
        case Retrieved():
            shown = [hit_shape(hit).model_dump() for hit in event.hits]
            counted = {
                field: [each.model_dump() for each in values]
                for field, values in facet_shapes(event.facets).items()
            }
            about = {"question": event.question, "conversation_id": event.conversation_id, "facets": counted}
            return Event("retrieved", {"hits": shown, "understood": dict(event.understood), **about})
        case TextDelta():
            return Event("text", {"text": event.text})
        case Cited():
            return Event("citation", citation_shape(event).model_dump())
        case Finished():
            return Event("done", answer_shape(event).model_dump())
        case _:
            assert_never(event)
