"""What stands on a page, as plain values: words, lines drawn, the sheet itself. Made by `pdf_page` and `ocr`, read by layout.

Coordinates are points from the top left corner of the page as it is read; ``y`` grows downwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from causeway.knowledge.document import Block

SOFT_HYPHEN: Final = "\u00ad"


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
        x0, y0, x1, y1 = self
        left, top, right, bottom = other
        return make_box(
            (
                x0 if x0 < left else left,
                y0 if y0 < top else top,
                x1 if x1 > right else right,
                y1 if y1 > bottom else bottom,
            )
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


make_box: Final[Callable[[tuple[float, float, float, float]], Box]] = partial(tuple.__new__, Box)
"""A box of its four sides, made in half the time of a call of the class: pages take hundreds of these."""
make_word: Final[Callable[[tuple[str, Box, float, float, bool, int]], Word]] = partial(tuple.__new__, Word)
"""A word of its fields, likewise."""


def has_plain_letters(words: Iterable[Word]) -> bool:
    """Whether there are any, and seven of ten are letters of words in ASCII alone."""
    letters = others = 0
    for text, _, _, _, _, _ in words:
        letters += len(text)
        if not text.isascii():
            others += len(text)
    return letters > 0 and others <= 0.3 * letters


class Ruling(NamedTuple):
    """A straight horizontal or vertical line."""

    box: Box
    is_horizontal: bool


make_ruling: Final[Callable[[tuple[Box, bool]], Ruling]] = partial(tuple.__new__, Ruling)
"""A ruling of its fields, as `make_box` makes boxes."""


class Turn(NamedTuple):
    """How a page was turned to be read.

    Attributes:
        quarters: Quarters of a turn, clockwise, from the page as shown to the page as read.
        skew_degrees: By how much it was then turned counter-clockwise about its middle.
    """

    quarters: int = 0
    skew_degrees: float = 0.0


UPRIGHT: Final = Turn()
"""As most pages are."""


class Sheet(NamedTuple):
    """The page as it was read: how large, and how it was turned."""

    width: float
    height: float
    turn: Turn

    def shown(self, box: Box) -> tuple[float, float, float, float]:
        """Where a box is on the page as shown: left, top, right and bottom as shares of its sides, 0 to 1."""
        width, height, (quarters, skew) = self
        if not quarters and not skew:
            x0, y0, x1, y1 = box
            x0, y0, x1, y1 = x0 / width, y0 / height, x1 / width, y1 / height
            if 0.0 <= x0 <= x1 <= 1.0 and 0.0 <= y0 <= y1 <= 1.0:
                return x0, y0, x1, y1
            return _share(x0), _share(y0), _share(x1), _share(y1)
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
            xs.append(_share(across))
            ys.append(_share(down))
        return min(xs), min(ys), max(xs), max(ys)


def rounded(value: float, parts: float) -> float:
    """As `round` does, to tenths or thousandths where ``parts`` says so, in a fifth of the time."""
    shifted = value * parts
    whole = math.floor(shifted)
    rest = shifted - whole
    if abs(rest - 0.5) < 1e-6:  # which of two is nearer only exact arithmetic can say
        return round(value, 1 if parts == 10.0 else 3)
    return (whole + (rest > 0.5)) / parts


def _share(value: float) -> float:
    return 0.0 if value < 0.0 else min(value, 1.0)


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on one page.

    Attributes:
        number: From 1.
        is_picture: Pictures cover most of it, as in a scan.
        is_ocr: Its words were read from the picture.
        has_drawings: Something is drawn on it that is no text.
        spaces: Gaps between words that are given as one, as cells are, in units of their size.
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
    spaces: tuple[float, ...] = ()
    notes: tuple[Block, ...] = ()
    turn: Turn = UPRIGHT

    @property
    def sheet(self) -> Sheet:
        """The page without what stands on it."""
        return Sheet(self.width, self.height, self.turn)
