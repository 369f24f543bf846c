"""Cuts a parsed document into chunks: stretches of one section that fit the embedding model.

The rules, in the order they matter:

1. A chunk with its heading path never has more than ``max_tokens`` tokens, and no text is lost.
2. A chunk stays within its section. Small sections are merged with the ones beside them when they share a parent
   heading; each then keeps its own heading in the text. No chunk ends on a heading that has text below it.
3. Blocks stay whole when they fit. Tables are cut between rows and say their header again, lists between items, code
   between lines, paragraphs between sentences (UAX 29, by semantic-text-splitter).
4. The pieces of one section come out at about the same length, without a scrap at the end.

Each block is tokenised once, and each finished chunk once more, which makes its count exact. A splitter that asks the
tokenizer at every cut it tries takes two to three times as long (``bench/results/parsing.md``).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from causeway import seams
from causeway.knowledge.document import HEADING_SEPARATOR, Block, Chunk, ParsedDocument, Place

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SMALL = 0.25
"""A section below this share of a chunk is merged with small neighbours."""
_SCRAP = 0.1
"""An introduction below this share goes with its first subsection, whatever that one's length."""
_MERGED = 0.6
"""Merged sections stop at this share of a chunk: one that speaks of many things is found for none."""
_HEADING_SHARE = 0.34
"""Most of a chunk that its heading path may take."""
_ITEM = re.compile(r"^(?:[-*+\u2022]|\(?\w{1,9}[.)])\s")
_TABLE_RULE = re.compile(r"^\|?\s*:?-{2,}")


