"""Reads one PDF page with pdfium: its words with their places and fonts, and the straight lines drawn on it.

Owns every call into pdfium's C interface below the page. Layout, tables and headings are decided elsewhere, on the
plain values made here. Coordinates are points from the top left corner of the page as it is shown, so rotated
pages read like any other.

A word costs four C calls and a character one; asking pdfium for every property of every character costs several
times more.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types
import pypdfium2.raw as raw  # type: ignore[import-untyped]  # it ships no types

from causeway.knowledge.document import Block
from causeway.knowledge.ingest.pdf_notes import notes_on

MAX_PATHS = 5000
"""A page with more drawn paths is a map or a plot: no table is looked for in it."""

_MIN_RULING = 8.0
# The same C function, with plain addresses for pointers: asked for each word, and an object for each answer doubles
# what reading a page takes.
_TEXT_OBJECT_ADDRESS = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(
    ctypes.cast(raw.FPDFText_GetTextObject, ctypes.c_void_p).value or 0
)
# pdfium writes U+FFFE (in some calls 2) for a hyphen at a line's end, and no line break after it.
_LINE_OR_HYPHEN = re.compile(r"[\ufffe\x02]|[^\r\n\ufffe\x02]+")
_WORD = re.compile(r"[^\s\x00]+")
SOFT_HYPHEN = "\u00ad"
_REPLACED: dict[int, str] = dict.fromkeys((*range(32), *range(127, 160)), "")
_REPLACED |= dict.fromkeys(
    (0x02, 0xAD, 0xFFFE), SOFT_HYPHEN
)  # what pdfium makes of a hyphen that splits a word
_REPLACED |= dict(zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
_BOLD_NAME = re.compile(r"bold|black|heavy|semib|demi|[-,]bd\b|[-,]b$", re.IGNORECASE)
_BOLD_WEIGHT = 600


class Box(NamedTuple):
    """A rectangle; ``y`` grows downwards. Pages have hundreds, and a tuple is made three times faster than a dataclass."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.y1 - self.y0

    def around(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(
            min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1)
        )


class Word(NamedTuple):
    """A word as it stands on the page.

    Attributes:
        baseline: The line it stands on, points from the top of the page.
        size: Height of its font in points, scaling included.
        run: Words of one run were written one after another on one line.
    """

    text: str
    box: Box
    baseline: float
    size: float
    is_bold: bool
    run: int


