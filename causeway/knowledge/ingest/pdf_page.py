"""Reads one PDF page with pdfium: its words with their places and fonts, and the straight lines drawn on it.

Owns pdfium's page and its drawings; `pdf_words` its text. Layout, tables and headings are decided elsewhere, on the
plain values made here.
"""

from __future__ import annotations

import ctypes
from itertools import repeat
from struct import Struct
from typing import Final

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types
import pypdfium2.raw as raw  # type: ignore[import-untyped]  # it ships no types

from causeway.knowledge.ingest.pdf_letters import LetterWidths
from causeway.knowledge.ingest.pdf_notes import notes_on
from causeway.knowledge.ingest.pdf_shapes import Box, Page, Ruling, Turn, make_ruling
from causeway.knowledge.ingest.pdf_words import Frame, words_of
from causeway.knowledge.ingest.pdfium_calls import (
    annotation_count,
    count_segments,
    object_bounds,
    object_matrix,
    object_type,
    page_object,
    path_segment,
    segment_closes,
    segment_point,
    segment_type,
)

MAX_PATHS: Final = 5000
"""A page with more drawn paths is a map or a plot: no table is looked for in it."""

_MIN_RULING: Final = 8.0
_NO_PAGE: Final = "the page cannot be loaded"
_TEXT: Final[int] = raw.FPDF_PAGEOBJ_TEXT
_PATH: Final[int] = raw.FPDF_PAGEOBJ_PATH
_IMAGE: Final[int] = raw.FPDF_PAGEOBJ_IMAGE
_BOUNDS: Final = Struct("4f")  # left, bottom, right, top


def read_page(document: pdfium.PdfDocument, index: int, widths: LetterWidths | None = None) -> Page:
    """Page ``index``, from 0, of an open document; with ``widths`` of the pages before, it is read faster.

    The page is pdfium's own, without pypdfium2's object around it: making and closing two of these takes a tenth of the
    time of reading bare text.

    Raises:
        pdfium.PdfiumError: The page is damaged.
    """
    page = raw.FPDF_LoadPage(document.raw, index)
    if not page:
        raise pdfium.PdfiumError(_NO_PAGE)
    try:
        shown = frame = Frame.of(page)
        rulings, is_picture, has_drawings = _drawings(page, frame)
        walls = [ruling.box for ruling in rulings if not ruling.is_horizontal]
        text_page = raw.FPDFText_LoadPage(page)
        if not text_page:
            raise pdfium.PdfiumError(_NO_PAGE)
        try:
            words, spaces, frame = words_of(text_page, shown, walls, {} if widths is None else widths)
        finally:
            raw.FPDFText_ClosePage(text_page)
        if frame.quarters != shown.quarters:
            rulings, is_picture, has_drawings = _drawings(page, frame)
        return Page(
            index + 1,
            frame.width,
            frame.height,
            words,
            rulings,
            is_picture,
            spaces=spaces,
            has_drawings=has_drawings,
            notes=tuple(notes_on(page, index + 1, shown))
            if annotation_count(ctypes.byref(page.contents))
            else (),
            turn=Turn((frame.quarters - shown.quarters) % 4),
        )
    finally:
        raw.FPDF_ClosePage(page)


def _drawings(page: raw.FPDF_PAGE, frame: Frame) -> tuple[tuple[Ruling, ...], bool, bool]:
    """The rulings, whether pictures cover most of the page (scanners may cut one into strips), and whether there are any."""
    rulings: list[Ruling] = []
    pictured = 0.0
    count: int = raw.FPDFPage_CountObjects(page)
    pointer = ctypes.byref(page.contents)
    room = bytearray(_BOUNDS.size)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    places = start, start + 4, start + 8, start + 12
    items: list[int] = list(map(page_object, repeat(pointer), range(min(count, MAX_PATHS * 4))))
    kinds: list[int] = list(map(object_type, items))
    for item, kind in zip(items, kinds):  # noqa: B905 - a plain loop when compiled, but not with strict
        if kind == _TEXT:
            continue
        if kind == _IMAGE:
            object_bounds(item, *places)
            left, bottom, right, top = _BOUNDS.unpack_from(room)
            box = frame.box(left, bottom, right, top)
            pictured += max(0.0, box.width) * max(0.0, box.height)
        elif kind == _PATH and len(rulings) <= MAX_PATHS:
            object_bounds(item, *places)
            left, bottom, right, top = _BOUNDS.unpack_from(room)
            rulings += _edges(item, frame.box(left, bottom, right, top), frame)
    is_picture = pictured > 0.6 * frame.width * frame.height
    return (tuple(rulings) if len(rulings) <= MAX_PATHS else ()), is_picture, count > 0


def _edges(path: int, bounds: Box, frame: Frame) -> list[Ruling]:
    """The axis-parallel sides of a path that is stroked or filled; a thin filled rectangle is a line too."""
    x0, y0, x1, y1 = bounds
    width, height = x1 - x0, y1 - y0
    if width < _MIN_RULING and height < _MIN_RULING:
        return []
    if width > 0.98 * frame.width and height > 0.98 * frame.height:
        return []  # the page's background
    if height <= 3 or width <= 3:
        return [make_ruling((bounds, width >= height))]
    matrix = raw.FS_MATRIX()
    object_matrix(path, ctypes.addressof(matrix))
    edges: list[Ruling] = []
    x, y = ctypes.c_float(), ctypes.c_float()
    place = ctypes.addressof(x), ctypes.addressof(y)
    begin = here = (0.0, 0.0)
    for number in range(min(count_segments(path), 400)):
        segment = path_segment(path, number)
        segment_point(segment, *place)
        there = frame.point(
            matrix.a * x.value + matrix.c * y.value + matrix.e,
            matrix.b * x.value + matrix.d * y.value + matrix.f,
        )
        kind = segment_type(segment)
        if kind == raw.FPDF_SEGMENT_MOVETO:
            begin = there
        elif kind == raw.FPDF_SEGMENT_LINETO:
            edges += _edge(here, there)
        here = there
        if segment_closes(segment):
            edges += _edge(here, begin)
            here = begin
    return edges


def _edge(start: tuple[float, float], end: tuple[float, float]) -> list[Ruling]:
    width, height = abs(start[0] - end[0]), abs(start[1] - end[1])
    if max(width, height) < _MIN_RULING or min(width, height) > 1:
        return []
    box = Box(min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
    return [Ruling(box, is_horizontal=width >= height)]
