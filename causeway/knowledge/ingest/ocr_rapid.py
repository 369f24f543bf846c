"""RapidOCR (PaddleOCR's models on onnxruntime, in its wheel) as an `OcrEngine`: needs nothing but Python packages.

It finds lines, not words; a line's words are given the share of its box that their letters have.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from causeway import seams
from causeway.knowledge.ingest.ocr_engine import ReadWord
from causeway.knowledge.ingest.ocr_picture import Picture
from causeway.knowledge.ingest.pdf_shapes import Box


def engine(why: str) -> RapidEngine:
    """RapidOCR; ``why`` it and not Tesseract reads is recorded with the document."""
    return RapidEngine(seams.library("rapidocr"), why)


class RapidEngine:
    """Reads with RapidOCR, one page at a time."""

    def __init__(self, rapidocr: Any, why: str) -> None:
        self._rapidocr = rapidocr
        self._why = why
        self._lock = threading.Lock()
        self._model: Any = None

    @property
    def name(self) -> str:
        """RapidOCR, the models it runs, and why it does."""
        return f"rapidocr (PP-OCRv6 small): {self._why}"

    def prepare(self) -> None:
        """Nothing: its models start threads, which processes must not be forked with."""

    def read(self, picture: Picture, *, timeout_s: float) -> list[ReadWord]:  # noqa: ARG002 - it cannot be interrupted; the sandbox's deadline holds
        """The words of the picture."""
        with self._lock:
            if self._model is None:
                self._model = self._rapidocr.RapidOCR(
                    params={
                        "Global.log_level": "critical",
                        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                    }
                )
            found = self._model(np.asarray(picture.image.convert("RGB")), use_cls=False)
        if found.boxes is None:
            return []
        words: list[ReadWord] = []
        lines = zip(found.boxes, found.txts, found.scores, strict=True)
        for number, (corners, text, score) in enumerate(lines):
            box = Box(*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
            words += _words(text, box, number, 100.0 * float(score))
        return words

    def look_again(self, picture: Picture, boxes: Sequence[Box]) -> list[ReadWord]:  # noqa: ARG002 - it passes nothing over
        """Nothing: it finds text by its looks, in cells as elsewhere."""
        return []

    def turns(self, picture: Picture) -> Sequence[int]:  # noqa: ARG002 - it has no cheaper way than trying
        """Every other way round."""
        return (2, 1, 3)


def _words(text: str, box: Box, line: int, confidence: float) -> Iterator[ReadWord]:
    each = box.width / max(len(text), 1)
    place = 0
    for word in text.split():
        place = text.index(word, place)
        x0 = box.x0 + place * each
        place += len(word)
        yield ReadWord(
            word,
            Box(x0, box.y0, box.x0 + place * each, box.y1),
            box.y1 - 0.22 * box.height,
            0.85 * box.height,
            line,
            confidence,
        )
