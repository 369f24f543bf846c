"""Plain text -> blocks: a heading is a line that is underlined, numbered or all capitals and stands above something."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median

from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.sniff import PLAIN
from causeway.knowledge.ingest.text_encoding import decode

_BULLET = re.compile(r"^\s*(?:[-*+\u2022\u25aa\u25e6\u2023\u2013]\s+|\(?(?:\d{1,3}|[a-z])[.)]\s+)\S")
_NUMBERED_HEADING = re.compile(r"^(?:§\s*|(?:Section|Chapter|Article)\s+)?(\d{1,2}(?:\.\d{1,2})*)\.?\)?\s+\S")
_UNDERLINE = re.compile(r"^\s*(=|-|~|#|\*|\^)\1{2,}\s*$")


def parse_plain(content: bytes) -> ParsedDocument:
    """The blocks of a text file."""
    blocks = plain_blocks(decode(content))
    title = blocks[0].text if blocks and blocks[0].kind == "heading" else ""
    return ParsedDocument(title=title, media_type=PLAIN, blocks=tuple(blocks))


def plain_blocks(text: str) -> list[Block]:
    """The blocks of plain text: paragraphs parted by empty lines, or one a line where lines are long."""
    lines = [line.rstrip() for line in text.replace("\f", "\n\n").expandtabs(4).split("\n")]
    written = [line for line in lines if line]
    if not written:
        return []
    # Text that was never wrapped: every line is a paragraph.
    is_unwrapped = max(map(len, written)) > 200 or (
        len(written) == len(lines) and median(map(len, written)) > 100
    )
    groups = [[line] for line in written] if is_unwrapped else _groups(lines)
    blocks: list[Block] = []
    for index, group in enumerate(groups):
        following = groups[index + 1][0] if index + 1 < len(groups) else ""
        blocks += _plain_group(group, following, is_first=index == 0)
    return _joined_lists(blocks)


def _groups(lines: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for line in lines:
        if line:
            groups[-1].append(line)
        elif groups[-1]:
            groups.append([])
    return [group for group in groups if group]


def _plain_group(group: list[str], following: str, *, is_first: bool) -> list[Block]:
    if len(group) >= 2 and _UNDERLINE.match(group[1]) and not _UNDERLINE.match(group[0]):
        level = 1 if group[1].strip()[0] in "=#*" else 2
        rest = _plain_group(group[2:], following, is_first=False) if group[2:] else []
        return [Block(kind="heading", text=group[0].strip(), level=level), *rest]
    if all(map(_UNDERLINE.match, group)):
        return []
    below = group[1] if len(group) > 1 else following
    level = _heading_level(group[0].strip(), below.strip(), is_first=is_first)
    if level:
        rest = _plain_group(group[1:], following, is_first=False) if group[1:] else []
        return [Block(kind="heading", text=group[0].strip(), level=level), *rest]
    if all(_BULLET.match(line) or line.startswith("  ") for line in group) and _BULLET.match(group[0]):
        return [Block(kind="list", text="\n".join(group))]
    is_wrapped = len(group) > 1 and min(map(len, group[:-1])) > 45
    text = " ".join(" ".join(group).split()) if is_wrapped else "\n".join(group)
    return [Block(kind="paragraph", text=text)]


def _heading_level(line: str, below: str, *, is_first: bool) -> int:
    """The level of ``line`` as a heading over ``below``; 0 when it is none."""
    if (
        not below
        or len(line) > 80
        or line.endswith((".", ",", ";", ":", "!"))
        or not re.search(r"[^\W\d_]{2}", line)
    ):
        return 0
    numbered = _NUMBERED_HEADING.match(line)
    if numbered:
        return 0 if _NUMBERED_HEADING.match(below) else min(6, 2 + numbered[1].count("."))
    if line.isupper():
        return 0 if below.isupper() else (1 if is_first else 2)
    return (
        1
        if is_first and len(line.split()) <= 12 and len(below) > len(line) and not _BULLET.match(line)
        else 0
    )


def _joined_lists(blocks: list[Block]) -> list[Block]:
    joined: list[Block] = []
    for block in blocks:
        if joined and block.kind == joined[-1].kind == "list":
            joined[-1] = Block(kind="list", text=f"{joined[-1].text}\n{block.text}")
        else:
            joined.append(block)
    return joined
