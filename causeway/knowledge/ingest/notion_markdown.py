"""Notion's blocks and properties as Markdown.

Rich text keeps bold, italics, code, strike-through and links; mentions and equations keep their text. Headings keep
their level, one below the page's title; toggles become a paragraph with what they hide beneath it; columns follow one
another; a synced block shows what it shows on the page. What has no text (a divider, a table of contents) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from causeway.knowledge.ingest.vendor_api import Json, object_of, objects_of, text_of

_INDENT = "    "
_LISTS = {"bulleted_list_item": "- ", "numbered_list_item": "1. ", "to_do": "- "}
_HEADINGS = {"heading_1": "## ", "heading_2": "### ", "heading_3": "#### "}
_TRANSPARENT = frozenset({"column_list", "column", "synced_block", "template"})
_FILES = frozenset({"file", "pdf", "image", "video", "audio"})
_LINKS = frozenset({"bookmark", "embed", "link_preview"})


class Block:
    """A block with the blocks beneath it."""

    __slots__ = ("children", "content", "edited", "id", "kind")

    def __init__(self, block: Json, children: Sequence[Block] = ()) -> None:
        self.id = text_of(block.get("id")).replace("-", "")
        self.edited = text_of(block.get("last_edited_time"))
        self.kind = text_of(block.get("type"))
        self.content = object_of(block.get(self.kind))
        self.children = children


def blocks_markdown(blocks: Sequence[Block]) -> str:
    """Blocks in reading order as Markdown."""
    return "\n\n".join(part for part in _parts(blocks) if part.strip())


@dataclass(frozen=True, slots=True)
class File:
    """A file that Notion keeps in a page; its address holds for an hour.

    Attributes:
        id: Of its block.
        edited: When the block was edited last.
    """

    id: str
    name: str
    edited: str
    url: str


def files_in(blocks: Sequence[Block], *, with_pictures: bool) -> Iterator[File]:
    """The documents among the files of a page, and pictures if they are wanted; no sound or film, nothing that lies elsewhere."""
    kinds = ("file", "pdf", "image") if with_pictures else ("file", "pdf")
    for block in blocks:
        kept = object_of(block.content.get("file"))
        url = text_of(kept.get("url"))
        if block.kind in kinds and url:
            name = text_of(block.content.get("name")) or unquote(urlsplit(url).path.rpartition("/")[2])
            yield File(block.id, name or "file", block.edited, url)
        yield from files_in(block.children, with_pictures=with_pictures)


def _parts(blocks: Sequence[Block]) -> list[str]:
    parts: list[str] = []
    previous = ""
    for block in blocks:
        text = _block(block)
        if not text.strip():
            continue
        if block.kind in _LISTS and block.kind == previous:
            parts[-1] += "\n" + text
        else:
            parts.append(text)
        previous = block.kind
    return parts


def _block(block: Block) -> str:
    kind, content = block.kind, block.content
    if kind in _TRANSPARENT:
        return blocks_markdown(block.children)
    if kind == "table":
        return _table(block)
    if kind == "code":
        return _code(content)
    if kind in _LISTS:
        return _item(block)
    text = _line(kind, content)
    if kind in ("quote", "callout"):
        inner = "\n\n".join(part for part in (text, blocks_markdown(block.children)) if part)
        return "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
    return "\n\n".join(part for part in (text, blocks_markdown(block.children)) if part)


def _line(kind: str, content: Json) -> str:
    """A block's own words."""
    text = rich_text(content.get("rich_text"))
    if kind in _HEADINGS:
        return _HEADINGS[kind] + " ".join(text.split()) if text.strip() else ""
    if kind == "callout":
        emoji = text_of(object_of(content.get("icon")).get("emoji"))
        return f"{emoji} {text}".strip()
    if kind == "equation":
        return f"$$\n{text_of(content.get('expression'))}\n$$"
    if kind in ("child_page", "child_database"):
        return f"*{text_of(content.get('title'))}*"
    if kind in _FILES:
        return _file(content)
    if kind in _LINKS:
        caption = rich_text(content.get("caption"))
        return _link(caption, text_of(content.get("url")))
    return text


def _item(block: Block) -> str:
    mark = _LISTS[block.kind]
    if block.kind == "to_do":
        mark += "[x] " if block.content.get("checked") is True else "[ ] "
    text = rich_text(block.content.get("rich_text")).replace("\n", f"\n{_INDENT}")
    inner = _parts(block.children)
    return mark + text + "".join("\n" + _indented(part) for part in inner)


def _indented(text: str) -> str:
    return "\n".join(f"{_INDENT}{line}" if line else "" for line in text.split("\n"))


