"""A document's text as chunks are cut from it: every block's text with the place of each of its tokens.

Owns counting: the document is tokenised once, and how many tokens a stretch has is then looked up. Tokens of stretches
that are joined may differ by a few from those of the whole, so each finished chunk is counted once more by `Counter`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from causeway.knowledge.document import HEADING_SEPARATOR, Block, BlockKind, Place

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TABLE_RULE = re.compile(r"^\|?\s*:?-{2,}")
_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(
    r"[.!?\u3002\uff01\uff1f]+[\"'\u201d\u2019)\]*]{0,3}(?:\s+|(?<=[\u3002\uff01\uff1f]))"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|e\.g|i\.e|etc|cf|vs|approx|no|nr|fig|sec|art|mr|mrs|ms|dr|prof|st|inc|ltd|co|bzw|z\.b|d\.h|ca|usw)\.$",
    re.IGNORECASE,
)
_LINES: tuple[BlockKind, ...] = ("table", "list", "code")
_HEADING_SHARE = 0.34


class Counter:
    """Counts tokens as the embedding model does, whatever length it would cut texts at."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer: Tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        alone, together = self.count("a"), self.count("a\n\na")
        self.joint = max(0, together - 2 * alone)
        """Tokens that the blank line between two blocks takes."""

    def count(self, text: str) -> int:
        """Tokens of one text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def starts(self, texts: Sequence[str]) -> list[list[int]]:
        """For each text where its tokens begin, in characters, ascending."""
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [sorted(start for start, _ in each.offsets) for each in found]

    def shortened(self, heading: str, max_tokens: int) -> str:
        """A heading path within its share of a chunk: its middle goes first, then the end of what is left."""
        most = max(1, int(max_tokens * _HEADING_SHARE))
        parts = heading.split(HEADING_SEPARATOR)
        while len(parts) > 2 and self.count(HEADING_SEPARATOR.join(parts)) > most:
            del parts[len(parts) // 2]
        heading = HEADING_SEPARATOR.join(parts)
        found = self._tokenizer.encode(heading, add_special_tokens=False)
        return heading if len(found) <= most else heading[: found.offsets[most - 1][0]].rstrip(" >")

    def text(self, blocks: Sequence[Block]) -> CountedText:
        """The text of ``blocks``, counted."""
        written = [_written(block) for block in blocks]
        stretches = [
            _Stretch(block.kind, text, starts, block.page, block.places)
            for block, text, starts in zip(blocks, written, self.starts(written), strict=True)
            if text.strip()
        ]
        return CountedText(stretches, self.joint)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A block's text; headings as Markdown writes them."""

    kind: BlockKind
    text: str
    starts: Sequence[int]
    page: int | None
    places: tuple[Place, ...]

    @property
    def head_end(self) -> int:
        """Where a table's body begins; 0 for all else."""
        if self.kind != "table":
            return 0
        lines = self.text.split("\n", 2)
        return len(lines[0]) + len(lines[1]) + 2 if len(lines) == 3 and _is_rule(lines[1]) else 0


@dataclass(frozen=True, slots=True)
class Unit:
    """A stretch of one block that is not cut further: ``text[start:end]``."""

    block: int
    start: int
    end: int
    is_heading: bool = False


