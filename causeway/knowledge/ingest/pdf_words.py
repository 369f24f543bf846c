"""Reads the words of a PDF page from pdfium: where they stand, in which font, and which lines are but evenly spaced prose.

Owns pdfium's text interface. Each question costs a microsecond, and a page has hundreds of words and thousands of
letters, so as few as possible are asked; `bench/results/parsing.md` compares with asking for the bare text.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types
import pypdfium2.raw as raw  # type: ignore[import-untyped]  # it ships no types

from causeway.knowledge.ingest.pdf_shapes import SOFT_HYPHEN, Box, Word
from causeway.knowledge.ingest.pdfium_calls import (
    char_matrix,
    char_origin,
    font_size,
    loose_box,
    text_font,
    text_object,
)

# pdfium writes U+FFFE (in some calls 2) for a hyphen at a line's end, and no line break after it.
_LINE_OR_HYPHEN = re.compile(r"[\ufffe\x02]|[^\r\n\ufffe\x02]+")
_WORD = re.compile(r"[^\s\x00]+")
_REPLACED: dict[int, str] = dict.fromkeys((*range(32), *range(127, 160)), "")
_REPLACED |= dict.fromkeys(
    (0x02, 0xAD, 0xFFFE), SOFT_HYPHEN
)  # what pdfium makes of a hyphen that splits a word
_REPLACED |= dict(zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
_BOLD_NAME = re.compile(r"bold|black|heavy|semib|demi|[-,]bd\b|[-,]b$", re.IGNORECASE)
_BOLD_WEIGHT = 600

LetterWidths = dict[str, dict[str, float]]
"""For each font, by name, how wide its letters are, in units of its size; kept while a document is read."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Turns pdfium's coordinates (from the bottom left, before rotation) into those of the page as shown."""

    left: float
    bottom: float
    right: float
    top: float
    quarters: int

    @classmethod
    def of(cls, page: pdfium.PdfPage) -> Frame:
        """The frame of a page as its rotation has it shown."""
        left, bottom, right, top = page.get_cropbox()
        return cls(left, bottom, right, top, (page.get_rotation() // 90) % 4)

    @property
    def width(self) -> float:
        """Of the page as shown."""
        return self.top - self.bottom if self.quarters % 2 else self.right - self.left

    @property
    def height(self) -> float:
        """Of the page as shown."""
        return self.right - self.left if self.quarters % 2 else self.top - self.bottom

    def point(self, x: float, y: float) -> tuple[float, float]:
        """One of pdfium's points on the page as shown."""
        if self.quarters == 0:
            return x - self.left, self.top - y
        if self.quarters == 1:
            return y - self.bottom, x - self.left
        if self.quarters == 2:
            return self.right - x, y - self.bottom
        return self.top - y, self.right - x

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        """One of pdfium's rectangles on the page as shown."""
        (ax, ay), (bx, by) = self.point(x0, y0), self.point(x1, y1)
        return Box(min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))


def words_of(
    text_page: raw.FPDF_TEXTPAGE, frame: Frame, walls: Sequence[Box] | None, widths: LetterWidths
) -> tuple[tuple[Word, ...], Frame]:
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
    text_page: raw.FPDF_TEXTPAGE, frame: Frame, walls: Sequence[Box] | None, widths: LetterWidths
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
        frame: Frame,
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
        self._sets: dict[tuple[float | None, ...], _Look] = {}
        self._matrix = raw.FS_MATRIX()
        self._matrix_place = ctypes.addressof(self._matrix)
        self._fonts: dict[int, tuple[str, bool]] = {}
        self._widths = widths
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._point = ctypes.addressof(self._x), ctypes.addressof(self._y)
        self._rectangle = raw.FS_RECTF()
        self._corners = ctypes.addressof(self._rectangle)

    def read(self, begin: int, end: int, run: int) -> list[tuple[Word, int]]:
        """The words of characters ``begin`` up to ``end``, which are one run, with their angles in sixteenths of a turn."""
        text = self._characters[begin:end]
        begin += len(text) - len(text.lstrip())
        text = text.strip()
        if self._walls is not None and text.count(" ") >= _FEWEST_GAPS and not self._frame.quarters:
            line = self._even_line(text, begin, run)
            if line is not None:
                return [(line, 0)]
        read_one = self._read_one if self._frame.quarters else self._read_upright
        return [
            read_one(_clean(found[0]), begin + found.start(), begin + found.end() - 1, run)
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
        char_origin(self._address, index, *self._point)
        return self._frame.top - float(self._y.value)

    def _left(self, index: int) -> float:
        loose_box(self._address, index, self._corners)
        return float(self._rectangle.left)

    def _right(self, index: int) -> float:
        loose_box(self._address, index, self._corners)
        return float(self._rectangle.right)

    def _read_one(self, text: str, first: int, last: int, run: int) -> tuple[Word, int]:
        char_origin(self._address, first, *self._point)
        look = self._look(first)
        size = look.size
        frame, r = self._frame, self._rectangle
        _, baseline = frame.point(self._x.value, self._y.value)
        loose_box(self._address, first, self._corners)
        start, end = frame.point(r.left, r.bottom)[0], frame.point(r.right, r.top)[0]
        x0, x1 = min(start, end), max(start, end)
        if last > first:
            loose_box(self._address, last, self._corners)
            start, end = frame.point(r.left, r.bottom)[0], frame.point(r.right, r.top)[0]
            x0, x1 = min(x0, start, end), max(x1, start, end)
        box = Box(x0, baseline - 0.8 * size, x1, baseline + 0.2 * size)
        return Word(text, box, baseline, size, look.is_bold, run), look.turn

    def _read_upright(self, text: str, first: int, last: int, run: int) -> tuple[Word, int]:
        """As `_read_one`, on a page that is not turned."""
        address, corners, r = self._address, self._corners, self._rectangle
        char_origin(address, first, *self._point)
        look = self._look(first)
        size, baseline, edge = look.size, self._frame.top - self._y.value, self._frame.left
        loose_box(address, first, corners)
        start, end = r.left - edge, r.right - edge
        x0, x1 = (start, end) if start < end else (end, start)
        if last > first:
            loose_box(address, last, corners)
            start, end = r.left - edge, r.right - edge
            x0, x1 = min(x0, start, end), max(x1, start, end)
        box = Box(x0, baseline - 0.8 * size, x1, baseline + 0.2 * size)
        return Word(text, box, baseline, size, look.is_bold, run), look.turn

    def _look(self, index: int) -> _Look:
        key = text_object(self._address, index) or 0
        look = self._looks.get(key)
        if look is None:
            matrix = self._matrix
            char_matrix(self._address, index, self._matrix_place)
            set_in = (
                text_font(key) if key else 0,
                font_size(self._address, index),
                matrix.a,
                matrix.b,
                matrix.c,
                matrix.d,
            )
            look = self._sets.get(set_in)
            if look is None:
                look = self._sets[set_in] = self._look_of(*set_in)
            self._looks[key] = look
        return look

    def _look_of(self, font: int | None, size: float, a: float, b: float, c: float, d: float) -> _Look:
        scale = math.sqrt(abs(a * d - b * c)) or 1.0
        name, is_bold = self._font(font)
        return _Look(name, size * scale, round(math.atan2(b, a) * 8 / math.pi), is_bold)

    def _font(self, font: int | None) -> tuple[str, bool]:
        """A font's name, and whether it is bold."""
        if not font:
            return "", False
        if font not in self._fonts:
            pointer = ctypes.cast(font, raw.FPDF_FONT)
            buffer = ctypes.create_string_buffer(256)
            raw.FPDFFont_GetBaseFontName(pointer, buffer, 256)
            name = buffer.value.decode("latin-1")
            # Most subset fonts claim weight 400 whatever they are, so the name decides first.
            named = bool(_BOLD_NAME.search(name.rpartition("+")[2]))
            self._fonts[font] = name, named or raw.FPDFFont_GetWeight(pointer) >= _BOLD_WEIGHT
        return self._fonts[font]
