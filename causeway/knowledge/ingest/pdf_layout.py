"""Puts the words of a PDF page into reading order: columns, lines and tables.

Columns follow the XY-cut idea (Nagy and Seth, 1984; Ha, Haralick and Phillips, 1995): look for a vertical gutter
that few lines cross, read what is left of it before what is right of it, and let the lines that cross it (titles,
wide tables) divide the page into bands.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from causeway.knowledge.ingest.pdf_shapes import Box, Page, Word
from causeway.knowledge.ingest.pdf_tables import Row, Segment, Table, aligned_table, ruled_tables

_STEP = 3.0
_FEWEST_LINES = 4
_MAX_CUTS = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text.

    Attributes:
        region: Lines of one region (a column, or a stretch across columns) follow each other.
        left, right: The edges of its region.
    """

    text: str
    box: Box
    baseline: float
    size: float
    is_bold: bool
    page: int
    region: int
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class PlacedTable:
    """A table between lines."""

    table: Table
    page: int


Item = Line | PlacedTable


def read_in_order(page: Page) -> list[Item]:
    """The page's lines and tables as one reads them."""
    tables, taken = ruled_tables(page)
    words = [word for index, word in enumerate(page.words) if index not in taken]
    pieces: list[_Piece] = [*(_Piece(s, None) for s in _segments(words)), *(_Piece(None, t) for t in tables)]
    items: list[Item] = []
    space = _word_space(words)
    for number, region in enumerate(_regions(pieces, _MAX_CUTS)):
        items += _items(region, page.number, page.number * 1000 + number, space)
    return _evened(items) if page.is_picture and not page.is_ocr else items


