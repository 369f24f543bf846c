"""A folder, or a part of one, as a source: a file is its path under its root, and its revision is size and times.

Follows `causeway.knowledge.ingest.folder_scan` for what counts as a file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from causeway.contracts.clock import Clock
from causeway.errors import NotFoundError, UnreadableDocumentError
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing
from causeway.knowledge.ingest.folder_scan import FileState, Scan, look_at, reason_of, scan
from causeway.knowledge.ingest.patterns import ALL, Patterns

log = logging.getLogger(__name__)

PREFIX = "folder:"
_AT_ONCE = 4
_MOST_LOOKS = 5


class FolderSource:
    """A `Connector` for ``root``, or for the folder or file at ``root / under`` alone."""

    at_once = _AT_ONCE
    follows_content = True

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        settle_s: float,
        under: str = "",
        is_folder: bool = True,
        patterns: Patterns = ALL,
    ) -> None:
        """``settle_s``: a file that changed more recently than this is looked at twice, so far apart."""
        self._root = root
        self._under = under
        self._is_folder = is_folder
        self._clock = clock
        self._settle_s = settle_s
        self._patterns = patterns
        self._listed_at = 0.0
        self._files: dict[str, FileState] = {}

    @property
    def source(self) -> str:
        """``folder:`` and the root's absolute path."""
        return f"{PREFIX}{self._root}"

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:  # noqa: ARG002 - a scan is cheap
        """Every file that is there."""
        found = await self._look_until_still(before)
        self._files = {path: state for path, state in found.files.items() if self._patterns.allow(path)}
        horizon = self._clock.now() - timedelta(seconds=self._settle_s)
        self._listed_at = self._clock.monotonic()
        if found.links:
            log.info("links are not followed", extra={"root": str(self._root), "links": len(found.links)})
        items = (
            Item(
                path=path,
                revision=state.revision,
                modified_at=state.modified_at,
                size_bytes=state.size_bytes,
                is_settling=state.modified_at > horizon,
            )
            for path, state in self._files.items()
        )
        return Listing(items=tuple(items), unseen=dict(found.unreadable))

    async def _look_until_still(self, before: Mapping[str, Before]) -> Scan:
        """What is there, looked at again while names come and go.

        What moves from a folder that is still to be looked at into one that has been is seen nowhere, and what moves the
        other way twice: either would cost it its document.
        """
        found = await self._look(len(before))
        for _ in range(_MOST_LOOKS if found.files.keys() != before.keys() else 0):
            again = await self._look(len(before))
            is_still = again.files.keys() == found.files.keys()
            found = again
            if is_still:
                break
        return found

    async def _look(self, known: int) -> Scan:
        place = self._root / self._under
        try:
            if self._is_folder:
                return await asyncio.to_thread(scan, self._root, self._under)
            return Scan(files={self._under: await asyncio.to_thread(look_at, place)})
        except FileNotFoundError as exc:
            stays = f"; the {known} documents that came from it stay searchable" if known else ""
            raise NotFoundError(f"there is nothing at '{place}'; restore or mount it{stays}") from exc
        except OSError as exc:
            return Scan(unreadable={self._under: reason_of(exc)})

    async def fetch(self, item: Item) -> Fetched:
        """The file itself, unless it is still being written."""
        file = self._root / item.path
        if item.is_settling:
            await asyncio.sleep(max(0.0, self._listed_at + self._settle_s - self._clock.monotonic()))
            try:
                now = await asyncio.to_thread(look_at, file)
            except OSError as exc:
                raise UnreadableDocumentError(reason_of(exc)) from exc
            if now != self._files[item.path]:
                msg = "it is still being written; ingest it again when it is complete"
                raise UnreadableDocumentError(msg)
        return Fetched(content=file)
