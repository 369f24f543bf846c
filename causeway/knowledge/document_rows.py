"""Statements over one document's row: made, locked, given its next revision; the library runs them in its transactions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Row,
    ScalarSelect,
    Select,
    Text,
    column,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from causeway.knowledge.document import DocumentState
from causeway.knowledge.incoming import Added, Incoming, Touched
from causeway.storage.blobs import BlobRef
from causeway.storage.schema import collections, documents


def title_of(path: str) -> str:
    """What a document without a title of its own is called: its file's name without the suffix."""
    return PurePosixPath(path).stem or path


def queued_again() -> dict[str, Any]:
    """What a document has when it is queued once more, under a revision of its own."""
    return {
        "revision": documents.c.revision + 1,
        "state": DocumentState.QUEUED,
        "failure": None,
        "updated_at": func.now(),
        "options_version": options_version_of(documents.c.collection_id),
    }


def options_version_of(collection_id: Any) -> ScalarSelect[int]:
    """The version of a collection's options now."""
    return select(collections.c.options_version).where(collections.c.id == collection_id).scalar_subquery()


def insert_row(collection_id: str, incoming: Incoming, blob: BlobRef) -> ReturningInsert[str]:
    """Write a document that is not there yet; of two who do so at once, one gets no id back."""
    row = insert(documents).values(
        id=f"doc_{uuid4().hex}",
        collection_id=collection_id,
        source=incoming.source,
        path=incoming.path,
        title=title_of(incoming.path),
        size_bytes=blob.size_bytes,
        blob=blob.sha256,
        modified_at=incoming.modified_at,
        state=DocumentState.QUEUED,
        metadata=dict(incoming.metadata),
        source_id=incoming.identity,
        source_revision=incoming.revision,
        options_version=options_version_of(collection_id),
    )
    identity = ["collection_id", "source", "path"]
    return row.on_conflict_do_nothing(index_elements=identity).returning(documents.c.id)


def lock_row(collection_id: str, incoming: Incoming) -> Select[Any]:
    """The document that is there; nobody else changes it until the transaction ends."""
    return (
        select(documents.c.id, documents.c.revision, documents.c.blob, documents.c.state)
        .where(
            documents.c.collection_id == collection_id,
            documents.c.source == incoming.source,
            documents.c.path == incoming.path,
        )
        .with_for_update()
    )


async def update_row(
    connection: AsyncConnection, before: Row[Any], incoming: Incoming, blob: BlobRef, *, is_due: bool
) -> Added:
    """Give a locked document its next revision; when it is not due, note what else its source says."""
    document = update(documents).where(documents.c.id == before.id)
    document = document.values(
        modified_at=incoming.modified_at, source_id=incoming.identity, source_revision=incoming.revision
    )
    if not is_due:
        said = documents.c.metadata.concat(literal(dict(incoming.metadata), JSONB))
        await connection.execute(document.values(metadata=said))
        state = DocumentState(before.state)
        return Added(document_id=before.id, revision=before.revision, change="unchanged", state=state)
    newer = document.values(
        blob=blob.sha256,
        size_bytes=blob.size_bytes,
        metadata=dict(incoming.metadata),
        **queued_again(),
    )
    await connection.execute(newer)
    return Added(
        document_id=before.id,
        revision=before.revision + 1,
        change="changed",
        state=DocumentState.QUEUED,
    )


def note_rows(
    collection_id: str, source: str, files: Sequence[Touched], *, retry_failed: bool
) -> ReturningUpdate[str, str]:
    """Note what a source says now of documents that are still what their files were compared with; ids and states come back.

    One that somebody else has locked is passed over: who waits for a row while holding others can block, and be blocked.
    """
    moment = DateTime(timezone=True)
    told = (
        func.unnest(
            literal([each.before.document_id for each in files], ARRAY(Text)),
            literal([each.before.path for each in files], ARRAY(Text)),
            literal([each.before.blob for each in files], ARRAY(Text)),
            literal([each.modified_at for each in files], ARRAY(moment)),
            literal([each.revision for each in files], ARRAY(Text)),
        )
        .table_valued("id", "path", "blob", column("modified_at", moment), column("revision", Text))
        .render_derived("told")
    )
    compared = select(documents.c.id, told.c.modified_at, told.c.revision).where(
        documents.c.id == told.c.id,
        documents.c.collection_id == collection_id,
        documents.c.source == source,
        documents.c.path == told.c.path,
        documents.c.blob == told.c.blob,
        documents.c.source_id == "",
    )
    if retry_failed:
        compared = compared.where(documents.c.state != DocumentState.FAILED)
    held = compared.with_for_update(of=documents, key_share=True, skip_locked=True).cte("held")
    noted = update(documents).where(documents.c.id == held.c.id)
    noted = noted.values(modified_at=held.c.modified_at, source_revision=held.c.revision)
    return noted.returning(documents.c.id, documents.c.state)


def found_in(owner: Row[Any]) -> Select[Any]:
    """What was found in a document: what its source calls after it, see `connector.attachment_of`."""
    return (
        select(documents.c.id, documents.c.blob, documents.c.ready_blob)
        .where(
            documents.c.collection_id == owner.collection_id,
            documents.c.source == owner.source,
            documents.c.source_id.startswith(f"{owner.source_id}#", autoescape=True),
        )
        .with_for_update()
    )


def matching(collection: str | None, text: str) -> list[ColumnElement[bool]]:
    """What makes a document one of a collection with every word of a text in its title or path; None and empty make nothing."""
    wanted: list[ColumnElement[bool]] = []
    if collection is not None:
        wanted.append(collections.c.name == collection)
    title, path = documents.c.title, documents.c.path
    wanted += [
        or_(title.icontains(word, autoescape=True), path.icontains(word, autoescape=True))
        for word in text.split()
    ]
    return wanted


ORDERS: Final = {
    "title": func.lower(documents.c.title),
    "collection": func.lower(collections.c.name),
    "size": documents.c.size_bytes,
    "updated": documents.c.updated_at,
}
"""What lists of documents can be sorted by."""


def ordered(order: str) -> tuple[ColumnElement[Any], ...]:
    """The columns to sort by; ``-`` before a name of `ORDERS` turns it round. The same rows have the same order each time."""
    column = ORDERS[order.removeprefix("-")]
    return (column.desc() if order.startswith("-") else column.asc(), documents.c.id)
