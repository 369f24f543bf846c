"""Originals: the stored files that documents were made from, kept exactly as long as a document or a kept revision needs them.

One file serves every document with the same bytes. Deleting it races with adding it again, so each sha256 has an
advisory lock in the database: shared among transactions that are about to commit a row which needs the file,
exclusive to the one that looks for such rows and, finding none, deletes the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.errors import NotFoundError
from causeway.storage.blobs import BlobRef, Blobs, Draft
from causeway.storage.database import Database
from causeway.storage.schema import documents, past_revisions


class Originals:
    """Keeps the files of documents."""

    def __init__(self, *, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    @property
    def database(self) -> Database:
        """Where the rows are that need the files."""
        return self._database

    def draft(self) -> AbstractAsyncContextManager[Draft]:
        """A file that arrives piece by piece, written where it will stay; see `Blobs.draft`."""
        return self._blobs.draft()

    async def put(self, file: Path | Draft) -> BlobRef:
        """Store a copy of ``file``, or keep a draft; `hold` it before relying on it.

        Raises:
            DiskFullError: There is no room.
            BusyError: The draft was kept before, and has been forgotten since.
            OperatorError: It cannot be read, or not stored.
        """
        match file:
            case Draft() as draft:
                return await draft.keep()
            case Path() as path:
                return await self._blobs.put(path)

    async def hold(self, connection: AsyncConnection, sha256: str) -> bool:
        """Keep a file from being deleted until the transaction ends; False when it is gone already."""
        await connection.execute(select(func.pg_advisory_xact_lock_shared(_lock_of(sha256))))
        try:
            self._blobs.path(sha256)
        except NotFoundError:
            return False
        return True

    def require_room(self, size_bytes: int) -> None:
        """Return when so many bytes more fit where files are kept, or in a database beside them.

        Raises:
            DiskFullError: They do not.
        """
        self._blobs.require_room(size_bytes)

    def path(self, sha256: str) -> Path:
        """Where a file's bytes are.

        Raises:
            NotFoundError: It is not there, or no longer.
        """
        return self._blobs.path(sha256)

    def is_kept(self, sha256: str, size_bytes: int) -> bool:
        """Whether a file is there and has its size, as it has not when a fault of the disk cut it off."""
        try:
            return self._blobs.path(sha256).stat().st_size == size_bytes
        except (NotFoundError, OSError):
            return False

    async def forget(self, sha256s: Iterable[str | None]) -> None:
        """Delete the files among ``sha256s`` that no document and no kept revision needs."""
        for sha256 in {sha256 for sha256 in sha256s if sha256}:
            async with self._database.begin() as connection:
                await self.forget_within(connection, [sha256])

    async def forget_within(self, connection: AsyncConnection, sha256s: Iterable[str]) -> None:
        """The same in the caller's transaction, before it commits what makes them needless: a crash undoes that."""
        for sha256 in sorted(
            set(sha256s)
        ):  # in one order, so that two who forget the same do not block each other
            await connection.execute(select(func.pg_advisory_xact_lock(_lock_of(sha256))))
            if not await connection.scalar(select(_is_needed(sha256))):
                await self._blobs.delete(sha256)


def _is_needed(sha256: str) -> ColumnElement[bool]:
    newest = exists().where(or_(documents.c.blob == sha256, documents.c.ready_blob == sha256))
    return or_(newest, exists().where(past_revisions.c.blob == sha256))


def _lock_of(sha256: str) -> int:
    """The file's lock: a signed 64-bit number."""
    return int(sha256[:16], 16) - (1 << 63)
