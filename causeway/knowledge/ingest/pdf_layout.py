"""Puts the words of a PDF page into reading order: columns, lines and tables.

Columns follow the XY-cut idea (Nagy and Seth, 1984; Ha, Haralick and Phillips, 1995): look for a vertical gutter
that few lines cross, read what is left of it before what is right of it, and let the lines that cross it (titles,
wide tables) divide the page into bands.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import attrgetter, itemgetter
from statistics import median
from typing import Final, NamedTuple

from causeway.knowledge.ingest.ocr_numerals import with_numerals
from causeway.knowledge.ingest.pdf_shapes import Box, Page, Word, make_box, rounded
from causeway.knowledge.ingest.pdf_tables import (
    Row,
    Segment,
    Table,
    aligned_table,
    make_segment,
    ruled_tables,
)

_STEP: Final = 3.0
_FEWEST_LINES: Final = 4
_FEWEST_LETTERS: Final = 18
_MAX_CUTS: Final = 4
_FIRST: Final = itemgetter(0)
_BASELINE: Final = itemgetter(Segment._fields.index("baseline"))
_LEFT: Final = attrgetter("box.x0")


class Line:
    """A line of text; no dataclass, since compiled these are made by Python's own steps.

    Attributes:
        region: Lines of one region (a column, or a stretch across columns) follow each other.
        left, right: The edges of its region.
    """

    __slots__ = ("baseline", "box", "is_bold", "left", "page", "region", "right", "size", "text")

    def __init__(  # noqa: PLR0913
        self,
        text: str,
        box: Box,
        baseline: float,
        size: float,
        is_bold: bool,
        page: int,
        region: int,
        left: float,
        right: float,
    ) -> None:
        self.text = text
        self.box = box
        self.baseline = baseline
        self.size = size
        self.is_bold = is_bold
        self.page = page
        self.region = region
        self.left = left
        self.right = right

    def fields(self) -> tuple[str, Box, float, float, bool, int, int, float, float]:
        """What it is made of, in order."""
        return (
            self.text,
            self.box,
            self.baseline,
            self.size,
            self.is_bold,
            self.page,
            self.region,
            self.left,
            self.right,
        )

    def __reduce__(
        self,
    ) -> tuple[type[Line], tuple[str, Box, float, float, bool, int, int, float, float]]:
        """For pickles, which go from process to process: compiled, a class says nothing of its fields."""
        return Line, self.fields()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Line) and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash(self.fields())


class PlacedTable(NamedTuple):
    """A table between lines."""

    table: Table
    page: int


Item = Line | PlacedTable


def read_in_order(page: Page) -> list[Item]:
    """The page's lines and tables as one reads them."""
    tables, taken = ruled_tables(page)
    words: Sequence[Word] = page.words
    if taken:
        words = [word for index, word in enumerate(words) if index not in taken]
    pieces: list[_Piece] = [*_segments(words), *tables]
    items: list[Item] = []
    space = _word_space(words, page.spaces)
    for number, region in enumerate(_regions(pieces, _MAX_CUTS)):
        items += _items(region, page.number, page.number * 1000 + number, space)
    if page.is_ocr:
        return [
            item._replace(table=item.table._replace(rows=with_numerals(item.table.rows)))
            if isinstance(item, PlacedTable)
            else item
            for item in items
        ]
    return _evened(items) if page.is_picture else items


def _evened(items: list[Item]) -> list[Item]:
    """Other programs' OCR guesses each line's size anew: those that are about the usual one are made the same."""
    sizes = [item.size for item in items if isinstance(item, Line)]
    usual = median(sizes) if sizes else 0.0
    for item in items:
        if isinstance(item, Line) and 0.7 * usual < item.size < 1.35 * usual:
            item.size = usual
    return items


_Piece = Segment | Table
"""What columns are made of: a segment or a ruled table."""


def _word_space(words: Sequence[Word], spaces: Sequence[float]) -> float:
    """The usual gap between two words, in units of their size; ``spaces`` are those inside of words."""
    usual = list(spaces)
    last, end, height = -1, 0.0, 0.0
    for _, (x0, _, x1, _), _, size, _, run in words:
        if run == last:
            gap = (x0 - end) / (height if height > 1.0 else 1.0)
            if 0 < gap < 1:
                usual.append(gap)
        last, end, height = run, x1, size
    return median(usual) if usual else 0.25


def _segments(words: Sequence[Word], widest: float = 1.0) -> list[Segment]:
    """Words in the order they were written, cut at line ends, steps back and gaps of ``widest`` times their size."""
    segments: list[Segment] = []
    current: list[Word] = []
    run, edge, level, height = -1, 0.0, 0.0, 0.0
    for word in words:
        _, (x0, _, x1, _), baseline, size, _, its_run = word
        if its_run == run and (
            -0.5 * (larger := size if size > height else height) < x0 - edge < widest * larger
            and abs(baseline - level) < 0.5 * larger
        ):
            current.append(word)
        else:
            if current:
                segments.append(_segment(current))
            current = [word]
        run, edge, level, height = its_run, x1, baseline, size
    if current:
        segments.append(_segment(current))
    return segments


