"""The child process of `causeway.knowledge.pages`: ``python -m ... picture|words FILE PAGE``, the answer on stdout.

It limits its own memory and time before it opens the file: PDFs and pictures are other people's, and their readers crash.
"""

from __future__ import annotations

import io
import resource
import sys
from pathlib import Path
from typing import Any

# ruff: noqa: PLC0415 - with the limits in place, and only what the one page needs

WIDTH = 1100
"""Pixels of a page's picture: sharp in the side panel of a screen with two pixels a point."""
NO_SUCH_PAGE = 3

_MOST_HEIGHT = 4 * WIDTH
_MOST_PIXELS = 100_000_000
_MEMORY_BYTES = 1_500_000_000
_CPU_S = 15
_JPEG_QUALITY = 85
_MOST_PNG_BYTES = 600_000
"""A page that takes more is no page of text: scans have grain, which takes 1.4 MB as PNG and a fifth of it as JPEG."""


class _NoSuchPageError(Exception):
    """The document has fewer pages."""


def main(task: str, file: str, page: str) -> int:
    """Write what is asked of the page to standard output; the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path, index = Path(file), int(page) - 1
    try:
        answer = _words(path, index) if task == "words" else _picture(path, index)
    except _NoSuchPageError:
        return NO_SUCH_PAGE
    sys.stdout.buffer.write(answer)
    return 0


def _picture(path: Path, index: int) -> bytes:
    """A page of a PDF as PNG, which letters stay sharp in; of a scan or a picture as JPEG, which is what it mostly was."""
    with path.open("rb") as file:
        is_pdf = b"%PDF-" in file.read(1024)
    return _drawn(path, index) if is_pdf else _shrunk(path, index)


def _page(path: Path, index: int) -> tuple[Any, Any]:
    import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no types

    document = pdfium.PdfDocument(path)
    if not 0 <= index < len(document):
        raise _NoSuchPageError
    return document, document[index]


def _drawn(path: Path, index: int) -> bytes:
    _document, page = _page(path, index)
    width, height = page.get_size()
    image = page.render(scale=min(WIDTH / width, _MOST_HEIGHT / height)).to_pil()
    drawn = io.BytesIO()
    image.save(drawn, "PNG", optimize=False, compress_level=6)
    return drawn.getvalue() if drawn.tell() < _MOST_PNG_BYTES else _as_jpeg(image.convert("RGB"))


def _as_jpeg(image: Any) -> bytes:
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=_JPEG_QUALITY)
    return packed.getvalue()


def _shrunk(path: Path, index: int) -> bytes:
    from PIL import Image, ImageOps

    from causeway.knowledge.ingest.picture_formats import FORMATS

    Image.MAX_IMAGE_PIXELS = None  # the limit is checked below, page by page
    with Image.open(path, formats=FORMATS) as image:
        if not 0 <= index < (getattr(image, "n_frames", 1) if image.format == "TIFF" else 1):
            raise _NoSuchPageError
        if index:
            image.seek(index)
        if image.width * image.height > _MOST_PIXELS:
            msg = "the picture is too large"
            raise ValueError(msg)
        image.draft("RGB", (2 * WIDTH, 2 * WIDTH))  # a JPEG is unpacked no further than needed
        image.thumbnail((_MOST_HEIGHT, _MOST_HEIGHT), reducing_gap=2.0)
        upright = _in_colour(ImageOps.exif_transpose(image))
    upright.thumbnail((WIDTH, _MOST_HEIGHT), reducing_gap=2.0)
    paper = Image.new("RGBA", upright.size, "white")
    return _as_jpeg(Image.alpha_composite(paper, upright).convert("RGB"))


def _in_colour(image: Any) -> Any:
    if not image.mode.startswith(("I", "F")):
        return image.convert("RGBA")
    deep = image.convert("F")  # 16 bits a pixel and more
    low, high = deep.getextrema()
    scale = 255.0 / max(high - low, 1.0)
    return deep.point(lambda value: value * scale - low * scale).convert("L").convert("RGBA")


def _words(path: Path, index: int) -> bytes:
    """The words in a page's text, packed, on the page as shown."""
    from causeway.knowledge.ingest.pdf_shapes import Sheet, Turn
    from causeway.knowledge.ingest.pdf_words import Frame, words_of
    from causeway.knowledge.page_words import PageWords

    _document, page = _page(path, index)
    shown = Frame.of(page.raw)
    text = page.get_textpage()  # a name of its own, so that it lives as long as it is read
    words, _, frame = words_of(text.raw, shown, None, {})
    sheet = Sheet(frame.width, frame.height, Turn((frame.quarters - shown.quarters) % 4))
    return PageWords.of((word.text, sheet.shown(word.box)) for word in words).pack()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
