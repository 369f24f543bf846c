"""What a PDF says beside its pages' text: comments, filled-in forms, its outline and how its pages are numbered.

Comments and form values are text that people wrote, and no part of the page's own text; each becomes a paragraph after
its page. The outline knows which lines are headings, and how deep, better than any guess from fonts.
"""

from __future__ import annotations

import ctypes
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types
import pypdfium2.raw as raw  # type: ignore[import-untyped]  # it ships no types

from causeway.knowledge.document import Block, Place
from causeway.knowledge.ingest.pdf_words import Frame

_MAX_NOTES = 500
_MAX_ENTRIES = 5_000
_LONGEST_NOTE = 20_000
_LONGEST_LABELS = 4_000
_COMMENTS = (
    raw.FPDF_ANNOT_TEXT,
    raw.FPDF_ANNOT_FREETEXT,
    raw.FPDF_ANNOT_HIGHLIGHT,
    raw.FPDF_ANNOT_UNDERLINE,
    raw.FPDF_ANNOT_SQUIGGLY,
    raw.FPDF_ANNOT_STRIKEOUT,
    raw.FPDF_ANNOT_STAMP,
    raw.FPDF_ANNOT_CARET,
    raw.FPDF_ANNOT_SQUARE,
    raw.FPDF_ANNOT_CIRCLE,
    raw.FPDF_ANNOT_LINE,
)


def notes_on(page: raw.FPDF_PAGE, number: int, frame: Frame) -> list[Block]:
    """The comments and form values on page ``number``, which ``frame`` shows, in their order; most pages have none."""
    count = min(raw.FPDFPage_GetAnnotCount(page), _MAX_NOTES)
    notes: list[Block] = []
    for index in range(count):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            text = _text(annotation)
            if text:
                places = tuple(_places(annotation, frame, number))
                notes.append(Block(kind="paragraph", text=text, page=number, places=places))
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    return notes


def _text(annotation: raw.FPDF_ANNOTATION) -> str:
    kind = raw.FPDFAnnot_GetSubtype(annotation)
    if kind in _COMMENTS:
        said = _string(annotation, b"Contents")
        author = _string(annotation, b"T")
        return f"Comment{f' by {author}' if author else ''}: {said}" if said else ""
    if kind == raw.FPDF_ANNOT_WIDGET:
        name = _string(annotation, b"TU") or _string(annotation, b"T")
        value = _string(annotation, b"V")
        return f"{name}: {value}" if name and value and value != "Off" else ""
    return ""


def _string(annotation: raw.FPDF_ANNOTATION, key: bytes) -> str:
    size = raw.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    if not 2 < size <= 2 * _LONGEST_NOTE:
        return ""
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    raw.FPDFAnnot_GetStringValue(annotation, key, buffer, size)
    text = bytes(buffer)[: size - 2].decode("utf-16-le", "replace")
    return " ".join(text.split())


def _places(annotation: raw.FPDF_ANNOTATION, frame: Frame, number: int) -> Iterator[Place]:
    rectangle = raw.FS_RECTF()
    left, bottom, right, top = frame.left, frame.bottom, frame.right, frame.top
    if frame.quarters or not raw.FPDFAnnot_GetRect(annotation, rectangle):
        return
    width, height = max(right - left, 1.0), max(top - bottom, 1.0)
    sides = (
        (rectangle.left - left) / width,
        (top - max(rectangle.top, rectangle.bottom)) / height,
        (rectangle.right - left) / width,
        (top - min(rectangle.top, rectangle.bottom)) / height,
    )
    yield Place(number, *(round(min(max(side, 0.0), 1.0), 4) for side in sides))


def with_notes(blocks: Sequence[Block], notes: Mapping[int, Sequence[Block]]) -> list[Block]:
    """The blocks, with each page's notes behind the last one that begins on it or before."""
    merged: list[Block] = []
    pending = sorted(notes)
    for block in blocks:
        while pending and block.page is not None and pending[0] < block.page:
            merged += notes[pending.pop(0)]
        merged.append(block)
    for number in pending:
        merged += notes[number]
    return merged


# --- outline and page labels -------------------------------------------------------------------------


def outline_of(document: pdfium.PdfDocument) -> dict[tuple[int, str], int]:
    """For each entry of the outline, its page and its letters, the level of the heading it stands for."""
    levels: dict[tuple[int, str], int] = {}
    try:
        for entry in islice(document.get_toc(max_depth=6), _MAX_ENTRIES):
            target = entry.get_dest()
            index = target.get_index() if target is not None else None
            letters = _letters(entry.get_title())
            if index is not None and letters:
                levels.setdefault((index + 1, letters), min(6, entry.level + 1))
    except (pdfium.PdfiumError, ValueError, RecursionError):
        return levels
    return levels


def with_outline(blocks: Sequence[Block], levels: Mapping[tuple[int, str], int]) -> list[Block]:
    """The blocks, with those that the outline names as headings of its levels.

    Headings that it does not name go where others of their looks went; without any match nothing changes.
    """
    if not levels:
        return list(blocks)
    named: dict[int, int] = {}
    for index, block in enumerate(blocks):
        if (
            block.kind in ("heading", "paragraph", "list")
            and block.page is not None
            and len(block.text) <= 200
        ):
            level = levels.get((block.page, _letters(block.text)))
            if level is not None:
                named[index] = level
    if not named:
        return list(blocks)
    # A title above the outline's first level keeps its place above it.
    first = min(named)
    shift = int(any(block.kind == "heading" for block in blocks[:first]) and min(named.values()) == 1)
    found: dict[int, Counter[int]] = defaultdict(Counter)
    for index, level in named.items():
        found[blocks[index].level][level + shift] += 1
    usual = {guessed: counts.most_common(1)[0][0] for guessed, counts in found.items() if guessed}
    changed: list[Block] = []
    for index, block in enumerate(blocks):
        level = block.level
        if index in named:
            level = named[index] + shift
        elif block.kind == "heading" and index > first:
            level = usual.get(block.level, block.level + shift)
        kind = "heading" if index in named else block.kind
        changed.append(block if level == block.level else replace(block, kind=kind, level=min(6, level)))
    return changed


def _letters(text: str) -> str:
    """What two ways of writing a heading share: its letters and digits."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def labels_of(document: pdfium.PdfDocument, count: int) -> str:
    """The pages' own numbers, such as ``i, ii, 1, 2``, where they are not 1, 2, 3; empty where they are, or too many."""
    labels: list[str] = []
    if not raw.FPDF_GetPageLabel(document.raw, 0, None, 0):
        return ""  # one that has any has one for the first page
    for index in range(count):
        label = str(document.get_page_label(index) or "")
        labels.append(label.strip() or str(index + 1))
    if labels == [str(number) for number in range(1, count + 1)]:
        return ""
    said = ", ".join(labels)
    return said if len(said) <= _LONGEST_LABELS else ""
