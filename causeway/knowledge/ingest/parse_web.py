"""HTML -> blocks: the page's own content without its navigation, footers, banners and scripts.

The tree is walked without recursion, so nesting has no limit but memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from causeway.knowledge.document import Block, BlockKind, ParsedDocument
from causeway.knowledge.ingest.markdown_table import markdown_of
from causeway.knowledge.ingest.sniff import HTML
from causeway.knowledge.ingest.text_encoding import decode

_NEVER = re.compile(
    "script|style|noscript|template|nav|footer|aside|svg|canvas|iframe|object|button|select|option|input|textarea"
    "|dialog|head|audio|video|map"
)
_NEVER_ROLES = re.compile(
    "navigation|banner|contentinfo|complementary|search|dialog|alertdialog|menu|menubar", re.IGNORECASE
)
_FURNITURE = re.compile(
    r"^(?:cookie|consent|gdpr|breadcrumbs?$|side-?bar|skip-?(?:link|nav|to)|share|social|advert|ads?$|promo|newsletter"
    r"|pop-?up|modal|site-?(?:header|footer|nav)|nav(?:bar|igation|-menu)?$|footer|menu$|pagination)",
    re.IGNORECASE,
)
_BLOCKS = re.compile(
    "address|article|blockquote|body|center|dd|details|div|dl|dt|fieldset|figcaption|figure|form|header|hgroup|hr|html"
    "|legend|li|main|ol|p|pre|section|summary|table|tbody|td|tfoot|th|thead|tr|ul|h[1-6]"
)
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_DECLARED = re.compile(
    rb"<(?:meta[^>]{0,200}?charset|\?xml[^>]{0,100}?encoding)\s*=\s*[\"']?\s*([\w-]{2,40})", re.IGNORECASE
)
_MAX_SPAN = 100


def parse_html(content: bytes) -> ParsedDocument:
    """The document in an HTML file."""
    tree = LexborHTMLParser(_text(content))
    blocks = _content(tree)
    heading = next((block.text for block in blocks if block.kind == "heading" and block.level == 1), "")
    named = tree.css_first("title")
    title = " ".join(named.text().split()) if named is not None else ""
    if heading and (not title or heading.casefold() in title.casefold()):
        title = heading  # without "- Name of the site"
    return ParsedDocument(title=title, media_type=HTML, blocks=tuple(blocks), metadata=_metadata(tree))


def html_blocks(html: str) -> list[Block]:
    """The blocks of a piece of HTML, all of it."""
    tree = LexborHTMLParser(html)
    return _walk(tree.body, _is_never) if tree.body is not None else []


def _text(content: bytes) -> str:
    declared = _DECLARED.search(content[:4096])
    encoding = declared[1].decode("ascii").lower() if declared else ""
    if encoding in ("", "utf-8", "utf8", "iso-8859-1", "latin1", "us-ascii", "windows-1252") or content[
        :2
    ] in (
        b"\xff\xfe",
        b"\xfe\xff",
    ):
        return decode(content)  # WHATWG: pages that say latin-1 mean Windows-1252
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        try:
            return content.decode(encoding, "replace")
        except LookupError:
            pass
    return decode(content)


def _metadata(tree: LexborHTMLParser) -> dict[str, str]:
    metadata: dict[str, str] = {}
    names = {
        "author": "author",
        "description": "subject",
        "keywords": "keywords",
        "article:published_time": "created",
    }
    for node in tree.css("meta"):
        attributes = node.attributes
        name = names.get((attributes.get("name") or attributes.get("property") or "").lower())
        value = " ".join((attributes.get("content") or "").split())
        if name and value:
            metadata.setdefault(name, value)
    return metadata


# --- what is content ---------------------------------------------------------------------------------


def _content(tree: LexborHTMLParser) -> list[Block]:
    body = tree.body
    if body is None:
        return []
    whole = _size(_walk(body, _is_never))
    for selector in ("main", "[role=main]", "article"):
        nodes = tree.css(selector)
        if len(nodes) == 1 or (nodes and selector != "article"):
            blocks = max((_walk(node, _is_furniture) for node in nodes), key=_size)
            if _size(blocks) > 0.3 * whole:
                return blocks
    blocks = _walk(body, _is_furniture)
    # A page whose whole text sits in something that is called a sidebar is still a page.
    return blocks if _size(blocks) > 0.2 * whole else _walk(body, _is_never)


def _size(blocks: list[Block]) -> int:
    return sum(len(block.text) for block in blocks)


def _is_never(node: LexborNode) -> bool:
    attributes = node.attributes
    style = (attributes.get("style") or "").replace(" ", "").lower()
    return (
        bool(_NEVER.fullmatch(node.tag or ""))
        or "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or "display:none" in style
    )


def _is_furniture(node: LexborNode) -> bool:
    if _is_never(node):
        return True
    attributes = node.attributes
    if _NEVER_ROLES.fullmatch(attributes.get("role") or ""):
        return True
    if node.tag in ("body", "main", "article", "html"):
        return False
    names = f"{attributes.get('class') or ''} {attributes.get('id') or ''}".split()
    return any(_FURNITURE.match(name) for name in names)


# --- blocks ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Writer:
    """Collects inline text and closes it as a block when the flow is interrupted."""

    blocks: list[Block] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)
    lists: list[tuple[bool, int]] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    quotes: int = 0

    def text(self) -> str:
        lines = "".join(self.inline).split("\v")
        self.inline.clear()
        return "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)

    def flush(self) -> None:
        text = self.text()
        if not text:
            return
        if self.lists:
            self._add_to_item(text)
        else:
            quoted = "\n".join(f"> {line}" for line in text.split("\n")) if self.quotes else text
            self.blocks.append(Block(kind="paragraph", text=quoted))

    def begin_item(self) -> None:
        self.flush()
        if not self.lists:
            self.lists.append((False, 0))
        is_ordered, number = self.lists[-1]
        self.lists[-1] = (is_ordered, number + 1)
        indent = "  " * min(len(self.lists) - 1, 8)
        self.items.append(f"{indent}{number + 1}. " if is_ordered else f"{indent}- ")

    def _add_to_item(self, text: str) -> None:
        if not self.items:
            self.items.append("- ")
        last = self.items[-1]
        self.items[-1] = f"{last}{text}" if last.endswith(("- ", ". ")) else f"{last} {text}"

    def end_list(self) -> None:
        self.flush()
        if self.lists:
            self.lists.pop()
        if not self.lists:
            self.close_items()

    def close_items(self) -> None:
        items = [item for item in self.items if item.strip(" -.0123456789")]
        self.items.clear()
        if items:
            self.blocks.append(Block(kind="list", text="\n".join(items)))

    def add(self, kind: BlockKind, text: str, *, level: int = 0) -> None:
        self.flush()
        self.close_items()
        if text.strip():
            self.blocks.append(Block(kind=kind, text=text, level=level))


def _walk(root: LexborNode, is_left_out: Callable[[LexborNode], bool]) -> list[Block]:
    writer = _Writer()
    skipped: int | None = None
    for node, is_start, depth in _visits(root):
        if skipped is not None:
            if depth == skipped and not is_start:
                skipped = None
            continue
        if node.tag == "-text":
            if is_start:
                writer.inline.append(node.text_content or "")
            continue
        if is_start and depth and (is_left_out(node) or _takes_whole(node, writer, is_left_out)):
            skipped = depth
            continue
        (_enter if is_start else _leave)(node, writer)
    writer.flush()
    writer.lists.clear()
    writer.close_items()
    return writer.blocks


def _visits(root: LexborNode) -> Iterator[tuple[LexborNode, bool, int]]:
    """Every node below ``root`` twice, when it begins and when it ends, with its depth."""
    node: LexborNode = root
    depth = 0
    yield node, True, depth
    while True:
        below = node.child
        if below is not None:
            node, depth = below, depth + 1
            yield node, True, depth
            continue
        while True:
            yield node, False, depth
            if depth == 0:
                return
            beside = node.next
            if beside is not None:
                node = beside
                yield node, True, depth
                break
            above = node.parent
            if above is None:
                return
            node, depth = above, depth - 1


def _enter(node: LexborNode, writer: _Writer) -> None:
    tag = node.tag or ""
    if tag == "br":
        writer.inline.append("\v")
    elif tag == "code":
        writer.inline.append("`")
    elif tag in ("ul", "ol"):
        writer.flush()
        writer.lists.append((tag == "ol", 0))
    elif tag in ("li", "dt"):
        if tag == "dt" and not writer.lists:
            writer.flush()
        writer.begin_item()
    elif tag == "dd":
        if writer.items and writer.inline:
            writer.inline.append(": ")
    elif tag == "dl":
        writer.flush()
        writer.lists.append((False, 0))
    elif _BLOCKS.fullmatch(tag):
        writer.flush()
        writer.quotes += tag == "blockquote"


def _leave(node: LexborNode, writer: _Writer) -> None:
    tag = node.tag or ""
    if tag == "code":
        writer.inline.append("`")
    elif tag in ("ul", "ol", "dl"):
        writer.end_list()
    elif tag == "dt":
        return
    elif _BLOCKS.fullmatch(tag):
        writer.flush()
        writer.quotes -= tag == "blockquote"


def _takes_whole(node: LexborNode, writer: _Writer, is_left_out: Callable[[LexborNode], bool]) -> bool:
    """Write headings, code and data tables as one block; whether that was done."""
    tag = node.tag or ""
    if tag in _HEADINGS:
        writer.add("heading", _words_in(node, is_left_out), level=int(tag[1]))
        return True
    if tag == "pre":
        writer.add("code", f"```\n{_verbatim(node).strip(chr(10))}\n```")
        return True
    if tag == "table":
        rows, caption = _table(node, is_left_out)
        if rows:
            writer.add("paragraph", caption)
            writer.add("table", markdown_of(rows))
            return True
    return False


def _words_in(node: LexborNode, is_left_out: Callable[[LexborNode], bool]) -> str:
    parts: list[str] = []
    skipped: int | None = None
    for inner, is_start, depth in _visits(node):
        if skipped is not None:
            skipped = None if depth == skipped and not is_start else skipped
        elif is_start and depth and inner.tag != "-text" and is_left_out(inner):
            skipped = depth
        elif inner.tag == "-text":
            parts.append((inner.text_content or "") if is_start else "")
        elif inner.tag == "br" or _BLOCKS.fullmatch(inner.tag or ""):
            parts.append(" ")
    return " ".join("".join(parts).split())


def _verbatim(node: LexborNode) -> str:
    return "".join(
        "\n" if inner.tag == "br" else inner.text_content or ""
        for inner, is_start, _ in _visits(node)
        if is_start and inner.tag in ("-text", "br")
    )


def _table(node: LexborNode, is_left_out: Callable[[LexborNode], bool]) -> tuple[list[list[str]], str]:
    """A data table's rows and caption; no rows when the table only lays out the page."""
    rows: list[list[str]] = []
    caption = ""
    hanging: dict[int, tuple[int, str]] = {}  # column -> rows it still reaches down, text
    for inner, is_start, _ in _visits(node):
        if not is_start or inner.tag not in ("table", "caption", "tr", "td", "th", *_HEADINGS):
            continue
        if inner.tag in _HEADINGS or (inner.tag == "table" and inner.mem_id != node.mem_id):
            return [], ""
        if inner.tag == "caption":
            caption = _words_in(inner, is_left_out)
        elif inner.tag == "tr":
            rows.append([])
        elif inner.tag in ("td", "th"):
            if not rows:
                rows.append([])
            _add_cell(rows[-1], inner, hanging, _words_in(inner, is_left_out))
    rows = [row for row in rows if any(row)]
    is_data = len(rows) > 1 and max(map(len, rows)) > 1
    return (rows, caption) if is_data else ([], "")


def _add_cell(row: list[str], cell: LexborNode, hanging: dict[int, tuple[int, str]], text: str) -> None:
    # A cell that reaches down is said again in every row it covers, so that each row can stand alone.
    while len(row) in hanging:
        left, above = hanging.pop(len(row))
        if left > 1:
            hanging[len(row)] = (left - 1, above)
            row.append(above)
            continue
        row.append(above)
    if _span(cell, "rowspan") > 1:
        hanging[len(row)] = (_span(cell, "rowspan") - 1, text)
    row.extend([text, *[""] * (_span(cell, "colspan") - 1)])


def _span(cell: LexborNode, name: str) -> int:
    value = cell.attributes.get(name) or ""
    return min(int(value), _MAX_SPAN) if value.isdecimal() and int(value) else 1
