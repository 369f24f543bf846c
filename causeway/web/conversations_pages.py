"""Conversations for people: the list of one's own, and one to go on with."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from causeway.web.ask_pages import welcome
from causeway.web.conversations_api import ConversationId, whole_shape
from causeway.web.rendering import link, page
from causeway.web.sign_in import Asker, Parts

router = APIRouter(include_in_schema=False)

_A_PAGE = 50


@router.get("/conversations", name="conversations")
async def listed(request: Request, parts: Parts, asker: Asker, before: datetime | None = None) -> Response:
    """One's own, those gone on with last first."""
    found = await parts.conversations.of(asker, limit=_A_PAGE, before=before)
    older = found[-1].updated_at if len(found) == _A_PAGE else None
    return page(request, "conversations.html", {"conversations": found, "older": older})


@router.get("/conversations/{conversation_id}", name="conversation")
async def show(conversation_id: ConversationId, request: Request, parts: Parts, asker: Asker) -> Response:
    """The ask page with what was said."""
    found = whole_shape(await parts.conversations.read(conversation_id, asker), asker.owner)
    values = {"conversation": found, "question": "", "recent": ()}
    return page(request, "ask.html", {**await welcome(parts, asker), **values})


@router.post("/conversations/{conversation_id}/share", name="conversation_share")
async def share(
    conversation_id: ConversationId,
    request: Request,
    parts: Parts,
    asker: Asker,
    shared: Annotated[bool, Form()] = False,
) -> Response:
    """Let others read it, or no longer."""
    await parts.conversations.change(conversation_id, asker, shared=shared)
    return RedirectResponse(link(request, "conversation", conversation_id=conversation_id), status_code=303)


@router.post("/conversations/{conversation_id}/rename", name="conversation_rename")
async def rename(
    conversation_id: ConversationId,
    request: Request,
    parts: Parts,
    asker: Asker,
    title: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Call it something else."""
    await parts.conversations.change(conversation_id, asker, title=title)
    return RedirectResponse(link(request, "conversation", conversation_id=conversation_id), status_code=303)


@router.post("/conversations/{conversation_id}/delete", name="conversation_delete")
async def delete(conversation_id: ConversationId, request: Request, parts: Parts, asker: Asker) -> Response:
    """Forget it."""
    await parts.conversations.delete(conversation_id, asker)
    return RedirectResponse(link(request, "conversations"), status_code=303)
