"""RTF -> blocks: xberg reads the text and tables; headings, which it does not tell apart, come from the file's styles.

The stylesheet names styles ("heading 2") or paragraphs carry an outline level (RTF 1.9.1, Microsoft 2008). Headers and
footers of pages are cut out first: they are no part of the text, and objects embedded in it are not either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.parse_office import parse_office, titled
from causeway.knowledge.ingest.sniff import RTF

_PAGE_FURNITURE = re.compile(rb"\{\\(?:header|footer)[lrf]?\b")
_STYLE = re.compile(rb"\\s(\d{1,5})\b[^{};]*?[ \\]heading (\d)[^;{}]*;", re.IGNORECASE)
_PARAGRAPH_END = re.compile(rb"\\(?:par|sect|page)\b")
_STYLE_USE = re.compile(rb"\\s(\d{1,5})\b")
_OUTLINE = re.compile(rb"\\outlinelevel([0-5])\b")
_CONTROL = re.compile(rb"\\'[0-9a-fA-F]{2}|\\u-?\d+ ?\??|\\\*|\\[a-zA-Z]+-?\d* ?|\\[^a-zA-Z]|[{}\r\n]")
_LONGEST_HEADING = 200
_BULLET = re.compile(r"^[\u2022\u00b7\u25aa]\s*")


def parse_rtf(content: bytes) -> ParsedDocument:
    """The document in an RTF file.

    Raises:
        UnreadableDocumentError: It is damaged.
    """
    body = _without_groups(content)
    parsed = parse_office(body, RTF)
    levels = dict(_headings(body))
    blocks: list[Block] = []
    for block in parsed.blocks:
        level = levels.get(_letters(block.text)) if block.kind == "paragraph" else None
        if level is not None and len(block.text) <= _LONGEST_HEADING:
            blocks.append(replace(block, kind="heading", level=level))
        elif block.kind == "paragraph" and _BULLET.match(block.text):
            _add_item(blocks, _BULLET.sub("- ", block.text))
        else:
            blocks.append(block)
    return replace(parsed, blocks=tuple(titled(blocks, parsed.title)))


def _add_item(blocks: list[Block], item: str) -> None:
    if blocks and blocks[-1].kind == "list":
        blocks[-1] = replace(blocks[-1], text=f"{blocks[-1].text}\n{item}")
    else:
        blocks.append(Block(kind="list", text=item))


def _without_groups(content: bytes) -> bytes:
    kept: list[bytes] = []
    place = 0
    for found in _PAGE_FURNITURE.finditer(content):
        if found.start() >= place:
            kept.append(content[place : found.start()])
            place = _group_end(content, found.start())
    return b"".join((*kept, content[place:]))


def _group_end(content: bytes, start: int) -> int:
    """The place behind the group that begins at ``start``."""
    depth = 0
    for brace in re.compile(rb"\\.|[{}]", re.DOTALL).finditer(content, start):
        depth += {b"{": 1, b"}": -1}.get(brace[0], 0)
        if depth == 0:
            return brace.end()
    msg = "the RTF document is damaged or was cut short: get a whole copy and add it again"
    raise UnreadableDocumentError(msg)


def _headings(content: bytes) -> Iterator[tuple[str, int]]:
    """The letters of each paragraph that is a heading, and its level."""
    styles = {found[1]: min(6, max(1, int(found[2]))) for found in _STYLE.finditer(content)}
    for paragraph in _PARAGRAPH_END.split(content):
        if len(paragraph) > 4_000:
            paragraph = paragraph[-4_000:]  # the last is the one that ends here
        last = paragraph.rfind(b"\\pard")
        paragraph = paragraph[max(last, 0) :]
        outline = _OUTLINE.search(paragraph)
        used = _STYLE_USE.search(paragraph)
        level = int(outline[1]) + 1 if outline else styles.get(used[1]) if used else None
        text = _letters(_CONTROL.sub(b"", paragraph).decode("ascii", "ignore"))
        if level is not None and text:
            yield text, level


def _letters(text: str) -> str:
    """What two spellings of a text share: its plain letters and digits."""
    return "".join(letter for letter in text if letter.isascii() and letter.isalnum())
