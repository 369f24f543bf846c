"""Uploads: bytes that somebody sends, under a name that nobody should trust.

A file of the same name in the same collection is a new revision of the same document.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import shutil
import tempfile
import unicodedata
from collections.abc import AsyncIterable, Mapping
from pathlib import Path, PurePosixPath

from causeway.contracts.clock import Clock
from causeway.errors import DiskFullError, InvalidInputError, TooLargeError
from causeway.knowledge.incoming import Added, Incoming
from causeway.knowledge.library import Library

SOURCE = "upload"

_LONGEST_NAME_BYTES = 200
_MOST_METADATA_BYTES = 16_384


class Uploads:
    """Takes uploads into the library."""

    def __init__(self, *, library: Library, folder: Path, clock: Clock, max_bytes: int) -> None:
        """``folder`` is Causeway's own: what arrives lies there until it is complete."""
        self._library = library
        self._folder = folder
        self._clock = clock
        self._max_bytes = max_bytes

    async def receive(
        self,
        stream: AsyncIterable[bytes],
        *,
        name: str,
        collection: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Added:
        """Store a file and queue its ingestion; one that failed before is tried again though its bytes are the same.

        Raises:
            TooLargeError: It is larger than the limit; nothing of it is kept.
            InvalidInputError: Its name, the collection's or the metadata cannot be used.
            SettingsError: The collection's vectors are of another embedding model.
            DiskFullError: There is no room for it.
        """
        path = clean_name(name)
        said = _checked(metadata or {})
        with await asyncio.to_thread(self._room) as room:
            file = Path(room) / "bytes"
            await self._write(stream, file, path)
            incoming = Incoming(
                collection=collection,
                source=SOURCE,
                path=path,
                file=file,
                modified_at=self._clock.now(),
                metadata=said,
            )
            return await self._library.add(incoming, retry_failed=True)

    def clear(self) -> None:
        """Remove what a crash left half received; blocks. Only for the one process that owns the folder, at start."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _room(self) -> tempfile.TemporaryDirectory[str]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True)

    async def _write(self, stream: AsyncIterable[bytes], file: Path, name: str) -> None:
        size = 0
        try:
            with await asyncio.to_thread(file.open, "wb") as out:
                async for piece in stream:
                    size += len(piece)
                    if size > self._max_bytes:
                        raise TooLargeError(
                            f"'{name}' is larger than the {self._max_bytes:,} bytes that server.max_upload_bytes allows"
                        )
                    await asyncio.to_thread(out.write, piece)
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DiskFullError(f"no room left to store '{name}'; free some and upload it again") from exc
            raise


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
