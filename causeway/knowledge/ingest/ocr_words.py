"""Where the words of a page that was read from its picture stand, as they are kept for whoever opens a citation of it."""

from __future__ import annotations

from collections.abc import Iterable

from causeway.knowledge.ingest.pdf_shapes import Page
from causeway.knowledge.page_words import PageWords


def packed_words(pages: Iterable[Page]) -> dict[int, bytes]:
    """Each page's number -> its words on the page as shown, packed; pages without words are left out."""
    return {
        page.number: PageWords.of((word.text, page.sheet.shown(word.box)) for word in page.words).pack()
        for page in pages
        if page.words
    }
