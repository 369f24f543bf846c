"""``/api/sources``: what collections are kept equal to, how the last sync of each went, and a sync at once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from causeway.knowledge import Selection, SourceStatus
from causeway.web.collections_api import Action, Shelves, act
from causeway.web.parts import IngestParts, WebParts
from causeway.web.sign_in import Operator, Parts

router = APIRouter(prefix="/api/sources", tags=["Sources"])

SourceName = Annotated[str, Path(pattern="^[a-z0-9][a-z0-9_-]{0,39}$")]


class FailureShape(BaseModel):
    """A document that could not be taken."""

    path: str
    reason: str


class SourceShape(BaseModel):
    """A source and its last sync."""

    name: str
    kind: str
    collection: str
    place: str = Field(description="A folder, a file or addresses")
    schedule_minutes: int = Field(description="0: only when asked to")
    state: Literal["never", "queued", "running", "ok", "partial", "failed", "paused"]
    run: int = Field(description="Number of the last run; 0 before the first")
    started_at: datetime | None
    finished_at: datetime | None
    complete_at: datetime | None = Field(description="When the newest run began that saw and took everything")
    next_at: datetime | None
    counts: dict[str, int] = Field(description="Documents of the last run by outcome")
    failures: list[FailureShape] = Field(description="The first 200 of the last run")
    problem: str | None = Field(description="Why the last run could not be finished")


class LeftShape(BaseModel):
    """A source that was taken out of the settings."""

    name: str
    source: str = Field(description="What its documents have as theirs")
    collection: str
    documents: int = Field(description="How many it left, which stay until they are deleted")


class SourceList(BaseModel):
    """Every source of the settings, by name."""

    sources: list[SourceShape]
    left: list[LeftShape] = Field(description="Sources that are in the settings no more, until decided on")


@router.get("", name="api_sources")
async def sources(parts: Parts, _operator: Operator) -> SourceList:
    """The sources."""
    return SourceList(
        sources=[_shape(each) for each in await parts.sources.all()],
        left=[LeftShape.model_validate(each.as_dict()) for each in await parts.sources.left()],
    )


@router.post("/{name}/sync", name="api_sync_source", status_code=202)
async def sync(name: SourceName, parts: Parts, _operator: Operator) -> SourceShape:
    """Sync a source as soon as a worker is free, looking at everything again."""
    return _shape(await parts.sources.request(name))


@router.delete("/{name}", name="api_remove_source")
async def remove(
    name: SourceName,
    parts: Parts,
    _operator: Operator,
    documents: Annotated[
        bool, Query(description="Whether the documents that it left are deleted; kept if not")
    ],
) -> LeftShape:
    """Decide on a source that was taken out of the settings; answers with what it had left."""
    left = await parts.sources.forget(name, documents=documents)
    return LeftShape.model_validate(left.as_dict())


@router.post("/{name}/{action}", name="api_control_source", status_code=202)
async def control(
    name: SourceName, action: Action, shelves: Shelves, parts: Parts, _operator: Operator
) -> SourceShape:
    """Pause, resume, cancel or re-index a source's documents; a paused source is not synced by itself."""
    return _shape(await act_on_source(parts, shelves, name, action))


async def act_on_source(parts: WebParts, shelves: IngestParts, name: str, action: Action) -> SourceStatus:
    """Do ``action`` to a source; how it stands then."""
    found = await parts.sources.source(name)
    if action == "cancel":
        await parts.sources.cancel(name)
    collection_id = await shelves.collections.ensure(found.collection)
    await act(shelves, action, Selection(collection_id=collection_id, source=found.source))
    return await parts.sources.source(name)


def _shape(status: SourceStatus) -> SourceShape:
    return SourceShape.model_validate(status.as_dict())