class Chunker:
    """Cuts documents into chunks that an embedding model takes whole."""

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int) -> None:
        """``tokenizer`` is the embedding model's; it is copied, so that its own truncation cannot hide length."""
        self._tokenizer: Tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._max_tokens = max_tokens
        alone, together = self._count(["a"])[0], self._count(["a\n\na"])[0]
        self._joint = max(0, together - 2 * alone)

    def chunk(self, parsed: ParsedDocument, *, title: str) -> tuple[Chunk, ...]:
        """The document's chunks in order; ``title`` begins each heading path."""
        counts = self._count([block.text for block in parsed.blocks])
        chunks: list[Chunk] = []
        for group in _groups(_sections(parsed.blocks, counts), self._max_tokens):
            for draft in self._pack(group, title):
                chunks += self._fitting(draft)
        return tuple(replace(chunk, ordinal=ordinal) for ordinal, chunk in enumerate(chunks))

    def _count(self, texts: Sequence[str]) -> list[int]:
        return [
            len(found) for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        ]

    def _pack(self, group: Sequence[_Section], title: str) -> Iterator[Chunk]:
        """The chunks of sections that belong together, their tokens not counted yet."""
        shared = _shared_path(group)
        whole = _heading_path(title, shared)
        heading = self._shortened(whole)
        room = max(1, self._max_tokens - self._count([f"{heading}\n"])[0])
        # What the path does not say, or not in full, the text has to.
        said = set(map(id, shared)) if heading == whole else set()
        pieces: list[_Piece] = []
        for section in group:
            lead = 0  # tokens of headings that the next block has to leave room for
            for part in section.path:
                if id(part) not in said:
                    said.add(id(part))
                    added = self._heading_pieces(part, room, lead)
                    lead = lead + added[0].tokens + self._joint if added[-1].is_heading else 0
                    pieces += added
            for block, tokens in section.blocks:
                cut = self._pieces(block, tokens, room - lead)
                pieces += [replace(piece, places=block.places) for piece in cut] if block.places else cut
                lead = 0
        for packed in _packed(pieces, room, self._joint):
            page = next((piece.page for piece in packed if piece.page is not None), None)
            places = tuple(dict.fromkeys(place for piece in packed for place in piece.places))
            yield Chunk(ordinal=0, heading=heading, text=_text(packed), page=page, tokens=0, places=places)

    def _shortened(self, heading: str) -> str:
        """The heading path within its share of a chunk: its middle goes first, then the end of what is left."""
        most = max(1, int(self._max_tokens * _HEADING_SHARE))
        parts = heading.split(HEADING_SEPARATOR)
        while len(parts) > 2 and self._count([HEADING_SEPARATOR.join(parts)])[0] > most:
            del parts[len(parts) // 2]
        heading = HEADING_SEPARATOR.join(parts)
        found = self._tokenizer.encode(heading, add_special_tokens=False)
        return heading if len(found) <= most else heading[: found.offsets[most - 1][0]].rstrip(" >")

    # --- blocks into pieces --------------------------------------------------------------------------

    def _heading_pieces(self, part: _Heading, room: int, lead: int) -> list[_Piece]:
        """A heading said in the text; one that leaves too little room for text is text itself."""
        text = f"{'#' * part.level} {part.text}"
        tokens = self._count([text])[0]
        if lead + tokens <= room / 2:
            return [_Piece(text, tokens, part.page, is_heading=True)]
        return self._text_pieces(part.text, part.page, room, _Frame(glue=" "))

    def _pieces(self, block: Block, tokens: int, room: int) -> list[_Piece]:
        if tokens <= room:
            return [_Piece(block.text, tokens, block.page)]
        if block.kind == "paragraph":
            return self._text_pieces(block.text, block.page, room, _Frame(glue=" "))
        lines = _items(block.text) if block.kind == "list" else block.text.split("\n")
        head, lines, tail = _framed(block, lines)
        tokens = sum(self._count([head, tail])) + 2 * self._joint if head else 0
        if tokens > room / 2:  # a header that leaves no room for rows is said once, like any line
            head, lines, tail, tokens = "", block.text.split("\n"), "", 0
        return self._line_pieces(lines, block.page, room, _Frame(head, tail, tokens))

    def _line_pieces(self, lines: Sequence[str], page: int | None, room: int, frame: _Frame) -> list[_Piece]:
        """A piece for each line; lines that are too long even alone are cut as text."""
        pieces: list[_Piece] = []
        for line, tokens in zip(lines, self._count(lines), strict=True):
            if tokens + frame.tokens <= room:
                pieces.append(_Piece(line, tokens, page, frame))
            else:
                pieces += self._text_pieces(line, page, room - frame.tokens, frame)
        return pieces

    def _text_pieces(self, text: str, page: int | None, room: int, frame: _Frame) -> list[_Piece]:
        """Text cut between sentences, or between words where sentences are too long."""
        found = self._tokenizer.encode(text, add_special_tokens=False)
        starts = [start for start, _ in found.offsets]
        pieces: list[_Piece] = []
        # The splitter counts characters, which is fast; the tokens of each cut are then looked up.
        pending = [(0, text, max(1, int(0.85 * room * len(text) / max(len(starts), 1))))]
        while pending:
            offset, part, capacity = pending.pop()
            tokens = bisect_left(starts, offset + len(part)) - bisect_left(starts, offset)
            if tokens <= room or len(part) == 1:
                if part.strip():
                    pieces.append(_Piece(part.strip(), tokens, page, frame))
                continue
            splitter = seams.library("semantic_text_splitter").TextSplitter
            cuts = splitter(min(capacity, len(part) - 1), trim=False).chunk_indices(part)
            pending += [(offset + start, cut, max(1, capacity // 2)) for start, cut in reversed(cuts)]
        return pieces

    def _fitting(self, draft: Chunk) -> Iterator[Chunk]:
        """The chunk with its exact count, cut again should its parts have more tokens together than apart."""
        tokens = self._count([draft.searchable])[0]
        over = tokens - self._max_tokens
        if over <= 0 or len(draft.text) == 1:
            yield replace(draft, tokens=tokens)
            return
        room = max(1, (self._count([draft.text])[0] - over) * 3 // 4)
        for piece in self._text_pieces(draft.text, draft.page, room, _Frame()):
            yield from self._fitting(replace(draft, text=piece.text))


# --- sections ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Heading:
    text: str
    level: int
    page: int | None


@dataclass(frozen=True, slots=True)
class _Section:
    """A heading path and the blocks right below it, with their tokens."""

    path: tuple[_Heading, ...]
    blocks: list[tuple[Block, int]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(tokens for _, tokens in self.blocks)


def _sections(blocks: Sequence[Block], counts: Sequence[int]) -> list[_Section]:
    """The document's sections that have text; a heading with nothing below it counts as text of the one above."""
    sections = [_Section(())]
    for index, (block, tokens) in enumerate(zip(blocks, counts, strict=True)):
        if not block.text.strip():
            continue
        if block.kind != "heading":
            sections[-1].blocks.append((block, tokens))
            continue
        path = sections[-1].path
        above = tuple(heading for heading in path if heading.level < block.level)
        if _is_bare(blocks, index):
            if above != path:
                sections.append(_Section(above))
            sections[-1].blocks.append((replace(block, kind="paragraph", level=0), tokens))
        else:
            sections.append(_Section((*above, _Heading(block.text, block.level, block.page))))
    return [section for section in sections if section.blocks]


def _is_bare(blocks: Sequence[Block], index: int) -> bool:
    """Whether nothing stands below a heading: the next one is its equal or above it, or there is no more."""
    following = next((block for block in blocks[index + 1 :] if block.text.strip()), None)
    return following is None or (following.kind == "heading" and following.level <= blocks[index].level)


def _groups(sections: Sequence[_Section], max_tokens: int) -> Iterator[list[_Section]]:
    """Sections to be packed together; most stay alone."""
    group: list[_Section] = []
    for section in sections:
        if group and _belongs(section, group, max_tokens):
            group.append(section)
            continue
        if group:
            yield group
        group = [section]
    if group:
        yield group


def _belongs(section: _Section, group: Sequence[_Section], max_tokens: int) -> bool:
    """Whether a section is merged with those before it."""
    shared = _shared_path([*group, section])
    total = section.tokens + sum(member.tokens for member in group)
    if not shared or total > _MERGED * max_tokens:
        return False
    small = _SMALL * max_tokens
    if section.tokens < small and group[-1].tokens < small:
        return True
    # A line or two between a heading and its first subheading say nothing alone.
    return len(group) == 1 and group[0].path == shared and group[0].tokens < _SCRAP * max_tokens


def _shared_path(sections: Sequence[_Section]) -> tuple[_Heading, ...]:
    shared: list[_Heading] = []
    for parts in zip(*(section.path for section in sections), strict=False):
        if any(part is not parts[0] for part in parts):
            break
        shared.append(parts[0])
    return tuple(shared)


def _heading_path(title: str, path: Sequence[_Heading]) -> str:
    names = [" ".join(title.split())] if title.strip() else []
    for heading in path:
        if not (len(names) == 1 and heading.text.casefold() == names[0].casefold()):
            names.append(heading.text)
    return HEADING_SEPARATOR.join(names)


# --- pieces ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the pieces of one block share: what stands around them in each chunk, and what joins them."""

    head: str = ""
    tail: str = ""
    tokens: int = 0
    glue: str = "\n"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A block or a part of one that is not cut further; only the parts of a block have a frame."""

    text: str
    tokens: int
    page: int | None
    frame: _Frame | None = None
    is_heading: bool = False
    places: tuple[Place, ...] = ()


def _items(text: str) -> list[str]:
    """The items of a list, each with the lines that belong to it."""
    items: list[str] = []
    for line in text.split("\n"):
        if items and not _ITEM.match(line.lstrip()):
            items[-1] = f"{items[-1]}\n{line}"
        else:
            items.append(line)
    return items


def _framed(block: Block, lines: list[str]) -> tuple[str, list[str], str]:
    """What every part of a block repeats before and after its lines: a table's header, the fences of code."""
    if block.kind == "table" and len(lines) > 2 and _TABLE_RULE.match(lines[1].strip()):
        return "\n".join(lines[:2]), lines[2:], ""
    if (
        block.kind == "code"
        and len(lines) > 2
        and lines[0][:3] in ("```", "~~~")
        and lines[-1][:3] == lines[0][:3]
    ):
        return lines[0], lines[1:-1], lines[-1]
    return "", lines, ""


def _packed(pieces: Sequence[_Piece], room: int, joint: int) -> Iterator[list[_Piece]]:
    """Pieces filled into chunks of about equal length, none above ``room``."""
    total = sum(piece.tokens + joint for piece in pieces)
    count = max(1, math.ceil(total / room))
    target = room if count == 1 else min(room, math.ceil(1.12 * total / count))
    packed: list[_Piece] = []
    length = 0
    for piece in pieces:
        cost = _cost(piece, packed[-1] if packed else None, joint)
        is_after_heading = bool(packed) and packed[-1].is_heading
        if packed and length + cost > (room if is_after_heading else target):
            kept = _without_last_headings(packed)
            yield kept
            packed = packed[len(kept) :]
            length = sum(heading.tokens + joint for heading in packed)
            cost = _cost(piece, None, joint)
        packed.append(piece)
        length += cost
    if packed:
        yield packed


def _cost(piece: _Piece, before: _Piece | None, joint: int) -> int:
    if before is None or before.frame is not piece.frame or piece.frame is None:
        return piece.tokens + joint + (piece.frame.tokens if piece.frame is not None else 0)
    return piece.tokens + joint


def _without_last_headings(packed: list[_Piece]) -> list[_Piece]:
    end = len(packed)
    while end and packed[end - 1].is_heading:
        end -= 1
    return packed[:end] if end else packed


def _text(packed: Sequence[_Piece]) -> str:
    parts: list[str] = []
    for _, run in groupby(packed, key=lambda piece: id(piece) if piece.frame is None else id(piece.frame)):
        pieces = list(run)
        frame = pieces[0].frame or _Frame()
        body = frame.glue.join(piece.text for piece in pieces)
        parts.append("\n".join(part for part in (frame.head, body, frame.tail) if part))
    return "\n\n".join(parts)
