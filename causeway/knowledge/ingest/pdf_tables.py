"""Finds the tables of a PDF page: in grids of drawn lines, and in words that line up in columns without any.

A grid is a set of rulings that touch. Its cells come from where the lines are, merged cells included, and the words go
to the cell their middle is in. Without lines, a table is a run of rows whose pieces leave the same gutters free.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

from causeway.knowledge.ingest.pdf_shapes import Box, Page, Ruling, Word

_SNAP: Final = 3.0
_FEW: Final = 16
"""So many places are gone through one by one in less time than halved."""
_MAX_TOUCHES: Final = 400_000
_MARKER: Final = re.compile(
    r"^(?:[\u2022\u25aa\u25cf\u25e6\u2023\u2013\u2014*\u00b7\uf0b7-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,5})[.)])$"
)
_BASELINE: Final = itemgetter(Word._fields.index("baseline"))
_LEFT: Final = attrgetter("box.x0")
_LEADER: Final = re.compile(r"\.{4,}|(?:\. ){4,}|\u2026{2,}")


class Segment(NamedTuple):
    """Words that follow each other on one line without a wide gap."""

    words: tuple[Word, ...]
    box: Box
    baseline: float
    size: float

    @property
    def text(self) -> str:
        """Its words, one space between."""
        words = self.words
        return words[0].text if len(words) == 1 else " ".join([word.text for word in words])


make_segment: Final[Callable[[tuple[tuple[Word, ...], Box, float, float]], Segment]] = partial(
    tuple.__new__, Segment
)
"""A segment of its fields, as `make_box` makes boxes."""


class Table(NamedTuple):
    """Rows of cells, the first one the header."""

    rows: tuple[tuple[str, ...], ...]
    box: Box


Row = list[Segment]
"""Segments that stand on one baseline, from left to right."""


def ruled_tables(page: Page) -> tuple[list[Table], frozenset[int]]:
    """The tables with drawn lines, and the indices of the page's words that they hold."""
    tables: list[Table] = []
    taken: set[int] = set()
    grids = _grids(page.rulings)
    if not grids:
        return tables, frozenset()
    middles = _middles(page.words)
    for grid in grids:
        x0, y0, x1, y1 = grid.reach
        inside = [
            index
            for index, (x, y) in enumerate(middles)
            if x0 <= x <= x1 and y0 <= y <= y1 and index not in taken
        ]
        rows = grid.rows([page.words[index] for index in inside], has_all_lines=not page.is_ocr)
        if rows is not None:
            tables.append(Table(rows, grid.box))
            taken.update(inside)
    return tables, frozenset(taken)


def bare_cells(page: Page) -> list[Box]:
    """The cells of the page's grids in which no word stands; merged cells count as their parts."""
    bare: list[Box] = []
    middles = _middles(page.words)
    for grid in _grids(page.rulings):
        x0, y0, x1, y1 = grid.reach
        held = {(_slot(grid.ys, y), _slot(grid.xs, x)) for x, y in middles if x0 <= x <= x1 and y0 <= y <= y1}
        bare += [
            Box(grid.xs[column], grid.ys[line], grid.xs[column + 1], grid.ys[line + 1])
            for line in range(len(grid.ys) - 1)
            for column in range(len(grid.xs) - 1)
            if (line, column) not in held
        ]
    return bare


def _middles(words: Iterable[Word]) -> list[tuple[float, float]]:
    return [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in [word.box for word in words]]


def aligned_table(rows: Sequence[Row]) -> tuple[Table, int] | None:
    """The table that begins at the first of ``rows`` and has no lines drawn, and how many rows it takes."""
    if len(rows[0]) < 2:
        return None
    columns: list[tuple[float, float]] = []
    taken: list[Row] = []
    most, gutter = 0, -1.0
    for row in rows:
        if taken and not _is_near(taken[-1], row):
            break
        spans = [(segment.box.x0, segment.box.x1) for segment in row]
        if gutter == 0.5 * row[0].size:
            spans += columns  # what they were made of need not be gone through again
        else:
            gutter = 0.5 * row[0].size
            spans += [(segment.box.x0, segment.box.x1) for each in taken for segment in each]
        widened = _columns(spans, gutter)
        if len(widened) < 2 or len(widened) < 0.7 * most:
            break
        if len(row) < 2 and _column_of([start for start, _ in widened], row[0]) == 0:
            break  # a line of its own below the table, or a paragraph
        columns, most = widened, max(most, len(widened))
        taken.append(row)
    starts = [start for start, _ in columns]
    while taken and len(taken[-1]) < 2 and _column_of(starts, taken[-1][0]) == 0:
        taken.pop()
    cells = _cells(taken, starts)
    if not _is_tabular(cells):
        return None
    box = taken[0][0].box
    for row in taken:
        for segment in row:
            box = box.around(segment.box)
    return Table(tuple(tuple(row) for row in cells), box), len(taken)