def _segment(words: list[Word]) -> Segment:
    first = words[0]
    _, box, baseline, size, _, _ = first
    if len(words) == 1:
        return make_segment(((first,), box, baseline, int(10 * size + 0.5) / 10))
    x0, y0, x1, y1 = box
    is_even = True
    for _, (left, top, right, bottom), its_baseline, its_size, _, _ in words:
        x0 = left if left < x0 else x0
        x1 = right if right > x1 else x1
        if its_size != size or its_baseline != baseline:
            is_even = False
            y0, y1 = min(y0, top), max(y1, bottom)
    if is_even:
        return make_segment((tuple(words), make_box((x0, y0, x1, y1)), baseline, int(10 * size + 0.5) / 10))
    size, baseline = _usual(words)
    return make_segment((tuple(words), make_box((x0, y0, x1, y1)), baseline, size))


def _usual(words: Sequence[Word]) -> tuple[float, float]:
    """The size that most letters have, to a tenth of a point, and the baseline of the first word that has it."""
    letters: dict[float, int] = {}
    levels: dict[float, float] = {}
    last, size = -1.0, -1.0
    for text, _, baseline, its_size, _, _ in words:
        if its_size != last:
            last, size = its_size, rounded(its_size, 10.0)
        if size in letters:
            letters[size] += len(text)
        else:
            letters[size], levels[size] = len(text), baseline
    most, usual = -1, size
    for size, count in letters.items():
        if count > most:
            most, usual = count, size
    return usual, levels[usual]


# --- columns -----------------------------------------------------------------------------------------


def _regions(pieces: list[_Piece], cuts: int) -> list[list[_Piece]]:
    gutter = _gutter(pieces) if cuts else None
    if gutter is None:
        return [pieces] if pieces else []
    crossing = sorted(
        (piece for piece in pieces if piece.box.x0 < gutter < piece.box.x1), key=lambda p: p.box.y0
    )
    left = sorted((piece for piece in pieces if piece.box.x1 <= gutter), key=lambda p: p.box.y0)
    right = sorted((piece for piece in pieces if piece.box.x0 >= gutter), key=lambda p: p.box.y0)
    regions: list[list[_Piece]] = []
    wide: list[_Piece] = []
    for piece in crossing:
        middle = (piece.box.y0 + piece.box.y1) / 2
        above_left, left = _above(left, middle)
        above_right, right = _above(right, middle)
        if above_left or above_right:
            regions += [wide] if wide else []
            wide = []
            regions += [*_regions(above_left, cuts - 1), *_regions(above_right, cuts - 1)]
        wide.append(piece)
    regions += [wide] if wide else []
    return [*regions, *_regions(left, cuts - 1), *_regions(right, cuts - 1)]


def _above(pieces: list[_Piece], y: float) -> tuple[list[_Piece], list[_Piece]]:
    count = sum((piece.box.y0 + piece.box.y1) / 2 < y for piece in pieces)
    return pieces[:count], pieces[count:]


