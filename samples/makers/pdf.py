"""Make born-digital PDF files: running header, page numbers, bookmarks, ruled tables."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable, Iterator
from itertools import zip_longest

from reportlab import rl_config
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    ListFlowable,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from makers.texts import DOCUMENTS, GREEN, PALE, Block, Source, read_source

INK = colors.HexColor(f"#{GREEN}")
TINT = colors.HexColor(f"#{PALE}")


def style(name: str, size: float, **options: object) -> ParagraphStyle:
    """Return a paragraph style in one of the standard PDF fonts."""
    settings = {"fontName": "Helvetica", "leading": size * 1.38, "spaceAfter": size * 0.62, **options}
    return ParagraphStyle(name, fontSize=size, **settings)


STYLES = {
    "title": style("title", 21, fontName="Helvetica-Bold", textColor=INK, spaceAfter=4),
    "subtitle": style("subtitle", 10.5, textColor=colors.HexColor("#555555"), spaceAfter=14),
    "heading": style("heading", 13, fontName="Helvetica-Bold", spaceBefore=9, spaceAfter=5, keepWithNext=1),
    "paragraph": style("paragraph", 10),
    "opener": style("opener", 10, keepWithNext=1),
    "cell": style("cell", 8.8, spaceAfter=0),
    "head": style("head", 8.8, spaceAfter=0, fontName="Helvetica-Bold"),
}


def inline(text: str) -> str:
    """Turn ``**bold**`` marks into the tags of reportlab paragraphs."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace("\u2212", "-")
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", safe)


class Heading(Paragraph):
    """A heading that also enters the bookmark list of the PDF."""

    def draw(self) -> None:
        """Draw the heading and record the bookmark."""
        key = f"h{self.canv.getPageNumber()}-{self.getPlainText()}"
        self.canv.bookmarkPage(key)
        self.canv.addOutlineEntry(self.getPlainText(), key, 0)
        super().draw()


class CountedCanvas(Canvas):
    """A canvas that knows the number of pages when it writes the page footers."""

    footer: Callable[[Canvas, int], None]

    def __init__(self, *args: object, **options: object) -> None:
        """Start with no finished pages."""
        super().__init__(*args, **options)
        self.finished: list[dict[str, object]] = []

    def showPage(self) -> None:  # noqa: N802 - the name is reportlab's
        """Keep the page for later instead of writing it at once."""
        self.finished.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """Write all pages with their footers."""
        for page in self.finished:
            self.__dict__.update(page)
            type(self).footer(self, len(self.finished))
            Canvas.showPage(self)
        super().save()


def ruled_table(rows: list[list[str]], width: float) -> Table:
    """Return a table with rules, its columns sized by their longest cells."""
    head, *body = ([inline(cell) for cell in row] for row in rows)
    cells = [[Paragraph(cell, STYLES["head"]) for cell in head]]
    cells += [[Paragraph(cell, STYLES["cell"]) for cell in row] for row in body]
    longest = [
        max(stringWidth(cell, "Helvetica", 9) for cell in column) for column in zip(*rows, strict=True)
    ]
    shares = [min(length, 230) + 16 for length in longest]
    table = Table(cells, colWidths=[width * share / sum(shares) for share in shares], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.5, colors.HexColor("#9AA8A0")),
                ("BACKGROUND", (0, 0), (-1, 0), TINT),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 3.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
            ]
        )
    )
    return table


def list_flowable(block: Block) -> ListFlowable:
    """Return a list with bullets or numbers."""
    items = [Paragraph(inline(row[0]), STYLES["paragraph"]) for row in block.rows]
    look = {"leftIndent": 16, "bulletFontSize": 10, "bulletFontName": "Helvetica"}
    if block.kind == "bullets":
        return ListFlowable(items, bulletType="bullet", **look)
    return ListFlowable(items, bulletType="1", bulletFormat="%s.", **look)


def pdf_flowables(source: Source, width: float) -> Iterator[Flowable]:
    """Yield what reportlab lays out for a source text."""
    yield Paragraph(inline(source.meta["title"]), STYLES["title"])
    yield Paragraph(inline(source.meta["subtitle"]), STYLES["subtitle"])
    for block, following in zip_longest(source.blocks, source.blocks[1:]):
        if block.kind == "heading":
            yield Heading(inline(block.text), STYLES["heading"])
        elif block.kind == "paragraph":
            opens_table = following is not None and following.kind == "table"
            yield Paragraph(inline(block.text), STYLES["opener" if opens_table else "paragraph"])
        elif block.kind == "table":
            yield ruled_table(block.rows, width)
            yield Spacer(1, 10)
        else:
            yield list_flowable(block)


def page_furniture(header: str) -> Callable[[Canvas, int], None]:
    """Return the function that draws the running header and the page number."""

    def draw(canvas: Canvas, pages: int) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.setFillGray(0.35)
        canvas.drawString(22 * mm, A4[1] - 14 * mm, header)
        canvas.drawString(22 * mm, 12 * mm, "Fernhill Supply Ltd, Tannery Yard, 14 Millrace Lane, Harrowdale")
        canvas.drawRightString(A4[0] - 22 * mm, 12 * mm, f"Page {canvas.getPageNumber()} of {pages}")
        canvas.setStrokeGray(0.7)
        canvas.setLineWidth(0.5)
        canvas.line(22 * mm, A4[1] - 16 * mm, A4[0] - 22 * mm, A4[1] - 16 * mm)

    return draw


def prepare_reportlab(moment: dt.datetime) -> None:
    """Make reportlab stamp its files with a given moment, and write them as compactly as it can."""
    rl_config.invariant = 1
    rl_config.useA85 = 0
    os.environ["SOURCE_DATE_EPOCH"] = str(int(moment.replace(tzinfo=dt.UTC).timestamp()))  # noqa: TID251 - how reportlab is told


def build_pdf(name: str) -> None:
    """Build ``documents/<name>.pdf`` from ``sources/<name>.md``."""
    source = read_source(f"{name}.md")
    prepare_reportlab(source.date)
    margin = 22 * mm
    template = BaseDocTemplate(
        str(DOCUMENTS / f"{name}.pdf"),
        pagesize=A4,
        title=source.meta["title"],
        author="Fernhill Supply Ltd",
        subject=source.meta["subtitle"],
        lang="en-GB",
    )
    frame = Frame(margin, 20 * mm, A4[0] - 2 * margin, A4[1] - 40 * mm, 0, 0, 0, 0)
    template.addPageTemplates(PageTemplate("page", [frame]))
    furniture = staticmethod(page_furniture(source.meta["header"]))
    canvas_class = type("Pages", (CountedCanvas,), {"footer": furniture})
    template.build(list(pdf_flowables(source, A4[0] - 2 * margin)), canvasmaker=canvas_class)
