"""Make Word documents."""

from __future__ import annotations

from docx import Document
from docx.document import Document as WordDocument
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Pt, RGBColor
from docx.text.paragraph import Paragraph

from makers.archives import freeze_archive
from makers.texts import DOCUMENTS, GREEN, Source, bold_runs, read_source


def add_runs(paragraph: Paragraph, text: str) -> None:
    """Add a text with ``**bold**`` marks to a Word paragraph."""
    for run, bold in bold_runs(text):
        paragraph.add_run(run).bold = bold


def add_page_number(paragraph: Paragraph) -> None:
    """Add the field that shows the page number."""
    element = OxmlElement("w:fldSimple")
    element.set(qn("w:instr"), "PAGE")
    paragraph._p.append(element)


def prepare_word(source: Source) -> WordDocument:
    """Return an empty Word document with our fonts, header, footer and properties."""
    document = Document()
    document.styles["Normal"].font.name = "Calibri"
    document.styles["Normal"].font.size = Pt(11)
    for name in ("Title", "Heading 1"):
        document.styles[name].font.color.rgb = RGBColor.from_string(GREEN)
    section = document.sections[0]
    section.header.paragraphs[0].text = source.meta["header"]
    foot = section.footer.paragraphs[0]
    foot.alignment = WD_ALIGN_PARAGRAPH.CENTER
    foot.add_run("Page ")
    add_page_number(foot)
    document.core_properties.author = source.meta["author"]
    document.core_properties.title = source.meta["title"]
    document.core_properties.comments = ""
    return document


def add_word_table(document: WordDocument, rows: list[list[str]]) -> None:
    """Add a table whose first row is the header."""
    table = document.add_table(rows=0, cols=len(rows[0]), style="Light Grid Accent 3")
    for row in rows:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.add_paragraph()


def build_word(name: str) -> None:
    """Build ``documents/<name>.docx`` from ``sources/<name>.md``."""
    source = read_source(f"{name}.md")
    document = prepare_word(source)
    document.add_heading(source.meta["title"], 0)
    document.add_paragraph(source.meta["subtitle"], style="Subtitle")
    list_styles = {"bullets": "List Bullet", "numbers": "List Number"}
    for block in source.blocks:
        if block.kind == "heading":
            document.add_heading(block.text, 1)
        elif block.kind == "paragraph":
            add_runs(document.add_paragraph(), block.text)
        elif block.kind == "table":
            add_word_table(document, block.rows)
        else:
            for row in block.rows:
                add_runs(document.add_paragraph(style=list_styles[block.kind]), row[0])
    path = DOCUMENTS / f"{name}.docx"
    document.save(str(path))
    freeze_archive(path, source.date)
