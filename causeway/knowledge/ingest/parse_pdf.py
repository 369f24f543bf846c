"""PDF -> blocks: headings by their fonts, paragraphs joined from lines, lists, tables, no running headers.

Pages are read one by one (`pdf_page`, `pdf_layout`); what is said here needs the whole document: which size is the
text's own, which lines return on every page, how a word is spelt that a line end splits.

Pages that have no text, or garbage for text, are drawn and read from their picture (`ocr`).
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types
import pypdfium2.raw as raw  # type: ignore[import-untyped]  # it ships no types

from causeway.errors import EmptyDocumentError, UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.in_two import deal, done, in_two, parts_of, with_help
from causeway.knowledge.ingest.pdf_blocks import blocks_of
from causeway.knowledge.ingest.pdf_layout import Item, read_in_order
from causeway.knowledge.ingest.pdf_letters import LetterWidths
from causeway.knowledge.ingest.pdf_notes import labels_of, outline_of, with_notes, with_outline
from causeway.knowledge.ingest.pdf_page import read_page
from causeway.knowledge.ingest.pdf_running import without_running_lines
from causeway.knowledge.ingest.pdf_shapes import Page, Sheet, has_plain_letters
from causeway.knowledge.ingest.reading import Reading
from causeway.knowledge.ingest.sniff import PDF

if TYPE_CHECKING:
    from PIL import Image

_NO_TEXT = "the PDF has no text"
_NO_PAGES = "the PDF has no pages; it is damaged or was cut short, so add it again"
_PROTECTED = "the PDF is protected by a password; save a copy without one and add it again"
_DAMAGED = "the PDF is damaged or was cut short: no reader can open it; get a whole copy and add it again"
_NOTHING_FOUND = "the PDF's pages are pictures, and no text could be read from them; add a clearer scan, or a version with text"
_SOME_PAGES = 4
"""So many are read in two processes where a second stands ready."""
_MANY_PAGES = 24
"""So many where it has to be forked, which takes as long as reading a few."""
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_EMPTY_TITLE = re.compile(
    r"^(?:untitled.*|scan(?:ned)?\b[\W\d_]*|(?:powerpoint|microsoft \w+) (?:presentation|document)|microsoft word - .*|document\d*|slide ?\d*|.*\.(?:docx?|pptx?|xlsx?|pdf|indd|tex|dvi|html?))$",
    re.IGNORECASE,
)
_LIGHT_WORD = re.compile(r"[aeiouyàáâãäåæèéêëìíîïòóôõöøœùúûüý]", re.IGNORECASE)
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?")
_METADATA = {"title": b"Title\0", "author": b"Author\0", "subject": b"Subject\0", "keywords": b"Keywords\0"}
_LOST = re.compile("[\ufffd\ue000-\uf8ff]")
_LATIN = re.compile(r"^[A-Za-z\u00c0-\u024f'\u2019-]+$")


def parse_pdf(content: bytes, reading: Reading) -> ParsedDocument:
    """The document in a PDF file.

    Raises:
        UnreadableDocumentError: It is protected, damaged, too long, or has no text and none can be read from its pictures.
    """
    document = _open(content)
    try:
        count = len(document)
        if count > reading.max_pages:
            raise UnreadableDocumentError(
                f"the PDF has {count} pages and the limit is {reading.max_pages}; split it, or raise knowledge.max_pages"
            )
        contents = _read(document, count, reading)
        metadata = _metadata(document)
        outline, labels = outline_of(document), labels_of(document, count)
    finally:
        document.close()
    pages = contents.pages
    items = [item for number in sorted(pages) for item in pages[number].items]
    sheets = {number: page.sheet for number, page in pages.items()}
    heights = {number: sheet.height for number, sheet in sheets.items()}
    items = without_running_lines(items, heights, is_ocr=bool(contents.ocr))
    blocks = with_notes(with_outline(blocks_of(items, sheets), outline), contents.notes)
    if not blocks:
        raise UnreadableDocumentError(_NOTHING_FOUND) if contents.unread else EmptyDocumentError(_NO_TEXT)
    title = metadata.pop("title", "") or _first_title(blocks)
    metadata |= contents.ocr
    if contents.unread:
        metadata["pages_without_text"] = _ranges(contents.unread)
    if labels:
        metadata["page_labels"] = labels
    return ParsedDocument(
        title=title,
        media_type=PDF,
        blocks=tuple(blocks),
        pages=count,
        metadata=metadata,
        page_words=contents.words,
    )


def _open(content: bytes) -> pdfium.PdfDocument:
    try:
        document = pdfium.PdfDocument(content)
        if not len(document):
            raise UnreadableDocumentError(_NO_PAGES)
    except pdfium.PdfiumError as exc:
        if getattr(exc, "err_code", None) == _PASSWORD_ERROR:
            raise UnreadableDocumentError(_PROTECTED) from exc
        raise UnreadableDocumentError(_DAMAGED) from exc
    return document


@dataclass(frozen=True, slots=True)
class _Layout:
    """What stands on a page, in reading order; the page's words themselves are not kept: long documents have millions."""

    items: list[Item]
    sheet: Sheet

    @classmethod
    def of(cls, page: Page) -> _Layout:
        return cls(read_in_order(page), page.sheet)


