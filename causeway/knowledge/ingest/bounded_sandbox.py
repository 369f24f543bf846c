"""A sandbox that reads so many files at once and has the others wait, however many are on their way."""

from __future__ import annotations

import asyncio
from pathlib import Path

from causeway.knowledge.document import ParsedDocument
from causeway.knowledge.ingest.sandbox import Sandbox


class BoundedSandbox:
    """A `Sandbox` over another."""

    def __init__(self, sandbox: Sandbox, *, at_once: int) -> None:
        self._sandbox = sandbox
        self._places = asyncio.Semaphore(at_once)

    async def parse(self, path: Path, *, name: str) -> ParsedDocument:
        """See `Sandbox.parse`."""
        async with self._places:
            return await self._sandbox.parse(path, name=name)
