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

MAX_PATHS = 5000
"""A page with more drawn paths is a map or a plot: no table is looked for in it."""

_MIN_RULING = 8.0
# The same C function, with plain addresses for pointers: asked for each word, and an object for each answer doubles
# what reading a page takes.
_TEXT_OBJECT_ADDRESS = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(
    ctypes.cast(raw.FPDFText_GetTextObject, ctypes.c_void_p).value or 0
)
# pdfium writes U+FFFE (in some calls 2) for a hyphen at a line's end, and no line break after it.
_WORD_OR_BREAK = re.compile(r"[\r\n\ufffe\x02]|[^\s\x00\ufffe\x02]+")
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
    turn: Turn = Turn()

    @property
    def sheet(self) -> Sheet:
        """The page without what stands on it."""
        return Sheet(self.width, self.height, self.turn)


def read_page(document: pdfium.PdfDocument, index: int) -> Page:
    """Page ``index``, from 0, of an open document."""
    page = document[index]
    try:
        shown = frame = _Frame.of(page)
        text_page = page.get_textpage()
        try:
            words, frame = _words(text_page.raw, frame)
        finally:
            text_page.close()
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


def _words(text_page: raw.FPDF_TEXTPAGE, frame: _Frame) -> tuple[tuple[Word, ...], _Frame]:
    """The words that stand as most of the page's do, watermarks at an angle left out; and the frame they stand in."""
    words = _words_in(text_page, frame)
    upright = Counter(turn for _, turn in words).most_common(1)[0][0] if words else 0
    # Where the text runs up, down or backwards, the page is turned until it runs to the right.
    quarters = round(upright / 4) % 4
    if words and quarters != frame.quarters:
        frame = replace(frame, quarters=quarters)
        words = _words_in(text_page, frame)
    return tuple(word for word, turn in words if turn == upright and word.text), frame


def _words_in(text_page: raw.FPDF_TEXTPAGE, frame: _Frame) -> list[tuple[Word, int]]:
    words: list[tuple[Word, int]] = []
    reader = _WordReader(text_page, frame)
    pending: list[tuple[str, int, int]] = []
    run = 0
    for found in _WORD_OR_BREAK.finditer(_characters(text_page)):
        first, end = found.span()
        text = found[0]
        if text[0] not in "\r\n\ufffe\x02":
            pending.append((_clean(text), first, end - 1))
            continue
        words += reader.read(pending, run)
        pending = []
        if words and text[0] in "\ufffe\x02":
            word, turn = words[-1]
            words[-1] = (word._replace(text=f"{word.text}-"), turn)
        run += 1
    return words + reader.read(pending, run)


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
    # Characters beyond U+FFFF may come as two halves.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").translate(_REPLACED)


@dataclass(frozen=True, slots=True)
class _Look:
    """How a text object is set; ``turn`` in sixteenths of a turn."""

    size: float
    turn: int
    is_bold: bool


class _WordReader:
    """Asks pdfium where a word stands and in which font; remembers the answers that hold for a whole run."""

    def __init__(self, text_page: raw.FPDF_TEXTPAGE, frame: _Frame) -> None:
        self._text_page = text_page
        self._address = ctypes.addressof(text_page.contents)
        self._frame = frame
        self._looks: dict[int, _Look] = {}
        self._bold: dict[int, bool] = {}
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._rectangle = raw.FS_RECTF()

    def read(self, words: Sequence[tuple[str, int, int]], run: int) -> list[tuple[Word, int]]:
        """The words of one run, each given as text, first and last character, with their angles in sixteenths of a turn.

        Where the run's first and last word belong to one text object, those between do too, and share its line.
        """
        if not words:
            return []
        found: list[tuple[Word, int]] = []
        first, last = self._look(words[0][1]), self._look(words[-1][1])
        if first is last:
            return self._read_alike(words, run, first)
        begun, look = 0, first
        for place in range(1, len(words)):
            other = self._look(words[place][1])
            if other is not look:
                found += self._read_alike(words[begun:place], run, look)
                begun, look = place, other
        return found + self._read_alike(words[begun:], run, look)

    def _read_alike(
        self, words: Sequence[tuple[str, int, int]], run: int, look: _Look
    ) -> list[tuple[Word, int]]:
        """Words of one text object: where it stands upright, its line and font are asked for once."""
        box_of, page, r = raw.FPDFText_GetLooseCharBox, self._text_page, self._rectangle
        raw.FPDFText_GetCharOrigin(page, words[0][1], self._x, self._y)
        baseline = self._frame.top - self._y.value
        size, turn, is_bold, left = look.size, look.turn, look.is_bold, self._frame.left
        top, bottom = baseline - 0.8 * size, baseline + 0.2 * size
        found: list[tuple[Word, int]] = []
        if turn or self._frame.quarters:
            return [self._read_one(text, first, last, run) for text, first, last in words]
        for text, first, last in words:
            box_of(page, first, r)
            x0, x1 = r.left, r.right
            if last > first:
                box_of(page, last, r)
                x1 = r.right
                if r.left < x0:
                    x0, x1 = r.left, max(x1, r.right)
            found.append(
                (Word(text, Box(x0 - left, top, x1 - left, bottom), baseline, size, is_bold, run), turn)
            )
        return found

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
            is_bold = self._is_bold(raw.FPDFTextObj_GetFont(item) if item else None)
            look = _Look(size, round(math.atan2(matrix.b, matrix.a) * 8 / math.pi), is_bold)
            self._looks[key] = look
        return look

    def _is_bold(self, font: raw.FPDF_FONT | None) -> bool:
        if not font:
            return False
        key = ctypes.addressof(font.contents)
        if key not in self._bold:
            name = ctypes.create_string_buffer(256)
            raw.FPDFFont_GetBaseFontName(font, name, 256)
            # Most subset fonts claim weight 400 whatever they are, so the name decides first.
            named = name.value.decode("latin-1").rpartition("+")[2]
            self._bold[key] = bool(_BOLD_NAME.search(named)) or raw.FPDFFont_GetWeight(font) >= _BOLD_WEIGHT
        return self._bold[key]


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
