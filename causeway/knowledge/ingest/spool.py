"""Content that a listing came by, kept on disk until it is fetched, so that memory stays flat however much there is."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self


class Spool:
    """A folder of its own that is gone when the block ends."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: dict[str, Path] = {}
        self._number = 0

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="causeway-spool-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def place(self) -> Path:
        """A file to write to, not there yet."""
        if self._folder is None:
            msg = "open the spool with 'with' first"
            raise RuntimeError(msg)
        self._number += 1
        return Path(self._folder.name) / f"{self._number}"

    async def keep(self, path: str, content: bytes) -> None:
        """Keep an item's content."""
        file = self.place()
        await asyncio.to_thread(file.write_bytes, content)
        self._files[path] = file

    async def receive(self, pieces: AsyncIterator[bytes]) -> Path:
        """Write what arrives to a file of its own."""
        file = self.place()
        with await asyncio.to_thread(file.open, "wb") as out:
            async for piece in pieces:
                await asyncio.to_thread(out.write, piece)
        return file

    def adopt(self, path: str, file: Path) -> None:
        """Let a received file be an item's content."""
        self._files[path] = file

    def file(self, path: str) -> Path:
        """An item's content."""
        return self._files[path]
