"""Makes headings, paragraphs and lists of the lines of a PDF.

A heading is told by its font: larger than the text, or bold on a line of its own. Lines become a paragraph as long as
they stand close together, look alike and the last one did not end a sentence short of the margin.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from causeway.knowledge.document import SIDE, Block, BlockKind, Place
from causeway.knowledge.ingest.markdown_table import markdown_of
from causeway.knowledge.ingest.pdf_layout import Item, Line, PlacedTable
from causeway.knowledge.ingest.pdf_shapes import SOFT_HYPHEN, Box, Sheet, rounded

_BULLET: Final = re.compile(
    r"^(?:[\u2022\u25aa\u25cf\u25e6\u2023\u25a0\u25cb\u00b7\uf0b7\uf0a7\u2043]|[-\u2013\u2014*](?=\s))\s*(?=\S)"
)
_NUMBERED: Final = re.compile(r"^(?:\(?\d{1,3}[.)]|\(?[a-z]\)|\([A-Z]\)|\(?[ivx]{1,5}[.)])\s+(?=\S)")
_SECTION_NUMBER: Final = re.compile(
    r"^(?:(?:§|Section|Chapter|Article|Appendix)\s*)?(\d{1,3}(?:\.\d{1,3})*)\.?\)?\s+\S"
)
_CAPTION: Final = re.compile(
    r"^(?:table|figure|fig\.|tab\.|abb\.|abbildung|tabelle|chart)\s*[\dA-Z]", re.IGNORECASE
)
_HYPHENS: Final = (SOFT_HYPHEN, "-", "\u2010")
_PARTS: Final = float(SIDE)
_make_place: Final[Callable[[tuple[int, float, float, float, float]], Place]] = partial(tuple.__new__, Place)
_SENTENCE_END: Final = re.compile(r"[.!?:;\u2026][\"')\]\u201d\u2019]*$")


def blocks_of(items: Sequence[Item], sheets: Mapping[int, Sheet]) -> list[Block]:
    """The document's blocks, from its lines and tables in reading order.

    Args:
        items: What stands on the pages.
        sheets: The pages, by number.
    """
    style, speller = _Style.of(items), _Speller(items)
    pitch = _usual_pitch(items)
    made: list[_Made] = []
    draft: _Draft | None = None
    above: PlacedTable | None = None
    for item in items:
        if isinstance(item, PlacedTable):
            _finish(draft, made, style, speller)
            draft = None
            _add_table(item, above, made)
            above = item
            continue
        above = None
        kind = _kind(item, style)
        if draft is not None and _goes_on(draft, item, kind, style, pitch):
            draft.lines.append(item)
            continue
        _finish(draft, made, style, speller)
        draft = _Draft(kind, [item])
    _finish(draft, made, style, speller)
    _number_levels(made)
    return [
        Block(
            kind=block.kind,
            text=block.text,
            level=block.level,
            page=block.page,
            places=tuple([_shown(page, box, sheets[page]) for page, box in block.places]),
        )
        for block in made
    ]


def _shown(page: int, box: Box, sheet: Sheet) -> Place:
    """A rectangle of a page as read, as shares of the page as shown."""
    left, top, right, bottom = sheet.shown(box)
    return _make_place(
        (
            page,
            int(_PARTS * left + 0.5) / _PARTS,
            int(_PARTS * top + 0.5) / _PARTS,
            int(_PARTS * right + 0.5) / _PARTS,
            int(_PARTS * bottom + 0.5) / _PARTS,
        )
    )


def usual_size(items: Iterable[Item]) -> float:
    """The size that most of the text is set in."""
    letters: defaultdict[float, int] = defaultdict(int)
    for item in items:
        if isinstance(item, Line):
            letters[item.size] += len(item.text)
    sizes: Counter[float] = Counter()
    for size, count in letters.items():
        sizes[round(size * 2) / 2] += count
    return sizes.most_common(1)[0][0] if sizes else 10.0


# --- headings ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Style:
    """How this document sets its text and its headings.

    Attributes:
        ranks: For each heading style (size, bold), its place from 1, largest first.
    """

    size: float
    is_bold: bool
    ranks: Mapping[tuple[float, bool], int]

    @classmethod
    def of(cls, items: Sequence[Item]) -> _Style:
        lines = [item for item in items if isinstance(item, Line)]
        letters = sum(len(line.text) for line in lines)
        is_bold = sum(len(line.text) for line in lines if line.is_bold) > 0.5 * letters
        style = cls(usual_size(items), is_bold, {})
        looks = sorted(
            {style.look(line) for line in lines if style.is_heading(line)},
            key=lambda look: (-look[0], not look[1]),
        )
        ranks: dict[tuple[float, bool], int] = {}
        rank = 0
        for place, look in enumerate(looks):
            if not place or looks[place - 1][0] > 1.04 * look[0] or looks[place - 1][1] != look[1]:
                rank += 1
            ranks[look] = rank
        return replace(style, ranks=ranks)

    def look(self, line: Line) -> tuple[float, bool]:
        return round(line.size * 2) / 2, line.is_bold and not self.is_bold

    def is_heading(self, line: Line) -> bool:
        text, is_large = line.text, line.size >= 1.13 * self.size
        if is_large:
            if len(text) > (90 if text.endswith((".", ",", ";")) else 160):
                return False
        elif (
            not line.is_bold
            or self.is_bold
            or line.size < 0.93 * self.size
            or len(text) > 110
            or text.endswith((".", ",", ";", ":"))
        ):
            return False
        return sum(map(str.isalpha, text)) >= 2 and not _BULLET.match(text) and not _CAPTION.match(text)

    def level(self, line: Line) -> int:
        rank = self.ranks.get(self.look(line), 1)
        return max(1, min(6, rank))


# --- paragraphs --------------------------------------------------------------------------------------


class _Draft:
    """A block that still takes lines; no dataclass, since compiled these are made by Python's own steps."""

    __slots__ = ("kind", "lines")

    def __init__(self, kind: BlockKind, lines: list[Line]) -> None:
        self.kind = kind
        self.lines = lines


