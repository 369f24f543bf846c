"""``/api/palette``: what the command palette finds beyond pages and actions, as far as its reader may see it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from causeway.contracts.identity import Principal, Scope
from causeway.web.admin_access import Storable
from causeway.web.parts import WebParts
from causeway.web.rendering import link
from causeway.web.sign_in import Asker, Parts

router = APIRouter(prefix="/api/palette", tags=["Search and answers"])

_MOST: Final = 6
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class FoundItem(_Shape):
    """One thing that was found."""

    label: str
    hint: str = Field(default="", description="Where it is, in a few words")
    icon: str
    url: str = Field(description="The path of its page")
    at: datetime | None = Field(default=None, description="When it was changed or gone on with")


class FoundGroup(_Shape):
    """Things of one kind, those of late first."""

    name: str
    items: list[FoundItem]


class PaletteShape(_Shape):
    """What was found; groups with nothing in them are left out."""

    q: str
    groups: list[FoundGroup]


@router.get("", name="api_palette")
async def find(
    request: Request, parts: Parts, asker: Asker, q: Annotated[Storable, Query(max_length=200)] = ""
) -> PaletteShape:
    """Conversations of yours and documents that you may see with every word of ``q`` in their titles (or, of documents, paths).

    Without ``q``, those of late. Administrators find prompts by their names too.
    """
    wanted = " ".join(q.split())
    groups = [
        FoundGroup(name="Traces", items=_trace(request, asker, wanted)),
        FoundGroup(name="Conversations", items=await _conversations(request, parts, asker, wanted)),
        FoundGroup(name="Documents", items=await _documents(request, parts, asker, wanted)),
        FoundGroup(name="Prompts", items=await _prompts(request, parts, asker, wanted)),
    ]
    return PaletteShape(q=q, groups=[group for group in groups if group.items])


async def _conversations(request: Request, parts: WebParts, asker: Principal, text: str) -> list[FoundItem]:
    return [
        FoundItem(
            label=each.title,
            icon="clock",
            url=link(request, "conversation", conversation_id=each.id),
            at=each.updated_at,
        )
        for each in await parts.conversations.of(asker, limit=_MOST, text=text)
    ]


async def _documents(request: Request, parts: WebParts, asker: Principal, text: str) -> list[FoundItem]:
    found = await parts.library.seen_by(asker).documents(text=text, limit=_MOST)
    return [
        FoundItem(
            label=each.title,
            hint=each.collection,
            icon="documents",
            url=link(request, "document", document_id=each.id),
            at=each.updated_at,
        )
        for each in found.documents
    ]


async def _prompts(request: Request, parts: WebParts, asker: Principal, text: str) -> list[FoundItem]:
    """Prompts by name; there are few, so that without words they are left to their page."""
    if not text or parts.prompts is None or not asker.may(Scope.ADMIN):
        return []
    words = text.casefold().split()
    found = [each.name for each in await parts.prompts.registry.standings()]
    return [
        FoundItem(label=name, icon="prompts", url=link(request, "prompt", prompt=name))
        for name in found
        if all(word in name.casefold() for word in words)
    ][:_MOST]


def _trace(request: Request, asker: Principal, text: str) -> list[FoundItem]:
    """The page of a trace whose whole id was pasted; whether there is one is that page's to say."""
    if not _TRACE_ID.fullmatch(text) or not (asker.may(Scope.ADMIN) or asker.user):
        return []
    return [FoundItem(label=text, hint="Open", icon="traces", url=link(request, "trace", trace_id=text))]
