"""Files made to do harm, or damaged, as bytes: what `test_hostile` reads, one of each kind."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

_LAUGHS = "<!ENTITY a0 'ha'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
_WORD = (
    '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>'
    "{}</w:t></w:r></w:p></w:body></w:document>"
)
_SHEET = '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>{}</t></si></sst>'
_ODT = (
    '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:text><text:p>{}</text:p>'
    "</office:text></office:body></office:document-content>"
)


def zipped(files: Mapping[str, bytes | str], *, stored: tuple[str, ...] = ()) -> bytes:
    """A ZIP file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files.items():
            kind = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            archive.writestr(name, content, kind)
    return packed.getvalue()


def docx(document: str | bytes) -> bytes:
    """A Word file with this as its text's XML."""
    return zipped(
        {
            "[Content_Types].xml": _types("word/document", "wordprocessingml.document.main"),
            "word/document.xml": document,
            **_relations("officeDocument", "word/document.xml"),
        }
    )


def xlsx(strings: str, sheet: str = '<row r="1"><c r="A1" t="s"><v>0</v></c></row>') -> bytes:
    """A workbook with these shared strings, and one sheet."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    return zipped(
        {
            "[Content_Types].xml": _types("xl/workbook", "spreadsheetml.sheet.main"),
            **_relations("officeDocument", "xl/workbook.xml"),
            "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relation}"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" Type="{relation}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{relation}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{sheet}</sheetData></worksheet>',
            "xl/sharedStrings.xml": strings,
        }
    )


def odt(content: str) -> bytes:
    """An OpenDocument text."""
    kind = "application/vnd.oasis.opendocument.text"
    return zipped({"mimetype": kind, "content.xml": content}, stored=("mimetype",))


def pdf(
    pages: int,
    *,
    content: bytes = b"BT /F1 12 Tf 72 700 Td (Words on a page) Tj ET",
    trailer: bytes = b"",
    kids: bytes = b"",
    packed: bool = False,
) -> bytes:
    """A PDF of so many pages that share one content."""
    stream = zlib.compress(content, 9) if packed else content
    filters = b"/Filter /FlateDecode " if packed else b""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>"
        % (pages, kids or b" ".join(b"%d 0 R" % (n + 5) for n in range(pages))),
        b"<< %s/Length %d >>\nstream\n%s\nendstream" % (filters, len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 3 0 R /Resources << /Font << /F1 4 0 R >> >> >>"
            for _ in range(pages)
        ),
    ]
    written, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R %s>>\nstartxref\n%d\n%%%%EOF"
    return bytes(written) + end % (len(objects) + 1, table, len(objects) + 1, trailer, len(written))


def png(width: int, height: int, rows: bytes) -> bytes:
    """A grey picture that says it is so large, whatever rows it has."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))

    header = struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def _types(part: str, kind: str) -> str:
    """What tells an Office file's main part."""
    package = "http://schemas.openxmlformats.org/package/2006/content-types"
    main = f"application/vnd.openxmlformats-officedocument.{kind}+xml"
    return (
        f'<Types xmlns="{package}"><Default Extension="xml" ContentType="application/xml"/>'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/{part}.xml" ContentType="{main}"/></Types>'
    )


def _relations(kind: str, target: str) -> dict[str, str]:
    """What leads to an Office file's main part."""
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    relation = f"http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}"
    return {
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" Type="{relation}" Target="{target}"/></Relationships>'
    }


def all_kinds(secret: Path) -> dict[str, bytes]:
    """Name -> content; those that name an entity or a file of the machine name ``secret``."""
    outside = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>'
    laughs = f'<?xml version="1.0"?><!DOCTYPE x [{_LAUGHS}]>'
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><text>{}</text></svg>'
    nested = zipped({"x.md": "deep"})
    for _ in range(40):
        nested = zipped({"in.zip": nested})
    epub = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="../../../etc/book.opf"/></rootfiles></container>',
    }
    mail = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(3000))
    return {
        "recursive.zip": nested,
        "absolute.zip": zipped({"/etc/passwd": "x", "../../up.md": "x", "C:\\win.md": "x"}),
        "bomb.zip": zipped({"zeros.txt": b"\0" * 60_000_000}),
        "many.zip": zipped({f"{n}.txt": "x" for n in range(5001)}),
        "outside.docx": docx(outside + _WORD.format("before &e; after")),
        "outside.xlsx": xlsx(outside + _SHEET.format("before &e; after")),
        "outside.odt": odt(outside + _ODT.format("before &e; after")),
        "outside.svg": (outside + svg.format("before &e; after")).encode(),
        "outside.html": f'<html><body><p>before</p><iframe src="file://{secret}"></iframe><object data="{secret}"></object></body></html>'.encode(),
        "outside.md": f"# Before\n\n![x](file://{secret})\n\n[[{secret}]]\n\nafter\n".encode(),
        "laughs.docx": docx(laughs + _WORD.format("&a11;")),
        "laughs.xlsx": xlsx(laughs + _SHEET.format("&a11;")),
        "laughs.odt": odt(laughs + _ODT.format("&a11;")),
        "laughs.svg": (laughs + svg.format("&a11;")).encode(),
        "laughs.xml": (laughs + "<x>&a11;</x>").encode(),
        "bomb.docx": docx(_WORD.format(" " * 150_000_000)),
        "huge.xlsx": xlsx(_SHEET.format("x"), '<row r="1048576"><c r="XFD1048576" t="s"><v>0</v></c></row>'),
        "upwards.epub": zipped(epub, stored=("mimetype",)),
        "two_thousand.pdf": pdf(2000),
        "too_long.pdf": pdf(3001),
        "locked.pdf": pdf(
            1,
            trailer=b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >> /ID [<00> <00>] "
            % (b"41" * 32, b"42" * 32),
        ),
        "loop.pdf": pdf(1, kids=b"2 0 R"),
        "bomb.pdf": pdf(1, content=b" " * 150_000_000, packed=True),
        "strokes.pdf": pdf(1, content=b"0 0 m 500 500 l S " * 300_000, packed=True),
        "giant.png": png(60_000, 60_000, b""),
        "bomb.png": png(9_000, 9_000, bytes(9_000 * 9_001)),
        "deep.html": b"<div>" * 200_000 + b"words",
        "deep.json": b"[" * 200_000,
        "deep.md": b"> " * 20_000 + b"words",
        "deep.rtf": b"{\\rtf1" + b"{" * 200_000 + b"words" + b"}" * 200_000 + b"}",
        "deep.eml": f"From: a@b.test\nSubject: deep\nMIME-Version: 1.0\n{mail}words".encode(),
        "one_line.csv": b"a;b\n" + b"1;2;" * 2_000_000,
        "program.pdf": b"MZ" + b"\0" * 4000,
        "picture.docx": png(40, 40, bytes(40 * 41)),
        "page.txt": b"<html><body><script>alert(1)</script><p>Words of a page</p></body></html>",
        "paper.md": pdf(1),
        "archive.pdf": zipped({"a.md": "words"}),
        "noise.docx": bytes(range(256)) * 400,
        "nothing.pdf": b"",
        "blank.md": b" \n\t\n",
        "nul.txt": b"\0" * 4000 + b"words",
    }
