"""PDF -> blocks: headings by their fonts, paragraphs joined from lines, lists, tables, no running headers.

Pages are read one by one (`pdf_page`, `pdf_layout`); what is said here needs the whole document: which size is the
text's own, which lines return on every page, how a word is spelt that a line end splits.

Reading text from pictures (OCR) is not done here: a document whose pages have none to give is refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.pdf_blocks import blocks_of, usual_size
from causeway.knowledge.ingest.pdf_layout import Item, Line, read_in_order
from causeway.knowledge.ingest.pdf_page import Page, read_page
from causeway.knowledge.ingest.sniff import PDF

_NO_TEXT = "the PDF has no text"
_NO_PAGES = "the PDF has no pages; it is damaged or was cut short, so add it again"
_PROTECTED = "the PDF is protected by a password; save a copy without one and add it again"
_DAMAGED = "the PDF is damaged or was cut short: no reader can open it; get a whole copy and add it again"
_GARBLED = (
    "the PDF's hidden text does not say what its pages show, and reading pictures (OCR) is not installed; "
    "add a version with real text"
)
_SCAN = (
    "the PDF's pages are pictures without text, as in a scan, and reading pictures (OCR) is not installed; "
    "add a version with text"
)
_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_PAGE_NUMBER = re.compile(
    r"^(?:(?:page|seite|p\.|pg\.?)\s*)?[-\u2013|\s]*(?:\d{1,4}|[ivxlc]{1,7})[-\u2013|\s]*(?:(?:of|/|von|de)\s*\d{1,4})?$",
    re.IGNORECASE,
)
_EMPTY_TITLE = re.compile(
    r"^(?:untitled.*|scan(?:ned)?\b[\W\d_]*|(?:powerpoint|microsoft \w+) (?:presentation|document)|microsoft word - .*|document\d*|slide ?\d*|.*\.(?:docx?|pptx?|xlsx?|pdf|indd|tex|dvi|html?))$",
    re.IGNORECASE,
)
_LIGHT_WORD = re.compile(r"[aeiouyàáâãäåæèéêëìíîïòóôõöøœùúûüý]", re.IGNORECASE)
_LATIN = re.compile(r"^[A-Za-z\u00c0-\u024f'\u2019-]+$")


def parse_pdf(content: bytes, *, max_pages: int) -> ParsedDocument:
    """The document in a PDF file.

    Raises:
        UnreadableDocumentError: It is protected, damaged, too long, or has no text of its own.
    """
    document = _open(content)
    try:
        count = len(document)
        if count > max_pages:
            raise UnreadableDocumentError(
                f"the PDF has {count} pages and the limit is {max_pages}; split it, or raise knowledge.max_pages"
            )
        items, unread, heights = _read(document, count)
        metadata = _metadata(document)
    finally:
        document.close()
    items = _without_running_lines(items, heights)
    blocks = blocks_of(items)
    if not blocks:
        raise UnreadableDocumentError(_NO_TEXT)
    title = metadata.pop("title", "") or _first_title(blocks)
    if unread:
        metadata["pages_without_text"] = _ranges(unread)
    return ParsedDocument(title=title, media_type=PDF, blocks=tuple(blocks), pages=count, metadata=metadata)


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


def _read(document: pdfium.PdfDocument, count: int) -> tuple[list[Item], list[int], dict[int, float]]:
    """Everything on the pages in reading order, the pages that are pictures without text, and the others' heights."""
    items: list[Item] = []
    heights: dict[int, float] = {}
    unread: list[int] = []
    is_garbled = False
    for index in range(count):
        try:
            page = read_page(document, index)
        except pdfium.PdfiumError:
            unread.append(index + 1)
            continue
        if _is_legible(page):
            items += read_in_order(page)
            heights[page.number] = page.height
        elif page.is_picture or page.words:
            unread.append(index + 1)
            is_garbled = is_garbled or len(page.words) > 20
    if unread and not items:
        raise UnreadableDocumentError(_GARBLED if is_garbled else _SCAN)
    return items, unread, heights


def _is_legible(page: Page) -> bool:
    """Whether the words are language: not what a bad OCR or a font without an alphabet leaves behind."""
    text = "".join(word.text for word in page.words)
    if not text:
        return False
    lost = sum(letter == "\ufffd" or "\ue000" <= letter <= "\uf8ff" for letter in text)
    if lost > 0.3 * len(text):
        return False
    if not page.is_picture:
        return True
    letters = sum(letter.isalnum() for letter in text)
    if letters < 12 or letters < 0.55 * len(text):
        return False
    latin = [word.text for word in page.words if len(word.text) >= 3 and _LATIN.match(word.text)]
    speakable = sum(bool(_LIGHT_WORD.search(word)) for word in latin)
    if len(latin) >= 10 and speakable < 0.6 * len(latin):
        return False
    return len({word.text for word in page.words}) > 0.08 * len(page.words) or len(page.words) < 100


def _metadata(document: pdfium.PdfDocument) -> dict[str, str]:
    found: Mapping[str, str] = document.get_metadata_dict(skip_empty=True)
    names = {"Title": "title", "Author": "author", "Subject": "subject", "Keywords": "keywords"}
    metadata = {names[key]: " ".join(value.split()) for key, value in found.items() if key in names}
    if _EMPTY_TITLE.match(metadata.get("title", "")) or not any(map(str.isalpha, metadata.get("title", ""))):
        metadata.pop("title", None)
    created = re.match(r"D:(\d{4})(\d\d)?(\d\d)?", found.get("CreationDate", ""))
    if created:
        metadata["created"] = "-".join(part for part in created.groups() if part)
    return {
        key: value for key, value in metadata.items() if value.strip("()") not in ("anonymous", "unspecified")
    }


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


# --- running headers, footers and page numbers -------------------------------------------------------

_EDGE = 0.1
"""Headers and footers stand in this share of the page's height, at its top and its bottom."""


def _without_running_lines(items: list[Item], heights: Mapping[int, float]) -> list[Item]:
    """Drop what is said at the edge of page after page, page numbers, and small print in the top margin."""
    body = usual_size(items)
    edges = [item for item in items if isinstance(item, Line) and _is_at_edge(item, heights[item.page])]
    pages_of: dict[str, set[int]] = defaultdict(set)
    for line in edges:
        pages_of[_same(line, body)].add(line.page)
    needed = max(2, 0.4 * len(heights))
    tops = _tops(items, body)
    dropped = {
        id(line)
        for line in edges
        if len(pages_of[_same(line, body)]) >= needed
        or _PAGE_NUMBER.match(line.text)
        or (_is_small_print(line, body) and line.baseline < min(tops.get(line.page, 0) - 0.8 * body, 60))
    }
    kept = [item for item in items if id(item) not in dropped]
    return kept or items


def _is_at_edge(line: Line, height: float) -> bool:
    return line.baseline < _EDGE * height or line.baseline > (1 - _EDGE) * height


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
