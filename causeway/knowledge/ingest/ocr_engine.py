"""What an engine that reads pictures takes and gives back: `ocr_tesseract` and `ocr_rapid` are two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from causeway.knowledge.ingest.ocr_picture import Picture
from causeway.knowledge.ingest.pdf_shapes import Box


@dataclass(frozen=True, slots=True)
class ReadWord:
    """A word as an engine read it, in pixels of the picture.

    Attributes:
        baseline: The line it stands on.
        size: Height of its font.
        line: Words of one line have the same number.
        confidence: How sure the engine is, 0 to 100.
    """

    text: str
    box: Box
    baseline: float
    size: float
    line: int
    confidence: float


def is_installed() -> bool:
    """Whether a package that reads pictures is there, without loading it."""
    return any(find_spec(name) is not None for name in ("tesserocr", "rapidocr"))


class OcrEngine(Protocol):
    """Reads the words of an upright picture; used from several threads at once."""

    @property
    def name(self) -> str:
        """What is recorded with the document, such as ``tesseract 5.5.4 (eng)``."""
        ...

    def prepare(self) -> None:
        """Load what it needs, so that processes forked from this one have it."""
        ...

    def read(self, picture: Picture, *, timeout_s: float) -> list[ReadWord]:
        """The words, line by line; those read within ``timeout_s``."""
        ...

    def look_again(self, picture: Picture, boxes: Sequence[Box]) -> list[ReadWord]:
        """The words in parts of the picture, in pixels, that have ink on them and were passed over."""
        ...

    def turns(self, picture: Picture) -> Sequence[int]:
        """Quarters of a turn, clockwise, to try when a page reads like no language, likeliest first."""
        ...


def confidence_of(words: Sequence[ReadWord]) -> float:
    """How sure the engine is of a page, 0 to 100: letters weigh, not words."""
    letters = sum(len(word.text) for word in words)
    return sum(word.confidence * len(word.text) for word in words) / letters if letters else 0.0
