"""Pictures of pages are drawn from PDFs made by hand, so that their text is known; the scans beside the repository are harder."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2 as pdfium  # type: ignore[import-untyped]
import pytest
from PIL import Image

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest import ocr, ocr_languages, ocr_rapid, ocr_tesseract
from causeway.knowledge.ingest.ocr_picture import (
    Picture,
    evened,
    rulings_of,
    skew_of,
    straightened,
    turn_wanted,
)
from causeway.knowledge.ingest.parser import parse_bytes
from causeway.knowledge.ingest.pdf_shapes import Box, Sheet, Turn
from causeway.knowledge.ingest.reading import Reading

PROSE = [
    "The survey of the inner harbour took us nine days instead",
    "of five, for the fog would not lift and the pilot refused,",
    "quite properly, to sail by guesswork. We sounded the channel",
    "at every half cable and found no less than eleven fathoms.",
]
TEXT = " ".join(PROSE)

Draw = Callable[..., Image.Image]


@pytest.fixture
def page(make_pdf: Any, draw: Any) -> Draw:
    """``page(items=None, dpi=200)``: the picture of a page."""

    def drawn(items: Sequence[Any] | None = None, dpi: int = 200) -> Image.Image:
        document = pdfium.PdfDocument(make_pdf([items or draw.lines(PROSE, y=200)]))
        picture: Image.Image = document[0].render(scale=dpi / 72, grayscale=True).to_pil()
        document.close()
        return picture

    return drawn


def _saved(images: Sequence[Image.Image], kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if len(images) > 1 else {}
    images[0].save(file, kind, **more, **options)
    return file.getvalue()


def _read(content: bytes, name: str = "scan", **options: Any) -> ParsedDocument:
    return parse_bytes(content, name=name, reading=Reading(**options))


def _text(parsed: ParsedDocument) -> str:
    return " ".join(block.text for block in parsed.blocks)


# --- documents ---------------------------------------------------------------------------------------


def test_a_scan_is_read_and_says_by_what(page: Draw) -> None:
    parsed = _read(_saved([page(), page()], "PDF", resolution=200), threads=2)
    assert [block.text for block in parsed.blocks] == [TEXT, TEXT]
    assert [block.page for block in parsed.blocks] == [1, 2]
    assert parsed.metadata["ocr_engine"].startswith("tesseract 5")
    assert parsed.metadata["ocr_pages"] == "1-2"
    assert int(parsed.metadata["ocr_confidence"]) > 80


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_page_is_read_whichever_way_it_lies(page: Draw, quarters: int) -> None:
    turned = page().rotate(90 * quarters, expand=True)
    parsed = _read(_saved([turned], "PDF", resolution=200))
    assert _text(parsed) == TEXT
    # The place is that of the picture as it lies: here the text has ink, and nothing stands beside it.
    (place,) = parsed.blocks[0].places
    x0, x1, y0, y1 = (
        int(place.x0 * turned.width),
        int(place.x1 * turned.width),
        int(place.y0 * turned.height),
        int(place.y1 * turned.height),
    )
    ink = np.asarray(turned) < 128
    assert ink[y0:y1, x0:x1].sum() > 0.98 * ink.sum()
    assert (y1 - y0) * (x1 - x0) < 0.12 * ink.size


@pytest.mark.parametrize(("quarters", "wanted"), [(0, 0), (1, 1), (2, 2), (3, 1)])
def test_how_a_page_lies_is_seen_before_it_is_read(page: Draw, draw: Any, quarters: int, wanted: int) -> None:
    lying = page(draw.lines(PROSE * 3, y=100)).rotate(90 * quarters, expand=True)
    assert turn_wanted(lying) == wanted


def test_few_lines_do_not_say_how_a_page_lies(page: Draw) -> None:
    assert [turn_wanted(page().rotate(90 * quarters, expand=True)) for quarters in range(4)] == [0, 0, 0, 0]


class _Counting:
    """Tesseract, and how often it was asked to read a page."""

    def __init__(self) -> None:
        self._engine = ocr_tesseract.engine(("eng",))
        self.pages = 0

    def read(self, picture: Picture, *, timeout_s: float) -> Any:
        self.pages += 1
        return self._engine.read(picture, timeout_s=timeout_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_page_that_shows_how_it_lies_is_read_once(page: Draw, draw: Any, quarters: int) -> None:
    engine: Any = _Counting()
    lying = page(draw.lines(PROSE * 3, y=100)).rotate(90 * quarters, expand=True)
    read, _ = ocr.read_picture(lying, engine, number=1, dpi=200, timeout_s=60)
    assert engine.pages == 1
    assert " ".join(word.text for word in read.words) == " ".join([TEXT] * 3)
    assert read.turn.quarters == quarters


@pytest.mark.parametrize("degrees", [-7.0, 2.5])
def test_a_page_is_read_though_it_lies_askew(page: Draw, degrees: float) -> None:
    turned = page().rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255)
    assert _text(_read(_saved([turned], "PDF", resolution=200))) == TEXT


def test_only_pages_without_text_are_read_from_their_picture(make_pdf: Any, draw: Any, page: Draw) -> None:
    written = pdfium.PdfDocument(make_pdf([draw.lines(["These words are text, and nobody has to guess."])]))
    scanned = pdfium.PdfDocument(_saved([page()], "PDF", resolution=200))
    written.import_pages(scanned)
    file = io.BytesIO()
    written.save(file)
    parsed = _read(file.getvalue())
    assert [block.page for block in parsed.blocks] == [1, 2]
    assert parsed.metadata["ocr_pages"] == "2"


def test_a_table_in_a_scan_keeps_its_cells(page: Draw, draw: Any) -> None:
    xs, ys = (72, 172, 272, 372), (100, 124, 148, 172)
    cells = [("No.", "Action", "Due"), ("17", "Publish", "30 Nov"), ("18", "Letter", "23 Oct")]
    items = [*draw.grid(xs, ys)]
    for row, y in zip(cells, (117, 141, 165), strict=True):
        items += [draw.Text(x + 6, y, cell, 11) for x, cell in zip(xs, row, strict=False)]
    parsed = _read(_saved([page(items)], "PDF", resolution=200))
    tables = [block.text for block in parsed.blocks if block.kind == "table"]
    assert tables == [
        "| No. | Action | Due |\n| --- | --- | --- |\n| 17 | Publish | 30 Nov |\n| 18 | Letter | 23 Oct |"
    ]


def test_headings_in_a_scan_are_told_by_their_size(page: Draw, draw: Any) -> None:
    items = [draw.Text(72, 80, "Annual report", 20, True), *draw.lines(PROSE, y=130)]
    parsed = _read(_saved([page(items)], "PDF", resolution=200))
    assert [(block.kind, block.text) for block in parsed.blocks] == [
        ("heading", "Annual report"),
        ("paragraph", TEXT),
    ]
    assert parsed.title == "Annual report"


# --- pictures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_pictures_are_documents(page: Draw, kind: str) -> None:
    parsed = _read(_saved([page()], kind))
    assert _text(parsed) == TEXT
    assert parsed.media_type == f"image/{kind.lower()}"
    assert parsed.pages == 1


def test_a_picture_that_the_camera_held_sideways_is_turned_as_it_says(page: Draw) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it a quarter clockwise to show it
    content = _saved([page().rotate(90, expand=True)], "JPEG", exif=exif)
    parsed = _read(content)
    assert _text(parsed) == TEXT
    assert parsed.blocks[0].places[0].y0 < 0.3


def test_a_tiff_has_as_many_pages_as_pictures(page: Draw) -> None:
    content = _saved([page(), page(), page()], "TIFF")
    assert [block.page for block in _read(content).blocks] == [1, 2, 3]
    with pytest.raises(UnreadableDocumentError, match="3 pages and the limit is 2"):
        _read(content, max_pages=2)


def test_what_is_see_through_is_white(page: Draw) -> None:
    ink = page().point(lambda value: 255 - value)
    clear = Image.new("RGBA", ink.size, (0, 0, 0, 0))
    clear.putalpha(ink)
    assert _text(_read(_saved([clear], "PNG"))) == TEXT


def test_a_picture_that_would_fill_the_memory_is_refused_unopened() -> None:
    bomb = _saved([Image.new("1", (20_000, 20_000))], "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(UnreadableDocumentError, match="400 million pixels and the limit is 100 million"):
        _read(bomb)


def test_a_cut_picture_is_said_to_be_damaged(page: Draw) -> None:
    content = _saved([page()], "PNG")
    with pytest.raises(UnreadableDocumentError, match="damaged or was cut short"):
        _read(content[: len(content) // 2])


def test_a_picture_of_no_text_says_so() -> None:
    noise = np.random.default_rng(3).integers(0, 255, (600, 800), dtype=np.uint8)
    with pytest.raises(UnreadableDocumentError, match="no text was found in the picture"):
        _read(_saved([Image.fromarray(noise)], "PNG"))


# --- engines -----------------------------------------------------------------------------------------


def test_a_language_in_letters_that_no_engine_here_knows_names_the_package() -> None:
    with pytest.raises(UnreadableDocumentError, match="install the package tesseract-ocr-aze-cyrl, or set"):
        ocr.choose_engine("eng+aze_cyrl")


def test_without_tesseracts_data_for_a_language_rapidocr_reads_and_it_is_recorded(page: Draw) -> None:
    parsed = _read(_saved([page()], "PNG"), languages="eng+tlh")
    assert parsed.metadata["ocr_engine"] == "rapidocr (PP-OCRv6 small): no Tesseract data for tlh"
    assert " ".join(block.text for block in parsed.blocks) == TEXT


def test_languages_are_those_installed_for_the_script_on_the_page() -> None:
    there = ("chi_sim", "deu", "eng", "fra", "frk", "ita", "rus", "ukr")
    assert ocr_languages.of_script("Latin", there) == ("eng", "deu", "fra")
    assert ocr_languages.of_script("Cyrillic", there) == ("rus", "ukr", "eng")
    assert ocr_languages.of_script("Han", ("chi_sim",)) == ("chi_sim",)
    assert ocr_languages.of_script("Hangul", ("kor", "eng")) == ("kor", "eng")
    assert ocr_languages.of_script("Thai", there) == ()


def test_the_script_of_a_page_is_seen_whichever_way_it_lies(page: Draw) -> None:
    assert ocr_tesseract.script_on(page(), 200) == "Latin"
    assert ocr_tesseract.script_on(page().rotate(90, expand=True), 200) == "Latin"
    assert ocr_tesseract.script_on(Image.new("L", (600, 800), 255), 200) == ""


def test_the_languages_of_the_setting_are_recorded(page: Draw) -> None:
    for languages in ("eng", "auto"):
        assert "(eng)" in _read(_saved([page()], "PNG"), languages=languages).metadata["ocr_engine"]


def test_the_second_engine_reads_the_same_words(page: Draw) -> None:
    engine = ocr_rapid.engine("it is asked for")
    found, confidence = ocr.read_picture(page(), engine, number=1, dpi=200, timeout_s=60)
    assert " ".join(word.text for word in found.words) == TEXT
    assert confidence > 80


def test_a_stuck_page_is_given_up(page: Draw) -> None:
    engine = ocr_tesseract.engine(("eng",))
    assert engine.read(Picture(page(), 200), timeout_s=0.001) == []


# --- the picture -------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [-9.0, -1.3, 0.0, 0.4, 6.0])
def test_the_skew_is_found(page: Draw, degrees: float) -> None:
    turned = page().rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255)
    assert skew_of(turned) == pytest.approx(-degrees, abs=0.25)


def test_faded_print_is_made_dark_and_the_grain_of_its_paper_is_not(page: Draw) -> None:
    clean = np.asarray(page(), dtype=np.float32)
    grain = np.random.default_rng(4).normal(0, 9, clean.shape)
    faded = Image.fromarray(np.clip(235 - (255 - clean) * 0.32 + grain, 0, 255).astype(np.uint8))
    light = np.asarray(evened(faded))
    assert float(np.percentile(light[clean < 30], 40)) < 90
    assert float(np.percentile(light[clean > 250], 5)) > 200
    words = ocr.read_picture(faded, ocr_tesseract.engine(("eng",)), number=1, dpi=200, timeout_s=60)[0].words
    assert " ".join(word.text for word in words) == TEXT


def test_empty_paper_stays_empty() -> None:
    paper = np.clip(np.random.default_rng(4).normal(235, 9, (900, 700)), 0, 255).astype(np.uint8)
    assert int(np.asarray(evened(Image.fromarray(paper))).min()) > 190


def test_shadow_is_no_ink(page: Draw) -> None:
    clean = np.asarray(page(), dtype=np.float32)
    shadow = np.linspace(1.0, 0.35, clean.shape[1], dtype=np.float32)
    dark = Image.fromarray((clean * shadow).astype(np.uint8))
    light = np.asarray(evened(dark))
    paper = clean > 250
    assert float(np.percentile(light[paper], 2)) > 200
    assert float(np.median(light[clean < 60])) < 120


def test_lines_of_a_table_are_found_where_they_are(page: Draw, draw: Any) -> None:
    picture = Picture(page([*draw.grid((72, 272, 472), (100, 160, 220)), *draw.lines(PROSE, y=400)]), 200)
    rulings = rulings_of(straightened(picture))
    across = sorted(ruling.box.y0 for ruling in rulings if ruling.is_horizontal)
    down = sorted(ruling.box.x0 for ruling in rulings if not ruling.is_horizontal)
    assert across == pytest.approx([100, 160, 220], abs=1.5)
    assert down == pytest.approx([72, 272, 472], abs=1.5)


def test_a_turn_and_its_way_back_cancel() -> None:
    # A box in the top left corner of the page as read, for each way that the page may lie.
    corners = {
        0: (0.0, 0.0, 0.1, 0.05),
        1: (0.0, 0.9, 0.05, 1.0),
        2: (0.9, 0.95, 1.0, 1.0),
        3: (0.95, 0.0, 1.0, 0.1),
    }
    for quarters, corner in corners.items():
        shown = Sheet(600, 800, Turn(quarters)).shown(Box(0, 0, 60, 40))
        assert shown == pytest.approx(corner)


# --- the development scans ---------------------------------------------------------------------------


def test_the_development_scans_are_read_nearly_without_error(shared_documents: Path) -> None:
    rates = []
    for truth_file in sorted((shared_documents / "truth").glob("*.json")):
        truth = json.loads(truth_file.read_text(encoding="utf-8"))
        if truth.get("kind") in ("scan", "photo"):
            parsed = _read((shared_documents / truth["file"]).read_bytes(), truth["file"], threads=2)
            rates.append(_error_rate(truth["text"], _said(parsed.blocks)))
    assert len(rates) >= 8
    assert sum(rates) / len(rates) <= 0.02


def _said(blocks: Sequence[Block]) -> str:
    words = " ".join(block.text for block in blocks).replace("| --- ", " ").replace("|", " ")
    return " ".join(words.split())


def _error_rate(truth: str, said: str) -> float:
    truth = " ".join(truth.split())
    above = list(range(len(said) + 1))
    for row, letter in enumerate(truth, start=1):
        current = [row]
        for column, other in enumerate(said, start=1):
            current.append(min(above[column] + 1, current[-1] + 1, above[column - 1] + (letter != other)))
        above = current
    return above[-1] / len(truth)
