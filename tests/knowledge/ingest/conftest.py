"""Small files for the readers' tests: PDFs written by hand, Office files from their XML."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Text:
    """A line of text; ``y`` is from the page's top, 842 points high."""

    x: float
    y: float
    text: str
    size: float = 11
    is_bold: bool = False


@dataclass(frozen=True)
class Rule:
    """A line from one point to another."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Picture:
    """A grey picture over the whole page, as a scan has."""


PageItem = Text | Rule | Picture
MakePdf = Callable[..., bytes]


def _pdf(pages: Sequence[Sequence[PageItem]], *, title: str = "", rotate: int = 0) -> bytes:
    objects: list[bytes] = [b"", b""]  # the catalogue and the page tree come when all is known
    kids: list[int] = []
    objects.append(
        _stream(
            b"\x99",
            b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8",
        )
    )
    for items in pages:
        objects.append(_stream("\n".join(map(_drawn, items)).encode("cp1252", "replace")))
        contents = len(objects)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Rotate %d /Contents %d 0 R /Resources << /Font << "
            b"/F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> "
            b"/F2 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >> >> "
            b"/XObject << /Im 3 0 R >> >> >>" % (rotate, contents)
        )
        kids.append(len(objects))
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(kids),
        b" ".join(b"%d 0 R" % kid for kid in kids),
    )
    objects.append(b"<< /Title (%s) >>" % title.encode("latin-1"))
    written = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (
        written
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (
            len(objects) + 1,
            table,
            len(objects) + 1,
            len(objects),
            len(written),
        )
    )


def _stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, len(content), content)


def _drawn(item: PageItem) -> str:
    match item:
        case Text(x, y, text, size, is_bold):
            escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
            return f"BT /F{2 if is_bold else 1} {size} Tf {x} {842 - y} Td ({escaped}) Tj ET"
        case Rule(x0, y0, x1, y1):
            return f"0.5 w {x0} {842 - y0} m {x1} {842 - y1} l S"
        case Picture():
            return "q 595 0 0 842 0 0 cm /Im Do Q"


@pytest.fixture
def make_pdf() -> MakePdf:
    """``make_pdf([[Text(...), ...], ...], title="")``: the bytes of a PDF with these pages."""
    return _pdf


class Drawing:
    """The kinds of things on a page, and several of them at once."""

    Text = Text
    Rule = Rule
    Picture = Picture

    @staticmethod
    def lines(
        texts: Sequence[str], *, x: float = 72, y: float = 100, size: float = 11, step: float = 14
    ) -> list[PageItem]:
        """Texts one below the other."""
        return [_text(x, y + index * step, text, size) for index, text in enumerate(texts)]

    @staticmethod
    def grid(xs: Sequence[float], ys: Sequence[float]) -> list[PageItem]:
        """The lines of a table."""
        across = [_rule(xs[0], y, xs[-1], y) for y in ys]
        return [*across, *(_rule(x, ys[0], x, ys[-1]) for x in xs)]


_text, _rule = Text, Rule


@pytest.fixture
def draw() -> type[Drawing]:
    """What pages are made of."""
    return Drawing


@pytest.fixture
def make_zip() -> Callable[[Mapping[str, bytes | str]], bytes]:
    """The bytes of a zip archive with these files."""

    def pack(files: Mapping[str, bytes | str]) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return packed.getvalue()

    return pack


@pytest.fixture
def shared_documents() -> Path:
    """The development documents beside the repository."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "data" / "documents"
    assert folder.is_dir(), f"the development data is missing: {folder}"
    return folder
