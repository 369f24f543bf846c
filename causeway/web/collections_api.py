"""``/api/collections``: sets of documents, how each is cut and what becomes of personal data, and control of ingestion.

Looking is for who may ask, of what they may see; pausing and re-indexing for who may ingest and sees everything; making,
changing and deleting for administrators.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from causeway.errors import NotFoundError
from causeway.knowledge import Collection, CollectionOptions, DocumentState, Selection
from causeway.web.parts import IngestParts
from causeway.web.sign_in import Admin, Asker, Operator, Parts

router = APIRouter(prefix="/api/collections", tags=["Collections"])

CollectionId = Annotated[str, Path(pattern="^col_[0-9a-f]{32}$")]
Action = Literal["pause", "resume", "cancel", "reindex"]


async def _ingest(parts: Parts) -> IngestParts:
    if parts.ingest is None:
        msg = "this Causeway has no collections to manage"
        raise NotFoundError(msg)
    return parts.ingest


Shelves = Annotated[IngestParts, Depends(_ingest)]
"""What collections are managed by."""


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ChunkingShape(_Options):
    """How documents are cut; what is not named stays as it is, null is the default."""

    strategy: str | None = Field(
        default=None,
        description="structure, fixed, recursive, sentence, semantic, parent_child or contextual",
    )
    max_tokens: int | None = Field(default=None, description="64 to 512; 0 is knowledge.chunk_tokens")
    overlap_tokens: int | None = Field(default=None, description="fixed, recursive, sentence: 0 to 256")
    child_tokens: int | None = Field(default=None, description="parent_child: most in what is searched")
    parent_tokens: int | None = Field(default=None, description="parent_child: most in what answers get")
    breakpoint_percentile: int | None = Field(default=None, description="semantic: 50 to 99")


class PiiShape(_Options):
    """What becomes of personal data and secrets."""

    action: str | None = Field(default=None, description="keep, mask or refuse")
    kinds: list[str] | None = Field(default=None, description="Which kinds count")


class RankingShape(_Options):
    """What counts for more in a search; documents are not read again for it."""

    recency_percent: int | None = Field(default=None, description="Most that newness adds: 0 to 100")
    half_life_days: int | None = Field(default=None, description="The age at which it adds half of that")
    authority_percent: int | None = Field(default=None, description="What a mark adds: 0 to 100")
    authority: list[str] | None = Field(
        default=None, description="Marks as `field=value`: a metadata key, or source, folder or type"
    )


class OptionsShape(_Options):
    """Options to be changed."""

    chunking: ChunkingShape = Field(default_factory=ChunkingShape)
    pii: PiiShape = Field(default_factory=PiiShape)
    ranking: RankingShape = Field(default_factory=RankingShape)

    def changes(self) -> dict[str, dict[str, Any]]:
        """What was named, by section."""
        return self.model_dump(exclude_unset=True)


class NewCollection(OptionsShape):
    """A collection to be made."""

    name: str = Field(max_length=100)


class ProgressShape(BaseModel):
    """How far ingestion is."""

    documents: int
    left: int = Field(description="On their way, or to be read again")
    counts: dict[DocumentState, int]
    stale: int = Field(description="Still to be queued again, under newer options")
    bytes_total: int
    bytes_left: int
    pages_read: int = Field(description="Of documents finished in the last ten minutes")
    share_done: float
    remaining_s: float | None = Field(
        description="How long the rest will take; null when that cannot be told"
    )


class CollectionShape(BaseModel):
    """A collection."""

    collection_id: str
    name: str
    embedding_model: str
    dimensions: int
    documents: int
    ready: int
    chunks: int
    options: dict[str, dict[str, Any]]
    is_paused: bool
    paused_sources: list[str]
    progress: ProgressShape | None = Field(description="null for who does not see every document")
    created_at: datetime


class CollectionList(BaseModel):
    """Every collection, by name."""

    collections: list[CollectionShape]


class ControlledShape(BaseModel):
    """What an action did."""

    action: str
    documents: int | None = Field(description="How many documents it was about; null for resume")
    collection: CollectionShape


@router.get("", name="api_collections")
async def collections(shelves: Shelves, parts: Parts, asker: Asker) -> CollectionList:
    """Every collection, its options and how far it is."""
    found = await parts.library.seen_by(asker).collections()
    return CollectionList(
        collections=[await _shape(shelves, each, is_whole=asker.sees_as is None) for each in found]
    )


@router.post("", name="api_create_collection", status_code=201)
async def create(new: NewCollection, shelves: Shelves, admin: Admin) -> CollectionShape:
    """Make a collection."""
    changes = new.changes()
    del changes["name"]
    collection_id = await shelves.collections.create(new.name, CollectionOptions().changed(changes), by=admin)
    return await _one(shelves, collection_id)


@router.get("/{collection_id}", name="api_collection")
async def collection(
    collection_id: CollectionId, shelves: Shelves, parts: Parts, asker: Asker
) -> CollectionShape:
    """One collection."""
    for each in await parts.library.seen_by(asker).collections():
        if each.id == collection_id:
            return await _shape(shelves, each, is_whole=asker.sees_as is None)
    raise NotFoundError(f"there is no collection '{collection_id}'; it may have been deleted")


@router.patch("/{collection_id}", name="api_change_collection")
async def change(
    collection_id: CollectionId, options: OptionsShape, shelves: Shelves, admin: Admin
) -> CollectionShape:
    """Change options; if that makes a difference, every document is read again, and searched as it was until then."""
    await shelves.control.change_options(collection_id, options.changes(), by=admin)
    return await _one(shelves, collection_id)


@router.delete("/{collection_id}", name="api_delete_collection", status_code=204)
async def delete(collection_id: CollectionId, shelves: Shelves, admin: Admin) -> None:
    """Forget a collection, its documents, their files and their past, at once and for good."""
    await shelves.collections.delete(collection_id, by=admin)


@router.post("/{collection_id}/{action}", name="api_control_collection", status_code=202)
async def control(
    collection_id: CollectionId,
    action: Action,
    shelves: Shelves,
    _operator: Operator,
    source: Annotated[
        str, Query(max_length=4000, description="Only documents of this source, named as documents name it")
    ] = "",
) -> ControlledShape:
    """Pause, resume, cancel or re-index a collection, or one source's documents in it."""
    await _one(shelves, collection_id)
    number = await act(shelves, action, Selection(collection_id=collection_id, source=source))
    return ControlledShape(action=action, documents=number, collection=await _one(shelves, collection_id))