@dataclass(frozen=True, slots=True)
class Ruling:
    """A straight horizontal or vertical line."""

    box: Box
    is_horizontal: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """How a page was turned to be read.

    Attributes:
        quarters: Quarters of a turn, clockwise, from the page as shown to the page as read.
        skew_degrees: By how much it was then turned counter-clockwise about its middle.
    """

    quarters: int = 0
    skew_degrees: float = 0.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """The page as it was read: how large, and how it was turned."""

    width: float
    height: float
    turn: Turn

    def shown(self, box: Box) -> tuple[float, float, float, float]:
        """Where a box is on the page as shown: left, top, right and bottom as shares of its sides, 0 to 1."""
        angle = math.radians(self.turn.skew_degrees)
        cos, sin = math.cos(angle), math.sin(angle)
        xs: list[float] = []
        ys: list[float] = []
        for x, y in ((box.x0, box.y0), (box.x1, box.y0), (box.x0, box.y1), (box.x1, box.y1)):
            dx, dy = x - self.width / 2, y - self.height / 2
            across = 0.5 + (dx * cos - dy * sin) / self.width
            down = 0.5 + (dx * sin + dy * cos) / self.height
            for _ in range(self.turn.quarters % 4):
                across, down = down, 1 - across
            xs.append(min(max(across, 0.0), 1.0))
            ys.append(min(max(down, 0.0), 1.0))
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on one page.

    Attributes:
        number: From 1.
        is_picture: Pictures cover most of it, as in a scan.
        is_ocr: Its words were read from the picture.
        has_drawings: Something is drawn on it that is no text.
        notes: Comments on it and the values of its form fields.
        turn: How the page as shown was turned to be read.
    """

    number: int
    width: float
    height: float
    words: tuple[Word, ...]
    rulings: tuple[Ruling, ...]
    is_picture: bool
    is_ocr: bool = False
    has_drawings: bool = False
    notes: tuple[Block, ...] = ()
    turn: Turn = Turn()

    @property
    def sheet(self) -> Sheet:
        """The page without what stands on it."""
        return Sheet(self.width, self.height, self.turn)


LetterWidths = dict[str, dict[str, float]]
"""For each font, by name, how wide its letters are, in units of its size; kept while a document is read."""


def read_page(document: pdfium.PdfDocument, index: int, widths: LetterWidths | None = None) -> Page:
    """Page ``index``, from 0, of an open document; with ``widths`` of the pages before, it is read faster."""
    page = document[index]
    try:
        shown = frame = _Frame.of(page)
        rulings, is_picture, has_drawings = _drawings(page, frame)
        # In a scan the words are some other program's guesses, and whether they are language is judged one by one.
        walls = None if is_picture else [ruling.box for ruling in rulings if not ruling.is_horizontal]
        text_page = page.get_textpage()
        try:
            words, frame = _words(text_page.raw, shown, walls, {} if widths is None else widths)
        finally:
            text_page.close()
        if frame.quarters != shown.quarters:
            rulings, is_picture, has_drawings = _drawings(page, frame)
        turn = Turn((frame.quarters - shown.quarters) % 4)
        return Page(
            index + 1,
            frame.width,
            frame.height,
            words,
            rulings,
            is_picture,
            has_drawings=has_drawings,
            notes=tuple(notes_on(page, index + 1)),
            turn=turn,
        )
    finally:
        page.close()


@dataclass(frozen=True, slots=True)
class _Frame:
    """Turns pdfium's coordinates (from the bottom left, before rotation) into those of the page as shown."""

    left: float
    bottom: float
    right: float
    top: float
    quarters: int

    @classmethod
    def of(cls, page: pdfium.PdfPage) -> _Frame:
        left, bottom, right, top = page.get_cropbox()
        return cls(left, bottom, right, top, (page.get_rotation() // 90) % 4)

    @property
    def width(self) -> float:
        return self.top - self.bottom if self.quarters % 2 else self.right - self.left

    @property
    def height(self) -> float:
        return self.right - self.left if self.quarters % 2 else self.top - self.bottom

    def point(self, x: float, y: float) -> tuple[float, float]:
        if self.quarters == 0:
            return x - self.left, self.top - y
        if self.quarters == 1:
            return y - self.bottom, x - self.left
        if self.quarters == 2:
            return self.right - x, y - self.bottom
        return self.top - y, self.right - x

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        (ax, ay), (bx, by) = self.point(x0, y0), self.point(x1, y1)
        return Box(min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))


def _words(
    text_page: raw.FPDF_TEXTPAGE, frame: _Frame, walls: Sequence[Box] | None, widths: LetterWidths
) -> tuple[tuple[Word, ...], _Frame]:
    """The words that stand as most of the page's do, watermarks at an angle left out; and the frame they stand in."""
    words = _words_in(text_page, frame, walls, widths)
    letters: Counter[int] = Counter()
    for word, turn in words:
        letters[turn] += len(word.text)
    upright = letters.most_common(1)[0][0] if words else 0
    # Where the text runs up, down or backwards, the page is turned until it runs to the right.
    quarters = round(upright / 4) % 4
    if words and quarters != frame.quarters:
        frame = replace(frame, quarters=quarters)
        words = _words_in(text_page, frame, None, widths)
    return tuple(word for word, turn in words if turn == upright and word.text), frame


def _words_in(
    text_page: raw.FPDF_TEXTPAGE, frame: _Frame, walls: Sequence[Box] | None, widths: LetterWidths
) -> list[tuple[Word, int]]:
    words: list[tuple[Word, int]] = []
    characters = _characters(text_page)
    reader = _WordReader(text_page, frame, characters, walls, widths)
    for run, found in enumerate(_LINE_OR_HYPHEN.finditer(characters)):
        if found[0] in ("\ufffe", "\x02"):
            if words:
                word, turn = words[-1]
                words[-1] = (word._replace(text=f"{word.text}-"), turn)
        else:
            words += reader.read(found.start(), found.end(), run)
    return words


def _characters(text_page: raw.FPDF_TEXTPAGE) -> str:
    """The page's characters, one for each that pdfium counts, so that places in the text are its indices."""
    count = raw.FPDFText_CountChars(text_page)
    buffer = (ctypes.c_ushort * (count + 1))()
    if raw.FPDFText_GetText(text_page, 0, count, buffer) == count + 1:
        text = bytes(buffer)[:-2].decode("utf-16-le", "replace")
        if len(text) == count:  # else some character takes two places
            return text
    return "".join(chr(raw.FPDFText_GetUnicode(text_page, index)) for index in range(count))


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\x00", "")
    # Characters beyond U+FFFF may come as two halves.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").translate(_REPLACED)


@dataclass(frozen=True, slots=True)
class _Look:
    """How a text object is set; ``turn`` in sixteenths of a turn."""

    font: str
    size: float
    turn: int
    is_bold: bool


_FEWEST_GAPS = 2
_SPACE = (0.1, 0.55)
_UNEVEN = 0.12
_SAMPLES = 3


class _WordReader:
    """Asks pdfium where words stand and in which font; remembers the answers that hold for a whole run.

    Most of a page is lines of evenly spaced prose, and for these two or three questions are enough: the letters' widths
    are known, and when first, last and some words between stand where these widths put them, there is no gap in the
    line that could part columns or cells. It is then given back as one word. Any other run is asked about word by word.
    """

    def __init__(
        self,
        text_page: raw.FPDF_TEXTPAGE,
        frame: _Frame,
        characters: str,
        walls: Sequence[Box] | None,
        widths: LetterWidths,
    ) -> None:
        """No line is taken as one across ``walls``, the vertical lines drawn on the page; and none at all for None."""
        self._text_page = text_page
        self._address = ctypes.addressof(text_page.contents)
        self._frame = frame
        self._characters = characters
        self._walls = walls
        self._looks: dict[int, _Look] = {}
        self._fonts: dict[int, tuple[str, bool]] = {}
        self._widths = widths
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._rectangle = raw.FS_RECTF()

    def read(self, begin: int, end: int, run: int) -> list[tuple[Word, int]]:
        """The words of characters ``begin`` up to ``end``, which are one run, with their angles in sixteenths of a turn."""
        text = self._characters[begin:end]
        begin += len(text) - len(text.lstrip())
        text = text.strip()
        if self._walls is not None and text.count(" ") >= _FEWEST_GAPS and not self._frame.quarters:
            line = self._even_line(text, begin, run)
            if line is not None:
                return [(line, 0)]
        return [
            self._read_one(_clean(found[0]), begin + found.start(), begin + found.end() - 1, run)
            for found in _WORD.finditer(text)
        ]

    def _even_line(self, text: str, begin: int, run: int) -> Word | None:
        """The text as one word, when its words stand on one line and as far apart as words do."""
        last = begin + len(text) - 1
        look = self._look(begin)
        if look.turn or self._look(last) != look:
            return None
        size, baseline = look.size, self._baseline(begin)
        if abs(self._baseline(last) - baseline) > 0.02 * size:
            return None
        known = self._widths.setdefault(look.font, {" ": 0.0})
        for letter in set(text).difference(known):
            index = begin + text.index(letter)
            known[letter] = (self._right(index) - self._left(index)) / size
        left, right = self._left(begin), self._right(last)
        gaps = text.count(" ")
        space = (right - left - size * sum(map(known.__getitem__, text))) / gaps
        if not _SPACE[0] * size < space < _SPACE[1] * size:
            return None
        place = 0
        for sample in range(1, _SAMPLES + 1):
            place = text.find(" ", max(place + 1, sample * len(text) // (_SAMPLES + 1))) + 1
            if not place or text[place] == " ":
                break
            x = left + size * sum(map(known.__getitem__, text[:place])) + text.count(" ", 0, place) * space
            if abs(self._left(begin + place) - x) > _UNEVEN * size:
                return None
        left, right = left - self._frame.left, right - self._frame.left
        if self._crosses_wall(left + 2, right - 2, baseline, size):
            return None
        box = Box(left, baseline - 0.8 * size, right, baseline + 0.2 * size)
        return Word(_clean(" ".join(text.split())), box, baseline, size, look.is_bold, run)

    def _crosses_wall(self, left: float, right: float, baseline: float, size: float) -> bool:
        for wall in self._walls or ():
            if left < wall.x0 < right and wall.y0 < baseline < wall.y1 + size:
                return True
        return False

    def _baseline(self, index: int) -> float:
        raw.FPDFText_GetCharOrigin(self._text_page, index, self._x, self._y)
        return self._frame.top - float(self._y.value)

    def _left(self, index: int) -> float:
        raw.FPDFText_GetLooseCharBox(self._text_page, index, self._rectangle)
        return float(self._rectangle.left)

    def _right(self, index: int) -> float:
        raw.FPDFText_GetLooseCharBox(self._text_page, index, self._rectangle)
        return float(self._rectangle.right)

    def _read_one(self, text: str, first: int, last: int, run: int) -> tuple[Word, int]:
        raw.FPDFText_GetCharOrigin(self._text_page, first, self._x, self._y)
        look = self._look(first)
        size = look.size
        frame, r = self._frame, self._rectangle
        _, baseline = frame.point(self._x.value, self._y.value)
        raw.FPDFText_GetLooseCharBox(self._text_page, first, r)
        start, end = frame.point(r.left, r.bottom)[0], frame.point(r.right, r.top)[0]
        x0, x1 = min(start, end), max(start, end)
        if last > first:
            raw.FPDFText_GetLooseCharBox(self._text_page, last, r)
            start, end = frame.point(r.left, r.bottom)[0], frame.point(r.right, r.top)[0]
            x0, x1 = min(x0, start, end), max(x1, start, end)
        box = Box(x0, baseline - 0.8 * size, x1, baseline + 0.2 * size)
        return Word(text, box, baseline, size, look.is_bold, run), look.turn

    def _look(self, index: int) -> _Look:
        key = _TEXT_OBJECT_ADDRESS(self._address, index) or 0
        look = self._looks.get(key)
        if look is None:
            item = raw.FPDFText_GetTextObject(self._text_page, index)
            matrix = raw.FS_MATRIX()
            raw.FPDFText_GetMatrix(self._text_page, index, matrix)
            scale = math.sqrt(abs(matrix.a * matrix.d - matrix.b * matrix.c)) or 1.0
            size = raw.FPDFText_GetFontSize(self._text_page, index) * scale
            font, is_bold = self._font(raw.FPDFTextObj_GetFont(item) if item else None)
            look = _Look(font, size, round(math.atan2(matrix.b, matrix.a) * 8 / math.pi), is_bold)
            self._looks[key] = look
        return look

    def _font(self, font: raw.FPDF_FONT | None) -> tuple[str, bool]:
        """A font's name, and whether it is bold."""
        if not font:
            return "", False
        key = ctypes.addressof(font.contents)
        if key not in self._fonts:
            buffer = ctypes.create_string_buffer(256)
            raw.FPDFFont_GetBaseFontName(font, buffer, 256)
            name = buffer.value.decode("latin-1")
            # Most subset fonts claim weight 400 whatever they are, so the name decides first.
            named = bool(_BOLD_NAME.search(name.rpartition("+")[2]))
            self._fonts[key] = name, named or raw.FPDFFont_GetWeight(font) >= _BOLD_WEIGHT
        return self._fonts[key]


def _drawings(page: pdfium.PdfPage, frame: _Frame) -> tuple[tuple[Ruling, ...], bool, bool]:
    """The rulings, whether pictures cover most of the page (scanners may cut one into strips), and whether there are any."""
    rulings: list[Ruling] = []
    pictured = 0.0
    count = raw.FPDFPage_CountObjects(page.raw)
    area = frame.width * frame.height
    for index in range(min(count, MAX_PATHS * 4)):
        item = raw.FPDFPage_GetObject(page.raw, index)
        kind = raw.FPDFPageObj_GetType(item)
        if kind == raw.FPDF_PAGEOBJ_IMAGE:
            bounds = _bounds(item, frame)
            pictured += max(0.0, bounds.width) * max(0.0, bounds.height)
        elif kind == raw.FPDF_PAGEOBJ_PATH and len(rulings) <= MAX_PATHS:
            rulings += _edges(item, frame)
    return (tuple(rulings) if len(rulings) <= MAX_PATHS else ()), pictured > 0.6 * area, count > 0


def _bounds(item: raw.FPDF_PAGEOBJECT, frame: _Frame) -> Box:
    sides = [ctypes.c_float() for _ in range(4)]
    raw.FPDFPageObj_GetBounds(item, *sides)
    left, bottom, right, top = (side.value for side in sides)
    return frame.box(left, bottom, right, top)


def _edges(path: raw.FPDF_PAGEOBJECT, frame: _Frame) -> list[Ruling]:
    """The axis-parallel sides of a path that is stroked or filled; a thin filled rectangle is a line too."""
    bounds = _bounds(path, frame)
    if bounds.width < _MIN_RULING and bounds.height < _MIN_RULING:
        return []
    if bounds.width > 0.98 * frame.width and bounds.height > 0.98 * frame.height:
        return []  # the page's background
    if bounds.height <= 3 or bounds.width <= 3:
        return [Ruling(bounds, is_horizontal=bounds.width >= bounds.height)]
    matrix = raw.FS_MATRIX()
    raw.FPDFPageObj_GetMatrix(path, matrix)
    edges: list[Ruling] = []
    x, y = ctypes.c_float(), ctypes.c_float()
    begin = here = (0.0, 0.0)
    for number in range(min(raw.FPDFPath_CountSegments(path), 400)):
        segment = raw.FPDFPath_GetPathSegment(path, number)
        raw.FPDFPathSegment_GetPoint(segment, x, y)
        there = frame.point(
            matrix.a * x.value + matrix.c * y.value + matrix.e,
            matrix.b * x.value + matrix.d * y.value + matrix.f,
        )
        kind = raw.FPDFPathSegment_GetType(segment)
        if kind == raw.FPDF_SEGMENT_MOVETO:
            begin = there
        elif kind == raw.FPDF_SEGMENT_LINETO:
            edges += _edge(here, there)
        here = there
        if raw.FPDFPathSegment_GetClose(segment):
            edges += _edge(here, begin)
            here = begin
    return edges


def _edge(start: tuple[float, float], end: tuple[float, float]) -> list[Ruling]:
    width, height = abs(start[0] - end[0]), abs(start[1] - end[1])
    if max(width, height) < _MIN_RULING or min(width, height) > 1:
        return []
    box = Box(min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
    return [Ruling(box, is_horizontal=width >= height)]