_Places = tuple[tuple[int, Box], ...]
"""Pages and rectangles, in points of the pages as read."""


class _Made:
    """A block that what comes after it may change."""

    __slots__ = ("kind", "level", "page", "places", "text")

    def __init__(self, kind: BlockKind, text: str, level: int, page: int, places: _Places) -> None:
        self.kind = kind
        self.text = text
        self.level = level
        self.page = page
        self.places = places


def _usual_pitch(items: Sequence[Item]) -> float:
    """The usual distance between the lines of a paragraph, in units of the text's size."""
    pitches: Counter[float] = Counter()
    above: Item | None = None
    for below in items:
        if isinstance(above, Line) and isinstance(below, Line) and above.region == below.region:
            step = (below.baseline - above.baseline) / max(above.size, 1.0)
            if 0.8 < step < 2.6 and abs(above.size - below.size) < 0.5:
                pitches[rounded(step, 10.0)] += 1
        above = below
    return pitches.most_common(1)[0][0] if pitches else 1.2


def _kind(line: Line, style: _Style) -> BlockKind:
    if style.is_heading(line):
        return "heading"
    if line.text[:2].isalpha() and line.text[0] not in "ivx":
        return "paragraph"  # as most lines are, and without a look for what marks an item of a list
    return "list" if _BULLET.match(line.text) or _NUMBERED.match(line.text) else "paragraph"


def _goes_on(draft: _Draft, line: Line, kind: BlockKind, style: _Style, pitch: float) -> bool:
    """Whether ``line`` belongs to the block above it."""
    last = draft.lines[-1]
    if draft.kind == "heading" or kind == "heading":
        return draft.kind == kind and _heading_goes_on(last, line, style)
    if kind == "list":
        return False
    if line.region != last.region:
        return not _SENTENCE_END.search(last.text) and _starts_low(line.text) and len(last.text) > 25
    if abs(line.size - last.size) > 0.12 * last.size:
        return False
    step = (line.baseline - last.baseline) / max(last.size, 1.0)
    if not 0 <= step <= pitch * 1.28:
        return False
    if draft.kind == "list":
        return line.box.x0 > draft.lines[0].box.x0 - 1
    is_indented = line.box.x0 > last.box.x0 + 0.8 * line.size and last.box.x0 <= last.left + 1
    if is_indented and _SENTENCE_END.search(last.text):
        return False
    return not _ends(last)


def _heading_goes_on(last: Line, line: Line, style: _Style) -> bool:
    step = (line.baseline - last.baseline) / max(last.size, 1.0)
    return (
        line.region == last.region
        and (abs(line.box.x0 - last.box.x0) < last.size or abs(_middle(line) - _middle(last)) < last.size)
        and style.look(line) == style.look(last)
        and 0 <= step <= 1.6
        and not _SECTION_NUMBER.match(line.text)
    )


def _middle(line: Line) -> float:
    return (line.box.x0 + line.box.x1) / 2


def _ends(line: Line) -> bool:
    """Whether a paragraph ends here: the sentence does, well before the right edge."""
    return bool(_SENTENCE_END.search(line.text)) and line.box.x1 < line.right - 0.12 * (
        line.right - line.left
    )


def _starts_low(text: str) -> bool:
    return text[:1].islower() or text[:1] in "([,"


def _finish(draft: _Draft | None, blocks: list[_Made], style: _Style, speller: _Speller) -> None:
    if draft is None:
        return
    first = draft.lines[0]
    text = speller.joined([line.text for line in draft.lines])
    if not text:
        return
    places = _places(draft.lines)
    if draft.kind == "list":
        _add_list_item(text, first, blocks, places)
    else:
        level = style.level(first) if draft.kind == "heading" else 0
        blocks.append(_Made(draft.kind, text, level, first.page, places))


