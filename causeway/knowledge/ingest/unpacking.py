"""ZIP files as the folders they are: each member becomes a document of its own, at the archive's path and its own.

Wraps a `Connector` whose content are files. A file named ``.zip`` is listed with an id; its content, once fetched, is a table
of contents, and its members are what was found in it, so that `causeway.knowledge.ingest.sync` has them live and die with it
(see `causeway.knowledge.ingest.connector`). An archive that is renamed or moved keeps its id, and with it its members theirs:
it is known by its table of contents. What looks like an archive and cannot be opened is given as it is, and its reader says
why; the members that were taken before stay until it can be.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.ingest.connector import (
    Before,
    Connector,
    Fetched,
    Item,
    Listing,
    attachment_of,
    owner_of,
)
from causeway.knowledge.ingest.spool import Spool
from causeway.knowledge.ingest.zip_folder import ZipFolder

ARCHIVE = "zip:"
"""How the ids of archives begin, and those of their members."""

_MOST_NAMED = 20
_MOST_OPEN = 8
_SKIPPED = "skipped"


class Unpacking:
    """A `Connector` that takes the ZIP files of another as folders; open it with ``with``."""

    follows_content = True

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._spool = Spool()
        self._files: dict[str, Path] = {}
        self._folders: dict[str, ZipFolder] = {}
        self._readers: Counter[str] = Counter()
        self._members: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._opening = asyncio.Lock()

    def __enter__(self) -> Self:
        self._spool.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for folder in self._folders.values():
            folder.close()
        self._spool.__exit__(kind, error, trace)

    @property
    def source(self) -> str:
        """The other's."""
        return self._connector.source

    @property
    def at_once(self) -> int:
        """The other's."""
        return self._connector.at_once

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:
        """What the other lists, archives with ids."""
        listed = {path: each for path, each in before.items() if not owner_of(each.identity)}
        listing = await self._connector.listing(listed, since=since)
        identities = await self._identities(listing, listed)
        items = (
            # Its path is a part of its revision: moved, it is opened again, and its members move with it.
            replace(item, identity=identities[item.path], revision=f"{item.revision}-{_mark(item.path)}")
            if item.path in identities
            else item
            for item in listing.items
        )
        return replace(listing, items=tuple(items))

    async def _identities(self, listing: Listing, before: Mapping[str, Before]) -> dict[str, str]:
        """The id of each archive: what it had, or what one had that is gone and held the same, or a new one."""
        archives = {item.path: item for item in listing.items if _is_archive(item)}
        identities = {
            path: before[path].identity
            for path in archives
            if path in before and before[path].identity.startswith(ARCHIVE)
        }
        gone = [
            each
            for path, each in before.items()
            if each.identity.startswith(ARCHIVE) and path not in archives and not listing.may_hold(path)
        ]
        for path, item in archives.items():
            if path not in identities:
                same = await self._same(item, gone) if gone and path not in before else None
                if same is not None:
                    gone.remove(same)
                identities[path] = (
                    same.identity if same else f"{ARCHIVE}{_mark(f'{path} {item.revision}', 24)}"
                )
        return identities

    async def _same(self, item: Item, gone: list[Before]) -> Before | None:
        """The archive among those that are gone which held the same as this one does."""
        try:
            contents = await self._contents(item)
        except (OSError, UnreadableDocumentError):
            return None
        if contents is None:
            return None
        for each in gone:
            kept = each.content
            if kept is not None and await asyncio.to_thread(kept.read_bytes) == contents:
                return each
        return None

    async def _contents(self, item: Item) -> bytes | None:
        content = (await self._connector.fetch(item)).content
        if not isinstance(content, Path):
            return None
        with await asyncio.to_thread(ZipFolder.open, content, self._spool) as folder:
            return table_of(folder)

    async def fetch(self, item: Item) -> Fetched:
        """The other's content; of an archive its table of contents, with its members; of a member its bytes."""
        if reason := self._refused.get(item.identity):
            raise UnreadableDocumentError(reason)
        if path := self._members.get(item.identity):
            return Fetched(content=self._pieces(owner_of(item.identity), path))
        fetched = await self._connector.fetch(item)
        if not item.identity.startswith(ARCHIVE) or not isinstance(fetched.content, Path):
            return fetched
        self._files[item.identity] = fetched.content
        try:
            async with self._opened(item.identity) as folder:
                if _is_document(folder):
                    return fetched
                return replace(
                    fetched,
                    content=table_of(folder),
                    metadata={**fetched.metadata, **_described(folder)},
                    attached=tuple(self._attached(item, folder)),
                )
        except (OSError, UnreadableDocumentError):
            return replace(fetched, is_whole=False)

    def _attached(self, archive: Item, folder: ZipFolder) -> list[Item]:
        """The members as items; those that cannot be taken out fail when they are fetched."""
        items: list[Item] = []
        for path, member in folder.members.items():
            identity = attachment_of(archive.identity, quote(path))
            self._members[identity] = path
            items.append(
                Item(
                    path=f"{archive.path}/{path}",
                    revision=member.revision,
                    modified_at=member.modified_at,
                    identity=identity,
                    size_bytes=member.size_bytes,
                    metadata=archive.metadata,
                )
            )
        for path, reason in folder.skipped.items():
            identity = attachment_of(archive.identity, quote(path))
            self._refused[identity] = reason
            items.append(
                Item(
                    path=f"{archive.path}/{path}",
                    revision="",
                    modified_at=archive.modified_at,
                    identity=identity,
                )
            )
        return items

    async def _pieces(self, archive: str, path: str) -> AsyncGenerator[bytes, None]:
        async with self._opened(archive) as folder:
            if (member := folder.members.get(path)) is None:
                msg = "the archive was changed while it was read; it is read again by the next sync"
                raise UnreadableDocumentError(msg)
            pieces = member.pieces()
            while piece := await asyncio.to_thread(next, pieces, b""):
                yield piece

    @asynccontextmanager
    async def _opened(self, archive: str) -> AsyncIterator[ZipFolder]:
        """An archive, kept open for the next of its members; only so many are, and none that is being read is closed.

        Raises:
            UnreadableDocumentError: It cannot be opened.
            OSError: It is gone.
        """
        async with self._opening:
            folder = self._folders.pop(archive, None)
            if folder is None:
                folder = await asyncio.to_thread(ZipFolder.open, self._files[archive], self._spool)
            self._folders[archive] = folder  # the newest is the last
            self._readers[archive] += 1
        try:
            yield folder
        finally:
            self._readers[archive] -= 1
            idle = [each for each in self._folders if not self._readers[each]]
            for each in idle[: max(0, len(self._folders) - _MOST_OPEN)]:
                self._folders.pop(each).close()