def _gutter(pieces: Sequence[_Piece]) -> float | None:
    """Where text stands in columns, the middle of the gutter between two of them."""
    segments = [piece for piece in pieces if isinstance(piece, Segment)]
    if len(segments) < 2 * _FEWEST_LINES:
        return None
    starts, ends = sorted([s.box.x0 for s in segments]), sorted([s.box.x1 for s in segments])
    if ends[_FEWEST_LINES - 1] > starts[-_FEWEST_LINES]:
        return None
    lengths = [sum([len(word.text) + 1 for word in segment.words]) for segment in segments]
    # A cut leaves two thirds of the lines on its sides, and half of those are long.
    if 3 * sum([length >= _FEWEST_LETTERS for length in lengths]) < len(lengths):
        return None
    low, high = starts[0], ends[-1]
    best: tuple[int, list[float]] = (0, [])
    strips = [_Strip(segment.box, length) for segment, length in zip(segments, lengths, strict=True)]
    shorts = _Shorts.of(strips)
    known: dict[tuple[int, int], int] = {}  # the same number on each side is the same lines on each side
    x = low + 0.12 * (high - low)
    x += _STEP * max(0, math.ceil((ends[_FEWEST_LINES - 1] - x) / _STEP))
    last = min(high - 0.12 * (high - low), starts[-_FEWEST_LINES])
    while x <= last:
        before, after = bisect_right(ends, x), len(starts) - bisect_left(starts, x)
        if (before, after) not in known:
            may = _may_cut(before, after, len(starts)) and not shorts.are_most(before, after)
            known[before, after] = _score(strips, x) if may else 0
        score = known[before, after]
        if score > best[0]:
            best = (score, [x])
        elif score and score == best[0] and x - best[1][-1] < 1.5 * _STEP:
            best[1].append(x)
        x += _STEP
    return best[1][len(best[1]) // 2] if best[1] else None


class _Strip(NamedTuple):
    """Where a segment is and how many letters it has, a space after each word."""

    box: Box
    letters: int


class _Shorts(NamedTuple):
    """How many of the first strips by their right edge, and of the last by their left, are too short to be lines of prose."""

    first: Sequence[int]
    last: Sequence[int]

    @classmethod
    def of(cls, strips: Sequence[_Strip]) -> _Shorts:
        by_end = sorted(strips, key=lambda strip: strip.box.x1)
        by_start = sorted(strips, key=lambda strip: -strip.box.x0)
        counts = [
            [0, *accumulate([strip.letters < _FEWEST_LETTERS for strip in each])]
            for each in (by_end, by_start)
        ]
        return cls(*counts)

    def are_most(self, left: int, right: int) -> bool:
        """Whether most of so many strips on the left of a cut are short, or of those on its right."""
        return 2 * self.first[left] > left or 2 * self.last[right] > right


def _may_cut(left: int, right: int, count: int) -> bool:
    """Whether enough lines stand on both sides of a cut, and few enough cross it."""
    return min(left, right) >= _FEWEST_LINES and count - left - right <= 0.5 * (left + right)


def _score(strips: Sequence[_Strip], x: float) -> int:
    """How many lines a cut at ``x`` sorts into columns, lines that cross it counting against; 0 when it may not be made."""
    left = [strip for strip in strips if strip.box.x1 <= x]
    right = [strip for strip in strips if strip.box.x0 >= x]
    crossing = len(strips) - len(left) - len(right)
    if not (_is_prose(left) and _is_prose(right)):
        return 0
    top = max(min(s.box.y0 for s in left), min(s.box.y0 for s in right))
    bottom = min(max(s.box.y1 for s in left), max(s.box.y1 for s in right))
    shorter = min(max(s.box.y1 for s in side) - min(s.box.y0 for s in side) for side in (left, right))
    if bottom - top < 0.5 * shorter:
        return 0
    return max(0, 2 * min(len(left), len(right)) - crossing)


def _is_prose(strips: Sequence[_Strip]) -> bool:
    """Whether most lines are long and fill their column, unlike the cells of a table."""
    if median([strip.letters for strip in strips]) < _FEWEST_LETTERS:
        return False
    width = max(s.box.x1 for s in strips) - min(s.box.x0 for s in strips)
    return median([s.box.width for s in strips]) >= 0.55 * width


# --- lines -------------------------------------------------------------------------------------------


def _items(region: Sequence[_Piece], page: int, number: int, space: float) -> list[Item]:
    segments = [piece for piece in region if isinstance(piece, Segment)]
    tables = [piece for piece in region if isinstance(piece, Table)]
    rows = _rows(segments)
    left = min((s.box.x0 for s in segments), default=0.0)
    right = max((s.box.x1 for s in segments), default=0.0)
    placed: list[tuple[float, Item]] = [(table.box.y0, PlacedTable(table, page)) for table in tables]
    # Cells may stand closer together than columns of text, yet further apart than words.
    widest = max(0.55, 2.2 * space)
    cells = [_cells_of(row, widest) for row in rows]
    index = 0
    while index < len(rows):
        found = aligned_table(cells[index:]) if len(cells[index]) > 1 else None
        if found is not None:
            table, taken = found
            placed.append((table.box.y0, PlacedTable(table, page)))
            index += taken
            continue
        line = _line(rows[index], page, number, left, right)
        placed.append((line.box.y0, line))
        index += 1
    placed.sort(key=_FIRST)
    return [item for _, item in placed]


def _cells_of(row: Row, widest: float) -> Row:
    """A row with its segments cut at gaps of ``widest`` times their size."""
    cells: Row = []
    for segment in row:
        if len(segment.words) == 1:
            cells.append(segment)
        else:
            cells += _segments(segment.words, widest)
    return cells


def _rows(segments: Sequence[Segment]) -> list[Row]:
    rows: list[Row] = []
    row: Row = []
    level, height = 0.0, 0.0
    for segment in sorted(segments, key=_BASELINE):
        _, _, baseline, size = segment
        if row and baseline - level <= 0.35 * (size if size > height else height):
            row.append(segment)
        else:
            row = [segment]
            rows.append(row)
            level, height = baseline, size
    for row in rows:
        if len(row) > 1:
            row.sort(key=_LEFT)
    return rows


def _line(row: Row, page: int, region: int, left: float, right: float) -> Line:
    words, box, baseline, size = row[0]
    if len(row) > 1:
        words = tuple(word for segment in row for word in segment.words)
        for segment in row[1:]:
            box = box.around(segment.box)
        longest = max(row, key=lambda segment: len(segment.text))
        baseline, size = longest.baseline, longest.size
    if len(words) == 1:
        text, is_bold = words[0].text, words[0].is_bold
    else:
        text = " ".join([word.text for word in words])
        letters = bold = 0
        for each, _, _, _, is_so, _ in words:
            letters += len(each)
            if is_so:
                bold += len(each)
        is_bold = bold >= 0.9 * letters
    return Line(text, box, baseline, size, is_bold, page, region, left, right)