@dataclass(frozen=True, slots=True)
class _Contents:
    """The pages that could be read, by number, those that could not, and how pictures were read.

    Attributes:
        notes: Comments and form values, by page, whether or not the page itself could be read.
        words: Of pages that were read from their picture, packed.
    """

    pages: dict[int, _Layout]
    notes: dict[int, tuple[Block, ...]]
    unread: list[int] = field(default_factory=list)
    ocr: dict[str, str] = field(default_factory=dict)
    words: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Poor:
    """Pages whose text is missing or garbage: those to read from their picture, and those that should have had text."""

    pictures: list[int]
    silent: list[int]


def _read(document: pdfium.PdfDocument, count: int, reading: Reading) -> _Contents:
    """Every page: as its text says, or as its picture looks where the text is missing or garbage."""
    contents = _Contents({}, {})
    poor = _Poor([], [])
    for page in _seen_by_some(document, count, reading):
        if page.notes:
            contents.notes[page.number] = page.notes
        if page.layout is not None:
            contents.pages[page.number] = page.layout
        if page.is_worth_drawing:
            poor.pictures.append(page.number)
        if page.is_silent:
            poor.silent.append(page.number)
    if not poor.pictures:
        return replace(contents, unread=poor.silent)
    return _with_pictures_read(document, contents, poor, reading)


def _seen_by_some(document: pdfium.PdfDocument, count: int, reading: Reading) -> list[_Seen]:
    """Every page, by one process or by two."""
    read = partial(_seen, document)
    if reading.readers < 2 or count < _SOME_PAGES:
        return read(range(count))
    if reading.helper is not None and reading.file is not None:
        deck = deal(len(parts_of(count)))
        answers = reading.helper.begin(reading.file, count, deck)
        if answers is not None:
            with answers:
                return with_help(count, read, deck, answers)
        os.close(deck)
    return in_two(count, read) if count >= _MANY_PAGES else read(range(count))


def pages_of(content: bytes, count: int, deck: int) -> Mapping[int, Sequence[object]]:
    """What a helper makes of the pages that it gets, for the reader that asked."""
    document = _open(content)
    try:
        return done(count, partial(_seen, document), deck)
    finally:
        document.close()


class _Seen(NamedTuple):
    """What a page's text says.

    Attributes:
        layout: None when it is missing or garbage, or the page is damaged.
        is_worth_drawing: Its picture may say what its text does not.
        is_silent: It should have had text.
    """

    number: int
    layout: _Layout | None = None
    notes: tuple[Block, ...] = ()
    is_worth_drawing: bool = False
    is_silent: bool = False


def _seen(document: pdfium.PdfDocument, indices: Iterable[int]) -> list[_Seen]:
    widths: LetterWidths = {}
    seen: list[_Seen] = []
    for index in indices:
        try:
            page = read_page(document, index, widths)
        except pdfium.PdfiumError:
            seen.append(_Seen(index + 1, is_silent=True))
            continue
        if _is_legible(page):
            seen.append(_Seen(page.number, _Layout.of(page), page.notes))
            continue
        is_silent = page.is_picture or bool(page.words)
        seen.append(_Seen(page.number, None, page.notes, is_silent or page.has_drawings, is_silent))
    return seen


