"""Reads the words of a PDF page from pdfium: where they stand, in which font, and which lines are but evenly spaced prose.

Owns pdfium's text interface. A page has hundreds of words and thousands of letters, and each question takes a third of a
microsecond and as long again to make something of the answer, so as few as possible are asked; `bench/parsing_bars.py`
compares with asking for the bare text. Longer than most modules, because what is asked and what the answers mean are one.
"""

from __future__ import annotations

import ctypes
import math
import re
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import islice, repeat
from operator import itemgetter
from struct import Struct
from typing import Final, NamedTuple

import pypdfium2.raw as raw  # type: ignore[import-untyped]  # it ships no types

from causeway.knowledge.ingest.pdf_letters import Letters, LetterWidths
from causeway.knowledge.ingest.pdf_shapes import SOFT_HYPHEN, Box, Word, make_box, make_word, rounded
from causeway.knowledge.ingest.pdfium_calls import (
    Room,
    char_matrix,
    char_origin,
    crop_box,
    font_name,
    font_size,
    font_weight,
    loose_box,
    media_box,
    rotation,
    text_font,
    text_object,
    tight_box,
)

# pdfium writes U+FFFE (in some calls 2) for a hyphen at a line's end, and no line break after it.
_HYPHENS: Final = "\ufffe\x02"
_LINE_OR_HYPHEN: Final = re.compile(r"[\ufffe\x02]|[^\r\n\ufffe\x02]+")
_WORD: Final = re.compile(r"[^\s\x00]+")
_REPLACED: Final[dict[int, str]] = {
    **dict.fromkeys((*range(32), *range(127, 160)), ""),
    **dict.fromkeys((0x02, 0xAD, 0xFFFE), SOFT_HYPHEN),  # what pdfium makes of a hyphen that splits a word
    **dict(zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True)),
}
_NEEDS_CARE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\xad\ud800-\udfff\ufb00-\ufb06\ufffe]")
_BOLD_NAME: Final = re.compile(r"bold|black|heavy|semib|demi|[-,]bd\b|[-,]b$", re.IGNORECASE)
_BOLD_WEIGHT: Final = 600


class Frame:
    """Turns pdfium's coordinates (from the bottom left, before rotation) into those of the page as shown.

    No dataclass, since compiled these are made by Python's own steps.
    """

    __slots__ = ("bottom", "left", "quarters", "right", "top")

    def __init__(self, left: float, bottom: float, right: float, top: float, quarters: int) -> None:
        self.left = left
        self.bottom = bottom
        self.right = right
        self.top = top
        self.quarters = quarters

    @staticmethod
    def of(page: raw.FPDF_PAGE) -> Frame:
        """The frame of a page as its rotation has it shown; a letter's size where the page does not say how large it is."""
        pointer = ctypes.byref(page.contents)
        _SIDES.pack_into(_FLOATS.memory, 0, 0.0, 0.0, 612.0, 792.0)
        if not crop_box(pointer, *_FLOATS.places):
            media_box(pointer, *_FLOATS.places)
        left, bottom, right, top = _SIDES.unpack_from(_FLOATS.memory)
        return Frame(left, bottom, right, top, rotation(pointer) % 4)

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
            return make_box((x0 - self.left, self.top - y1, x1 - self.left, self.top - y0))
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
        frame = Frame(frame.left, frame.bottom, frame.right, frame.top, quarters)
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


def _lines(text: str) -> list[tuple[str, int]]:
    """The lines that are not empty, and each hyphen at a line's end, with the places where they begin."""
    lines = text.split("\r\n")
    ends = len(lines) - 1
    if text.count("\r") != ends or text.count("\n") != ends or any(map(text.__contains__, _HYPHENS)):
        return [(found[0], found.start()) for found in _LINE_OR_HYPHEN.finditer(text)]
    placed: list[tuple[str, int]] = []
    begin = 0
    for line in lines:
        length = len(line)
        if length:
            placed.append((line, begin))
        begin += length + 2
    return placed


