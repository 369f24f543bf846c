"""Reads one PDF page with pdfium: its words with their places and fonts, and the straight lines drawn on it.

Owns pdfium's page and its drawings; `pdf_words` its text. Layout, tables and headings are decided elsewhere, on the
plain values made here.
"""

from __future__ import annotations

import ctypes

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types
import pypdfium2.raw as raw  # type: ignore[import-untyped]  # it ships no types

from causeway.knowledge.ingest.pdf_notes import notes_on
from causeway.knowledge.ingest.pdf_shapes import Box, Page, Ruling, Turn
from causeway.knowledge.ingest.pdf_words import Frame, LetterWidths, words_of

MAX_PATHS = 5000
"""A page with more drawn paths is a map or a plot: no table is looked for in it."""

_MIN_RULING = 8.0


def read_page(document: pdfium.PdfDocument, index: int, widths: LetterWidths | None = None) -> Page:
    """Page ``index``, from 0, of an open document; with ``widths`` of the pages before, it is read faster."""
    page = document[index]
    try:
        shown = frame = Frame.of(page)
        rulings, is_picture, has_drawings = _drawings(page, frame)
        # In a scan the words are some other program's guesses, and whether they are language is judged one by one.
        walls = None if is_picture else [ruling.box for ruling in rulings if not ruling.is_horizontal]
        text_page = page.get_textpage()
        try:
            words, frame = words_of(text_page.raw, shown, walls, {} if widths is None else widths)
        finally:
            text_page.close()
        if frame.quarters != shown.quarters:
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
            notes=tuple(notes_on(page, index + 1)),
            turn=turn,
        )
    finally:
        page.close()


def _drawings(page: pdfium.PdfPage, frame: Frame) -> tuple[tuple[Ruling, ...], bool, bool]:
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


def _bounds(item: raw.FPDF_PAGEOBJECT, frame: Frame) -> Box:
    sides = [ctypes.c_float() for _ in range(4)]
    raw.FPDFPageObj_GetBounds(item, *sides)
    left, bottom, right, top = (side.value for side in sides)
    return frame.box(left, bottom, right, top)


def _edges(path: raw.FPDF_PAGEOBJECT, frame: Frame) -> list[Ruling]:
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
