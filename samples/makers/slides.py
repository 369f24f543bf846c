"""Make slide decks with speaker's notes."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.shapes import MSO_SHAPE
from pptx.enum.text import PP_ALIGN
from pptx.presentation import Presentation as PresentationType
from pptx.shapes.placeholder import SlidePlaceholder
from pptx.slide import Slide
from pptx.util import Emu, Inches, Pt

from makers.archives import freeze_archive
from makers.texts import DOCUMENTS, GREEN, PALE, SOURCES, split_meta


@dataclass
class SlideText:
    """The words of one slide: bullet points or a table, and the speaker's notes."""

    title: str
    points: list[str]
    rows: list[list[str]]
    notes: str


def parse_slides(text: str) -> Iterator[SlideText]:
    """Yield the slides of a deck; each begins with a line ``== title``."""
    for chunk in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        title, *lines = chunk.strip().splitlines()
        points = [line[2:] for line in lines if line.startswith("- ")]
        rows = [line.split(" | ") for line in lines if " | " in line and not line.startswith("notes:")]
        notes = next(line.removeprefix("notes: ") for line in lines if line.startswith("notes: "))
        yield SlideText(title, points, rows, notes)


def add_bar(slide: Slide, height: Emu) -> None:
    """Draw the green bar down the left edge of a slide."""
    bar = slide.shapes.add_shape(MSO_SHAPE.RECTANGLE, Emu(0), Emu(0), Inches(0.28), height)
    bar.fill.solid()
    bar.fill.fore_color.rgb = RGBColor.from_string(GREEN)
    bar.line.fill.background()
    bar.name = "Green bar"


def place(shape: SlidePlaceholder, top: float, height: float) -> None:
    """Put a shape between the margins, at a distance in inches from the top."""
    shape.left, shape.top, shape.width, shape.height = Inches(0.8), Inches(top), Inches(11.7), Inches(height)


def place_title(slide: Slide, title: str) -> None:
    """Put the title at the top left of a slide."""
    shape = slide.shapes.title
    place(shape, 0.45, 1.0)
    shape.text_frame.text = title
    paragraph = shape.text_frame.paragraphs[0]
    paragraph.alignment = PP_ALIGN.LEFT
    paragraph.font.size, paragraph.font.bold = Pt(34), True
    paragraph.font.color.rgb = RGBColor.from_string(GREEN)


def add_points(slide: Slide, points: list[str]) -> None:
    """Fill the body of a slide with bullet points."""
    body = slide.placeholders[1]
    place(body, 1.7, 5.0)
    body.text_frame.text = points[0]
    for point in points[1:]:
        body.text_frame.add_paragraph().text = point
    for paragraph in body.text_frame.paragraphs:
        paragraph.font.size = Pt(24)
        paragraph.space_after = Pt(12)


def add_slide_table(slide: Slide, rows: list[list[str]]) -> None:
    """Add a table below the title; its first row is the header."""
    size = (Inches(0.8), Inches(1.75), Inches(11.7), Inches(0.5 * len(rows)))
    table = slide.shapes.add_table(len(rows), len(rows[0]), *size).table
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            cell = table.cell(i, j)
            cell.text = text
            cell.text_frame.paragraphs[0].font.size = Pt(18)
            cell.fill.solid()
            cell.fill.fore_color.rgb = RGBColor.from_string(PALE if i else GREEN)
            cell.text_frame.paragraphs[0].font.color.rgb = RGBColor.from_string("222222" if i else "FFFFFF")


def add_opening(deck: PresentationType, meta: dict[str, str]) -> None:
    """Add the title slide."""
    opening = deck.slides.add_slide(deck.slide_layouts[0])
    add_bar(opening, deck.slide_height)
    place_title(opening, meta["title"])
    place(opening.shapes.title, 2.6, 1.0)
    subtitle = opening.placeholders[1]
    place(subtitle, 3.7, 1.0)
    subtitle.text_frame.text = meta["subtitle"]
    subtitle.text_frame.paragraphs[0].alignment = PP_ALIGN.LEFT


def build_slides(name: str) -> None:
    """Build ``documents/<name>.pptx`` from ``sources/<name>.txt``."""
    meta, text = split_meta((SOURCES / f"{name}.txt").read_text(encoding="utf-8"))
    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(13.333), Inches(7.5)
    add_opening(deck, meta)
    for words in parse_slides(text):
        slide = deck.slides.add_slide(deck.slide_layouts[5 if words.rows else 1])
        add_bar(slide, deck.slide_height)
        place_title(slide, words.title)
        if words.rows:
            add_slide_table(slide, words.rows)
        else:
            add_points(slide, words.points)
        slide.notes_slide.notes_text_frame.text = words.notes
    deck.core_properties.title, deck.core_properties.author = meta["title"], "Owen Tarrant"
    deck.core_properties.last_modified_by = "Owen Tarrant"
    path = DOCUMENTS / f"{name}.pptx"
    deck.save(str(path))
    freeze_archive(path, dt.datetime.fromisoformat(meta["date"]))
