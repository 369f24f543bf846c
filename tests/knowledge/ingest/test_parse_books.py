"""EPUB, OpenDocument, RTF and Outlook files, each written by hand from its specification."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import pytest

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import ParsedDocument
from causeway.knowledge.ingest.parser import parse_bytes
from causeway.knowledge.ingest.reading import Reading

MakeZip = Callable[..., bytes]

CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
PACKAGE = (
    '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<dc:title>The harbour</dc:title><dc:creator>Edie Marsh</dc:creator><dc:date>2026-03-01</dc:date></metadata><manifest>"
    '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
    '<item id="two" href="text/two.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="one" href="text/on%65.xhtml" media-type="application/xhtml+xml"/></manifest>'
    '<spine><itemref idref="nav"/><itemref idref="one"/><itemref idref="two"/></spine></package>'
)


def _parse(content: bytes, name: str) -> ParsedDocument:
    return parse_bytes(content, name=name, reading=Reading())


def _said(parsed: ParsedDocument) -> list[tuple[str, int, str]]:
    return [(block.kind, block.level, block.text) for block in parsed.blocks]


# --- EPUB --------------------------------------------------------------------------------------------


def _book(package: str = PACKAGE) -> dict[str, bytes | str]:
    return {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": package,
        "OEBPS/nav.xhtml": "<html><body><nav><ol><li>Contents</li></ol></nav></body></html>",
        "OEBPS/text/one.xhtml": "<html><body><h1>Fog</h1><p>It would not lift.</p><script>x()</script></body></html>",
        "OEBPS/text/two.xhtml": "<html><body><h1>Calm</h1><p>We sounded the channel.</p></body></html>",
    }


def test_a_book_is_read_in_the_order_of_its_spine(make_zip: MakeZip) -> None:
    parsed = _parse(make_zip(_book()), "book.epub")
    assert parsed.title == "The harbour"
    assert parsed.metadata == {"author": "Edie Marsh", "created": "2026-03-01"}
    assert _said(parsed) == [
        ("heading", 1, "Fog"),
        ("paragraph", 0, "It would not lift."),
        ("heading", 1, "Calm"),
        ("paragraph", 0, "We sounded the channel."),
    ]


def test_a_book_may_not_name_files_of_the_machine(make_zip: MakeZip) -> None:
    entity = PACKAGE.replace("?>", '?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', 1)
    with pytest.raises(UnreadableDocumentError, match="the book is damaged"):
        _parse(make_zip(_book(entity.replace("The harbour", "&e;"))), "book.epub")
    outside = _book(PACKAGE.replace("text/two.xhtml", "../../../../etc/passwd"))
    assert "Calm" not in str(_said(_parse(make_zip(outside), "book.epub")))


def test_a_protected_book_says_so(make_zip: MakeZip) -> None:
    with pytest.raises(UnreadableDocumentError, match="protected"):
        _parse(make_zip({**_book(), "META-INF/rights.xml": "<rights/>"}), "book.epub")


# --- OpenDocument ------------------------------------------------------------------------------------

MANIFEST = (
    '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><manifest:file-entry'
    ' manifest:full-path="/" manifest:media-type="application/vnd.oasis.opendocument.text"/></manifest:manifest>'
)
BODY = (
    '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0">'
    '<office:body><office:text><text:h text:outline-level="1">Leave</text:h><text:p>25 days{extra}.</text:p>'
    "<table:table><table:table-row><table:table-cell><text:p>Who</text:p></table:table-cell><table:table-cell>"
    "<text:p>Days</text:p></table:table-cell></table:table-row><table:table-row><table:table-cell><text:p>All</text:p>"
    "</table:table-cell><table:table-cell><text:p>25</text:p></table:table-cell></table:table-row></table:table>"
    "</office:text></office:body></office:document-content>"
)


def _letter(content: str) -> dict[str, bytes | str]:
    return {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "META-INF/manifest.xml": MANIFEST,
        "content.xml": content,
    }


def test_an_opendocument_text_has_headings_and_tables(make_zip: MakeZip) -> None:
    parsed = _parse(make_zip(_letter(BODY.format(extra=""))), "leave.odt")
    assert _said(parsed) == [
        ("heading", 1, "Leave"),
        ("paragraph", 0, "25 days."),
        ("table", 0, "| Who | Days |\n| --- | --- |\n| All | 25 |"),
    ]


def test_entities_of_an_opendocument_text_fetch_nothing(make_zip: MakeZip, tmp_path: object) -> None:
    secret = f"{tmp_path}/secret.txt"
    with open(secret, "w", encoding="utf-8") as file:  # noqa: PTH123 - the path is a plain text for the entity
        file.write("sesame")
    evil = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>' + BODY.format(extra="&e;")
    try:
        said = str(_said(_parse(make_zip(_letter(evil)), "leave.odt")))
    except UnreadableDocumentError as exc:
        said = exc.message
    assert "sesame" not in said


# --- RTF ---------------------------------------------------------------------------------------------


def test_rtf_has_headings_by_style_and_no_page_headers() -> None:
    content = rb"""{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Times;}}{\stylesheet{\s0 Normal;}{\s1\b\fs32 heading 1;}}
{\info{\title The plan}{\author Edie}}{\header \pard Secret plan, page \chpgn\par}
\pard\s1\b The season\b0\par
\pard\s0 Some text with \'e9t\'e9 and {\i more}.\par
\pard\outlinelevel1 Prices\par
\trowd\cellx3000\cellx6000 \intbl Name\cell Price\cell\row
\trowd\cellx3000\cellx6000 \intbl Tent\cell 415\cell\row
\pard The end.\par}"""
    parsed = _parse(content, "plan.rtf")
    assert parsed.title == "The plan"
    assert _said(parsed) == [
        ("heading", 1, "The season"),
        ("paragraph", 0, "Some text with été and more."),
        ("heading", 2, "Prices"),
        ("table", 0, "| Name | Price |\n| --- | --- |\n| Tent | 415 |"),
        ("paragraph", 0, "The end."),
    ]


# --- Outlook -----------------------------------------------------------------------------------------


def test_an_outlook_message_reads_like_any_mail() -> None:
    properties = b"\0" * 32 + struct.pack("<HHIQ", 0x0040, 0x0039, 6, 134_378_496_000_000_000)
    content = _compound_file(
        {
            "__substg1.0_0037001F": "Beschlüsse".encode("utf-16-le"),
            "__substg1.0_0C1A001F": "Marit".encode("utf-16-le"),
            "__substg1.0_5D01001F": "m@b.example".encode("utf-16-le"),
            "__substg1.0_0E04001F": "Dev".encode("utf-16-le"),
            "__substg1.0_10130102": b"<html><body><h1>Minutes</h1><p>We agreed.</p></body></html>",
            "__properties_version1.0": properties,
            "__attach_version1.0_#00000000/__substg1.0_3707001F": "note.txt".encode("utf-16-le"),
            "__attach_version1.0_#00000000/__substg1.0_37010102": b"Words in the attachment.",
        }
    )
    parsed = _parse(content, "mail.msg")
    assert parsed.title == "Beschlüsse"
    assert parsed.metadata["author"] == "Marit <m@b.example>"
    assert _said(parsed) == [
        ("heading", 1, "Beschlüsse"),
        ("paragraph", 0, "From: Marit <m@b.example>\nTo: Dev\nDate: Fri, 30 Oct 2026 16:00:00 +0000"),
        ("heading", 2, "Minutes"),
        ("paragraph", 0, "We agreed."),
        ("heading", 2, "Attachment: note.txt"),
        ("paragraph", 0, "Words in the attachment."),
    ]


def _compound_file(streams: Mapping[str, bytes]) -> bytes:
    """A compound file ([MS-CFB]) with these streams, each in sectors of its own; folders are one level deep."""
    end, free = 0xFFFFFFFE, 0xFFFFFFFF
    # Streams below 4096 bytes would have to lie in a stream of their own: all are filled up to that.
    padded = {
        name: content + (b" " if name.endswith("0102") else b"\0") * (-len(content) % 4096)
        for name, content in streams.items()
    }
    folders = sorted({name.partition("/")[0] for name in streams if "/" in name})
    top = [*folders, *(name for name in streams if "/" not in name)]
    entries: list[
        tuple[str, int, int, int, int, bytes]
    ] = []  # name, kind, right sibling, child, size, content

    def add(names: list[str], prefix: str) -> int:
        """Siblings as a list that leans to the right; the first one's number."""
        first = len(entries)
        for place, name in enumerate(names):
            following = first + place + 1 if place + 1 < len(names) else free
            kind = 1 if name in folders and not prefix else 2
            content = padded.get(prefix + name, b"")
            entries.append((name, kind, following, free, len(content), content))
        return first

    entries.append(("Root Entry", 5, free, 1, 0, b""))
    add(sorted(top, key=lambda name: (len(name), name.upper())), "")
    for folder in folders:
        inside = sorted(name.partition("/")[2] for name in streams if name.startswith(f"{folder}/"))
        child = add(sorted(inside, key=lambda name: (len(name), name.upper())), f"{folder}/")
        index = next(number for number, entry in enumerate(entries) if entry[0] == folder)
        entries[index] = (*entries[index][:3], child, *entries[index][4:])
    sectors, starts = bytearray(), []
    chains: list[int] = []
    for entry in entries:
        count = len(entry[5]) // 512
        starts.append(len(chains) if count else end)
        chains += [len(chains) + step + 1 for step in range(count - 1)] + [end] * bool(count)
        sectors += entry[5]
    directory = b"".join(
        name.encode("utf-16-le").ljust(64, b"\0")
        + struct.pack("<HBBIII", 2 * len(name) + 2, kind, 1, free, right, child)
        + b"\0" * 36
        + struct.pack("<IQ", start, size if kind == 2 else 0)
        for (name, kind, right, child, size, _), start in zip(entries, starts, strict=True)
    )
    directory += (b"\0" * 68 + struct.pack("<III", free, free, free) + b"\0" * 48) * (-len(entries) % 4)
    first_directory = len(chains)
    count = len(directory) // 512
    chains += [first_directory + step + 1 for step in range(count - 1)] + [end]
    table = len(chains)
    chains += [0xFFFFFFFD]
    fat = b"".join(struct.pack("<I", chain) for chain in chains).ljust(512, b"\xff")
    header = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + b"\0" * 16
        + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
        + b"\0" * 6
    )
    header += struct.pack("<IIIIIIIII", 0, 1, first_directory, 0, 4096, end, 0, end, 0)
    return header + struct.pack("<I", table).ljust(436, b"\xff") + bytes(sectors) + directory + fat
