"""How wide the letters of a PDF's fonts are, as they were met while it is read, and so how long a line without gaps is."""

from __future__ import annotations

from typing import Final
from zlib import adler32

_SHARES: Final = 250
"""Parts of a font's size that widths are counted in: a line's then fit into bytes."""
_SUMMED: Final = 65_520 // 254
"""So many bytes' sum is below the checksum's modulus."""
_UNKNOWN: Final = 255


class Letters:
    """The letters of one font. Widths are in units of its size, and spaces have none.

    Attributes:
        space: How wide the gaps between words were in the last line that proved even; negative before the first.
    """

    __slots__ = ("_has_wide", "_shares", "_widths", "space")

    def __init__(self) -> None:
        """None is known yet."""
        self._shares = bytearray([_UNKNOWN]) * 256
        self._shares[ord(" ")] = 0
        self._widths = {" ": 0.0}
        self._has_wide = False
        self.space = -1.0

    def width(self, text: str) -> float | None:
        """Of all letters in ``text`` together; None while one of them is not known."""
        try:
            shares = text.encode("latin-1").translate(self._shares)
        except UnicodeEncodeError:
            pass
        else:
            if _UNKNOWN not in shares:
                # Adler's checksum that begins with 0 is the bytes' sum in its lower half, made four times faster.
                total = adler32(shares, 0) & 0xFFFF if len(shares) <= _SUMMED else sum(shares)
                return total / _SHARES
            if not self._has_wide:
                return None
        try:
            return sum(map(self._widths.__getitem__, text))
        except KeyError:
            return None

    def unknown(self, text: str) -> set[str]:
        """The letters of ``text`` that are not known."""
        return set(text).difference(self._widths)

    def learn(self, letter: str, width: float) -> None:
        """Remember how wide a letter is."""
        self._widths[letter] = width
        place = ord(letter)
        if place >= 256:
            return
        share = round(width * _SHARES)
        if 0 <= share < _UNKNOWN:
            self._shares[place] = share
        else:
            self._has_wide = True


LetterWidths = dict[str, Letters]
"""For each font, by name, its letters; kept while a document is read."""
