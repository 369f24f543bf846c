"""Reads the words of a PDF page from pdfium: where they stand, in which font, and which lines are but evenly spaced prose.

Owns pdfium's text interface. A page has hundreds of words and thousands of letters, and each question takes a third of a
microsecond and as long again to make something of the answer, so as few as possible are asked; `bench/parsing_bars.py`
compares with asking for the bare text. Longer than most modules, because what is asked and what the answers mean are one.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from struct import Struct
from typing import NamedTuple

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types
import pypdfium2.raw as raw  # type: ignore[import-untyped]  # it ships no types

from causeway.knowledge.ingest.pdf_letters import Letters, LetterWidths
from causeway.knowledge.ingest.pdf_shapes import SOFT_HYPHEN, Box, Word
from causeway.knowledge.ingest.pdfium_calls import (
    char_matrix,
    char_origin,
    font_size,
    loose_box,
    text_font,
    text_object,
    tight_box,
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
        if self.quarters == 0 and x0 <= x1 and y0 <= y1:
            return Box(x0 - self.left, self.top - y1, x1 - self.left, self.top - y0)
        (ax, ay), (bx, by) = self.point(x0, y0), self.point(x1, y1)
        return Box(min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))


class PageText(NamedTuple):
    """The words of a page.

    Attributes:
        words: Those of an even line or cell are one.
        spaces: Gaps inside cells that are one word, in units of their size.
        frame: What the words stand in.
    """

    words: tuple[Word, ...]
    spaces: tuple[float, ...]
    frame: Frame


def words_of(
    text_page: raw.FPDF_TEXTPAGE, frame: Frame, walls: Sequence[Box] | None, widths: LetterWidths
) -> PageText:
    """The words that stand as most of the page's do, watermarks at an angle left out.

    Evenly spaced words are taken as one, but never across ``walls``, the vertical lines drawn on the page; with None each
    word is one of its own.
    """
    reader = _WordReader(text_page, frame, walls, widths)
    words, turns = reader.read()
    upright = 0
    if any(turns):
        letters: Counter[int] = Counter()
        for word, turn in zip(words, turns, strict=True):
            letters[turn] += len(word.text)
        upright = letters.most_common(1)[0][0]
    # Where the text runs up, down or backwards, the page is turned until it runs to the right.
    quarters = round(upright / 4) % 4
    if words and quarters != frame.quarters:
        frame = replace(frame, quarters=quarters)
        reader = _WordReader(text_page, frame, None, widths)
        words, turns = reader.read()
    if any(turns):
        words = [word for word, turn in zip(words, turns, strict=True) if turn == upright]
    return PageText(tuple(words), tuple(reader.spaces), frame)


def _characters(text_page: raw.FPDF_TEXTPAGE) -> str:
    """The page's characters, one for each that pdfium counts, so that places in the text are its indices."""
    count = raw.FPDFText_CountChars(text_page)
    buffer = bytearray(2 * count + 2)
    if raw.FPDFText_GetText(text_page, 0, count, ctypes.c_ushort.from_buffer(buffer)) == count + 1:
        text = buffer[:-2].decode("utf-16-le", "replace")
        if len(text) == count:  # else some character takes two places
            return text
    return "".join(chr(raw.FPDFText_GetUnicode(text_page, index)) for index in range(count))


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\x00", "")
    # Characters beyond U+FFFF may come as two halves.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").translate(_REPLACED)


class _Look(NamedTuple):
    """How a text object is set.

    Attributes:
        turn: In sixteenths of a turn.
        height: Of its letters' boxes, points, as far as known; those of letters that stick out are higher.
        drop: By how much boxes of this height reach below the baseline, points; None where the font does not say how high
            letters are, and each box fits its letter.
    """

    font: int
    letters: Letters
    size: float
    turn: int
    is_bold: bool
    height: float
    drop: float | None


