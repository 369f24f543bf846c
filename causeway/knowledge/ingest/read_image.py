"""Pictures -> blocks: scans and photos of pages, as PNG, JPEG, WebP, TIFF of any number of pages, GIF or BMP.

A picture says rarely how large the page is that it shows, and phones say it wrongly, so anything unlikely is taken for
a sheet of about A4 or Letter. Formats that need a decoder of their own (HEIC, AVIF) are named with what to save instead.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.ocr import DPI, MAX_PIXELS, fitted
from causeway.knowledge.ingest.ocr_pages import OcrPages
from causeway.knowledge.ingest.ocr_words import packed_words
from causeway.knowledge.ingest.pdf_blocks import blocks_of
from causeway.knowledge.ingest.pdf_layout import read_in_order
from causeway.knowledge.ingest.pdf_running import without_running_lines
from causeway.knowledge.ingest.pdf_shapes import Page
from causeway.knowledge.ingest.picture_formats import FORMATS
from causeway.knowledge.ingest.reading import Reading

Image.MAX_IMAGE_PIXELS = (
    None  # Pillow's own limit would call a large picture damaged; ours is checked page by page
)
_SHEET_INCHES = 11.3
_LIKELY_DPI = (96, 1300)
_LIKELY_INCHES = (3.0, 24.0)
_SMALLEST_PX = 24
_DAMAGED = "the picture is damaged or was cut short: it cannot be opened; get a whole copy and add it again"
_NOTHING = "no text was found in the picture; add a clearer one, or text"


def read_image(content: bytes, media_type: str, reading: Reading) -> ParsedDocument:
    """The document on the pictures in an image file.

    Raises:
        UnreadableDocumentError: It is damaged, too large, or shows no text.
    """
    with _opened(content) as image:
        count = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
        if count > reading.max_pages:
            raise UnreadableDocumentError(
                f"the picture has {count} pages and the limit is {reading.max_pages}; split it, or raise"
                " knowledge.max_pages"
            )
        with OcrPages(reading) as ocr:
            for number in range(1, count + 1):
                ocr.add(number, partial(_frame, image, number - 1))
            pages = ocr.pages()
            metadata = ocr.described()
    blocks = _blocks(pages)
    if not blocks:
        raise UnreadableDocumentError(_NOTHING)
    first = blocks[0]
    return ParsedDocument(
        title=first.text if first.kind == "heading" else "",
        media_type=media_type,
        blocks=blocks,
        pages=count,
        metadata=metadata,
        page_words=packed_words(pages.values()),
    )


def _blocks(pages: Mapping[int, Page]) -> tuple[Block, ...]:
    items = [item for number in sorted(pages) for item in read_in_order(pages[number])]
    heights = {number: page.height for number, page in pages.items()}
    items = without_running_lines(items, heights, is_ocr=True)
    sheets = {number: page.sheet for number, page in pages.items()}
    return tuple(blocks_of(items, sheets))


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    """The picture, unpacked as far as its header; what Pillow says of a damaged one becomes a reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                yield image
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        Image.DecompressionBombError,
    ) as exc:
        raise UnreadableDocumentError(_DAMAGED) from exc


def _frame(image: Image.Image, index: int) -> tuple[Image.Image, float]:
    """One page of the file, upright as its EXIF says, at the resolution it is read at."""
    if index:
        image.seek(index)
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise UnreadableDocumentError(
            f"the picture has {pixels / 1e6:,.0f} million pixels and the limit is {MAX_PIXELS / 1e6:,.0f} million;"
            " save it smaller"
        )
    if min(image.size) < _SMALLEST_PX:
        raise UnreadableDocumentError(_NOTHING)
    dpi = _dpi(image)
    if image.format == "JPEG":  # unpacked no further than needed
        width = image.width
        image.draft("L", (round(width * DPI / dpi), round(image.height * DPI / dpi)))
        dpi *= image.width / width
    return fitted(_on_white(ImageOps.exif_transpose(image)), dpi)


def _on_white(image: Image.Image) -> Image.Image:
    """In grey, on white paper where it is see-through."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        paper = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(paper, clear).convert("L")
    if image.mode.startswith(("I", "F")):  # 16 bits a pixel and more
        light = np.asarray(image, dtype=np.float32)
        low, high = float(light.min()), float(light.max())
        return Image.fromarray(((light - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8))
    return image.convert("L")


def _dpi(image: Image.Image) -> float:
    """Dots an inch as the file says, or as they must be for the picture to show a sheet of paper."""
    said = image.info.get("dpi")
    dpi = float(said[0]) if isinstance(said, tuple) and said and said[0] else 0.0
    low, high = _LIKELY_DPI
    inches = max(image.size) / dpi if dpi else 0.0
    if low < dpi < high and _LIKELY_INCHES[0] < inches < _LIKELY_INCHES[1]:
        return dpi
    return max(max(image.size) / _SHEET_INCHES, 90.0)
