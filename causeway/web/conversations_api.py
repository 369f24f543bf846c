"""``/api/conversations``: what was asked one after the other, and what was answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse

from causeway.knowledge import LONGEST_ID, Conversation, Turn
from causeway.web.answers import CitationShape, HitShape, citation_shape, hit_shape
from causeway.web.sign_in import Asker, Parts

router = APIRouter(prefix="/api/conversations", tags=["Search and answers"])

ConversationId = Annotated[str, Path(min_length=1, max_length=LONGEST_ID)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class ConversationShape(_Shape):
    """A conversation, without what was said."""

    id: str
    title: str
    collection: str | None
    shared: bool = Field(
        description="Whether others who are signed in may read it, as far as they see its documents"
    )
    mine: bool
    created_at: datetime
    updated_at: datetime


class TurnShape(_Shape):
    """A question and its answer."""

    number: int
    question: str
    understood: str = Field(description="The question as it was searched for: a follow-up stands alone in it")
    answer: str
    refused: bool
    withheld: bool = Field(
        description="You may not see all documents that it rests on, so nothing of it is shown"
    )
    hits: list[HitShape]
    citations: list[CitationShape]
    trace_id: str
    model: str
    at: datetime


class WholeConversationShape(ConversationShape):
    """A conversation with all that was said, oldest first."""

    turns: list[TurnShape]


class ChangeBody(BaseModel):
    """What is to be different; null leaves it as it is."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    title: str | None = Field(default=None, min_length=1, max_length=500)
    shared: bool | None = None


@router.get("", name="api_conversations")
async def listed(parts: Parts, asker: Asker, before: datetime | None = None) -> list[ConversationShape]:
    """Your conversations, those that you went on with last first; ``before`` gives those from before a moment."""
    return [_shape(one, asker.owner) for one in await parts.conversations.of(asker, before=before)]


@router.get("/{conversation_id}", name="api_conversation")
async def read(conversation_id: ConversationId, parts: Parts, asker: Asker) -> WholeConversationShape:
    """One of yours, or one that was shared, with all that was said."""
    return whole_shape(await parts.conversations.read(conversation_id, asker), asker.owner)


@router.get("/{conversation_id}/markdown", name="api_conversation_markdown", response_class=PlainTextResponse)
async def markdown(conversation_id: ConversationId, parts: Parts, asker: Asker) -> PlainTextResponse:
    """The same as Markdown, citations below each answer."""
    found = await parts.conversations.read(conversation_id, asker)
    return PlainTextResponse(
        as_markdown(found),
        media_type="text/markdown; charset=utf-8",
        headers={
            "content-disposition": 'attachment; filename="conversation.md"',
            "cache-control": "no-store",
        },
    )


@router.patch("/{conversation_id}", name="api_change_conversation")
async def change(
    conversation_id: ConversationId, body: ChangeBody, parts: Parts, asker: Asker
) -> ConversationShape:
    """Rename your conversation, share it, or stop sharing it."""
    changed = await parts.conversations.change(conversation_id, asker, title=body.title, shared=body.shared)
    return _shape(changed, asker.owner)


@router.delete("/{conversation_id}", name="api_delete_conversation", status_code=204)
async def delete(conversation_id: ConversationId, parts: Parts, asker: Asker) -> None:
    """Forget your conversation."""
    await parts.conversations.delete(conversation_id, asker)


def whole_shape(found: Conversation, reader: str) -> WholeConversationShape:
    """A conversation for the wire and for the page."""
    turns = [_turn_shape(turn) for turn in found.turns]
    return WholeConversationShape(**_shape(found, reader).model_dump(), turns=turns)


def as_markdown(found: Conversation) -> str:
    """A document that says what was asked and answered, with the sources."""
    parts = [f"# {found.title}"]
    for turn in found.turns:
        if turn.is_withheld:
            parts.append("*A question whose documents you may not see.*")
            continue
        sources = [
            f"- [{cited.n}] {cited.title}{f', page {cited.page}' if cited.page else ''} ({cited.path}): “{cited.quote}”"
            for cited in turn.citations
        ]
        parts += [f"## {turn.question}", turn.answer, "\n".join(sources)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shape(found: Conversation, reader: str) -> ConversationShape:
    return ConversationShape(
        id=found.id,
        title=found.title,
        collection=found.collection,
        shared=found.is_shared,
        mine=found.owner == reader,
        created_at=found.created_at,
        updated_at=found.updated_at,
    )


def _turn_shape(turn: Turn) -> TurnShape:
    return TurnShape(
        number=turn.number,
        question=turn.question,
        understood=turn.understood,
        answer=turn.answer,
        refused=turn.is_refused,
        withheld=turn.is_withheld,
        hits=[hit_shape(hit) for hit in turn.hits],
        citations=[citation_shape(cited) for cited in turn.citations],
        trace_id=turn.trace_id,
        model=turn.model,
        at=turn.at,
    )
