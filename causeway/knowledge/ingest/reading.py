"""How one file is read: the limits and languages that reach the readers, whatever the file's kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causeway.knowledge.ingest.helper import Helper


def _ignore() -> None:
    """Nobody waits for progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How one file is read.

    Attributes:
        max_pages: Documents of more pages are refused.
        languages: What pictures of text are read in: Tesseract's names joined by ``+``, or ``auto``.
        tells_language: Whether the document's own language is found out.
        page_timeout_s: Longest time that reading the picture of one page may take.
        threads: Pictures that are read at the same time.
        readers: Processes that a long PDF is read by; 2 at most are of use.
        on_page: Called after each page that was read from its picture.
        helper: The other reader of a long PDF, where one stands ready; without it another process is forked.
        file: The open file, for the helper; None for what lies in other files.
        depth: How many files it lies in: 0 on its own, 1 as an attachment or in an archive.
    """

    max_pages: int = 3000
    languages: str = "auto"
    tells_language: bool = True
    page_timeout_s: float = 30.0
    threads: int = 1
    readers: int = 1
    on_page: Callable[[], None] = _ignore
    helper: Helper | None = None
    file: int | None = None
    depth: int = 0