def _code(content: Json) -> str:
    text = _plain(content.get("rich_text"))
    fence = "```"
    while fence in text:
        fence += "`"
    language = text_of(content.get("language"))
    caption = rich_text(content.get("caption"))
    shown = f"{fence}{'' if language == 'plain text' else language}\n{text}\n{fence}"
    return f"{shown}\n\n{caption}" if caption else shown


def _file(content: Json) -> str:
    caption = rich_text(content.get("caption")) or text_of(content.get("name"))
    external = text_of(object_of(content.get("external")).get("url"))
    return _link(caption, external)  # the address of a file that Notion keeps ends within the hour


def _link(label: str, url: str) -> str:
    return f"[{label or url}]({url})" if url else label


def _table(block: Block) -> str:
    rows = [
        [rich_text(cell) for cell in row.content.get("cells", []) if isinstance(cell, list)]
        for row in block.children
        if row.kind == "table_row"
    ]
    if not rows:
        return ""
    if block.content.get("has_column_header") is not True:
        rows.insert(0, [""] * len(rows[0]))
    return table(rows[0], rows[1:])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; cells keep to one line."""
    width = max(len(head), *(len(row) for row in rows)) if rows else len(head)

    def line(cells: Sequence[str]) -> str:
        padded = [*cells, *[""] * (width - len(cells))]
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in padded) + " |"

    return "\n".join([line(head), "|" + "---|" * width, *map(line, rows)])


def rich_text(value: object) -> str:
    """Rich text as inline Markdown."""
    return "".join(_span(span) for span in objects_of(value))


def _plain(value: object) -> str:
    return "".join(text_of(span.get("plain_text")) for span in objects_of(value))


def _span(span: Json) -> str:
    text = text_of(span.get("plain_text"))
    looks = object_of(span.get("annotations"))
    body = text.strip()
    if not body:
        return text
    lead, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    if span.get("type") == "equation":
        body = f"${body}$"
    elif looks.get("code") is True:
        body = f"`{body}`"
    for look, mark in (("bold", "**"), ("italic", "*"), ("strikethrough", "~~")):
        if looks.get(look) is True:
            body = f"{mark}{body}{mark}"
    href = text_of(span.get("href"))
    if href.startswith(("http://", "https://")):
        body = f"[{body}]({href})"
    return f"{lead}{body}{tail}"


# --- properties --------------------------------------------------------------------------------------


def title_of(page: Json) -> str:
    """A page's title; a database's too."""
    if isinstance(page.get("title"), list):
        return " ".join(_plain(page.get("title")).split())
    for value in object_of(page.get("properties")).values():
        if object_of(value).get("type") == "title":
            return " ".join(_plain(object_of(value).get("title")).split())
    return ""


def properties(page: Json) -> dict[str, str]:
    """A page's properties as text, without its title and what is empty."""
    shown: dict[str, str] = {}
    for name, value in object_of(page.get("properties")).items():
        text = property_text(object_of(value))
        if text and object_of(value).get("type") != "title":
            shown[name] = text
    return shown


def property_text(value: Json) -> str:
    """One property as text; empty for a kind that has none."""
    kind = text_of(value.get("type"))
    read = _READERS.get(kind)
    return read(value.get(kind)) if read else ""


def _named(value: object) -> str:
    return text_of(object_of(value).get("name"))


def _names(value: object) -> str:
    return ", ".join(name for each in objects_of(value) if (name := _named(each)))


def _date(value: object) -> str:
    start, end = (text_of(object_of(value).get(name)) for name in ("start", "end"))
    return f"{start} to {end}" if end else start


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _flag(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, "") if isinstance(value, bool) else ""


def _computed(value: object) -> str:
    return property_text(object_of(value))


def _rollup(value: object) -> str:
    inner = object_of(value)
    if inner.get("type") == "array":
        return ", ".join(text for each in objects_of(inner.get("array")) if (text := property_text(each)))
    return _computed(inner)


def _unique_id(value: object) -> str:
    prefix, number = text_of(object_of(value).get("prefix")), object_of(value).get("number")
    return f"{prefix}-{number}" if prefix else str(number or "")


_READERS: dict[str, Callable[[object], str]] = {
    "title": _plain,
    "rich_text": rich_text,
    "number": _number,
    "select": _named,
    "status": _named,
    "multi_select": _names,
    "date": _date,
    "people": _names,
    "files": _names,
    "checkbox": _flag,
    "boolean": _flag,
    "string": text_of,
    "url": text_of,
    "email": text_of,
    "phone_number": text_of,
    "formula": _computed,
    "rollup": _rollup,
    "created_time": text_of,
    "created_by": _named,
    "last_edited_by": _named,
    "unique_id": _unique_id,
}
"""Relations are left out: they are ids, and the pages they name are documents of their own."""
