"""Pictures of PDF pages, drawn by a child process: pdfium parses hostile files, and a crash there must stay there.

A child costs some 150 ms, so pictures are kept, at most ``_MOST_KEPT_BYTES`` of them, and children are few at a time.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import OrderedDict
from pathlib import Path

from causeway.errors import BusyError, NotFoundError, UnreadableDocumentError
from causeway.settings import child_environment

log = logging.getLogger(__name__)

MEDIA_TYPE = "image/png"
_TIMEOUT_S = 20.0
_CHILD = "causeway.web.draw_page"  # by name: it loads pdfium, which this process does without
_NO_SUCH_PAGE = 3  # its NO_SUCH_PAGE
_MOST_CHILDREN = 2
_MOST_WAITING = 20
_MOST_KEPT_BYTES = 64_000_000


class PageImages:
    """Draws pages and keeps what it drew."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_MOST_CHILDREN)
        self._waiting = 0
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    async def draw(self, pdf: Path, page: int) -> bytes:
        """PNG of a page, counted from 1, 1,100 pixels wide. ``pdf`` is named by its content.

        Raises:
            NotFoundError: The document has no such page.
            UnreadableDocumentError: pdfium cannot draw it within the limits.
            BusyError: Too many pages are being drawn.
        """
        key = (pdf.name, page)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if self._waiting >= _MOST_WAITING:
            msg = "too many pages are being drawn; try again in a moment"
            raise BusyError(msg)
        self._waiting += 1
        try:
            async with self._room:
                image = await _run_child(pdf, page)
        finally:
            self._waiting -= 1
        self._keep(key, image)
        return image

    def _keep(self, key: tuple[str, int], image: bytes) -> None:
        self._kept[key] = image
        while sum(len(kept) for kept in self._kept.values()) > _MOST_KEPT_BYTES:
            self._kept.popitem(last=False)


async def _run_child(pdf: Path, page: int) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _CHILD,
        str(pdf),
        str(page),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            image, complaint = await child.communicate()
    except TimeoutError as exc:
        raise UnreadableDocumentError(
            f"page {page} takes too long to draw; open the document instead"
        ) from exc
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode == _NO_SUCH_PAGE:
        raise NotFoundError(f"the document has no page {page}")
    if child.returncode != 0 or not image:
        log.warning(
            "page not drawn",
            extra={"exit": child.returncode, "complaint": complaint[-400:].decode(errors="replace")},
        )
        raise UnreadableDocumentError(f"page {page} cannot be drawn; open the document instead")
    return image
