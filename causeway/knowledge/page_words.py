"""The words of one page and where each stands: what a passage of a scan is marked with.

A page has about five hundred words, and a shelf of scans a million, so they are packed: sides in ten-thousandths of the
page as shown, each as the difference from the word before, low bytes apart from high ones, the whole deflated. That is 8
bytes a word, where JSON takes 29 and JSON deflated 14 (``bench/results/places.md``).
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple, Self

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import SIDE

_FORM = b"\x01"
_MOST_BYTES = 8_000_000
_MOST_WORDS = 65_535
_BROKEN = "what was kept of the page's words cannot be read; have the document read again"


class PageWord(NamedTuple):
    """A word on a page; its sides in `SIDE` ths of the page as shown, from its top left corner."""

    text: str
    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True)
class PageWords:
    """The words of a page in the order they were read."""

    words: tuple[PageWord, ...]

    @classmethod
    def of(cls, placed: Iterable[tuple[str, Sequence[float]]]) -> Self:
        """Of texts with their left, top, right and bottom as shares of the page; a text of several words is one."""
        found = []
        for text, sides in placed:
            clean = " ".join(text.split())
            if clean:
                found.append(PageWord(clean, *(min(max(round(side * SIDE), 0), SIDE) for side in sides)))
        return cls(tuple(found[:_MOST_WORDS]))

    def pack(self) -> bytes:
        """As few bytes as it takes."""
        columns = [
            _differences([word.x0 for word in self.words]),
            _differences([word.y0 for word in self.words]),
            array("h", (word.x1 - word.x0 for word in self.words)),
            _differences([word.y1 - word.y0 for word in self.words]),
        ]
        text = "\n".join(word.text for word in self.words).encode("utf-8", "replace")
        head = len(self.words).to_bytes(2, "little")
        return _FORM + zlib.compress(head + b"".join(map(_apart, columns)) + text, 9)

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """The words that `pack` packed.

        Raises:
            UnreadableDocumentError: They are not what `pack` makes.
        """
        inflating = zlib.decompressobj()
        try:
            plain = inflating.decompress(packed[1:], _MOST_BYTES)
        except zlib.error as exc:
            raise UnreadableDocumentError(_BROKEN) from exc
        count = int.from_bytes(plain[:2], "little")
        size = 2 * count
        texts = plain[2 + 4 * size :].decode("utf-8", "replace").split("\n") if count else []
        is_whole = inflating.eof and len(plain) >= 2 + 4 * size and len(texts) == count
        if packed[:1] != _FORM or not is_whole:
            raise UnreadableDocumentError(_BROKEN)
        columns = [_together(plain[2 + n * size : 2 + (n + 1) * size]) for n in range(4)]
        x0s, y0s, heights = (list(accumulate(columns[n])) for n in (0, 1, 3))
        sides = zip(texts, x0s, y0s, columns[2], heights, strict=True)
        return cls(
            tuple(PageWord(text, x0, y0, x0 + width, y0 + height) for text, x0, y0, width, height in sides)
        )


def _differences(values: Sequence[int]) -> array[int]:
    return array("h", (after - before for before, after in pairwise([0, *values])))


def _apart(numbers: array[int]) -> bytes:
    """All low bytes, then all high ones, which are nearly all alike."""
    written = _little(numbers)
    return written[::2] + written[1::2]


def _together(written: bytes) -> array[int]:
    half = len(written) // 2
    both = bytearray(len(written))
    both[::2], both[1::2] = written[:half], written[half:]
    return array("h", _little(array("h", bytes(both))))


def _little(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = array("h", numbers)
        numbers.byteswap()
    return numbers.tobytes()