def table_of(folder: ZipFolder) -> bytes:
    """What is said of an archive itself: the files in it, those left out, and a checksum; the same for the same members."""
    lines = ["Files in this archive:", "", *(f"- {path}" for path in sorted(folder.members))]
    if folder.skipped:
        lines += ["", "Left out:", "", *(f"- {path}: {why}" for path, why in sorted(folder.skipped.items()))]
    size = sum(member.size_bytes for member in folder.members.values())
    lines += ["", f"{len(folder.members):,} files, {size:,} bytes, checksum {folder.checksum}.", ""]
    return "\n".join(lines).encode()


def _described(folder: ZipFolder) -> dict[str, str]:
    described = {"files": str(len(folder.members))}
    if folder.skipped:
        named = [f"{path}: {why}" for path, why in sorted(folder.skipped.items())]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        described[_SKIPPED] = "; ".join(named[:_MOST_NAMED]) + more
    return described


def _is_document(folder: ZipFolder) -> bool:
    """Whether it is no folder in a file: an Office file or book under a wrong name, or nothing at all."""
    parts_of_one = {"[Content_Types].xml", "mimetype"} & folder.members.keys()
    return bool(parts_of_one) or not (folder.members or folder.skipped)


def _is_archive(item: Item) -> bool:
    return not item.identity and item.path.lower().endswith(".zip")


def _mark(text: str, length: int = 8) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]
