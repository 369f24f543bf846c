"""What one caller sees: the two walls that every read of documents stands behind.

The first is a predicate in each query's own SQL, the second the connection it runs on, whose role is bound by row-level
security (`causeway.storage.seen_rows`). What may not be seen is not there: it is neither counted nor named, and asking
for it by id gets the answer that a made-up id gets. The rules themselves are `causeway.knowledge.access`'s; docs/adr/0024.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from sqlalchemy import ColumnElement, Text, and_, exists, literal, or_, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import Principal
from causeway.knowledge.index.filters import EVERYTHING, Filter, ReadableBy, to_sql
from causeway.storage.database import Database
from causeway.storage.schema import collections, documents, past_revisions


class Sight:
    """What one caller sees: made for a request, handed to every read that it makes."""

    def __init__(self, database: Database, sees_as: frozenset[str] | None) -> None:
        self._database = database
        self._sees_as = sees_as

    @classmethod
    def of(cls, principal: Principal, database: Database) -> Sight:
        """The sight of a caller."""
        return cls(database, principal.sees_as)

    @property
    def is_bounded(self) -> bool:
        """Whether there may be anything that this caller does not see."""
        return self._sees_as is not None

    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for reading what this caller sees; see `Database.connect`."""
        if self._sees_as is None:
            return self._database.connect()
        return self._database.seen_by(self._sees_as).connect()

    @property
    def where(self) -> Filter:
        """The predicate of every search."""
        return EVERYTHING if self._sees_as is None else ReadableBy(tuple(sorted(self._sees_as)))

    @property
    def documents(self) -> ColumnElement[bool]:
        """The same as SQL, over the table ``documents``."""
        return to_sql(self.where)

    @property
    def past_revisions(self) -> ColumnElement[bool]:
        """Over the table ``past_revisions``: as their document is seen now, and a deleted one as it was seen last.

        There is no second wall behind it: the reading role may not touch that table.
        """
        if self._sees_as is None:
            return true()
        its = documents.c.id == past_revisions.c.document_id
        could_be_seen = past_revisions.c.readers.bool_op("&&")(literal(sorted(self._sees_as), ARRAY(Text)))
        return or_(exists().where(its, self.documents), and_(~exists().where(its), could_be_seen))

    @property
    def collections(self) -> ColumnElement[bool]:
        """Collections that this caller may know of: open to them, or holding a document that is."""
        if self._sees_as is None:
            return true()
        held = exists().where(documents.c.collection_id == collections.c.id, self.documents)
        is_open = collections.c.readers.bool_op("&&")(literal(sorted(self._sees_as), ARRAY(Text)))
        return or_(is_open, held)
