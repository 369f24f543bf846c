"""Word, PowerPoint, Excel, OpenDocument and RTF files -> blocks, through xberg.

xberg hands over a tree of typed nodes as JSON, which is kept in preference to its Markdown: nothing has to be
unescaped. Headers, footers and comments stay out, speaker notes stay in. A spreadsheet is one table a sheet under the
sheet's name; a Word file has no pages, since only a layout engine knows them.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import xberg
from xberg._xberg import DocumentNode, Metadata

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.markdown_table import markdown_of
from causeway.knowledge.ingest.sniff import (
    OLD_SHEETS,
    OLD_SLIDES,
    OLD_WORD,
    OPEN_SHEETS,
    OPEN_SLIDES,
    OPEN_TEXT,
    OUTLOOK,
    RTF,
    SHEETS,
    SLIDES,
    WORD,
)

_NAMES = {
    WORD: "Word document",
    SLIDES: "presentation",
    SHEETS: "workbook",
    OPEN_TEXT: "OpenDocument text",
    OPEN_SLIDES: "OpenDocument presentation",
    OPEN_SHEETS: "OpenDocument workbook",
    OLD_WORD: "old Word document",
    OLD_SLIDES: "old presentation",
    OLD_SHEETS: "old workbook",
    RTF: "RTF document",
    OUTLOOK: "Outlook message",
}
_WRITTEN = (OPEN_TEXT, OLD_WORD)
_GENERATED_TITLE = re.compile(
    r"^(?:powerpoint presentation|presentation|untitled.*|document\d*|book\d*|workbook)$", re.IGNORECASE
)
_GENERATED_AUTHOR = frozenset(("python-docx", "python-pptx", "openpyxl", "xlsxwriter", "user", "admin"))
_MAX_CELLS = 5_000_000


def parse_office(content: bytes, media_type: str) -> ParsedDocument:
    """The document in a Word, PowerPoint, Excel, OpenDocument or RTF file.

    Raises:
        UnreadableDocumentError: It is damaged or unpacks to too much.
    """
    try:
        result = asyncio.run(xberg.extract(_input(content, media_type), _config()))
    except (RuntimeError, ValueError, OSError, xberg.XbergError) as exc:
        raise UnreadableDocumentError(_reason(str(exc), _NAMES[media_type])) from exc
    if not result.results:
        problem = str(result.errors[0]) if result.errors else ""
        raise UnreadableDocumentError(_reason(problem, _NAMES[media_type]))
    extracted = result.results[0]
    nodes = [_Node.of(node) for node in (extracted.document.nodes if extracted.document else ())]
    blocks = list(_blocks(nodes, has_pages=media_type in (SLIDES, OLD_SLIDES)))
    if media_type == WORD:
        blocks = _below_title(blocks, nodes)
    pages = None
    if media_type == SLIDES:
        slides = extracted.pages or []
        pages = len(slides)
        blocks = _with_notes(blocks, {slide.page_number: slide.speaker_notes or "" for slide in slides})
    metadata = _metadata(extracted.metadata)
    if media_type == OLD_SLIDES:
        pages = max((block.page or 0 for block in blocks), default=0) or None
    title = metadata.pop("title", "") or _first_title(blocks, media_type)
    if media_type in _WRITTEN:
        blocks = titled(blocks, title)
    return ParsedDocument(
        title=title, media_type=media_type, blocks=tuple(blocks), pages=pages, metadata=metadata
    )


def _input(content: bytes, media_type: str) -> xberg.ExtractInput:
    return xberg.ExtractInput(kind="bytes", bytes=content, mime_type=media_type)


def _config() -> xberg.ExtractionConfig:
    return xberg.ExtractionConfig(
        use_cache=False,
        disable_ocr=True,
        enable_quality_processing=False,
        output_format="markdown",  # slides have headings in this form alone
        include_document_structure=True,
        pages=xberg.PageConfig(extract_pages=True),
        security_limits=xberg.SecurityLimits(max_table_cells=_MAX_CELLS),
        concurrency=xberg.ConcurrencyConfig(max_threads=1),
    )


def _reason(problem: str, name: str) -> str:
    if re.search(r"limit|too large|bomb|ratio|exceed", problem, re.IGNORECASE):
        return f"the {name} unpacks to more than a document may hold; split it"
    return f"the {name} is damaged or was cut short: no reader can open it; get a whole copy and add it again"


# --- nodes -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Node:
    """One node of xberg's tree."""

    kind: str
    fields: Mapping[str, object]
    parent: int | None
    page: int | None
    is_body: bool
    style: str

    @classmethod
    def of(cls, node: DocumentNode) -> _Node:
        fields: dict[str, object] = json.loads(str(node.content))
        return cls(
            kind=str(fields["node_type"]),
            fields=fields,
            parent=node.parent,
            page=node.page,
            is_body=str(node.content_layer).rpartition(".")[2].lower() in ("body", "footnote"),
            style=(node.attributes or {}).get("style_name", "").lower(),
        )

    @property
    def text(self) -> str:
        """Its text, each line with single spaces."""
        text = self.fields.get("text")
        lines = (" ".join(line.split()) for line in text.split("\n")) if isinstance(text, str) else ()
        return "\n".join(line for line in lines if line)