def _evened(items: list[Item]) -> list[Item]:
    """Other programs' OCR guesses each line's size anew: those that are about the usual one are made the same."""
    sizes = [item.size for item in items if isinstance(item, Line)]
    usual = median(sizes) if sizes else 0.0
    return [
        replace(item, size=usual)
        if isinstance(item, Line) and 0.7 * usual < item.size < 1.35 * usual
        else item
        for item in items
    ]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What columns are made of: a segment or a ruled table."""

    segment: Segment | None
    table: Table | None

    @property
    def box(self) -> Box:
        if self.segment is not None:
            return self.segment.box
        if self.table is not None:
            return self.table.box
        raise AssertionError


def _word_space(words: Sequence[Word]) -> float:
    """The usual gap between two words, in units of their size."""
    gaps = [
        (after.box.x0 - before.box.x1) / max(before.size, 1.0)
        for before, after in pairwise(words)
        if before.run == after.run
    ]
    usual = [gap for gap in gaps if 0 < gap < 1]
    return median(usual) if usual else 0.25


def _segments(words: Sequence[Word], widest: float = 1.0) -> list[Segment]:
    """Words in the order they were written, cut at line ends, steps back and gaps of ``widest`` times their size."""
    segments: list[Segment] = []
    current: list[Word] = []
    for word in words:
        if current and not _continues(current[-1], word, widest):
            segments.append(_segment(current))
            current = []
        current.append(word)
    if current:
        segments.append(_segment(current))
    return segments


def _continues(last: Word, word: Word, widest: float) -> bool:
    gap = word.box.x0 - last.box.x1
    size = max(last.size, word.size)
    is_level = abs(word.baseline - last.baseline) < 0.5 * size
    return last.run == word.run and -0.5 * size < gap < widest * size and is_level


def _segment(words: list[Word]) -> Segment:
    first = words[0]
    x0, y0, x1, y1 = first.box
    is_even = True
    for word in words:
        box = word.box
        x0, x1 = min(x0, box.x0), max(x1, box.x1)
        if word.size != first.size or word.baseline != first.baseline:
            is_even = False
            y0, y1 = min(y0, box.y0), max(y1, box.y1)
    if is_even:
        return Segment(tuple(words), Box(x0, y0, x1, y1), first.baseline, round(first.size, 1))
    sizes: Counter[float] = Counter()
    for word in words:
        sizes[round(word.size, 1)] += len(word.text)
    size = sizes.most_common(1)[0][0]
    baseline = next((word.baseline for word in words if round(word.size, 1) == size), first.baseline)
    return Segment(tuple(words), Box(x0, y0, x1, y1), baseline, size)


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
    segments = [piece.segment for piece in pieces if piece.segment is not None]
    if len(segments) < 2 * _FEWEST_LINES:
        return None
    low, high = min(s.box.x0 for s in segments), max(s.box.x1 for s in segments)
    best: tuple[int, list[float]] = (0, [])
    starts, ends = sorted(s.box.x0 for s in segments), sorted(s.box.x1 for s in segments)
    known: dict[tuple[int, int], int] = {}  # the same number on each side is the same lines on each side
    x = low + 0.12 * (high - low)
    while x < high - 0.12 * (high - low):
        before, after = bisect_right(ends, x), len(starts) - bisect_left(starts, x)
        if (before, after) not in known:
            known[before, after] = _score(segments, x) if _may_cut(before, after, len(starts)) else 0
        score = known[before, after]
        if score > best[0]:
            best = (score, [x])
        elif score and score == best[0] and x - best[1][-1] < 1.5 * _STEP:
            best[1].append(x)
        x += _STEP
    return best[1][len(best[1]) // 2] if best[1] else None


def _may_cut(left: int, right: int, count: int) -> bool:
    """Whether enough lines stand on both sides of a cut, and few enough cross it."""
    return min(left, right) >= _FEWEST_LINES and count - left - right <= 0.5 * (left + right)


def _score(segments: Sequence[Segment], x: float) -> int:
    """How many lines a cut at ``x`` sorts into columns, lines that cross it counting against; 0 when it may not be made."""
    left = [segment for segment in segments if segment.box.x1 <= x]
    right = [segment for segment in segments if segment.box.x0 >= x]
    crossing = len(segments) - len(left) - len(right)
    if not (_is_prose(left) and _is_prose(right)):
        return 0
    top = max(min(s.box.y0 for s in left), min(s.box.y0 for s in right))
    bottom = min(max(s.box.y1 for s in left), max(s.box.y1 for s in right))
    shorter = min(max(s.box.y1 for s in side) - min(s.box.y0 for s in side) for side in (left, right))
    if bottom - top < 0.5 * shorter:
        return 0
    return max(0, 2 * min(len(left), len(right)) - crossing)


def _is_prose(segments: Sequence[Segment]) -> bool:
    """Whether most lines are long and fill their column, unlike the cells of a table."""
    width = max(s.box.x1 for s in segments) - min(s.box.x0 for s in segments)
    lengths = [sum(len(word.text) + 1 for word in segment.words) for segment in segments]
    return median(lengths) >= 18 and median(s.box.width for s in segments) >= 0.55 * width


# --- lines -------------------------------------------------------------------------------------------


def _items(region: Sequence[_Piece], page: int, number: int, space: float) -> list[Item]:
    segments = [piece.segment for piece in region if piece.segment is not None]
    tables = [piece.table for piece in region if piece.table is not None]
    rows = _rows(segments)
    left = min((s.box.x0 for s in segments), default=0.0)
    right = max((s.box.x1 for s in segments), default=0.0)
    placed: list[tuple[float, Item]] = [(table.box.y0, PlacedTable(table, page)) for table in tables]
    # Cells may stand closer together than columns of text, yet further apart than words.
    cells = [[cell for s in row for cell in _segments(s.words, max(0.55, 2.2 * space))] for row in rows]
    index = 0
    while index < len(rows):
        found = aligned_table(cells[index:])
        if found is not None:
            table, taken = found
            placed.append((table.box.y0, PlacedTable(table, page)))
            index += taken
            continue
        line = _line(rows[index], page, number, left, right)
        placed.append((line.box.y0, line))
        index += 1
    return [item for _, item in sorted(placed, key=lambda pair: pair[0])]


def _rows(segments: Sequence[Segment]) -> list[Row]:
    rows: list[Row] = []
    for segment in sorted(segments, key=lambda segment: segment.baseline):
        if rows and segment.baseline - rows[-1][0].baseline <= 0.35 * max(segment.size, rows[-1][0].size):
            rows[-1].append(segment)
        else:
            rows.append([segment])
    for row in rows:
        row.sort(key=lambda segment: segment.box.x0)
    return rows


def _line(row: Row, page: int, region: int, left: float, right: float) -> Line:
    words = [word for segment in row for word in segment.words]
    box = row[0].box
    for segment in row[1:]:
        box = box.around(segment.box)
    letters = sum(len(word.text) for word in words)
    bold = sum(len(word.text) for word in words if word.is_bold)
    longest = max(row, key=lambda segment: len(segment.text))
    return Line(
        text=" ".join(word.text for word in words),
        box=box,
        baseline=longest.baseline,
        size=longest.size,
        is_bold=bold >= 0.9 * letters,
        page=page,
        region=region,
        left=left,
        right=right,
    )
