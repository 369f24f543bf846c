"""Keys that clients give their uploads, so that one sent again for want of an answer is the same upload.

After the ``Idempotency-Key`` header (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/). A key is
forgotten with its document, and after a week.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from causeway.errors import InvalidInputError
from causeway.knowledge.document import DocumentState
from causeway.knowledge.incoming import Added
from causeway.storage.database import Database
from causeway.storage.schema import documents, upload_keys

_FORGOTTEN = text("now() - interval '7 days'")
LONGEST_KEY = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An upload under a key.

    Attributes:
        key: Whose it is, and what they call it.
        collection: As it was asked for; empty is the default one.
        blob: sha256 of the file.
    """

    key: str
    collection: str
    path: str
    blob: str


class UploadKeys:
    """Keeps the keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def before(self, sent: Sent) -> Added | None:
        """What came of the same upload before; None when it is the first.

        Raises:
            InvalidInputError: The key was another upload's, or is too long.
        """
        if len(sent.key) > LONGEST_KEY:
            raise InvalidInputError(f"the Idempotency-Key is over {LONGEST_KEY} characters; send a UUID")
        found = (
            select(upload_keys, documents.c.revision, documents.c.state)
            .join(documents, documents.c.id == upload_keys.c.document_id)
            .where(upload_keys.c.key == sent.key)
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(found)).one_or_none()
        if row is None:
            return None
        if (row.collection, row.path, row.blob) != (sent.collection, sent.path, sent.blob):
            raise InvalidInputError(
                f"this Idempotency-Key was sent with '{row.path}' of other bytes or another collection;"
                " give each upload a key of its own"
            )
        state = DocumentState(row.state)
        return Added(document_id=row.document_id, revision=row.revision, change="unchanged", state=state)

    async def note(self, sent: Sent, document_id: str) -> None:
        """Remember what came of an upload."""
        noted = insert(upload_keys).values(
            key=sent.key, document_id=document_id, collection=sent.collection, path=sent.path, blob=sent.blob
        )
        async with self._database.begin() as connection:
            await connection.execute(delete(upload_keys).where(upload_keys.c.at < _FORGOTTEN))
            is_there = select(func.count()).where(documents.c.id == document_id)
            if await connection.scalar(is_there):  # else it has been deleted meanwhile, and its key with it
                await connection.execute(noted.on_conflict_do_nothing(index_elements=["key"]))