_ALIKE = 0.01  # points: two sizes
_LEVEL = 0.02  # of the size: two baselines
_EQUAL = 0.001  # points: heights of two boxes
_SPACE = (0.1, 0.55)
_USUAL_SPACE = 0.15
"""Few spaces in even text are narrower."""
_WIDE_SPACE = 0.3
_UNEVEN = 0.12
_SAMPLES = 3
_SIDES = Struct("4f")  # left, top, right, bottom
_POINT = Struct("2d")
_MATRIX = Struct("6f")
_CORNERS = Struct("4d")


class _WordReader:
    """Asks pdfium where words stand and in which font; remembers the answers that hold for a whole run.

    Most of a page is lines of evenly spaced prose, and for these few questions are enough: the letters' widths are known,
    and when the last stands where these widths put it, there is no gap in the line that could part columns or cells. It
    is then given back as one word. Of any other line, what was written at once is tried in the same way; those are
    mostly cells. What is left is asked about word by word.
    """

    def __init__(
        self, text_page: raw.FPDF_TEXTPAGE, frame: Frame, walls: Sequence[Box] | None, widths: LetterWidths
    ) -> None:
        """As `words_of` takes them."""
        self._address = ctypes.addressof(text_page.contents)
        self._characters = _characters(text_page)
        self._frame = frame
        self._left, self._top = frame.left, frame.top
        self._walls = walls or ()
        self._takes_lines = walls is not None and not frame.quarters
        self._read_word = self._read_turned if frame.quarters else self._read_upright
        self._widths = widths
        self._sets: dict[tuple[float, ...], _Look] = {}
        self._fonts: dict[int, tuple[str, bool]] = {}
        self._look: _Look | None = None
        self._written: int | None = None
        self._run = -1
        self._room = bytearray(_CORNERS.size)
        self._place = ctypes.addressof(ctypes.c_char.from_buffer(self._room))
        self._corners = tuple(self._place + 8 * number for number in range(4))
        self._words: list[Word] = []
        self._turns: list[int] = []
        self.spaces: list[float] = []

    def read(self) -> tuple[list[Word], list[int]]:
        """The page's words, and their angles in sixteenths of a turn."""
        words = self._words
        for run, found in enumerate(_LINE_OR_HYPHEN.finditer(self._characters)):
            text = found[0]
            if text in ("\ufffe", "\x02"):
                if words:
                    words[-1] = words[-1]._replace(text=f"{words[-1].text}-")
                continue
            begin = found.start()
            if text[0].isspace() or text[-1].isspace():
                begin += len(text) - len(text.lstrip())
                text = text.strip()
            gaps = text.count(" ")
            if not gaps or not self._takes_lines:
                self._read_each(text, begin, run)
            else:
                self._read_run(text, begin, run, gaps)
        return words, self._turns

    def _read_run(self, text: str, begin: int, run: int, gaps: int) -> None:
        """Read a run as one word; by its pieces when it is set in two ways or there are gaps in it."""
        last = begin + len(text) - 1
        start = self._sides(begin)
        written, ends = text_object(self._address, begin), text_object(self._address, last)
        look = self._look_at(begin, start, run, written)
        baseline = self._baseline(begin, start, look)
        end = self._sides(last)
        if written == ends:
            space = self._read_even(text, begin, run, gaps, (start[0], end[2], baseline), look)
            if not space:
                self._read_each(text, begin, run)
            elif gaps == 1 or space > _WIDE_SPACE:
                self.spaces += [space] * gaps
            return
        if gaps > 1 and ((text_font(ends) if ends else 0) or 0) == look.font:
            after = self._look_at(last, end, run, ends)
            is_level = abs(self._baseline(last, end, after) - baseline) <= _LEVEL * look.size
            is_alike = is_level and abs(after.size - look.size) < _ALIKE
            if is_alike:
                space = self._read_even(text, begin, run, gaps, (start[0], end[2], baseline), look)
                if space > _WIDE_SPACE:
                    self.spaces += [space] * gaps
                if space:
                    return
        self._read_pieces(text, begin, run)

    def _read_pieces(self, text: str, begin: int, run: int) -> None:
        """Read each part of a run that was written at once as one word, or its words one by one."""
        start = end = 0
        piece: int | None = None
        for found in _WORD.finditer(text):
            first, after = found.span()
            written = text_object(self._address, begin + first)
            if end and (written != piece or not written):
                self._read_piece(text[start:end], begin + start, run, piece)
                start = first
            piece, end = written, after
        if end:
            self._read_piece(text[start:end], begin + start, run, piece)

    def _read_piece(self, text: str, begin: int, run: int, written: int | None) -> None:
        gaps = text.count(" ")
        if gaps:
            start = self._sides(begin)
            look = self._look_at(begin, start, run, written)
            baseline = self._baseline(begin, start, look)
            right = self._sides(begin + len(text) - 1)[2]
            space = self._read_even(text, begin, run, gaps, (start[0], right, baseline), look)
            if space > 0:
                self.spaces += [space] * gaps
                return
        self._read_each(text, begin, run)

    def _read_each(self, text: str, begin: int, run: int) -> None:
        for found in _WORD.finditer(text):
            self._read_word(found[0], begin + found.start(), run)

    def _read_even(
        self, text: str, begin: int, run: int, gaps: int, place: tuple[float, float, float], look: _Look
    ) -> float:
        """The space between the words of ``text``, read as one at ``place``: left, right, baseline; 0 when it is not even."""
        left, right, baseline = place
        if look.turn or look.drop is None:  # it may be askew
            return 0.0
        size = look.size
        space = self._space(text, begin, gaps, left, right, look)
        x0, x1 = left - self._left, right - self._left
        if not space or self._crosses_wall(x0 + 2, x1 - 2, baseline, size):
            return 0.0
        if not text.isascii() or not text.isprintable() or "  " in text:
            text = _clean(" ".join(text.split()))
        box = Box(x0, baseline - 0.8 * size, x1, baseline + 0.2 * size)
        self._words.append(Word(text, box, baseline, size, look.is_bold, run))
        self._turns.append(0)
        return space

    def _space(self, text: str, begin: int, gaps: int, left: float, right: float, look: _Look) -> float:
        """The space between words that stand evenly, in units of their size; 0 when they do not."""
        letters, size = look.letters, look.size
        ink = letters.width(text)
        if ink is None:
            for letter in letters.unknown(text):
                x0, _, x1, _ = self._sides(begin + text.index(letter))
                letters.learn(letter, (x1 - x0) / size)
            ink = letters.width(text) or 0.0
        space = ((right - left) / size - ink) / gaps
        if not _SPACE[0] < space < _SPACE[1]:
            return 0.0
        widest = space + (gaps - 1) * (space - _USUAL_SPACE)
        if widest < _SPACE[1] or abs(space - letters.space) * gaps < _UNEVEN:
            return space
        place, x = 0, left
        for sample in range(1, _SAMPLES + 1):
            after = text.find(" ", max(place + 1, sample * len(text) // (_SAMPLES + 1))) + 1
            if not after or text[after] == " ":
                break
            part = text[place:after]
            x += size * ((letters.width(part) or 0.0) + part.count(" ") * space)
            place = after
            if abs(self._sides(begin + place)[0] - x) > _UNEVEN * size:
                return 0.0
        letters.space = space
        return space

    def _crosses_wall(self, left: float, right: float, baseline: float, size: float) -> bool:
        return any(left < x < right and y0 < baseline < y1 + size for x, y0, _, y1 in self._walls)

    def _read_upright(self, text: str, first: int, run: int) -> None:
        """Read a word on a page that is not turned."""
        sides = self._sides(first)
        look = self._look_at(first, sides, run, text_object(self._address, first))
        baseline = self._baseline(first, sides, look)
        x0, _, x1, _ = sides
        if len(text) > 1:
            left, _, right, _ = self._sides(first + len(text) - 1)
            x0, x1 = min(x0, x1, left, right), max(x0, x1, left, right)
        self._add(text, x0 - self._left, x1 - self._left, baseline, look, run)

    def _read_turned(self, text: str, first: int, run: int) -> None:
        """Read a word on a page that is turned."""
        point = self._frame.point
        sides = left, top, right, bottom = self._sides(first)
        look = self._look_at(first, sides, run, text_object(self._address, first))
        _, baseline = point(*self._origin(first))
        ends = [point(left, bottom)[0], point(right, top)[0]]
        if len(text) > 1:
            left, top, right, bottom = self._sides(first + len(text) - 1)
            ends += [point(left, bottom)[0], point(right, top)[0]]
        self._add(text, min(ends), max(ends), baseline, look, run)

    def _add(self, text: str, x0: float, x1: float, baseline: float, look: _Look, run: int) -> None:
        text = _clean(text)
        if text:
            size = look.size
            box = Box(x0, baseline - 0.8 * size, x1, baseline + 0.2 * size)
            self._words.append(Word(text, box, baseline, size, look.is_bold, run))
            self._turns.append(look.turn)

    # --- questions ---------------------------------------------------------------------------------------

    def _sides(self, index: int) -> tuple[float, ...]:
        """Left, top, right and bottom of a character's box."""
        loose_box(self._address, index, self._place)
        return _SIDES.unpack_from(self._room)

    def _origin(self, index: int) -> tuple[float, float]:
        """Where on its baseline a character begins."""
        char_origin(self._address, index, self._place, self._place + 8)
        x, y = _POINT.unpack_from(self._room)
        return x, y

    def _baseline(self, index: int, sides: tuple[float, ...], look: _Look) -> float:
        """Where a character stands, from the top of the page; asked for when its box is not as high as others of its look."""
        _, top, _, bottom = sides
        if look.drop is None or abs(top - bottom - look.height) > _EQUAL:
            return round(self._top - self._origin(index)[1], 3)
        return round(self._top - bottom - look.drop, 3)

    def _look_at(self, index: int, sides: tuple[float, ...], run: int, written: int | None) -> _Look:
        """How a character of a text object is set that has these sides; in one run, the same font as high as before is set as before."""
        look = self._look
        if look is not None and written and written == self._written:
            return look
        self._written = written
        font = (text_font(written) if written else 0) or 0
        if (
            look is not None
            and run == self._run
            and font == look.font
            and abs(sides[1] - sides[3] - look.height) < _EQUAL
            and look.drop is not None
        ):
            return look
        char_matrix(self._address, index, self._place)
        a, b, c, d, _, _ = _MATRIX.unpack_from(self._room)
        points = font_size(self._address, index)
        look = self._sets.get((font, points, a, b, c, d))
        if look is None:
            look = self._sets[font, points, a, b, c, d] = self._look_of(
                index, sides, font, points, (a, b, c, d)
            )
        self._look, self._run = look, run
        return look

    def _look_of(
        self,
        index: int,
        sides: tuple[float, ...],
        font: int,
        points: float,
        matrix: tuple[float, float, float, float],
    ) -> _Look:
        a, b, c, d = matrix
        scale = math.sqrt(abs(a * d - b * c)) or 1.0
        name, is_bold = self._font(font)
        left, top, right, bottom = sides
        drop = None
        if not b and not c and self._tight(index) != (left, right, bottom, top):
            drop = self._origin(index)[1] - bottom
        letters = self._widths.get(name)
        if letters is None:
            letters = self._widths[name] = Letters()
        turn = round(math.atan2(b, a) * 8 / math.pi)
        return _Look(font, letters, points * scale, turn, is_bold, top - bottom, drop)

    def _tight(self, index: int) -> tuple[float, ...]:
        """Left, right, bottom and top of a letter itself; the same as of its box when its font does not say how high letters are."""
        tight_box(self._address, index, *self._corners)
        return _CORNERS.unpack_from(self._room)

    def _font(self, font: int) -> tuple[str, bool]:
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
