"""Drops running headers, footers and page numbers: what stands at the edge of page after page, and no text of its own."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final

from causeway.knowledge.ingest.pdf_blocks import usual_size
from causeway.knowledge.ingest.pdf_layout import Item, Line

_PAGE_NUMBER: Final = re.compile(
    r"^(?:(?:page|seite|p\.|pg\.?)\s*)?[-\u2013|\s]*(?:\d{1,4}|[ivxlc]{1,7})[-\u2013|\s]*(?:(?:of|/|von|de)\s*\d{1,4})?$",
    re.IGNORECASE,
)
_ALIKE: Final = 0.82
_MOST_KNOWN: Final = 60
_EDGE: Final = 0.1
"""Headers and footers stand in this share of the page's height, at its top and its bottom."""


def without_running_lines(
    items: list[Item], heights: Mapping[int, float], *, is_ocr: bool = False
) -> list[Item]:
    """Drop what is said at the edge of page after page, page numbers, and small print in the top margin.

    With ``is_ocr``, lines that are nearly the same count as the same: a scan's are misread here and there.
    """
    body = usual_size(items)
    edges = [item for item in items if isinstance(item, Line) and _is_at_edge(item, heights[item.page])]
    keys = _keys(edges, body, is_ocr=is_ocr)
    pages_of: dict[str, set[int]] = defaultdict(set)
    for line, key in zip(edges, keys, strict=True):
        pages_of[key].add(line.page)
    needed = max(2, 0.4 * len(heights))
    tops = _tops(items, body)
    dropped = {
        id(line)
        for line, key in zip(edges, keys, strict=True)
        if len(pages_of[key]) >= needed
        or _PAGE_NUMBER.match(line.text)
        or (_is_small_print(line, body) and line.baseline < min(tops.get(line.page, 0) - 0.8 * body, 60))
    }
    kept = [item for item in items if id(item) not in dropped]
    return kept or items


def _is_at_edge(line: Line, height: float) -> bool:
    return line.baseline < _EDGE * height or line.baseline > (1 - _EDGE) * height


def _keys(lines: Sequence[Line], body: float, *, is_ocr: bool) -> list[str]:
    """For each line, what it shares with those that say the same at the same place."""
    keys = [_same(line, body) for line in lines]
    if not is_ocr:
        return keys
    known: list[str] = []
    alike: dict[str, str] = {}
    for key in keys:
        if key not in alike:
            near = [other for other in known if 0.8 < len(other) / len(key) < 1.25]
            found = next((other for other in near if SequenceMatcher(None, other, key).ratio() > _ALIKE), key)
            alike[key] = found
            if found is key and len(known) < _MOST_KNOWN:
                known.append(key)
    return [alike[key] for key in keys]


def _same(line: Line, body: float) -> str:
    # "Page 3" and "Page 4" are one footer, while "Chapter 3" and "Chapter 4" in large type are two headings.
    text = re.sub(r"[0-9]+", "#", line.text) if line.size <= 1.05 * body else line.text
    return f"{text.casefold()} {round(line.baseline / 12)}"


def _is_small_print(line: Line, body: float) -> bool:
    return line.size <= 0.87 * body and len(line.text) <= 100


def _tops(items: Sequence[Item], body: float) -> dict[int, float]:
    """For each page, where text of the usual size begins."""
    tops: dict[int, float] = {}
    for item in items:
        if isinstance(item, Line) and item.size > 0.9 * body:
            tops[item.page] = min(item.box.y0, tops.get(item.page, item.box.y0))
    return tops
