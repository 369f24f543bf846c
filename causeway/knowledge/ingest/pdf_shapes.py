"""What stands on a page, as plain values: words, lines drawn, the sheet itself. Made by `pdf_page` and `ocr`, read by layout.

Coordinates are points from the top left corner of the page as it is read; ``y`` grows downwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from causeway.knowledge.document import Block

SOFT_HYPHEN = "\u00ad"


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
