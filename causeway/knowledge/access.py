"""Who may see which document: the rules.

A rule is a set of names: `EVERYONE`, ``user:ID``, ``group:ID``. A collection has one, a folder of it may have its own,
a document may have its own; the nearest decides. What comes of them stands in ``documents.readers``, kept true by
triggers in the transaction of whatever changes. Administrators, programs' own keys and Causeway itself see everything.

Owns the rules. How reads are bound by them is `causeway.knowledge.sight`'s; why it is so, docs/adr/0024's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.identity import EVERYONE, SYSTEM, Principal
from causeway.errors import InvalidInputError, NotFoundError
from causeway.storage.database import Database
from causeway.storage.recorder import Recorder
from causeway.storage.schema import collections, documents, folder_rules

_KINDS: Final = ("user:", "group:")
_MOST_NAMES: Final = 200
_LONGEST_FOLDER: Final = 1000

Readers = frozenset[str]
"""Who may see something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRules:
    """Who may see what of a collection.

    Attributes:
        readers: Of all that no nearer rule covers.
        folders: Path -> who may see what is below it.
    """

    collection_id: str
    name: str
    readers: Readers
    folders: Mapping[str, Readers]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRule:
    """Who may see a document: by its own rule, if it has one, and after all rules."""

    own: Readers | None
    readers: Readers


class AccessRules:
    """The rules, read and changed by administrators; a change is in force when it returns, in every process."""

    def __init__(self, database: Database, record: Recorder) -> None:
        self._database = database
        self._record = record

    async def all(self) -> tuple[CollectionRules, ...]:
        """The rules of every collection, by its name."""
        listed = select(collections.c.id, collections.c.name, collections.c.readers).order_by(
            collections.c.name
        )
        folders: dict[str, dict[str, Readers]] = {}
        async with self._database.connect() as connection:
            rows = (await connection.execute(listed)).all()
            for rule in await connection.execute(select(folder_rules).order_by(folder_rules.c.folder)):
                folders.setdefault(rule.collection_id, {})[rule.folder] = frozenset(rule.readers)
        return tuple(
            CollectionRules(
                collection_id=row.id,
                name=row.name,
                readers=frozenset(row.readers),
                folders=folders.get(row.id, {}),
            )
            for row in rows
        )

    async def collection(self, name: str) -> CollectionRules:
        """The rules of one.

        Raises:
            NotFoundError: There is no such collection.
        """
        found = next((rules for rules in await self.all() if rules.name == name), None)
        if found is None:
            raise _no_collection(name)
        return found

    async def allow_collection(self, name: str, readers: Iterable[str], *, by: Principal = SYSTEM) -> None:
        """Say who may see a collection's documents.

        Raises:
            NotFoundError: There is no such collection.
            InvalidInputError: A name is none of a rule.
        """
        allowed = checked(readers)
        async with self._changing(name) as (connection, collection_id, before):
            await connection.execute(
                update(collections).where(collections.c.id == collection_id).values(readers=sorted(allowed))
            )
            told = {"before": {"readers": before}, "after": {"readers": sorted(allowed)}}
            await self._record(connection, by, "access.collection", collection_id, **told)

    async def allow_folder(
        self, name: str, folder: str, readers: Iterable[str] | None, *, by: Principal = SYSTEM
    ) -> None:
        """Say who may see what is below a folder; None takes the folder's rule away.

        Raises:
            NotFoundError: There is no such collection, or no rule to take away.
            InvalidInputError: A name is none of a rule, or the folder none of a path.
        """
        path = folder.strip("/ ")
        if not path or len(path) > _LONGEST_FOLDER or "\0" in path:
            raise InvalidInputError(f"'{folder[:100]}' is no folder; write it like hr/salaries")
        async with self._changing(name) as (connection, collection_id, _):
            of_it = (folder_rules.c.collection_id == collection_id, folder_rules.c.folder == path)
            row = (await connection.execute(select(folder_rules.c.readers).where(*of_it))).one_or_none()
            before = None if row is None else list(row.readers)
            after: list[str] | None = None
            if readers is None:
                if row is None:
                    raise NotFoundError(f"the folder '{path[:100]}' of '{name}' has no rule of its own")
                await connection.execute(delete(folder_rules).where(*of_it))
            else:
                after = sorted(checked(readers))
                row_of = {"collection_id": collection_id, "folder": path, "readers": after}
                put = insert(folder_rules).values(row_of)
                key = ["collection_id", "folder"]
                await connection.execute(
                    put.on_conflict_do_update(index_elements=key, set_={"readers": after})
                )
            told = {
                "before": {"folder": path, "readers": before},
                "after": {"folder": path, "readers": after},
            }
            await self._record(connection, by, "access.folder", collection_id, **told)

    async def document(self, document_id: str) -> DocumentRule:
        """The rule of a document.

        Raises:
            NotFoundError: There is none of that id.
        """
        wanted = select(documents.c.own_readers, documents.c.readers).where(documents.c.id == document_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        if row is None:
            raise no_document(document_id)
        own = None if row.own_readers is None else frozenset(row.own_readers)
        return DocumentRule(own=own, readers=frozenset(row.readers))

    async def allow_document(
        self, document_id: str, readers: Iterable[str] | None, *, by: Principal = SYSTEM
    ) -> None:
        """Say who may see a document; None leaves it to its folder or collection.

        Raises:
            NotFoundError: There is none of that id.
            InvalidInputError: A name is none of a rule.
        """
        own = None if readers is None else sorted(checked(readers))
        it = documents.c.id == document_id
        async with self._database.begin() as connection:
            locked = select(documents.c.own_readers).where(it).with_for_update()
            row = (await connection.execute(locked)).one_or_none()
            if row is None:
                raise no_document(document_id)
            await connection.execute(update(documents).where(it).values(own_readers=own))
            told = {"before": {"readers": row.own_readers}, "after": {"readers": own}}
            await self._record(connection, by, "access.document", document_id, **told)

    @asynccontextmanager
    async def _changing(self, name: str) -> AsyncIterator[tuple[AsyncConnection, str, list[str]]]:
        """A transaction in which nothing is added to a collection, its id and its readers."""
        locked = select(collections.c.id, collections.c.readers).where(collections.c.name == name)
        async with self._database.begin() as connection:
            row = (await connection.execute(locked.with_for_update(key_share=True))).one_or_none()
            if row is None:
                raise _no_collection(name)
            yield connection, row.id, list(row.readers)


def checked(readers: Iterable[str]) -> Readers:
    """``readers``, each of which a rule can name.

    Raises:
        InvalidInputError: One is not, or they are too many.
    """
    names = frozenset(readers)
    if len(names) > _MOST_NAMES:
        raise InvalidInputError(
            f"a rule names at most {_MOST_NAMES}, and this {len(names)}; make a group of them"
        )
    for name in sorted(names):
        is_one = name == EVERYONE or (name.startswith(_KINDS) and name.partition(":")[2].isprintable())
        if not is_one or (not name.partition(":")[2] and name != EVERYONE):
            raise InvalidInputError(
                f"'{name[:100]}' is none of a rule's names: everyone, user:ID or group:ID"
            )
    return names


def no_document(document_id: str) -> NotFoundError:
    """What is said of a document that is not there, or not for whoever asks."""
    return NotFoundError(f"there is no document '{document_id}'; it may have been deleted")


def _no_collection(name: str) -> NotFoundError:
    return NotFoundError(f"there is no collection '{name[:100]}'")
