"""Files under the sha256 of their bytes: the same bytes are stored once, and a name never changes its content.

Owns ``ab/cd/abcd...`` below its folder. Does not know who needs a blob: whoever deletes a document decides.

A blob appears whole or not at all: bytes go to a file in ``incoming``, are hashed on the way, forced to disk and
renamed. What a killed process left in ``incoming`` is removed by the next one that opens the folder. A writer holds
a ``flock`` on its draft, so the drafts of living processes stay.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from causeway.errors import BusyError, DiskFullError, NotFoundError, OperatorError
from causeway.storage.file_lock import try_lock
from causeway.storage.free_space import RESERVE_BYTES, require_room

_PIECE_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")

Sync = Callable[[int], None]
"""Forces a file's or folder's bytes to disk, given its descriptor."""


@dataclass(frozen=True, slots=True)
class BlobRef:
    """What names a blob, and its size."""

    sha256: str
    size_bytes: int


class Blobs:
    """The blobs in one folder, made when it is not there.

    Args:
        folder: Where they are.
        sync: For tests that cannot pull a plug.
        reserve_bytes: What they leave free on the disk; see `causeway.storage.free_space`.
    """

    def __init__(self, folder: Path, *, sync: Sync = os.fsync, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._incoming = folder / "incoming"
        self._sync = sync
        with _explained(folder):
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._remove_orphans()

    async def put(self, source: Path) -> BlobRef:
        """Store the bytes of a file.

        Raises:
            DiskFullError: There is no room; nothing is left behind.
            OperatorError: The file cannot be read, or the folder not written.
        """
        return await asyncio.to_thread(self._put_file, source)

    async def put_bytes(self, content: bytes) -> BlobRef:
        """Store ``content``. Raises like ``put``."""
        return await asyncio.to_thread(self._put, io.BytesIO(content))

    @asynccontextmanager
    async def draft(self) -> AsyncIterator[Draft]:
        """A blob that arrives piece by piece; unless it is kept, nothing of it is left after the block.

        Raises:
            DiskFullError: There is no room for another file.
            OperatorError: The folder cannot be written.
        """
        with ExitStack() as opened:
            with _explained(self._folder):
                file = opened.enter_context(self._draft_file())
            yield Draft(self, file)

    def require_room(self, size_bytes: int) -> None:
        """Return when so many bytes more fit on the disk, in a blob or in a database beside it.

        Raises:
            DiskFullError: They do not.
        """
        require_room(self._folder, size_bytes, reserve_bytes=self._reserve_bytes)

    def path(self, sha256: str) -> Path:
        """The file of a blob; reading it is all one may do.

        Raises:
            NotFoundError: No blob of that name is stored.
        """
        file = self._place(sha256)
        if not file.is_file():
            raise NotFoundError(f"no stored file has the sha256 '{sha256}'")
        return file

    async def delete(self, sha256: str) -> None:
        """Remove a blob; one that is not there is no error."""
        await asyncio.to_thread(self._place(sha256).unlink, missing_ok=True)

    def _place(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):  # keeps '../' out of paths
            raise NotFoundError(f"'{sha256}' is not the sha256 of a stored file: 64 hexadecimal digits")
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    def _put_file(self, source: Path) -> BlobRef:
        with _explained(self._folder), source.open("rb") as stream:
            return self._put(stream)

    def _put(self, stream: BinaryIO) -> BlobRef:
        with _explained(self._folder), self._draft_file() as file:
            draft = Draft(self, file)
            while piece := stream.read(_PIECE_BYTES):
                draft._append(piece)
            return draft._rename()

    @contextmanager
    def _draft_file(self) -> Iterator[IO[bytes]]:
        while True:
            # unbuffered, so that closing it writes nothing and cannot fail for want of room
            with tempfile.NamedTemporaryFile(dir=self._incoming, delete=False, buffering=0) as file:
                if not try_lock(file.fileno(), "exclusive") or os.fstat(file.fileno()).st_nlink == 0:
                    continue  # another process took it for an orphan before it was locked
                try:
                    yield file
                finally:
                    Path(file.name).unlink(missing_ok=True)  # it is not there when it has become a blob
                return

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)

    def _remove_orphans(self) -> None:
        for draft in self._incoming.iterdir():
            with suppress(FileNotFoundError), draft.open("rb") as file:
                if try_lock(file.fileno(), "exclusive"):
                    draft.unlink()


class Draft:
    """A blob that is being written; made by `Blobs.draft`, for one writer at a time."""

    def __init__(self, blobs: Blobs, file: IO[bytes]) -> None:
        self._blobs = blobs
        self._file = file
        self._digest = hashlib.sha256()
        self._kept: BlobRef | None = None
        self.size_bytes = 0

    @property
    def path(self) -> Path:
        """Where its bytes are until it is kept, to be read only."""
        return Path(self._file.name)

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._digest.hexdigest()

    async def write(self, piece: bytes) -> None:
        """Append ``piece``.

        Raises:
            DiskFullError: There is no room for it.
            OperatorError: The folder cannot be written.
        """
        with _explained(self._blobs._folder):
            await asyncio.to_thread(self._append, piece)

    async def keep(self) -> BlobRef:
        """Make what was written a blob, safe on disk; write no more after it. A repeat changes nothing.

        Raises:
            DiskFullError: There is no room to name it.
            BusyError: It was kept before, and the blob has been deleted since.
            OperatorError: The folder cannot be written.
        """
        if self._kept is None:
            with _explained(self._blobs._folder):
                self._kept = await asyncio.to_thread(self._rename)
        elif not self._blobs._place(self._kept.sha256).is_file():
            msg = "a document of the same bytes was deleted at this moment; send the file again"
            raise BusyError(msg)
        return self._kept

    # --- blocking ---

    def _append(self, piece: bytes) -> None:
        self._blobs.require_room(len(piece))
        self._digest.update(piece)
        self.size_bytes += len(piece)
        left = memoryview(piece)
        while left:
            left = left[self._file.write(left) :]

    def _rename(self) -> BlobRef:
        blobs, ref = self._blobs, BlobRef(self._digest.hexdigest(), self.size_bytes)
        blobs._sync(self._file.fileno())
        target = blobs._place(ref.sha256)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # over a blob of that name too: should a fault of the disk have changed it, it is whole again
        Path(self._file.name).replace(target)
        for folder in (target.parent, target.parent.parent, blobs._folder):
            blobs._sync_folder(folder)
        return ref


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(
                f"no room left for files in '{folder}'; free some, or set CAUSEWAY_STORAGE__DIR to a folder on "
                "another disk"
            ) from exc
        raise OperatorError(
            f"a file cannot be kept in '{folder}' ({exc.strerror}: '{exc.filename}'); see who may read and "
            "write there"
        ) from exc
