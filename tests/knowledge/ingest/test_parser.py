from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest import sniff
from causeway.knowledge.ingest.parser import parse_bytes, parse_file
from causeway.knowledge.ingest.reading import Reading

SAMPLES = Path(__file__).resolve().parents[3] / "samples" / "documents"
OFFICE = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
}


def _parse(content: bytes, name: str) -> ParsedDocument:
    return parse_bytes(content, name=name, reading=Reading(max_pages=100))


def _sample(suffix: str) -> ParsedDocument:
    path = sorted(SAMPLES.rglob(f"*{suffix}"))[0]
    return parse_file(path, name=path.name, reading=Reading(max_pages=100))


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("a.md", b"# Hi\n\n<html> is a tag\n", sniff.MARKDOWN),
        ("a.txt", b"plain words\n", sniff.PLAIN),
        ("a.txt", b"<!DOCTYPE html><html><body><p>Hi</p></body></html>", sniff.HTML),
        ("page", b"<!-- x --><html><body><p>Hi</p></body></html>", sniff.HTML),
        ("a.csv", b"a;b\n1;2\n", sniff.CSV),
        ("mail", b"From: a@b.example\r\nTo: c@d.example\r\nSubject: Hi\r\n\r\nHello there.\r\n", sniff.MAIL),
        ("notes", b"Just some words that somebody wrote down in a hurry, and more of them.\n", sniff.PLAIN),
        ("table.dat", b"name,price,stock\ntent,100,4\nstove,50,7\nmat,20,9\n" * 5, sniff.CSV),
        ("script.py", b"import os\n\ndef f():\n    return os.name\n", sniff.PLAIN),
    ],
)
def test_the_bytes_decide_what_a_file_is(name: str, content: bytes, media_type: str) -> None:
    assert sniff.media_type_of(content, name) == media_type


def test_a_pdf_is_one_under_any_name(make_pdf: Any, draw: Any) -> None:
    parsed = _parse(make_pdf([draw.lines(["Some words on a page."])]), "report.docx")
    assert parsed.media_type == sniff.PDF


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", b"", "the file is empty"),
        ("a.txt", b" \n\t\n", "the file is empty"),
        ("a.pdf", b"MZ\x90\x00\x03\x00\x00\x00" + b"\0" * 60, "a program"),
        ("a.docx", b"\x7fELF\x02\x01\x01" + b"\0" * 60, "a program"),
        ("a.txt", b"\x89PNG\r\n\x1a\n" + b"\0" * 60, "the picture is damaged"),
        ("a.jpg", b"\xff\xd8\xff" + b"\0" * 60, "the picture is damaged"),
        ("a.heic", b"\0\0\0\x18ftypheic" + b"\0" * 60, "HEIC.*save it as JPEG or PNG"),
        ("a.md", b"\x1f\x8b\x08\x00" + b"\0" * 60, "an archive of a kind that is not read here"),
        (
            "a.pdf",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 60 + "WordDocument".encode("utf-16-le"),
            "old Word document is damaged",
        ),
        (
            "a.msg",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "__substg1.0_".encode("utf-16-le"),
            "Outlook message is damaged",
        ),
        ("a.rtf", b"{\\rtf1 {\\header unfinished", "RTF document is damaged"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "password"),
        ("a.mp4", b"\0\0\0\x20ftypisom" + b"\0" * 60, "sound or video"),
        ("a.txt", bytes(range(256)) * 40, "which nothing here can read"),
        ("a.docx", b"PK\x03\x04" + b"\0" * 200, "cannot be unpacked"),
        ("a.html", b"<html><body><script>1</script></body></html>", "no text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(name: str, content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDocumentError, match=reason):
        _parse(content, name)


def test_an_office_file_that_unpacks_to_too_much_is_refused_unopened(make_zip: Callable[..., bytes]) -> None:
    packed = bytearray(make_zip({**OFFICE, "word/document.xml": "<w:document/>"}))
    entry = packed.rindex(b"PK\x01\x02")
    packed[entry + 24 : entry + 28] = (4_000_000_000).to_bytes(
        4, "little"
    )  # what the directory says it unpacks to
    with pytest.raises(UnreadableDocumentError, match=r"unpacks to 4,000 MB and the limit is 1,000 MB"):
        _parse(bytes(packed), "bomb.docx")


def test_a_damaged_office_file_is_said_to_be_damaged(make_zip: Callable[..., bytes]) -> None:
    with pytest.raises(UnreadableDocumentError, match="Word document is damaged"):
        _parse(make_zip({**OFFICE, "word/document.xml": "<w:document"}), "a.docx")


def test_a_word_file_has_headings_lists_and_tables() -> None:
    parsed = _sample(".docx")
    kinds = {block.kind for block in parsed.blocks}
    assert {"heading", "paragraph", "table"} <= kinds
    assert parsed.title
    assert parsed.pages is None
    assert [block.level for block in parsed.blocks if block.kind == "heading"].count(1) == 1


def test_a_presentation_has_a_page_a_slide_and_its_notes() -> None:
    parsed = _sample(".pptx")
    assert parsed.pages == max(block.page or 0 for block in parsed.blocks)
    assert any(block.text.startswith("Notes: ") for block in parsed.blocks)
    assert {block.level for block in parsed.blocks if block.kind == "heading"} == {2}


def test_a_workbook_has_a_table_a_sheet_below_its_name() -> None:
    parsed = _sample(".xlsx")
    assert [block.kind for block in parsed.blocks[:2]] == ["heading", "table"]
    assert "\n| --- |" in parsed.blocks[1].text


def test_a_mail_says_who_wrote_and_holds_its_attachments(make_pdf: Any, draw: Any) -> None:
    import base64

    pdf = base64.encodebytes(make_pdf([draw.lines(["The letter that came with it."])])).decode()
    mail = (
        "From: Marit <m@b.example>\r\nTo: c@d.example\r\nSubject: =?utf-8?q?Beschl=C3=BCsse?=\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: multipart/alternative; boundary="y"\r\n\r\n'
        "--y\r\nContent-Type: text/plain\r\n\r\nplain\r\n--y\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        "<h1>Minutes</h1><p>We agreed.</p>\r\n--y--\r\n--x\r\nContent-Type: application/pdf\r\n"
        'Content-Disposition: attachment; filename="letter.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        f"{pdf}\r\n--x\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename=p.png\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--x--\r\n"
    )
    parsed = _parse(mail.encode(), "mail.txt")
    assert parsed.title == "Beschlüsse"
    assert parsed.blocks == (
        Block(kind="heading", text="Beschlüsse", level=1),
        Block(kind="paragraph", text="From: Marit <m@b.example>\nTo: c@d.example"),
        Block(kind="heading", text="Minutes", level=2),
        Block(kind="paragraph", text="We agreed."),
        Block(kind="heading", text="Attachment: letter.pdf", level=2),
        Block(kind="paragraph", text="The letter that came with it."),
        Block(kind="heading", text="Attachment: p.png", level=2),
        Block(kind="paragraph", text="p.png"),
    )


def test_what_the_database_cannot_hold_is_dropped() -> None:
    parsed = _parse(
        "# Ti\x0ctle\n\nSome te\u0001xt that is long enough to be text for sure, is it not.\n".encode(),
        "a.md",
    )
    assert "\x01" not in parsed.blocks[-1].text
    assert "\x0c" not in parsed.title
