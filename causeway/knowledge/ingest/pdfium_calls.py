"""The functions of pdfium that are asked for each word or line, with plain addresses for pointers.

They are the same C functions as pypdfium2's. Checking and wrapping each pointer anew takes as long as the call itself,
and a page has hundreds of calls. Each is over in a tenth of a microsecond, so Python's lock is kept: giving it away and
taking it back would be a fifth of the cost.

Where a function says that it takes a *pointer*, that is what `ctypes.byref` gives, made once, and not an address: ctypes
then has nothing to check, to convert or to make, which is another half. Whole numbers are passed as C's ``int``, as they
are declared.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

import pypdfium2.raw as raw  # type: ignore[import-untyped]  # it ships no types

_ADDRESS, _INT = ctypes.c_void_p, ctypes.c_int


def _plain(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    return ctypes.PYFUNCTYPE(result, *arguments)(ctypes.cast(function, _ADDRESS).value or 0)


def _unchecked(function: Any, result: Any) -> Callable[..., Any]:
    return ctypes.PYFUNCTYPE(result)(ctypes.cast(function, _ADDRESS).value or 0)


text_object: Final = _unchecked(raw.FPDFText_GetTextObject, ctypes.c_size_t)
"""(pointer to the text page, character) -> the text object, or 0."""
char_origin: Final = _unchecked(raw.FPDFText_GetCharOrigin, _INT)
"""(pointer to the text page, character, pointers to x and y as double)."""
loose_box: Final = _unchecked(raw.FPDFText_GetLooseCharBox, _INT)
"""(pointer to the text page, character, pointer to FS_RECTF)."""
tight_box: Final = _unchecked(raw.FPDFText_GetCharBox, _INT)
"""(pointer to the text page, character, pointers to left, right, bottom and top as double)."""
char_matrix: Final = _unchecked(raw.FPDFText_GetMatrix, _INT)
"""(pointer to the text page, character, pointer to FS_MATRIX)."""
font_size: Final = _unchecked(raw.FPDFText_GetFontSize, ctypes.c_double)
"""(pointer to the text page, character) -> points, before the matrix."""
font_name: Final = _plain(raw.FPDFFont_GetBaseFontName, ctypes.c_size_t, _ADDRESS, _ADDRESS, ctypes.c_size_t)
"""(font, room for the name, its size) -> the name's length and one."""
font_weight: Final = _plain(raw.FPDFFont_GetWeight, _INT, _ADDRESS)
"""(font) -> 400 is regular, 700 bold."""
text_font: Final = _plain(raw.FPDFTextObj_GetFont, ctypes.c_size_t, _ADDRESS)
"""(text object) -> its font, or 0."""
crop_box: Final = _unchecked(raw.FPDFPage_GetCropBox, _INT)
"""(pointer to the page, pointers to left, bottom, right and top as float) -> whether it has one."""
media_box: Final = _unchecked(raw.FPDFPage_GetMediaBox, _INT)
"""As `crop_box`."""
rotation: Final = _unchecked(raw.FPDFPage_GetRotation, _INT)
"""(pointer to the page) -> quarters of a turn, clockwise."""
annotation_count: Final = _unchecked(raw.FPDFPage_GetAnnotCount, _INT)
"""(pointer to the page) -> how many."""
page_object: Final = _unchecked(raw.FPDFPage_GetObject, _ADDRESS)
"""(pointer to the page, number) -> the object."""
object_type: Final = _plain(raw.FPDFPageObj_GetType, _INT, _ADDRESS)
"""(object) -> FPDF_PAGEOBJ_*."""
object_bounds: Final = _plain(
    raw.FPDFPageObj_GetBounds, _INT, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS
)
"""(object, left, bottom, right, top as float)."""
object_matrix: Final = _plain(raw.FPDFPageObj_GetMatrix, _INT, _ADDRESS, _ADDRESS)
"""(object, FS_MATRIX)."""
count_segments: Final = _plain(raw.FPDFPath_CountSegments, _INT, _ADDRESS)
"""(path) -> how many."""
path_segment: Final = _plain(raw.FPDFPath_GetPathSegment, _ADDRESS, _ADDRESS, _INT)
"""(path, number) -> the segment."""
segment_point: Final = _plain(raw.FPDFPathSegment_GetPoint, _INT, _ADDRESS, _ADDRESS, _ADDRESS)
"""(segment, x as float, y as float)."""
segment_type: Final = _plain(raw.FPDFPathSegment_GetType, _INT, _ADDRESS)
"""(segment) -> FPDF_SEGMENT_*."""
segment_closes: Final = _plain(raw.FPDFPathSegment_GetClose, _INT, _ADDRESS)
"""(segment) -> whether it ends where its figure began."""


class Room:
    """Memory that pdfium writes answers to, with pointers to its places.

    Making it takes as long as several questions, so it is made once and used by page after page. pdfium itself is for one
    thread at a time.

    Attributes:
        memory: What the pointers point to.
        places: Pointers to every ``step`` bytes of it.
    """

    __slots__ = ("_step", "memory", "places")

    def __init__(self, step: int, count: int) -> None:
        self._step = step
        self.memory = bytearray()
        self.places: list[Any] = []
        self.grow(count)

    def grow(self, count: int) -> None:
        """Have at least so many places; what was in them is lost."""
        if count > len(self.places):
            self.memory = bytearray(self._step * count)
            start = ctypes.c_char.from_buffer(self.memory)
            self.places = [ctypes.byref(start, place) for place in range(0, len(self.memory), self._step)]
