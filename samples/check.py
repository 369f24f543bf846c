"""Check ``questions.jsonl`` against the text of the sample documents.

Every fact has to occur in one of the documents that its question names, in one of
its accepted forms, and on the named page if there is one.
"""

from __future__ import annotations

import html
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
from docx import Document
from openpyxl import load_workbook
from pptx import Presentation
from pptx.slide import Slide

HERE = Path(__file__).resolve().parent
DOCUMENTS = HERE / "documents"


def word_pages(path: Path) -> list[str]:
    """Return the words of a Word document, paragraphs before tables."""
    document = Document(str(path))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return ["\n".join([paragraph.text for paragraph in document.paragraphs] + cells)]


def slide_words(slide: Slide) -> Iterator[str]:
    """Yield the words of a slide: its shapes, its tables and the speaker's notes."""
    for shape in slide.shapes:
        if shape.has_text_frame:
            yield shape.text_frame.text
        if shape.has_table:
            yield from (cell.text for row in shape.table.rows for cell in row.cells)
    if slide.has_notes_slide:
        yield slide.notes_slide.notes_text_frame.text


def sheet_pages(path: Path) -> list[str]:
    """Return the cells of each sheet, prices with two decimals."""
    pages = []
    for sheet in load_workbook(path):
        cells = (cell for row in sheet.iter_rows() for cell in row if cell.value is not None)
        pages.append("\n".join(f"{c.value:.2f}" if "£" in c.number_format else str(c.value) for c in cells))
    return pages


def html_pages(path: Path) -> list[str]:
    """Return the words of an HTML page without scripts, styles and tags."""
    text = re.sub(r"(?s)<(script|style).*?</\1>", " ", path.read_text(encoding="utf-8"))
    return [html.unescape(re.sub(r"<[^>]+>", " ", text))]


@cache
def pages(name: str) -> list[str]:
    """Return the pages of a document: PDF pages, slides, sheets, or the whole as one."""
    path = DOCUMENTS / name
    match path.suffix:
        case ".pdf":
            return [page.get_textpage().get_text_bounded() for page in pdfium.PdfDocument(path)]
        case ".docx":
            return word_pages(path)
        case ".pptx":
            return ["\n".join(slide_words(slide)) for slide in Presentation(str(path)).slides]
        case ".xlsx":
            return sheet_pages(path)
        case ".html":
            return html_pages(path)
        case _:
            return [path.read_text(encoding="utf-8")]


def plain(text: str) -> str:
    """Return a text in lower case, without emphasis marks and with single spaces."""
    return " ".join(text.replace("*", "").lower().split())


def problems(question: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a question, if anything."""
    texts = {name: [plain(page) for page in pages(name)] for name in question["documents"]}
    if question["answerable"] != bool(texts) or question["answerable"] != bool(question["facts"]):
        yield "documents or facts do not go with 'answerable'"
    for fact in question["facts"]:
        forms = [plain(form) for form in ([fact] if isinstance(fact, str) else fact)]
        if not any(form in page for found in texts.values() for page in found for form in forms):
            yield f"not in the documents: {fact}"
    used = {plain(form) for fact in question["facts"] for form in ([fact] if isinstance(fact, str) else fact)}
    for name, found in texts.items():
        if not any(form in page for form in used for page in found):
            yield f"no fact is in {name}"
    number = question["page"]
    named = [found[number - 1] for found in texts.values() if len(found) >= number] if number else []
    if number and not any(form in page for form in used for page in named):
        yield f"no fact is on page {number}"


def main() -> int:
    """Report on all questions and on the size of the collection."""
    lines = (HERE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    found = [f"{question['id']}: {text}" for question in questions for text in problems(question)]
    print(*found, sep="\n")
    names = sorted(str(path.relative_to(DOCUMENTS)) for path in DOCUMENTS.rglob("*.*"))
    counts = {name: sum(len(page.split()) for page in pages(name)) for name in names}
    for name, count in counts.items():
        print(f"{count:6} {name}")
    print(f"{sum(counts.values()):6} words in {len(counts)} documents; {len(questions)} questions")
    print(Counter(tag for question in questions for tag in question["tags"]).most_common())
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