def _places(lines: Sequence[Line]) -> _Places:
    """A rectangle around the lines of each region."""
    if len(lines) == 1:
        return ((lines[0].page, lines[0].box),)
    boxes: dict[tuple[int, int], Box] = {}
    for line in lines:
        key = line.page, line.region
        boxes[key] = boxes[key].around(line.box) if key in boxes else line.box
    return tuple([(page, box) for (page, _), box in boxes.items()])


def _joined_places(first: _Places, second: _Places) -> _Places:
    """Both, as one rectangle where the second follows below the first."""
    (page, above), (next_page, below) = first[-1], second[0]
    if page != next_page or below.y0 < above.y0:
        return (*first, *second)
    return (*first[:-1], (page, above.around(below)), *second[1:])


def _add_list_item(text: str, first: Line, blocks: list[_Made], places: _Places) -> None:
    item = _BULLET.sub("- ", text, count=1)
    indent = "  " if first.box.x0 > first.left + 3.5 * first.size else ""
    last = blocks[-1] if blocks else None
    if last is not None and last.kind == "list":
        last.text = f"{last.text}\n{indent}{item}"
        last.places = _joined_places(last.places, places)
    else:
        blocks.append(_Made("list", item, 0, first.page, places))


def _add_table(item: PlacedTable, above: PlacedTable | None, blocks: list[_Made]) -> None:
    """Add a table, or the rest of the one ``above`` it that a page end cut."""
    rows = item.table.rows
    place = item.page, item.table.box
    if above is None or not _goes_on_below(above, item):
        blocks.append(_Made("table", markdown_of(rows), 0, item.page, (place,)))
        return
    last = blocks[-1]
    head = last.text.split("\n", 1)[0]
    lines = markdown_of(rows).split("\n")
    added = [*([] if lines[0] == head else lines[:1]), *lines[2:]]
    last.text = "\n".join([last.text, *added])
    last.places = (*last.places, place)


def _goes_on_below(above: PlacedTable, below: PlacedTable) -> bool:
    first, second = above.table, below.table
    return (
        below.page > above.page
        and len(first.rows[0]) == len(second.rows[0])
        and abs(first.box.x0 - second.box.x0) < 6
        and abs(first.box.x1 - second.box.x1) < 6
    )


def _number_levels(blocks: list[_Made]) -> None:
    """Where headings of one style are numbered 1, 1.1, 1.1.1, the numbers say the level."""
    depths: dict[int, list[int]] = defaultdict(list)
    numbered: list[tuple[_Made, int]] = []
    for block in blocks:
        found = _SECTION_NUMBER.match(block.text) if block.kind == "heading" else None
        if found:
            numbered.append((block, found[1].count(".")))
            depths[block.level].append(numbered[-1][1])
    firsts = {level: min(each) for level, each in depths.items() if len(set(each)) > 1}
    for block, depth in numbered:
        if block.level in firsts:
            block.level = min(6, block.level + depth - firsts[block.level])


class _Speller:
    """Joins lines, and the words that line ends split: as the document spells them elsewhere."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self._words: set[str] = set()

    def _is_word(self, word: str) -> bool:
        """Whether the document has it elsewhere; few documents are asked."""
        if not self._words:
            for item in self._items:
                if isinstance(item, Line):
                    # The last word of a line may be half of one.
                    self._words.update([word.strip(".,;:()").casefold() for word in item.text.split()[:-1]])
        return word in self._words

    def joined(self, lines: Sequence[str]) -> str:
        if len(lines) == 1:
            text = lines[0]
        elif not any(line.endswith(_HYPHENS) for line in lines[:-1]):
            text = " ".join(lines)
        else:
            text = ""
            for line in lines:
                if not text:
                    text = line
                elif text.endswith(SOFT_HYPHEN):
                    text = text.removesuffix(SOFT_HYPHEN) + line
                elif text.endswith(_HYPHENS) and len(text) > 1 and text[-2].isalnum():
                    text = self._mended(text, line)
                else:
                    text = f"{text} {line}"
        if text.isascii() and text.isprintable() and "  " not in text and text == text.strip():
            return text
        return " ".join(text.replace(SOFT_HYPHEN, "").split())

    def _mended(self, text: str, line: str) -> str:
        head = text[:-1].rsplit(" ", 1)[-1].strip("(\"'").casefold()
        tail = line.split(" ", 1)[0].strip(".,;:()\"'").casefold()
        if self._is_word(f"{head}{tail}"):
            return text[:-1] + line
        if self._is_word(f"{head}-{tail}") or not line[:1].islower() or "-" in head:
            return text + line
        return text[:-1] + line
