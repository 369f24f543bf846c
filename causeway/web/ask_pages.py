"""The first screen: one box, and the answer with its evidence."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from causeway.contracts.identity import Principal, Scope
from causeway.errors import InvalidInputError
from causeway.knowledge import LONGEST_ID, AskRequest, DocumentState
from causeway.observability.feedback import REASONS
from causeway.web.answers import collect
from causeway.web.ask_api import MAX_QUESTION_CHARS, call_of
from causeway.web.cited_revision import passage_link
from causeway.web.event_stream import until_gone
from causeway.web.parts import WebParts
from causeway.web.rendering import page
from causeway.web.sign_in import Asker, Parts

router = APIRouter(include_in_schema=False)

_MOST_EXAMPLES = 4
_MOST_RECENT = 6


@router.get("/", name="ask")
async def show(request: Request, parts: Parts, asker: Asker, q: str = "") -> Response:
    """The box; ``q`` fills it in without asking."""
    recent = await parts.conversations.of(asker, limit=_MOST_RECENT)
    values = {"question": q[:MAX_QUESTION_CHARS], "recent": recent, "conversation": None}
    return page(request, "ask.html", {**await welcome(parts, asker), **values})


@router.post("/ask", name="ask_post")
async def answer(
    request: Request,
    parts: Parts,
    asker: Asker,
    question: Annotated[str, Form()] = "",
    collection: Annotated[str, Form()] = "",
    conversation: Annotated[str, Form(max_length=LONGEST_ID)] = "",
) -> Response:
    """The whole answer as a page, for browsers without scripts."""
    asked = question.strip()
    if not asked or len(asked) > MAX_QUESTION_CHARS:
        raise InvalidInputError(
            f"a question has 1 to {MAX_QUESTION_CHARS} characters, and this has {len(asked)}"
        )
    events = parts.answerer.ask(
        AskRequest(question=asked, collection=collection or None, conversation_id=conversation or None),
        call_of(asker, "ask", conversation or None),
    )
    whole = await until_gone(lambda: collect(events), request.receive)
    if whole is None:
        return Response(status_code=499)
    hits, finished = whole
    targets = {cited.n: passage_link(request, hits[cited.n - 1], cited.quote) for cited in finished.citations}
    cards = [(hit, passage_link(request, hit)) for hit in hits]
    values = {"cards": cards, "finished": finished, "targets": targets, "asked": asked, "question": ""}
    values["conversation_id"] = finished.conversation_id
    return page(request, "answer.html", {**await welcome(parts, asker), **values})


async def welcome(parts: WebParts, asker: Principal) -> dict[str, object]:
    """What the ask page needs to know of the documents."""
    library = parts.library.seen_by(asker)
    collections = await library.collections()
    counts = (await library.documents(limit=1)).counts
    ready = [each.name for each in collections if each.ready]
    examples = [question for name in ready for question in parts.examples.get(name, ())]
    return {
        "ready": sum(each.ready for each in collections),
        "chunks": sum(each.chunks for each in collections),
        "waiting": counts[DocumentState.QUEUED] + counts[DocumentState.PROCESSING],
        "collections": ready,
        "examples": examples[:_MOST_EXAMPLES],
        "max_chars": MAX_QUESTION_CHARS,
        "can_add": asker.may(Scope.INGEST),
        "max_upload_bytes": parts.settings.max_upload_bytes,
        "reasons": REASONS,
    }