def _blocks(nodes: Sequence[_Node], *, has_pages: bool) -> Iterator[Block]:
    items: list[str] = []
    begun: int | None = None
    numbers: dict[int, int] = {}
    slide: int | None = None
    for node in nodes:
        if node.kind == "slide" and isinstance(node.fields.get("number"), int):
            slide = int(str(node.fields["number"]))
        if not node.is_body or node.kind == "list":
            continue
        if node.kind == "list_item":
            begun = begun if items else node.page
            items.append(_item(node, nodes, numbers))
            continue
        if items:
            yield Block(kind="list", text="\n".join(items), page=begun if has_pages else None)
            items, begun = [], None
        block = _block(node, (node.page or slide) if has_pages else None)
        if block is not None:
            yield block
    if items:
        yield Block(kind="list", text="\n".join(items), page=begun if has_pages else None)


def _block(node: _Node, page: int | None) -> Block | None:
    if node.kind == "table":
        rows = _rows(node.fields.get("grid"))
        return Block(kind="table", text=markdown_of(rows), page=page) if rows else None
    text = node.text
    if node.kind == "slide":
        title = " ".join(str(node.fields.get("title") or "").split())
        return Block(kind="heading", text=title, level=2, page=page) if title else None
    if not text:
        return None
    if node.kind in ("heading", "title"):
        level = node.fields.get("level")
        return Block(
            kind="heading",
            text=text.replace("\n", " "),
            level=level if isinstance(level, int) else 1,
            page=page,
        )
    if node.kind == "code":
        return Block(kind="code", text=f"```\n{node.fields['text']}\n```", page=page)
    if node.kind == "paragraph" and "\t\t" in str(node.fields["text"]):
        rows = _tabbed(str(node.fields["text"]))
        if rows:
            return Block(kind="table", text=markdown_of(rows), page=page)
    return None if node.kind == "comment" else Block(kind="paragraph", text=text, page=page)


def _item(node: _Node, nodes: Sequence[_Node], numbers: dict[int, int]) -> str:
    depth = int(found[1]) - 1 if (found := re.search(r"(\d)$", node.style)) else 0
    place = node.parent
    while place is not None and nodes[place].parent is not None:
        depth += nodes[place].kind == "list_item"
        place = nodes[place].parent
    mark = "-"
    if node.parent is not None and nodes[node.parent].fields.get("ordered"):
        numbers[node.parent] = numbers.get(node.parent, 0) + 1
        mark = f"{numbers[node.parent]}."
    return f"{'  ' * min(depth, 6)}{mark} {' '.join(node.text.split())}"


def _rows(grid: object) -> list[list[str]]:
    """The cells of a table without its empty edges; a lone cell or column is still a table of one."""
    if not isinstance(grid, dict):
        return []
    rows = [[""] * int(grid["cols"]) for _ in range(int(grid["rows"]))]
    for cell in grid["cells"]:
        for row in range(cell["row"], min(cell["row"] + cell.get("row_span", 1), len(rows))):
            rows[row][cell["col"]] = str(cell["content"])
    return _without_empty(rows)


def _tabbed(text: str) -> list[list[str]]:
    """A table of an old Word file: a tab ends each cell and another each row; empty when it is no table."""
    rows = [row.split("\t") for row in text.rstrip("\t").split("\t\t")]
    width = len(rows[0])
    is_table = len(rows) > 1 and width > 1 and all(len(row) == width for row in rows)
    return rows if is_table else []


def titled(blocks: Sequence[Block], title: str) -> list[Block]:
    """Where the title stands above the text as a mere paragraph, it is the heading that the others belong below."""
    if not title or not blocks or blocks[0].kind != "paragraph" or blocks[0].text != title:
        return list(blocks)
    lowered = [
        replace(block, level=min(6, block.level + 1)) if block.kind == "heading" else block
        for block in blocks[1:]
    ]
    return [replace(blocks[0], kind="heading", level=1), *lowered]


def _without_empty(rows: list[list[str]]) -> list[list[str]]:
    """The rows and columns that hold something."""
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    kept = [
        column for column in range(len(rows[0]) if rows else 0) if any(row[column].strip() for row in rows)
    ]
    return [[row[column] for column in kept] for row in rows]


def _below_title(blocks: list[Block], nodes: Sequence[_Node]) -> list[Block]:
    """Where a paragraph has Word's style Title, the headings of level 1 belong below it."""
    titles = {node.text for node in nodes if node.kind == "heading" and node.style == "title"}
    if not titles:
        return blocks
    return [
        replace(block, level=min(6, block.level + 1))
        if block.kind == "heading" and block.text not in titles
        else block
        for block in blocks
    ]


def _with_notes(blocks: Sequence[Block], notes: Mapping[int, str]) -> list[Block]:
    noted: list[Block] = []
    pending = dict(notes)
    for index, block in enumerate(blocks):
        noted.append(block)
        is_last = index + 1 == len(blocks) or blocks[index + 1].page != block.page
        note = pending.pop(block.page, "") if is_last and block.page is not None else ""
        if note.strip():
            noted.append(Block(kind="paragraph", text=f"Notes: {' '.join(note.split())}", page=block.page))
    return noted


def _metadata(said: Metadata) -> dict[str, str]:
    authors = [author for author in said.authors or () if author.lower() not in _GENERATED_AUTHOR]
    found = {
        "title": said.title,
        "subject": said.subject,
        "author": ", ".join(authors),
        "created": (said.created_at or "")[:10],
    }
    metadata = {name: " ".join(value.split()) for name, value in found.items() if value and value.strip()}
    if _GENERATED_TITLE.match(metadata.get("title", "")):
        del metadata["title"]
    return metadata


def _first_title(blocks: Sequence[Block], media_type: str) -> str:
    """The first heading; a workbook's are only the names of its sheets."""
    if media_type in (SHEETS, OPEN_SHEETS, OLD_SHEETS) or not blocks or blocks[0].kind != "heading":
        return ""
    return blocks[0].text
