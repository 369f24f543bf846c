"""``/api/collection-moves``: where collections keep their vectors, and moves under way."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from causeway.knowledge import Move
from causeway.web.sign_in import Admin, Operator, Parts

router = APIRouter(prefix="/api/collection-moves", tags=["Collections"])


class MoveWish(BaseModel):
    """What is to be moved where."""

    collection: str = Field(min_length=1, max_length=100)
    target: Literal["postgres", "pinecone"]


class MoveShape(BaseModel):
    """A move of a collection's vectors."""

    collection: str
    target: Literal["postgres", "pinecone"]
    state: Literal["copying", "cleaning", "done"]
    total: int = Field(description="Vectors, as last counted")
    copied: int = Field(description="Of these, read back from the target and the same")
    problem: str | None = Field(description="What it waits for")
    requested_at: datetime
    finished_at: datetime | None


class MoveList(BaseModel):
    """The last move of every collection that was moved, by name."""

    moves: list[MoveShape]


@router.get("", name="api_collection_moves")
async def moves(parts: Parts, _operator: Operator) -> MoveList:
    """The moves, and how far they are."""
    return MoveList(moves=[_shape(each) for each in await parts.moves.all()])


@router.post("", name="api_move_collection", status_code=202)
async def move(wish: MoveWish, parts: Parts, admin: Admin) -> MoveShape:
    """Have a collection's vectors moved; it is searched and written meanwhile."""
    return _shape(await parts.moves.request(wish.collection, wish.target, by=admin))


def _shape(move: Move) -> MoveShape:
    return MoveShape.model_validate(move.as_dict())