# --- tables with drawn lines -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Grid:
    """Rulings that touch each other, with the places of their columns and rows."""

    across: tuple[Ruling, ...]
    down: tuple[Ruling, ...]
    xs: tuple[float, ...]
    ys: tuple[float, ...]

    @property
    def box(self) -> Box:
        return Box(self.xs[0], self.ys[0], self.xs[-1], self.ys[-1])

    @property
    def reach(self) -> Box:
        """Words whose middle is in this are the grid's."""
        return Box(self.xs[0] - 1, self.ys[0] - 1, self.xs[-1] + 1, self.ys[-1] + 1)

    def rows(self, words: Sequence[Word], *, has_all_lines: bool) -> tuple[tuple[str, ...], ...] | None:
        """The cells' texts; None when this is a frame, a chart or a form rather than a table.

        A scan may have lost pieces of lines: without ``has_all_lines`` a column's edge holds in every row unless a
        word stands on it.
        """
        columns, lines = len(self.xs) - 1, len(self.ys) - 1
        if columns < 2 or not words:
            return None
        roots = self._roots(columns, lines, None if has_all_lines else words)
        held: dict[tuple[int, int], list[Word]] = defaultdict(list)
        xs, ys = self.xs, self.ys
        for word in words:
            x0, y0, x1, y1 = word.box
            cell = _slot(ys, (y0 + y1) / 2), _slot(xs, (x0 + x1) / 2)
            held[roots[cell] if roots else cell].append(word)
        if self._is_unruled(held, lines):
            cells = _by_baseline(words, self.xs)
        else:
            cells = [
                [_text_of(held.get((line, column), ())) for column in range(columns)] for line in range(lines)
            ]
        filled = _without_empty(cells)
        if len(filled) < 2 or len(filled[0]) < 2:
            return None
        if sum(bool(cell) for row in filled for cell in row) < 0.25 * len(filled) * len(filled[0]):
            return None
        return tuple(tuple(row) for row in filled)

    def _is_unruled(self, held: dict[tuple[int, int], list[Word]], lines: int) -> bool:
        """Whether rows are told apart by white space alone, below at most a ruled header."""
        if lines > 2:
            return False
        counts = [len({round(word.baseline) for word in words}) for words in held.values()]
        return len(counts) > 2 and max(counts) >= 4

    def _roots(
        self, columns: int, lines: int, words: Sequence[Word] | None
    ) -> dict[tuple[int, int], tuple[int, int]]:
        """For each cell, the top left cell it is merged with: itself when lines stand all around it; none when that holds for all."""
        roots: dict[tuple[int, int], tuple[int, int]] = {}
        down = [(x0, x1, y0, y1) for (x0, y0, x1, y1), _ in self.down]
        across = [(y0, y1, x0, x1) for (x0, y0, x1, y1), _ in self.across]
        walls = [_drawn_at(down, x) for x in self.xs]
        floors = [_drawn_at(across, y) for y in self.ys]
        if all(_spans(wall, self.ys) for wall in walls[1:-1]) and all(
            _spans(floor, self.xs) for floor in floors[1:-1]
        ):
            return roots
        middles = [(self.xs[column] + self.xs[column + 1]) / 2 for column in range(columns)]
        for line in range(lines):
            y = (self.ys[line] + self.ys[line + 1]) / 2
            for column in range(columns):
                root = (line, column)
                if (
                    column
                    and not _is_within(walls[column], y)
                    and (words is None or self._is_crossed(self.xs[column], line, words))
                ):
                    root = roots[line, column - 1]
                elif line and not _is_within(floors[line], middles[column]):
                    root = roots[line - 1, column]
                roots[line, column] = root
        return roots

    def _is_crossed(self, edge: float, line: int, words: Sequence[Word]) -> bool:
        """Whether a word of this row stands on a column's edge."""
        top, bottom = self.ys[line], self.ys[line + 1]
        return any(
            word.box.x0 + 2 < edge < word.box.x1 - 2 and top < (word.box.y0 + word.box.y1) / 2 < bottom
            for word in words
        )