async def act(shelves: IngestParts, action: Action, chosen: Selection) -> int | None:
    """Do ``action`` to what is chosen; how many documents it was about."""
    match action:
        case "pause":
            return await shelves.control.pause(chosen)
        case "resume":
            await shelves.control.resume(chosen)
            return None
        case "cancel":
            return await shelves.control.cancel(chosen)
        case "reindex":
            return await shelves.control.reindex(chosen)


async def _one(shelves: IngestParts, collection_id: str) -> CollectionShape:
    return await _shape(shelves, await shelves.collections.one(collection_id))


async def _shape(shelves: IngestParts, found: Collection, *, is_whole: bool = True) -> CollectionShape:
    progress = await shelves.progress.read(collection_id=found.id) if is_whole else None
    held = [each for each in await shelves.control.held() if each.collection_id == found.id]
    return CollectionShape(
        collection_id=found.id,
        name=found.name,
        embedding_model=found.embedding_model,
        dimensions=found.dimensions,
        documents=found.documents,
        ready=found.ready,
        chunks=found.chunks,
        options=found.options.as_dict(),
        is_paused=Selection(collection_id=found.id) in held,
        paused_sources=sorted(
            each.source for each in held if is_whole and each.source and not each.document_id
        ),
        progress=ProgressShape.model_validate(progress.as_dict()) if progress else None,
        created_at=found.created_at,
    )