def _with_pictures_read(
    document: pdfium.PdfDocument, contents: _Contents, poor: _Poor, reading: Reading
) -> _Contents:
    # numpy and Pillow, for scans alone
    from causeway.knowledge.ingest.ocr_pages import OcrPages  # noqa: PLC0415
    from causeway.knowledge.ingest.ocr_words import packed_words  # noqa: PLC0415

    described: dict[str, str] = {}
    read: dict[int, _Layout] = {}
    words: dict[int, bytes] = {}
    try:
        with OcrPages(reading) as ocr:
            for number in poor.pictures:
                ocr.add(number, partial(_drawn, document, number - 1))
            pages = ocr.pages()
            read = {number: _Layout.of(page) for number, page in pages.items() if page.words}
            words = packed_words(pages.values())
            described = ocr.described()
    except UnreadableDocumentError:  # no engine: what has text is still worth having
        if not contents.pages and not contents.notes:
            raise
    if read:
        described["ocr_pages"] = _ranges(sorted(read))
    unread = [number for number in poor.silent if number not in read]
    return replace(contents, pages={**contents.pages, **read}, unread=unread, ocr=described, words=words)


def _drawn(document: pdfium.PdfDocument, index: int) -> tuple[Image.Image, float]:
    """A page's picture and its dots an inch."""
    from causeway.knowledge.ingest.ocr import page_dpi  # noqa: PLC0415 - as above

    page = document[index]
    try:
        dpi = page_dpi(*page.get_size())
        return page.render(scale=dpi / 72, grayscale=True).to_pil(), dpi
    finally:
        page.close()


def _is_legible(page: Page) -> bool:
    """Whether the words are language: not what a bad OCR or a font without an alphabet leaves behind."""
    if not page.is_picture and has_plain_letters(page.words):
        return True
    text = "".join([word.text for word in page.words])
    if not text:
        return False
    lost = 0 if text.isascii() else len(_LOST.findall(text))
    if lost > 0.3 * len(text):
        return False
    if not page.is_picture:
        return True
    letters = sum(map(str.isalnum, text))
    if letters < 12 or letters < 0.55 * len(text):
        return False
    words = [word for words in page.words for word in words.text.split()]
    latin = [word for word in words if len(word) >= 3 and _LATIN.match(word)]
    speakable = sum(bool(_LIGHT_WORD.search(word)) for word in latin)
    if len(latin) >= 10 and speakable < 0.6 * len(latin):
        return False
    return len(set(words)) > 0.08 * len(words) or len(words) < 100


def _metadata(document: pdfium.PdfDocument) -> dict[str, str]:
    said = {name: " ".join(_said(document, key).split()) for name, key in _METADATA.items()}
    metadata = {name: value for name, value in said.items() if value}
    if _EMPTY_TITLE.match(metadata.get("title", "")) or not any(map(str.isalpha, metadata.get("title", ""))):
        metadata.pop("title", None)
    created = _DATE.match(_said(document, b"CreationDate\0"))
    if created:
        metadata["created"] = "-".join(part for part in created.groups() if part)
    return {
        key: value for key, value in metadata.items() if value.strip("()") not in ("anonymous", "unspecified")
    }


def _said(document: pdfium.PdfDocument, key: bytes) -> str:
    """What the document says of itself; `PdfDocument.get_metadata_dict` asks for twice as much, and each thing twice."""
    size = raw.FPDF_GetMetaText(document.raw, key, None, 0)
    if size <= 2:
        return ""
    room = ctypes.create_string_buffer(size)
    raw.FPDF_GetMetaText(document.raw, key, room, size)
    return room.raw[:-2].decode("utf-16-le", "replace")


def _first_title(blocks: Sequence[Block]) -> str:
    headings = [block for block in blocks[:4] if block.kind == "heading"]
    return min(headings, key=lambda block: block.level).text if headings else ""


def _ranges(numbers: Sequence[int]) -> str:
    """``[3, 4, 5, 9]`` as ``3-5, 9``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
