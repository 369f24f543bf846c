"""The rows of a document's chunks, old for new, in the caller's transaction.

A chunk that says the same in the same place stays as it is: its row, its id, its vector and its words, at most with
another ordinal. So an edit writes what it changed, and what was said of a chunk by its id holds on. What goes is moved
to the past (`causeway.knowledge.past_revisions`), unless nothing is kept.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    Integer,
    LargeBinary,
    Row,
    Select,
    Text,
    bindparam,
    column,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.vectors import Vectors
from causeway.errors import InvalidInputError
from causeway.knowledge.document import Chunk
from causeway.knowledge.past_revisions import retire
from causeway.seams import deferred
from causeway.storage.schema import chunks, collections, documents

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A document as it stands when its chunks are about to be swapped.

    Attributes:
        revision: Its newest.
        ready_revision: Whose chunks are there; None when no revision's are.
    """

    document_id: str
    revision: int
    ready_revision: int | None
    collection_id: str
    collection: str
    embedding_model: str
    dimensions: int


@dataclass(slots=True)
class _Plan:
    """What becomes of a document's rows.

    Attributes:
        moved: Ids of chunks that stay, with another ordinal or parent than before -> both.
        gone: Ids of chunks that go.
        new: Numbers of the pieces that come.
    """

    moved: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    new: list[int] = field(default_factory=list)


async def lock(connection: AsyncConnection, document_id: str) -> Standing | None:
    """The document, which nobody else changes until the transaction ends; None when it is gone."""
    found = (
        select(
            documents.c.id.label("document_id"),
            documents.c.revision,
            documents.c.ready_revision,
            collections.c.id.label("collection_id"),
            collections.c.name.label("collection"),
            collections.c.embedding_model,
            collections.c.dimensions,
        )
        .join_from(documents, collections)
        .where(documents.c.id == document_id)
        .with_for_update(of=documents)
    )
    row = (await connection.execute(found)).one_or_none()
    return None if row is None else Standing(**row._mapping)


async def swap(
    connection: AsyncConnection,
    standing: Standing,
    pieces: Sequence[Chunk],
    vectors: Vectors,
    *,
    keeps_past: bool,
) -> None:
    """Make ``pieces`` the rows of a locked document, one vector each.

    Raises:
        InvalidInputError: The vectors are not of the collection's dimensions.
    """
    if len(pieces) and vectors.shape[1] != standing.dimensions:
        raise InvalidInputError(
            f"collection '{standing.collection}' has vectors of {standing.dimensions} dimensions and these have "
            f"{vectors.shape[1]}; embed with the model that the collection was made with"
        )
    digests = [piece.digest(standing.embedding_model) for piece in pieces]
    before = (await connection.execute(_rows_of(standing.document_id))).all()
    is_repeat = standing.ready_revision == standing.revision
    # a repeat makes the ids of its revision once more, so none of them may stay
    plan = _plan([] if is_repeat else before, pieces, digests)
    if is_repeat:
        plan.gone = [row.id for row in before]
    elif standing.ready_revision is not None and keeps_past:
        await retire(connection, standing.document_id, [row.id for row in before], plan.gone)
    if plan.gone:
        await connection.execute(delete(chunks).where(chunks.c.id == func.any(_texts(plan.gone))))
    if plan.moved:
        await connection.execute(_move(plan.moved))
    if plan.new:
        rows = [_row(standing, pieces[n], vectors[n], digests[n]) for n in plan.new]
        await connection.execute(insert(chunks), rows)


def known_vectors(document_id: str, digests: Sequence[bytes]) -> Select[Any]:
    """The digest and vector of those of a document's chunks that have one of ``digests``."""
    wanted = bindparam(None, list(digests), ARRAY(LargeBinary))
    return select(chunks.c.digest, chunks.c.embedding).where(
        chunks.c.document_id == document_id,
        chunks.c.digest == func.any(wanted),
        chunks.c.embedding.is_not(None),
    )


def _rows_of(document_id: str) -> Select[Any]:
    names = ("id", "ordinal", "digest", "page", "places", "parent")
    columns = [chunks.c[name] for name in names]
    return select(*columns).where(chunks.c.document_id == document_id).order_by(chunks.c.ordinal)


def _plan(before: Sequence[Row[Any]], pieces: Sequence[Chunk], digests: Sequence[bytes]) -> _Plan:
    there: defaultdict[object, deque[Row[Any]]] = defaultdict(deque)
    for row in before:
        if row.digest is not None:
            there[bytes(row.digest), row.page, _frozen(row.places)].append(row)
    plan = _Plan()
    kept: set[str] = set()
    for number, (piece, digest) in enumerate(zip(pieces, digests, strict=True)):
        same = there.get((digest, piece.page, _frozen(place.packed() for place in piece.places)))
        if not same:
            plan.new.append(number)
            continue
        row = same.popleft()
        kept.add(row.id)
        if (row.ordinal, row.parent) != (piece.ordinal, piece.parent):
            plan.moved[row.id] = (piece.ordinal, piece.parent)
    plan.gone = [row.id for row in before if row.id not in kept]
    return plan


def _frozen(places: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, places))


def _move(moved: Mapping[str, tuple[int, int | None]]) -> Any:
    """All new ordinals in one statement: in between two chunks would have the same."""
    ordinals, parents = ([each[n] for each in moved.values()] for n in (0, 1))
    named = func.unnest(
        _texts(list(moved)),
        bindparam(None, ordinals, ARRAY(Integer)),
        bindparam(None, parents, ARRAY(Integer)),
    )
    columns = (column("id", Text), column("ordinal", Integer), column("parent", Integer))
    places = named.table_valued(*columns, name="moved").render_derived()
    new = update(chunks).where(chunks.c.id == places.c.id)
    return new.values(ordinal=places.c.ordinal, parent=places.c.parent)


def _texts(values: Sequence[str]) -> Any:
    return bindparam(None, list(values), ARRAY(Text))


def _row(standing: Standing, piece: Chunk, vector: Vectors, digest: bytes) -> dict[str, object]:
    name = standing.document_id.removeprefix("doc_")
    return {
        "id": f"chk_{name}_{standing.revision}_{piece.ordinal}",
        "document_id": standing.document_id,
        "collection_id": standing.collection_id,
        "ordinal": piece.ordinal,
        "heading": piece.heading.replace("\x00", ""),  # PostgreSQL's text cannot hold it
        "text": piece.text.replace("\x00", ""),
        "page": piece.page,
        "tokens": piece.tokens,
        "embedding": np.asarray(vector, dtype=np.float32),
        "digest": digest,
        "places": [place.packed() for place in piece.places],
        "context": piece.context.replace("\x00", ""),
        "parent": piece.parent,
    }
