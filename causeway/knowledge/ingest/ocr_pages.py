"""Reads the pages of one document that are pictures, several at a time, and remembers how that went.

Pages are drawn by the caller, one by one, since pdfium may be used by one thread alone; engines read without holding
Python's lock. No more pictures wait than there are threads to read them, so that memory stays flat.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from PIL import Image

from causeway.knowledge.ingest.ocr import choose_engine, prepared, read_prepared
from causeway.knowledge.ingest.ocr_engine import OcrEngine
from causeway.knowledge.ingest.pdf_shapes import Page
from causeway.knowledge.ingest.reading import Reading

_ILLEGIBLE = 40.0


class OcrPages:
    """Takes pictures of pages and gives back what stands on them."""

    def __init__(self, reading: Reading) -> None:
        """The engine is chosen with the first picture."""
        self._reading = reading
        self._pool = ThreadPoolExecutor(max_workers=reading.threads)
        self._engine: OcrEngine | None = None
        self._waiting: dict[int, Future[tuple[Page, float]]] = {}
        self._read: dict[int, tuple[Page, float]] = {}
        self._turn = self._last_turn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, number: int, draw: Callable[[], tuple[Image.Image, float]]) -> None:
        """Have page ``number`` read; ``draw`` gives its picture and dots an inch, in this thread, which prepares it, too.

        So a page is drawn, evened and straightened while the one before is read.

        Raises:
            UnreadableDocumentError: There are no data for its languages.
        """
        while len(self._waiting) > self._reading.threads:
            self._take(next(iter(self._waiting)))
        image, dpi = draw()
        if self._engine is None:
            self._engine = choose_engine(self._reading.languages, (image, dpi))
        self._waiting[number] = self._pool.submit(
            read_prepared,
            prepared(image, dpi=dpi, turn=self._turn),
            self._engine,
            number=number,
            timeout_s=self._reading.page_timeout_s,
        )

    def pages(self) -> dict[int, Page]:
        """All the pages, read; those with nothing on them have no words."""
        for number in list(self._waiting):
            self._take(number)
        return {number: page for number, (page, _) in self._read.items()}

    def described(self) -> dict[str, str]:
        """For the document's metadata: which engine read, and how sure it was."""
        sure = [confidence for page, confidence in self._read.values() if page.words]
        if self._engine is None or not sure:
            return {}
        return {"ocr_engine": self._engine.name, "ocr_confidence": f"{sum(sure) / len(sure):.0f}"}

    def _take(self, number: int) -> None:
        page, confidence = self._waiting.pop(number).result()
        if confidence < _ILLEGIBLE:  # a photo or a drawing: what was read is noise
            page = replace(page, words=(), rulings=())
        self._read[number] = page, confidence
        if page.words:
            # Two in a row lie alike: the next ones probably do. One alone was put in the wrong way round.
            self._turn = page.turn.quarters if page.turn.quarters == self._last_turn else self._turn
            self._last_turn = page.turn.quarters
        self._reading.on_page()
