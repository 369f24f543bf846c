"""Where the words of scans stand: kept when they are read, through the sandbox, and found again by a quote."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from causeway.knowledge.document import ParsedDocument
from causeway.knowledge.ingest.sandbox import ParseLimits
from causeway.knowledge.ingest.warm_sandbox import WarmSandbox
from causeway.knowledge.page_words import PageWords
from causeway.knowledge.pages import Pages
from causeway.knowledge.quotes import find_quote

SAMPLES = Path(__file__).resolve().parents[3] / "samples" / "documents"
LINES = (
    "The harbour office opens at eight in the morning.",
    "Boats are moored along the northern quay, and",
    "visitors sign the register before they leave.",
    "The ferry to the island sails twice a day.",
)


def sheet() -> Image.Image:
    """An A4 page at 150 dots an inch with the lines on it."""
    paper = Image.new("L", (1240, 1754), 255)
    font = ImageFont.load_default(34)
    for number, line in enumerate(LINES):
        ImageDraw.Draw(paper).text((120, 200 + 60 * number), line, font=font, fill=0)
    return paper


async def read(file: Path) -> ParsedDocument:
    async with WarmSandbox(ParseLimits()) as sandbox:
        return await sandbox.parse(file, name=file.name)


async def test_a_quote_from_a_crooked_scan_is_marked_where_it_stands_on_the_page(tmp_path: Path) -> None:
    file = tmp_path / "scan.png"
    sheet().rotate(2.5, Image.Resampling.BICUBIC, fillcolor=255).save(file, dpi=(150, 150))
    parsed = await read(file)
    words = PageWords.unpack(parsed.page_words[1])
    block = next(block for block in parsed.blocks if "Boats are moored" in block.text)
    found = find_quote(words, 1, "moored along the northern quay, and visitors sign", within=block.places)
    assert len(found) == 2  # lines of the scan
    with Image.open(io.BytesIO(await Pages().picture(file, 1))) as image:
        page = image.convert("L")
    for place in found:
        assert block.places[0].y0 - 0.01 <= place.y0 < place.y1 <= block.places[-1].y1 + 0.01
        sides = (
            round(place.x0 * page.width),
            round(place.y0 * page.height),
            round(place.x1 * page.width),
            round(place.y1 * page.height),
        )
        pixels = page.crop(sides).tobytes()
        assert 0.03 < sum(pixel < 128 for pixel in pixels) / len(pixels) < 0.5  # letters, not paper


async def test_a_photo_that_lies_on_its_side_is_marked_as_it_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    sheet().transpose(Image.Transpose.ROTATE_90).save(file, dpi=(150, 150))
    parsed = await read(file)
    words = PageWords.unpack(parsed.page_words[1])
    (place,) = find_quote(words, 1, "Boats are moored along the northern quay")
    # turned a quarter to the left: what was at the top is at the left, and the line runs upwards
    assert place.x0 == pytest.approx(265 / 1754, abs=0.01)
    assert place.x1 == pytest.approx(305 / 1754, abs=0.012)
    assert place.y1 == pytest.approx(1 - 120 / 1240, abs=0.01)
    assert place.y1 - place.y0 > 0.4


async def test_a_page_with_text_keeps_no_words_of_its_own() -> None:
    assert (await read(SAMPLES / "policies" / "b2b-terms.pdf")).page_words == {}
