"""Uploads: bytes that somebody sends, under a name that nobody should trust.

A file of the same name in the same collection is a new revision of the same document; a ZIP file is a folder, as elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from uuid import uuid4

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.errors import InvalidInputError, TooLargeError, UnreadableDocumentError
from causeway.knowledge.incoming import Added, Change, Incoming
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing
from causeway.knowledge.ingest.sync import SizeLimit, Synchroniser
from causeway.knowledge.ingest.unpacking import Unpacking
from causeway.knowledge.ingest.upload_keys import Sent, UploadKeys
from causeway.knowledge.library import Library
from causeway.knowledge.originals import Originals
from causeway.storage.blobs import Draft

_LONGEST_NAME_BYTES = 200
_MOST_METADATA_BYTES = 16_384


class Uploads:
    """Takes uploads into the library; any number of processes may."""

    def __init__(self, *, library: Library, originals: Originals, clock: Clock, max_bytes: int) -> None:
        self._library = library
        self._originals = originals
        self._keys = UploadKeys(originals.database)
        self._clock = clock
        self._max_bytes = max_bytes

    @asynccontextmanager
    async def arriving(self, name: str) -> AsyncIterator[Arrival]:
        """A file that is about to arrive; unless it is added before the block ends, nothing of it is kept.

        Raises:
            InvalidInputError: The name cannot be used.
            DiskFullError: There is no room for another file.
        """
        path = clean_name(name)
        async with self._originals.draft() as draft:
            yield Arrival(
                library=self._library,
                draft=draft,
                path=path,
                clock=self._clock,
                max_bytes=self._max_bytes,
                keys=self._keys,
            )


class Arrival:
    """A file on its way in: written piece by piece where it will stay, then added; made by `Uploads.arriving`."""

    def __init__(
        self, *, library: Library, draft: Draft, path: str, clock: Clock, max_bytes: int, keys: UploadKeys
    ) -> None:
        self._keys = keys
        self._library = library
        self._draft = draft
        self._path = path
        self._clock = clock
        self._max_bytes = max_bytes

    async def write(self, piece: bytes) -> None:
        """Append ``piece``.

        Raises:
            TooLargeError: The file is larger than the limit.
            DiskFullError: There is no room for it.
        """
        if self._draft.size_bytes + len(piece) > self._max_bytes:
            raise TooLargeError(
                f"'{self._path}' is larger than the {self._max_bytes:,} bytes that server.max_upload_bytes allows"
            )
        await self._draft.write(piece)

    async def add(
        self,
        *,
        by: Principal,
        collection: str | None = None,
        metadata: Mapping[str, object] | None = None,
        key: str = "",
    ) -> Added:
        """Keep the file and queue its ingestion; one that failed before is tried again though its bytes are the same.

        ``key`` names this very upload: sent again under it, because the answer to the first got lost, it changes
        nothing, whatever has become of the document since.

        Raises:
            InvalidInputError: The collection's name or the metadata cannot be used, or the key was another upload's.
            NotFoundError: ``by`` may not add to such a collection.
            SettingsError: The collection's vectors are of another embedding model.
            DiskFullError: There is no room for it.
        """
        checked = _checked(metadata or {})
        source = await self._library.source_of_upload(collection, self._path, by)
        if self._path.lower().endswith(".zip"):
            return await self._once(key, collection, lambda: self._add_archive(collection, source, checked))
        incoming = Incoming(
            collection=collection,
            source=source,
            path=self._path,
            file=self._draft,
            modified_at=self._clock.now(),
            metadata=checked,
        )
        return await self._once(key, collection, lambda: self._library.add(incoming, retry_failed=True))

    async def _once(self, key: str, collection: str | None, add: Callable[[], Awaitable[Added]]) -> Added:
        """What ``add`` makes of the file; what came of it before when it was sent under the same key."""
        if not key:
            return await add()
        wanted = Sent(key=key, collection=collection or "", path=self._path, blob=self._draft.sha256)
        before = await self._keys.before(wanted)
        if before is not None:
            return before
        added = await add()
        await self._keys.note(wanted, added.document_id)
        return added

    async def _add_archive(
        self, collection: str | None, source: str, metadata: Mapping[str, object]
    ) -> Added:
        """Take a ZIP file as the folder it is: a sync of a source that holds this one file."""
        now = self._clock.now()
        item = Item(path=self._path, revision=uuid4().hex, modified_at=now, metadata=metadata)
        known = await self._library.known(collection, source)
        beneath = {path: each for path, each in known.items() if f"{path}/".startswith(f"{self._path}/")}
        with Unpacking(_OneFile(item, self._draft.path, source)) as unpacking:
            summary = await Synchroniser(self._library).sync(
                unpacking,
                collection,
                known=beneath,
                limit=SizeLimit(self._max_bytes, "server.max_upload_bytes"),
            )
        if (reason := dict(summary.failed).get(self._path)) is not None:
            raise UnreadableDocumentError(reason)
        outcomes: dict[Change, tuple[str, ...]] = {"new": summary.new, "changed": summary.changed}
        change: Change = next((name for name, paths in outcomes.items() if self._path in paths), "unchanged")
        added = (await self._library.known(collection, source))[self._path]
        document = await self._library.document(added.document_id)
        return Added(document_id=document.id, revision=document.revision, change=change, state=document.state)


@dataclass(frozen=True, slots=True)
class _OneFile:
    """A `Connector` that holds one file."""

    item: Item
    file: Path
    source: str
    at_once: int = 4
    follows_content: bool = False

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:  # noqa: ARG002 - it is always new
        """The file."""
        return Listing(items=(self.item,))

    async def fetch(self, item: Item) -> Fetched:  # noqa: ARG002 - there is one
        """Its bytes, where they arrived."""
        return Fetched(content=self.file)


def clean_name(name: str) -> str:
    """A file name out of whatever a browser or program sent: the last part of a path, without what cannot be seen.

    Raises:
        InvalidInputError: Nothing of it is left.
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    visible = "".join(letter for letter in last if not unicodedata.category(letter).startswith("C"))
    cleaned = " ".join(visible.split()).strip(". ")
    if not cleaned:
        raise InvalidInputError(f"{name!r} is no file name; send one such as 'report.pdf'")
    return _shortened(cleaned)


def _shortened(name: str) -> str:
    """``name`` within the length that file systems take; a hash keeps two long names apart."""
    if len(name.encode()) <= _LONGEST_NAME_BYTES:
        return name
    suffix = PurePosixPath(name).suffix
    suffix = suffix if len(suffix.encode()) <= 20 else ""
    mark = f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}{suffix}"
    stem = name.encode()[: _LONGEST_NAME_BYTES - len(mark.encode())].decode(errors="ignore")
    return stem + mark


def _checked(metadata: Mapping[str, object]) -> dict[str, object]:
    """``metadata`` as it is kept.

    Raises:
        InvalidInputError: It is no flat JSON object, or too large.
    """
    for key, value in metadata.items():
        values = value if isinstance(value, list) else [value]
        if not key or not all(isinstance(each, str | int | float | bool) for each in values):
            raise InvalidInputError(
                f"metadata '{key}' is {type(value).__name__}; give text, a number, true or false, or a list of these"
            )
    try:
        size = len(text := json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as exc:
        msg = "metadata holds text or numbers that are not valid; give valid JSON"
        raise InvalidInputError(msg) from exc
    if size > _MOST_METADATA_BYTES or b"\\u0000" in text:
        raise InvalidInputError(
            f"metadata has {size:,} bytes; give at most {_MOST_METADATA_BYTES:,}, without NUL"
        )
    return dict(metadata)
