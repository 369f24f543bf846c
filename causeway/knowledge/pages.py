"""Pages of stored files: as pictures, and the words in a PDF's text with their places.

Both are made by a child process (`causeway.knowledge.ingest.page_child`) that limits itself: pdfium and Pillow parse
hostile files, and a crash there must stay there. A child costs some 150 ms, so what it made is kept, at most
``_MOST_KEPT_BYTES`` of it, and children are few at a time.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Final, Literal

from causeway.errors import BusyError, NotFoundError, UnreadableDocumentError
from causeway.knowledge.page_words import PageWords
from causeway.settings import child_environment

log = logging.getLogger(__name__)

PDF: Final = "application/pdf"
SHOWN: Final = frozenset((PDF, *(f"image/{kind}" for kind in ("png", "jpeg", "tiff", "webp", "gif", "bmp"))))
"""Media types whose pages can be shown."""

_TIMEOUT_S = 20.0
_CHILD = "causeway.knowledge.ingest.page_child"  # by name: it loads pdfium, which this process does without
_NO_SUCH_PAGE = 3  # its NO_SUCH_PAGE
_MOST_CHILDREN = 2
_MOST_WAITING = 20
_MOST_KEPT_BYTES = 64_000_000
_MOST_ANSWER_BYTES = 20_000_000

_Task = Literal["picture", "words"]


class Pages:
    """Draws pages and reads their words; keeps what it made. ``file`` is always named by its content."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_MOST_CHILDREN)
        self._waiting = 0
        self._kept: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()

    async def picture(self, file: Path, page: int) -> bytes:
        """A page, counted from 1, as PNG or JPEG, at most 1,100 pixels wide.

        Raises:
            NotFoundError: The document has no such page.
            UnreadableDocumentError: It cannot be drawn within the limits.
            BusyError: Too many pages are being drawn.
        """
        return await self._made("picture", file, page)

    async def words(self, file: Path, page: int) -> PageWords:
        """The words in the text of a PDF's page; none where that is a picture. Raises as `picture`."""
        return PageWords.unpack(await self._made("words", file, page))

    async def _made(self, task: _Task, file: Path, page: int) -> bytes:
        key = (task, file.name, page)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if self._waiting >= _MOST_WAITING:
            msg = "too many pages are being drawn; try again in a moment"
            raise BusyError(msg)
        self._waiting += 1
        try:
            async with self._room:
                made = await _run_child(task, file, page)
        finally:
            self._waiting -= 1
        self._keep(key, made)
        return made

    def _keep(self, key: tuple[str, str, int], made: bytes) -> None:
        self._kept[key] = made
        while sum(len(kept) for kept in self._kept.values()) > _MOST_KEPT_BYTES:
            self._kept.popitem(last=False)


def picture_type(picture: bytes) -> str:
    """The media type of a page's picture."""
    return "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"


async def _run_child(task: _Task, file: Path, page: int) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # a file that lies in the working directory must not pass for a module
        "-m",
        _CHILD,
        task,
        str(file),
        str(page),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(MALLOC_ARENA_MAX="2"),
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            made, complaint = await child.communicate()
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
    if child.returncode != 0 or not made or len(made) > _MOST_ANSWER_BYTES:
        log.warning(
            "page not drawn",
            extra={"exit": child.returncode, "complaint": complaint[-400:].decode(errors="replace")},
        )
        raise UnreadableDocumentError(f"page {page} cannot be drawn; open the document instead")
    return made
