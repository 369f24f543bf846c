"""Markdown -> blocks. Lists, tables and code keep their markup; paragraphs lose their line wrapping."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from causeway.knowledge.document import Block, BlockKind, ParsedDocument
from causeway.knowledge.ingest.sniff import MARKDOWN
from causeway.knowledge.ingest.text_encoding import decode

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.{0,65536}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_HARD_BREAK = re.compile(r"(?: {2,}|\\)$")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


def parse_markdown(content: bytes) -> ParsedDocument:
    """The blocks of a Markdown file; its YAML front matter becomes metadata."""
    text, metadata = _front_matter(decode(content))
    blocks = markdown_blocks(text)
    first = next((block for block in blocks if block.kind == "heading"), None)
    title = metadata.pop("title", "") or (first.text if first is not None and first.level == 1 else "")
    return ParsedDocument(title=title, media_type=MARKDOWN, blocks=tuple(blocks), metadata=metadata)


def markdown_blocks(text: str) -> list[Block]:
    """The blocks of Markdown (CommonMark with tables)."""
    lines = text.split("\n")
    blocks: list[Block] = []
    tokens = MarkdownIt("commonmark", {"maxNesting": 40}).enable("table").parse(text)
    for index, token in enumerate(tokens):
        if token.level == 0 and token.map is not None and token.nesting >= 0:
            blocks += _markdown_block(token, tokens[index + 1 : index + 2], lines[slice(*token.map)])
    return blocks


def _markdown_block(token: Token, following: Sequence[Token], lines: list[str]) -> list[Block]:
    kinds: dict[str, BlockKind] = {
        "bullet_list_open": "list",
        "ordered_list_open": "list",
        "table_open": "table",
        "fence": "code",
        "blockquote_open": "paragraph",
    }
    source = "\n".join(line.rstrip() for line in lines).strip("\n")
    if token.type == "heading_open":
        return _block("heading", _inline_text(following[0]), level=int(token.tag[1]))
    if token.type == "paragraph_open":
        return _block("paragraph", _unwrapped([_COMMENT.sub("", line) for line in lines]))
    if token.type == "code_block":
        return _block("code", f"```\n{token.content.rstrip()}\n```")
    if token.type == "html_block":
        from causeway.knowledge.ingest.parse_web import html_blocks  # noqa: PLC0415 - few Markdown files hold HTML

        return html_blocks(_COMMENT.sub("", source))
    if token.type in kinds:
        return _block(kinds[token.type], source)
    return []


def _block(kind: BlockKind, text: str, *, level: int = 0) -> list[Block]:
    return [Block(kind=kind, text=text, level=level)] if text.strip() else []


def _inline_text(token: Token) -> str:
    """What a reader sees of a heading."""
    parts = [
        " " if child.type in ("softbreak", "hardbreak") else child.content for child in token.children or ()
    ]
    return " ".join("".join(parts).split())


def _unwrapped(lines: Sequence[str]) -> str:
    text = ""
    for line in lines:
        joint = "\n" if _HARD_BREAK.search(text) else " "
        text = f"{_HARD_BREAK.sub('', text)}{joint}{line.lstrip()}"
    return "\n".join(" ".join(part.split()) for part in text.strip().split("\n"))


def _front_matter(text: str) -> tuple[str, dict[str, str]]:
    found = _FRONT_MATTER.match(text)
    if found is None:
        return text, {}
    import yaml  # noqa: PLC0415 - 30 ms that only front matter is worth

    try:
        fields = yaml.safe_load(found[1])
    except yaml.YAMLError:
        return text, {}
    if not isinstance(fields, dict):
        return text, {}
    metadata = {str(name).lower(): _scalar(value) for name, value in fields.items()}
    return text[found.end() :], {name: value for name, value in metadata.items() if value}


def _scalar(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value[:50] if not isinstance(item, list | dict))
    return "" if value is None or isinstance(value, dict) else " ".join(str(value).split())
