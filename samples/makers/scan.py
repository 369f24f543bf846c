"""Make a PDF that looks scanned: page images above an invisible layer of text."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import dataclass

import numpy as np
import pypdfium2 as pdfium
from PIL import Image, ImageFilter
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader, simpleSplit
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from makers.pdf import prepare_reportlab
from makers.texts import DOCUMENTS, Source, read_source


@dataclass(frozen=True)
class Line:
    """A line of type on a page: where it stands and how it is set."""

    page: int
    x: float
    y: float
    font: str
    size: float
    text: str


def agreement_lines(source: Source) -> list[Line]:
    """Set the agreement line by line on two pages, as a typist would."""
    title, font = source.meta["title"], "Times-Bold"
    lines = [Line(0, (A4[0] - stringWidth(title, font, 17)) / 2, 770, font, 17, title)]
    page, y = 0, 738.0
    for block in source.blocks:
        heading = block.kind == "heading"
        font, size = ("Times-Bold", 12.0) if heading else ("Times-Roman", 11.5)
        wrapped = simpleSplit(block.text.replace("**", ""), font, size, A4[0] - 150)
        if y - 16 * (len(wrapped) + heading * 2) < 70 and page == 0:
            page, y = 1, 772.0
        for text in wrapped:
            lines.append(Line(page, 78, y, font, size, text))
            y -= 15.5
        y -= 2 if heading else 8
    return lines


def draw_signature(canvas: Canvas, x: float, y: float, name: str) -> None:
    """Draw a scribble that passes for a signature, high where the name has tall letters."""
    path = canvas.beginPath()
    path.moveTo(x, y)
    for step, letter in enumerate(name):
        left = x + step * 13
        height = 24 if letter.isupper() else 17 if letter in "bdhklt" else 6
        path.curveTo(left + 9, y + height * 1.3, left - 3, y + height, left + 5, y - 2)
        path.curveTo(left + 7, y - 5, left + 9, y + 1, left + 13, y)
    path.curveTo(left + 24, y + 3, left + 52, y + 9, left + 66, y + 2)
    canvas.setLineWidth(1.1)
    canvas.drawPath(path)


def draw_stamp(canvas: Canvas, x: float, y: float) -> None:
    """Draw the stamp of the filing clerk."""
    canvas.saveState()
    canvas.translate(x, y)
    canvas.rotate(7)
    canvas.setStrokeGray(0.35)
    canvas.setFillGray(0.35)
    canvas.setLineWidth(1.6)
    canvas.roundRect(0, 0, 124, 38, 4)
    canvas.setFont("Helvetica-Bold", 13)
    canvas.drawCentredString(62, 21, "RECEIVED")
    canvas.setFont("Helvetica", 10)
    canvas.drawCentredString(62, 7, "21 MAR 2022")
    canvas.restoreState()


def clean_pages(lines: list[Line]) -> bytes:
    """Return the agreement as it left the printer, before it was scanned."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4)
    for page in (0, 1):
        for line in (line for line in lines if line.page == page):
            canvas.setFont(line.font, line.size)
            canvas.drawString(line.x, line.y, line.text)
        canvas.setFont("Times-Roman", 10)
        canvas.drawCentredString(A4[0] / 2, 36, f"- {page + 1} -")
        if page == 1:
            foot = min(line.y for line in lines if line.page == 1)
            draw_signature(canvas, 330, foot + 26, "Halden")
            draw_signature(canvas, 345, foot - 6, "Aldous")
            draw_stamp(canvas, 396, foot - 110)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def scan(page: Image.Image, angle: float, seed: int) -> Image.Image:
    """Make a clean page look as though it had come out of an office scanner."""
    noise = np.random.default_rng(seed)
    turned = page.convert("L").rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)
    grey = np.asarray(turned.filter(ImageFilter.GaussianBlur(0.55)), dtype=np.float32)
    height, width = grey.shape
    shade = np.linspace(0, 20, width)[None, :] + np.linspace(9, 0, height)[:, None]
    paper = 28 + grey * 0.83 - shade + noise.normal(0, 4.0, grey.shape)
    specks = noise.random(grey.shape) < 0.00004
    paper[specks] = 70
    paper[:, :5] -= 60
    return Image.fromarray(np.clip(paper, 0, 255).astype(np.uint8))


def invisible_text(canvas: Canvas, lines: list[Line], angle: float) -> None:
    """Lay the words over a page image without showing them, turned like the image."""
    canvas.saveState()
    canvas.translate(A4[0] / 2, A4[1] / 2)
    canvas.rotate(angle)
    canvas.translate(-A4[0] / 2, -A4[1] / 2)
    for line in lines:
        text = canvas.beginText(line.x, line.y)
        text.setFont(line.font, line.size)
        text.setTextRenderMode(3)
        text.textOut(line.text)
        canvas.drawText(text)
    canvas.restoreState()


def build_scan(name: str) -> None:
    """Build the scanned agreement: page images above an invisible layer of text."""
    source = read_source(f"{name}.md")
    prepare_reportlab(dt.datetime(2022, 3, 21, 11, 4, tzinfo=dt.UTC))
    lines = agreement_lines(source)
    printed = pdfium.PdfDocument(clean_pages(lines))
    canvas = Canvas(str(DOCUMENTS / f"{name}.pdf"), pagesize=A4)
    canvas.setTitle("Scan 2022-03-21 1104")
    canvas.setCreator("Tannery Yard copier")
    for number, angle in enumerate((0.9, -0.6)):
        image = scan(printed[number].render(scale=140 / 72).to_pil(), angle, seed=number)
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=42)
        jpeg.seek(0)
        canvas.drawImage(ImageReader(jpeg), 0, 0, *A4)
        invisible_text(canvas, [line for line in lines if line.page == number], angle)
        canvas.showPage()
    canvas.save()