def _words(text: str, begin: int, run: int) -> list[_Piece]:
    if not text.isprintable():  # it may have other white space than spaces
        return [(found[0], begin + found.start(), run) for found in _WORD.finditer(text)]
    words: list[_Piece] = []
    for word in text.split(" "):
        if word:
            words.append((word, begin, run))
        begin += len(word) + 1
    return words


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    if not _NEEDS_CARE.search(text):
        return text
    text = text.replace("\x00", "")
    # Characters beyond U+FFFF may come as two halves.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").translate(_REPLACED)


def _rounded(points: float) -> float:
    """To thousandths."""
    parts = points * 1000 + 0.5
    return int(parts) / 1000 if parts >= 0 else parts // 1 / 1000


class _Look:
    """How a text object is set; no dataclass, since compiled these are made by Python's own steps.

    Attributes:
        turn: In sixteenths of a turn.
        height: Of its letters' boxes, points, as far as known; those of letters that stick out are higher.
        drop: By how much boxes of this height reach below the baseline, points; None where the font does not say how high
            letters are, and each box fits its letter.
    """

    __slots__ = ("drop", "font", "height", "is_bold", "letters", "size", "turn")

    def __init__(
        self,
        font: int,
        letters: Letters,
        size: float,
        turn: int,
        is_bold: bool,
        height: float,
        drop: float | None,
    ) -> None:
        self.font = font
        self.letters = letters
        self.size = size
        self.turn = turn
        self.is_bold = is_bold
        self.height = height
        self.drop = drop


_ALIKE: Final = 0.01  # points: two sizes
_LEVEL: Final = 0.02  # of the size: two baselines
_EQUAL: Final = 0.001  # points: heights of two boxes
_SPACE: Final = (0.1, 0.55)
_USUAL_SPACE: Final = 0.15
"""Few spaces in even text are narrower."""
_WIDE_SPACE: Final = 0.3
_UNEVEN: Final = 0.12
_SAMPLES: Final = 3
_SIDES: Final = Struct("4f")  # left, top, right, bottom
_POINT: Final = Struct("2d")
_MATRIX: Final = Struct("4f")  # and where it begins, which is not looked at
_CORNERS: Final = Struct("4d")
_FLOATS: Final = Room(4, 4)
_ANSWER: Final = Room(8, 4)
_BOXES: Final = Room(_SIDES.size, 256)

_Sides = tuple[float, float, float, float]
"""Left, top, right and bottom of a letter's box."""


_Piece = tuple[str, int, int]
"""Letters that follow each other on one line, the index of the first, and the line: a run of them, what of it was written at
once, or a word."""