class CountedText:
    """The blocks of a document that have text."""

    def __init__(self, stretches: Sequence[_Stretch], joint: int) -> None:
        self._stretches = stretches
        self._joint = joint

    # --- cutting -------------------------------------------------------------------------------------

    def words(self, room: int) -> Iterator[Unit]:
        """Word by word, tables row by row; what has more than ``room`` tokens is cut between tokens."""
        for index, stretch in enumerate(self._stretches):
            if stretch.head_end:
                yield from self._lines(index, room)
            else:
                yield from self._words(index, 0, len(stretch.text), room)

    def sentences(self, room: int) -> Iterator[Unit]:
        """Sentence by sentence; lists, tables and code line by line, headings whole."""
        for index, stretch in enumerate(self._stretches):
            if stretch.kind == "heading":
                yield from self._fitting(index, 0, len(stretch.text), room, is_heading=True)
            elif stretch.kind in _LINES:
                yield from self._lines(index, room)
            else:
                yield from self._sentences(index, 0, len(stretch.text), room)

    def blocks(self, room: int) -> Iterator[Unit]:
        """Block by block; one that does not fit line by line, such a line by sentences, such a sentence by words."""
        for index, stretch in enumerate(self._stretches):
            is_heading = stretch.kind == "heading"
            if self._tokens(index, 0, len(stretch.text)) <= room:
                yield Unit(index, 0, len(stretch.text), is_heading)
            else:
                yield from self._lines(index, room)

    def _lines(self, index: int, room: int) -> Iterator[Unit]:
        """Lines; a table's header goes with its first row, or alone when the two do not fit."""
        stretch = self._stretches[index]
        start = stretch.head_end
        if start:
            first = _line_end(stretch.text, start)
            if self._tokens(index, 0, first) <= room:
                yield Unit(index, 0, first)
                start = first
            else:
                yield from self._fitting(index, 0, start, room)
        while start < len(stretch.text):
            end = _line_end(stretch.text, start)
            yield from self._fitting(index, start, end, room)
            start = end

    def _fitting(
        self, index: int, start: int, end: int, room: int, *, is_heading: bool = False
    ) -> Iterator[Unit]:
        room -= self._repeated(index, start)
        if self._tokens(index, start, end) <= room:
            if self._stretches[index].text[start:end].strip():
                yield Unit(index, start, end, is_heading)
        else:
            yield from self._sentences(index, start, end, max(1, room))

    def _sentences(self, index: int, start: int, end: int, room: int) -> Iterator[Unit]:
        text = self._stretches[index].text
        for stop in [*sentence_ends(text, start, end), end]:
            if stop > start and text[start:stop].strip():
                if self._tokens(index, start, stop) <= room:
                    yield Unit(index, start, stop)
                else:
                    yield from self._words(index, start, stop, room)
            start = max(start, stop)

    def _words(self, index: int, start: int, end: int, room: int) -> Iterator[Unit]:
        stretch = self._stretches[index]
        for word in _WORD.finditer(stretch.text, start, end):
            at, stop = word.span()
            if self._tokens(index, at, stop) <= room:
                yield Unit(index, at, stop)
                continue
            cuts = [cut for cut in dict.fromkeys(stretch.starts) if at < cut < stop]
            for cut in [*cuts[room - 1 :: room], stop]:
                if cut > at:
                    yield Unit(index, at, cut)
                at = cut

    # --- counting ------------------------------------------------------------------------------------

    def _tokens(self, index: int, start: int, end: int) -> int:
        starts = self._stretches[index].starts
        return bisect_left(starts, end) - bisect_left(starts, start)

    def _repeated(self, index: int, start: int) -> int:
        """Tokens of the header that a piece of a table's body has above it."""
        head_end = self._stretches[index].head_end
        return self._tokens(index, 0, head_end) if head_end and start >= head_end else 0

    def cost(self, unit: Unit, before: Unit | None) -> int:
        """What ``unit`` adds to a chunk that ends with ``before``."""
        if before is not None and before.block == unit.block:
            return self._tokens(unit.block, before.end, unit.end)
        joint = self._joint if before is not None else 0
        return joint + self._repeated(unit.block, unit.start) + self._tokens(unit.block, unit.start, unit.end)

    def middle(self, unit: Unit) -> int:
        """Where ``unit`` is halved: between words, if it has several."""
        middle = (unit.start + unit.end) // 2
        text = self._stretches[unit.block].text
        space = max(text.rfind(" ", unit.start + 1, middle), text.rfind("\n", unit.start + 1, middle))
        return space if space > unit.start else middle

    # --- writing -------------------------------------------------------------------------------------

    def write(self, units: Sequence[Unit], *, repeats_headers: bool = True) -> str:
        """The text of ``units``, which follow one another; a table that goes on says its header again."""
        parts: list[str] = []
        for run in _by_block(units):
            stretch = self._stretches[run[0].block]
            text = stretch.text[run[0].start : run[-1].end].strip("\n")
            if repeats_headers and stretch.head_end and run[0].start >= stretch.head_end:
                text = stretch.text[: stretch.head_end] + text
            parts.append(text.strip())
        return "\n\n".join(part for part in parts if part)

    def page(self, units: Sequence[Unit]) -> int | None:
        """The page that ``units`` begin on."""
        pages = (self._stretches[unit.block].page for unit in units)
        return next((page for page in pages if page is not None), None)

    def places(self, units: Sequence[Unit]) -> tuple[Place, ...]:
        """Where the blocks of ``units`` stand."""
        blocks = dict.fromkeys(unit.block for unit in units)
        return tuple(dict.fromkeys(place for block in blocks for place in self._stretches[block].places))


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where sentences end in ``text[start:end]``, the spaces after them included; not after common abbreviations."""
    for match in _SENTENCE_END.finditer(text, start, end):
        stop = match.start() + 1
        if not _ABBREVIATION.search(text, max(start, stop - 12), stop):
            yield match.end()


def _by_block(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    run: list[Unit] = []
    for unit in units:
        if run and run[0].block != unit.block:
            yield run
            run = []
        run.append(unit)
    if run:
        yield run


def _written(block: Block) -> str:
    return (
        f"{'#' * block.level} {block.text}" if block.kind == "heading" and block.text.strip() else block.text
    )


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end + 1


def _is_rule(line: str) -> bool:
    return bool(_TABLE_RULE.match(line.strip()))
