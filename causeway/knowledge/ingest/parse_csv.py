"""CSV and TSV -> one table; the delimiter is the one that cuts the first lines into the same number of cells."""

from __future__ import annotations

import csv
from collections import Counter

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.markdown_table import markdown_of
from causeway.knowledge.ingest.sniff import CSV
from causeway.knowledge.ingest.text_encoding import decode

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_LINES = 50
_LONGEST_CELL = 1_000_000


def parse_csv(content: bytes) -> ParsedDocument:
    """The table in a file of delimited values.

    Raises:
        UnreadableDocumentError: It cannot be cut into rows.
    """
    lines = decode(content).split("\n")
    csv.field_size_limit(_LONGEST_CELL)
    try:
        cells = list(csv.reader((f"{line}\n" for line in lines), delimiter=_delimiter(lines[:_SAMPLE_LINES])))
    except csv.Error as exc:
        raise UnreadableDocumentError(f"the file cannot be read as comma-separated values: {exc}") from exc
    rows = [row for row in cells if any(cell.strip() for cell in row)]
    blocks = (Block(kind="table", text=markdown_of(rows)),) if rows else ()
    return ParsedDocument(title="", media_type=CSV, blocks=blocks)


def _delimiter(lines: list[str]) -> str:
    written = [line for line in lines if line.strip()]

    def agreement(delimiter: str) -> tuple[int, int]:
        try:
            widths = Counter(len(row) for row in csv.reader(written, delimiter=delimiter))
        except csv.Error:
            return (0, 0)
        width, rows = widths.most_common(1)[0] if widths else (0, 0)
        return (rows, width) if width > 1 else (0, 0)

    return max(_DELIMITERS, key=agreement)
