"""What one caller sees: the two walls that every read of documents stands behind.

The first is a predicate in each query's own SQL, the second the connection it runs on, whose role is bound by row-level
security (`causeway.storage.seen_rows`). What may not be seen is not there: it is neither counted nor named, and asking
for it by id gets the answer that a made-up id gets. The rules themselves are `causeway.knowledge.access`'s; docs/adr/0024.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from sqlalchemy import ColumnElement, Text, exists, literal, or_, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import Principal
from causeway.storage.database import Database
from causeway.storage.schema import collections, documents, page_words, past_revisions


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

    def glance(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """The same for one statement, or several that have nothing to do with each other; see `Database.glance`."""
        return self._database.glance() if self._sees_as is None else self.connect()

    def connect_to_words(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for the tables of words, which no policy guards: a query over them names `names` by itself."""
        return self._database.connect()

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names that rules have for this caller; None for who sees everything."""
        return None if self._sees_as is None else tuple(sorted(self._sees_as))

    @property
    def documents(self) -> ColumnElement[bool]:
        """Documents that are seen, over their table."""
        return self._overlaps(documents.c.readers)

    @property
    def past(self) -> ColumnElement[bool]:
        """Kept revisions that are seen, over their table."""
        return self._overlaps(past_revisions.c.readers)

    @property
    def words(self) -> ColumnElement[bool]:
        """Words of pages that are seen, over their table: of a document, or of a revision that is kept."""
        if self.names is None:
            return true()
        live = exists().where(documents.c.id == page_words.c.document_id, self.documents)
        kept = exists().where(past_revisions.c.document_id == page_words.c.document_id, self.past)
        return or_(live, kept)

    @property
    def collections(self) -> ColumnElement[bool]:
        """Collections that this caller may know of: open to them, or holding a document that is."""
        if self.names is None:
            return true()
        held = exists().where(documents.c.collection_id == collections.c.id, self.documents)
        return or_(self._overlaps(collections.c.readers), held)

    def _overlaps(self, readers: ColumnElement[object]) -> ColumnElement[bool]:
        if self.names is None:
            return true()
        return readers.bool_op("&&")(literal(list(self.names), ARRAY(Text)))