def _drawn_at(lines: Iterable[tuple[float, float, float, float]], place: float) -> list[tuple[float, float]]:
    """From where to where lines are drawn at a place; each line is said by its sides across and along."""
    return [
        (start - _SNAP, end + _SNAP)
        for low, high, start, end in lines
        if low - _SNAP <= place <= high + _SNAP
    ]


def _spans(stretches: Sequence[tuple[float, float]], places: Sequence[float]) -> bool:
    """Whether one stretch reaches from the first of the places to the last."""
    return any(start <= places[0] and places[-1] <= end for start, end in stretches)


def _is_within(stretches: Iterable[tuple[float, float]], place: float) -> bool:
    return any(start <= place <= end for start, end in stretches)


def _grids(rulings: Sequence[Ruling]) -> list[_Grid]:
    across = _merged([ruling for ruling in rulings if ruling.is_horizontal])
    down = _merged([ruling for ruling in rulings if not ruling.is_horizontal])
    if len(across) < 2 or not down or len(across) * len(down) > _MAX_TOUCHES:
        return []
    parent = list(range(len(across) + len(down)))

    def find(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for a, (first, _) in enumerate(across):
        x0, y0, x1, y1 = first.x0 - _SNAP, first.y0 - _SNAP, first.x1 + _SNAP, first.y1 + _SNAP
        for b, (second, _) in enumerate(down, len(across)):
            if x0 <= second.x1 and second.x0 <= x1 and y0 <= second.y1 and second.y0 <= y1:
                parent[find(b)] = find(a)
    groups: dict[int, tuple[list[Ruling], list[Ruling]]] = defaultdict(lambda: ([], []))
    for a, ruling in enumerate(across):
        groups[find(a)][0].append(ruling)
    for b, ruling in enumerate(down):
        groups[find(len(across) + b)][1].append(ruling)
    grids = [_grid(h, v) for h, v in groups.values() if len(h) >= 2 and v]
    return sorted(
        (grid for grid in grids if len(grid.xs) > 2 and len(grid.ys) > 1), key=lambda grid: grid.box.y0
    )


def _grid(across: list[Ruling], down: list[Ruling]) -> _Grid:
    xs = _places([(ruling.box.x0 + ruling.box.x1) / 2 for ruling in down])
    ys = _places([(ruling.box.y0 + ruling.box.y1) / 2 for ruling in across])
    # Tables without an outer border: the lines of the other direction say how far they reach.
    xs = _reach(xs, min(r.box.x0 for r in across), max(r.box.x1 for r in across))
    ys = _reach(ys, min(r.box.y0 for r in down), max(r.box.y1 for r in down))
    return _Grid(tuple(across), tuple(down), tuple(xs), tuple(ys))


def _reach(places: list[float], low: float, high: float) -> list[float]:
    before = [low] if low < places[0] - 10 else []
    after = [high] if high > places[-1] + 10 else []
    return [*before, *places, *after]


def _places(values: list[float]) -> list[float]:
    clusters: list[list[float]] = []
    for value in sorted(values):
        if clusters and value - clusters[-1][-1] <= _SNAP:
            clusters[-1].append(value)
        else:
            clusters.append([value])
    return [sum(cluster) / len(cluster) for cluster in clusters]


def _merged(rulings: list[Ruling]) -> list[Ruling]:
    """The rulings, with pieces of one line joined: tables are often drawn cell by cell."""
    if not rulings:
        return []
    is_horizontal = rulings[0].is_horizontal
    if is_horizontal:
        placed = sorted([(box.y0, box.x0, box.x1, box) for box, _ in rulings])
    else:
        placed = sorted([(box.x0, box.y0, box.y1, box) for box, _ in rulings])
    lines: list[list[tuple[float, float, Box]]] = []
    level = -math.inf
    for at, start, end, box in placed:
        if at - level > 1.5:
            lines.append([])
            level = at
        lines[-1].append((start, end, box))
    joined: list[Ruling] = []
    for line in lines:
        line.sort(key=itemgetter(0))
        _, reach, current = line[0]
        for start, end, box in line[1:]:
            if start <= reach + _SNAP:
                current = current.around(box)
                reach = max(reach, end)
            else:
                joined.append(Ruling(current, is_horizontal))
                current, reach = box, end
        joined.append(Ruling(current, is_horizontal))
    return joined


def _slot(places: Sequence[float], value: float) -> int:
    last = len(places) - 2
    if last > _FEW:
        return bisect_right(places, value, 1, last + 1) - 1
    slot = 0
    while slot < last and places[slot + 1] <= value:
        slot += 1
    return slot


def _text_of(words: Sequence[Word]) -> str:
    """The words of one cell in reading order."""
    if len(words) < 2:
        return words[0].text if words else ""
    lines: list[list[Word]] = []
    for word in sorted(words, key=_BASELINE):
        if lines and word.baseline - lines[-1][0].baseline <= 0.4 * word.size:
            lines[-1].append(word)
        else:
            lines.append([word])
    return " ".join(word.text for line in lines for word in sorted(line, key=_LEFT))


def _by_baseline(words: Sequence[Word], xs: Sequence[float]) -> list[list[str]]:
    rows: list[list[list[Word]]] = []
    last = -1e9
    for word in sorted(words, key=_BASELINE):
        if word.baseline - last > 0.4 * word.size:
            rows.append([[] for _ in range(len(xs) - 1)])
            last = word.baseline
        rows[-1][_slot(xs, (word.box.x0 + word.box.x1) / 2)].append(word)
    return [[_text_of(cell) for cell in row] for row in rows]


def _without_empty(cells: list[list[str]]) -> list[list[str]]:
    rows = [row for row in cells if any(row)]
    if not rows:
        return []
    kept = [column for column in range(len(rows[0])) if any(row[column] for row in rows)]
    return [[row[column] for column in kept] for row in rows]


# --- tables without lines ----------------------------------------------------------------------------


def _is_near(above: Row, below: Row) -> bool:
    return below[0].baseline - above[0].baseline <= 3.0 * max(above[0].size, below[0].size)


def _columns(spans: Iterable[tuple[float, float]], gutter: float) -> list[tuple[float, float]]:
    """The stretches that the spans cover together, told apart by gaps of at least ``gutter``."""
    columns: list[tuple[float, float]] = []
    begin, reach = math.inf, -math.inf
    for start, end in sorted(spans):
        if start - reach < gutter:
            if end > reach:
                reach = end
            continue
        if begin <= reach:
            columns.append((begin, reach))
        begin, reach = start, end
    if begin <= reach:
        columns.append((begin, reach))
    return columns


def _column_of(starts: Sequence[float], segment: Segment) -> int:
    return max(0, bisect_right(starts, segment.box.x0 + 0.5) - 1)


def _cells(rows: Sequence[Row], starts: Sequence[float]) -> list[list[str]]:
    cells: list[list[str]] = []
    for row in rows:
        texts = [""] * len(starts)
        for segment in row:
            column, text = _column_of(starts, segment), segment.text
            texts[column] = f"{texts[column]} {text}" if texts[column] else text
        if cells and not texts[0] and cells[-1][0]:
            # The rest of a cell that is written on two lines.
            cells[-1] = [f"{above} {below}".strip() for above, below in zip(cells[-1], texts, strict=True)]
        else:
            cells.append(texts)
    return cells


def _is_tabular(cells: Sequence[Sequence[str]]) -> bool:
    """Whether these rows are a table, rather than two columns of prose, a list or a table of contents."""
    if not cells or len(cells) < (3 if len(cells[0]) == 2 else 2):
        return False
    width = len(cells[0])
    filled = sum(bool(cell) for row in cells for cell in row)
    if filled < 0.6 * len(cells) * width:
        return False
    for column in range(width):
        lengths = [len(row[column]) for row in cells if row[column]]
        if sum(lengths) < 22 * len(lengths) or not lengths:
            break
    else:
        return False
    if any(_LEADER.search(cell) for row in cells for cell in row):
        return False
    return not (width == 2 and all(_MARKER.match(row[0]) for row in cells if row[0]))