class _WordReader:
    """Asks pdfium where words stand and in which font; remembers the answers that hold for a whole run.

    Most of a page is lines of evenly spaced prose, and for these few questions are enough: the letters' widths are known,
    and when the last stands where these widths put it, there is no gap in the line that could part columns or cells. It
    is then given back as one word. Of any other line, what was written at once is tried in the same way; those are
    mostly cells. What is left is asked about word by word. Each of the three goes over the whole page, so that what is asked
    about every line is asked in one go, which takes half the time.
    """

    def __init__(
        self, text_page: raw.FPDF_TEXTPAGE, frame: Frame, walls: Sequence[Box] | None, widths: LetterWidths
    ) -> None:
        """As `words_of` takes them."""
        self._page = ctypes.byref(text_page.contents)
        self._characters = _characters(text_page)
        self._frame = frame
        self._left, self._top = frame.left, frame.top
        self._walls = sorted(walls or ())
        self._wall_places = [wall.x0 for wall in self._walls]
        self._takes_lines = walls is not None and not frame.quarters
        self._widths = widths
        self._sets: dict[tuple[int, float, bytes], _Look] = {}
        self._looks: dict[int, _Look] = {}
        self._fonts: dict[int, tuple[str, bool]] = {}
        self._look: _Look | None = None
        self._written = 0
        self._is_even_text = True
        self._run = -1
        self._found: list[tuple[int, Word, int]] = []
        self.spaces: list[float] = []

    def read(self) -> tuple[list[Word], list[int]]:
        """The page's words, and their angles in sixteenths of a turn."""
        runs: list[_Piece] = []
        words: list[_Piece] = []
        hyphens: list[int] = []
        for run, (text, begin) in enumerate(_lines(self._characters)):
            if len(text) == 1 and text in _HYPHENS:
                hyphens.append(begin)
                continue
            stripped = text.strip()
            if len(stripped) != len(text):
                begin += len(text) - len(text.lstrip())
                text = stripped
            if self._takes_lines and " " in text:
                runs.append((text, begin, run))
            else:
                words += _words(text, begin, run)
        self._read_words([*words, *self._read_pieces(*self._read_runs(runs))])
        self._found.sort(key=itemgetter(0))
        for hyphen in hyphens:
            self._add_hyphen(hyphen)
        return [word for _, word, _ in self._found], [turn for _, _, turn in self._found]

    def _add_hyphen(self, place: int) -> None:
        last = bisect_right(self._found, place, key=itemgetter(0)) - 1
        if last >= 0:
            begin, word, turn = self._found[last]
            self._found[last] = begin, word._replace(text=f"{word.text}-"), turn

    def _read_runs(self, runs: Sequence[_Piece]) -> tuple[list[_Piece], list[_Piece]]:
        """Read runs as one word each; gives back those to be read by their pieces, and the words of those that are uneven."""
        again: list[_Piece] = []
        words: list[_Piece] = []
        lasts = [begin + len(text) - 1 for text, begin, _ in runs]
        written_last: list[int] = list(map(text_object, repeat(self._page), lasts))
        objects, fonts, starts, stops = self._ends(runs)
        # Compiled, zip is a plain loop, but not with strict; these are as long as each other.
        for piece, written, font, first, last, ends in zip(runs, objects, fonts, starts, stops, written_last):  # noqa: B905
            text, begin, run = piece
            baseline, look = self._stand(begin, first, run, written, font)
            gaps = text.count(" ")
            if written == ends:
                space = self._read_even(piece, gaps, first[0], last[2], baseline, look)
                if not space:
                    words += _words(*piece)
                elif gaps == 1 or space > _WIDE_SPACE:
                    self.spaces += [space] * gaps
                continue
            if gaps > 1 and text_font(ends) == look.font:
                level, after = self._stand(begin + len(text) - 1, last, run, ends, look.font)
                if abs(level - baseline) <= _LEVEL * look.size and abs(after.size - look.size) < _ALIKE:
                    space = self._read_even(piece, gaps, first[0], last[2], baseline, look)
                    if space > _WIDE_SPACE:
                        self.spaces += [space] * gaps
                    if space:
                        continue
            again.append(piece)
        return again, words

    def _read_pieces(self, runs: Iterable[_Piece], words: list[_Piece]) -> list[_Piece]:
        """Read each part of the runs that was written at once as one word; gives back ``words`` and those of uneven parts."""
        pieces: list[_Piece] = []
        for piece in self._written_at_once(runs):
            (pieces if " " in piece[0] else words).append(piece)
        objects, fonts, starts, stops = self._ends(pieces)
        for piece, written, font, first, last in zip(pieces, objects, fonts, starts, stops):  # noqa: B905 - as above
            text, begin, run = piece
            baseline, look = self._stand(begin, first, run, written, font)
            gaps = text.count(" ")
            space = self._read_even(piece, gaps, first[0], last[2], baseline, look)
            if space:
                self.spaces += [space] * gaps
            else:
                words += _words(*piece)
        return words

    def _written_at_once(self, runs: Iterable[_Piece]) -> list[_Piece]:
        """The runs, cut where another text object begins."""
        words: list[_Piece] = []
        for text, begin, run in runs:
            words += _words(text, begin, run)
        objects: list[int] = list(map(text_object, repeat(self._page), [first for _, first, _ in words]))
        pieces: list[_Piece] = []
        characters = self._characters
        start = end = piece = 0
        line = -1
        for (word, first, run), written in zip(words, objects):  # noqa: B905 - as above
            if run != line or written != piece or not written:
                if end > start:
                    pieces.append((characters[start:end], start, line))
                start, line = first, run
            piece, end = written, first + len(word)
        if end > start:
            pieces.append((characters[start:end], start, line))
        return pieces

    def _read_words(self, words: list[_Piece]) -> None:
        self._look, self._is_even_text = None, False
        if self._frame.quarters:
            for piece in words:
                self._read_turned(*piece)
            return
        words.sort(key=itemgetter(1))
        objects, fonts, starts, stops = self._ends(words)
        for (text, begin, run), written, font, first, last in zip(words, objects, fonts, starts, stops):  # noqa: B905 - as above
            baseline, look = self._stand(begin, first, run, written, font)
            x0, x1 = min(first[0], first[2], last[0], last[2]), max(first[0], first[2], last[0], last[2])
            self._add(text, begin, x0 - self._left, x1 - self._left, baseline, look, run)

    def _ends(self, pieces: Sequence[_Piece]) -> tuple[list[int], list[int], list[_Sides], list[_Sides]]:
        """For each piece the text object and font of its first letter, and the sides of its first and of its last.

        They are asked for all pieces at once.
        """
        firsts = [begin for _, begin, _ in pieces]
        lasts = [begin + len(text) - 1 for text, begin, _ in pieces]
        objects = list(map(text_object, repeat(self._page), firsts))
        return objects, list(map(text_font, objects)), self._all_sides(firsts), self._all_sides(lasts)

    def _read_even(
        self, piece: _Piece, gaps: int, left: float, right: float, baseline: float, look: _Look
    ) -> float:
        """The space between the words of a piece, in units of their size, when they are even and read as one; else 0.

        One function with all its steps, since most of a page's lines and cells come through here.
        """
        if look.turn or look.drop is None:  # it may be askew
            return 0.0
        text, begin, run = piece
        size, letters = look.size, look.letters
        ink = letters.width(text)
        if ink is None:
            ink = self._learned(text, begin, look)
        space = ((right - left) / size - ink) / gaps
        if not _SPACE[0] < space < _SPACE[1]:
            return 0.0
        if (
            space + (gaps - 1) * (space - _USUAL_SPACE) >= _SPACE[1]
            and abs(space - letters.space) * gaps >= _UNEVEN
            and not self._is_even(text, begin, left, space, look)
        ):
            return 0.0
        x0, x1 = left - self._left, right - self._left
        if self._walls and self._crosses_wall(x0 + 2, x1 - 2, baseline, size):
            return 0.0
        if not text.isascii() or not text.isprintable() or "  " in text:
            text = _clean(" ".join(text.split()))
        box = make_box((x0, baseline - 0.8 * size, x1, baseline + 0.2 * size))
        self._found.append((begin, make_word((text, box, baseline, size, look.is_bold, run)), 0))
        return space

    def _learned(self, text: str, begin: int, look: _Look) -> float:
        """The width of a text that has letters not met before; they are asked for."""
        letters, size = look.letters, look.size
        unknown = list(letters.unknown(text))
        sides = self._all_sides([begin + text.index(letter) for letter in unknown])
        for letter, (x0, _, x1, _) in zip(unknown, sides):  # noqa: B905 - as above
            letters.learn(letter, (x1 - x0) / size)
        return letters.width(text) or 0.0

    def _is_even(self, text: str, begin: int, left: float, space: float, look: _Look) -> bool:
        """Whether words in the middle of ``text`` stand where spaces of this width put them."""
        letters, size = look.letters, look.size
        place, x = 0, left
        for sample in range(1, _SAMPLES + 1):
            after = text.find(" ", max(place + 1, sample * len(text) // (_SAMPLES + 1))) + 1
            if not after or text[after] == " ":
                break
            part = text[place:after]
            x += size * ((letters.width(part) or 0.0) + part.count(" ") * space)
            place = after
            if abs(self._sides(begin + place)[0] - x) > _UNEVEN * size:
                return False
        letters.space = space
        return True

    def _crosses_wall(self, left: float, right: float, baseline: float, size: float) -> bool:
        first = bisect_right(self._wall_places, left)
        for x, y0, _, y1 in self._walls[first:]:
            if x >= right:
                return False
            if y0 < baseline < y1 + size:
                return True
        return False

    def _read_turned(self, text: str, first: int, run: int) -> None:
        """Read a word on a page that is turned."""
        point = self._frame.point
        sides = left, top, right, bottom = self._sides(first)
        written = text_object(self._page, first)
        _, look = self._stand(first, sides, run, written, text_font(written))
        _, baseline = point(*self._origin(first))
        ends = [point(left, bottom)[0], point(right, top)[0]]
        if len(text) > 1:
            left, top, right, bottom = self._sides(first + len(text) - 1)
            ends += [point(left, bottom)[0], point(right, top)[0]]
        self._add(text, first, min(ends), max(ends), baseline, look, run)

    def _add(
        self, text: str, begin: int, x0: float, x1: float, baseline: float, look: _Look, run: int
    ) -> None:
        if not text.isascii() or not text.isprintable():
            text = _clean(text)
        if text:
            size = look.size
            box = make_box((x0, baseline - 0.8 * size, x1, baseline + 0.2 * size))
            self._found.append((begin, make_word((text, box, baseline, size, look.is_bold, run)), look.turn))

    # --- questions ---------------------------------------------------------------------------------------

    def _all_sides(self, indices: list[int]) -> list[_Sides]:
        """Of several characters, as of one."""
        _BOXES.grow(len(indices))
        deque(map(loose_box, repeat(self._page), indices, _BOXES.places), maxlen=0)
        return list(islice(_SIDES.iter_unpack(_BOXES.memory), len(indices)))

    def _sides(self, index: int) -> _Sides:
        """Left, top, right and bottom of a character's box."""
        loose_box(self._page, index, _ANSWER.places[0])
        left, top, right, bottom = _SIDES.unpack_from(_ANSWER.memory)
        return left, top, right, bottom

    def _origin(self, index: int) -> tuple[float, float]:
        """Where on its baseline a character begins."""
        char_origin(self._page, index, _ANSWER.places[0], _ANSWER.places[1])
        x, y = _POINT.unpack_from(_ANSWER.memory)
        return x, y

    def _stand(self, index: int, sides: _Sides, run: int, written: int, font: int) -> tuple[float, _Look]:
        """Where a character with these sides stands, from the top of the page, and how it is set.

        Characters of one text object are set alike, and so is the same font as high as before in one run. In text that may be
        even it is in other runs, too: if it were turned, its letters would not stand where their widths put them. Where a
        character stands is asked for when its box is not as high as others of its look.
        """
        _, top, _, bottom = sides
        look, height = self._look, top - bottom
        if look is not None and written:
            is_alike = look.drop is not None and abs(height - look.height) <= _EQUAL
            if is_alike and font == look.font and (self._is_even_text or run == self._run):
                self._written = written
                return _rounded(self._top - bottom - (look.drop or 0.0)), look
            if written != self._written:
                look = None
        if look is None or not written:
            look = self._looks.get(written) or self._asked_look(index, sides, font)
            if written:
                self._looks[written] = look
            self._look, self._run, self._written = look, run, written
        if look.drop is None or abs(height - look.height) > _EQUAL:
            return rounded(self._top - self._origin(index)[1], 1000.0), look
        return _rounded(self._top - bottom - look.drop), look

    def _asked_look(self, index: int, sides: _Sides, font: int) -> _Look:
        """How a character with these sides is set, as pdfium says."""
        char_matrix(self._page, index, _ANSWER.places[0])
        key = font, font_size(self._page, index), bytes(_ANSWER.memory[: _MATRIX.size])
        look = self._sets.get(key)
        if look is None:
            look = self._sets[key] = self._look_of(index, sides, *key)
        return look

    def _look_of(self, index: int, sides: _Sides, font: int, points: float, matrix: bytes) -> _Look:
        a, b, c, d = _MATRIX.unpack(matrix)
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
        tight_box(self._page, index, *_ANSWER.places)
        return _CORNERS.unpack_from(_ANSWER.memory)

    def _font(self, font: int) -> tuple[str, bool]:
        """A font's name, and whether it is bold."""
        if not font:
            return "", False
        known = self._fonts.get(font)
        if known is None:
            size = font_name(font, None, 0)
            room = bytearray(size or 1)
            font_name(font, ctypes.addressof(ctypes.c_char.from_buffer(room)), size)
            name = room[: size - 1].decode("latin-1") if size else ""
            # Most subset fonts claim weight 400 whatever they are, so the name decides first.
            named = bool(_BOLD_NAME.search(name.rpartition("+")[2]))
            known = self._fonts[font] = name, named or font_weight(font) >= _BOLD_WEIGHT
        return known
