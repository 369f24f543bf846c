"""What a file's bytes really are, whatever it is called, and why some are refused.

Magic numbers come first and cost nothing. Text whose extension names a text format is believed. Only text without a
telling extension is shown to magika, a small classifier, which takes 0.4 s to load (`bench/results/parsing.md`).
"""

from __future__ import annotations

import io
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from causeway.errors import EmptyDocumentError, UnreadableDocumentError
from causeway.knowledge.ingest.text_encoding import decode

if TYPE_CHECKING:
    import zipfile

PDF = "application/pdf"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SLIDES = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
SHEETS = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"
HTML = "text/html"
CSV = "text/csv"
MAIL = "message/rfc822"
OUTLOOK = "application/vnd.ms-outlook"
OPEN_TEXT = "application/vnd.oasis.opendocument.text"
OPEN_SLIDES = "application/vnd.oasis.opendocument.presentation"
OPEN_SHEETS = "application/vnd.oasis.opendocument.spreadsheet"
OLD_WORD = "application/msword"
OLD_SLIDES = "application/vnd.ms-powerpoint"
OLD_SHEETS = "application/vnd.ms-excel"
RTF = "application/rtf"
EPUB = "application/epub+zip"
ZIP = "application/zip"
PNG = "image/png"
JPEG = "image/jpeg"
GIF = "image/gif"
TIFF = "image/tiff"
BMP = "image/bmp"
WEBP = "image/webp"
PICTURES = frozenset((PNG, JPEG, GIF, TIFF, BMP, WEBP))

MAX_UNPACKED_BYTES = 1_000_000_000
"""An Office file that says it unpacks to more is refused unopened."""

_TEXT_EXTENSIONS = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdx": MARKDOWN,
    ".txt": PLAIN,
    ".text": PLAIN,
    ".log": PLAIN,
    ".rst": PLAIN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".csv": CSV,
    ".tsv": CSV,
    ".eml": MAIL,
}
_MAGIKA_LABELS = {"markdown": MARKDOWN, "html": HTML, "csv": CSV, "tsv": CSV, "eml": MAIL}

_PHONE_PICTURE = (
    "a picture in a format (HEIC or AVIF) that is not read here; save it as JPEG or PNG and add that"
)
_DRAWING = "a drawing or an icon; save it as PNG or PDF and add that"
_ARCHIVE = "an archive of a kind that is not read here; unpack it, or make it a .zip, and add that"
_PROGRAM = "a program, not a document"
_MEDIA = "sound or video, which cannot be searched; add a transcript"
_DATABASE = "a database file; export what should be searchable"
_PICTURE_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"II+\x00", TIFF),
    (b"MM\x00+", TIFF),
)
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"\x00\x00\x01\x00", _DRAWING),
    (b"8BPS", _DRAWING),
    (b"\x7fELF", _PROGRAM),
    (b"\xca\xfe\xba\xbe", _PROGRAM),
    (b"\xcf\xfa\xed\xfe", _PROGRAM),
    (b"\xce\xfa\xed\xfe", _PROGRAM),
    (b"\x00asm", _PROGRAM),
    (b"\x1f\x8b", _ARCHIVE),
    (b"BZh", _ARCHIVE),
    (b"\xfd7zXZ\x00", _ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (b"Rar!\x1a\x07", _ARCHIVE),
    (b"\x28\xb5\x2f\xfd", _ARCHIVE),
    (b"ID3", _MEDIA),
    (b"OggS", _MEDIA),
    (b"fLaC", _MEDIA),
    (b"\x1aE\xdf\xa3", _MEDIA),
    (b"SQLite format 3\x00", _DATABASE),
)
_EMPTY = "the file is empty"
_BROKEN_ZIP = "the file is damaged or was cut short: it cannot be unpacked; get a whole copy and add it again"
_ODD_OFFICE = "the file is an Office file of a kind that is not read here; save it as PDF"
_LONGEST_TYPE = 100
_BY_MIMETYPE = {
    "application/epub+zip": EPUB,
    OPEN_TEXT: OPEN_TEXT,
    f"{OPEN_TEXT}-template": OPEN_TEXT,
    OPEN_SLIDES: OPEN_SLIDES,
    OPEN_SHEETS: OPEN_SHEETS,
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HTML_START = re.compile(
    r"\A\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_MAIL_HEADER = re.compile(
    r"^(?:From|To|Subject|Date|Received|Return-Path|Message-ID|MIME-Version|Delivered-To|Content-Type):",
    re.IGNORECASE,
)


def media_type_of(content: bytes, name: str) -> str:
    """The media type of ``content``: one that a parser here reads.

    Raises:
        UnreadableDocumentError: It is empty, or nothing that can be made searchable; the message says what it is.
    """
    if not content.strip(b"\x00\t\n\r "):
        raise EmptyDocumentError(_EMPTY)
    if b"%PDF-" in content[:1024]:
        return PDF
    if content.startswith(b"PK\x03\x04"):
        return _in_zip(content)
    if content.startswith(b"{\\rtf"):
        return RTF
    if content.startswith(_OLE):
        return _in_compound_file(content)
    picture = _picture(content)
    if picture:
        return picture
    refused = _refused(content)
    if refused:
        raise UnreadableDocumentError(f"the file is {refused}")
    if not _is_text(content):
        raise UnreadableDocumentError(f"the file is {_described(content)}, which nothing here can read")
    return _text_type(content, name)


def _picture(content: bytes) -> str:
    for magic, media_type in _PICTURE_MAGIC:
        if content.startswith(magic):
            return media_type
    if content.startswith(b"BM") and content[6:10] == b"\0\0\0\0":
        return BMP
    return WEBP if content.startswith(b"RIFF") and content[8:12] == b"WEBP" else ""


def _refused(content: bytes) -> str:
    for magic, what in _REFUSED:
        if content.startswith(magic):
            return what
    if content.startswith(b"MZ") and b"\0" in content[:64]:
        return _PROGRAM
    if content.startswith(b"RIFF"):
        return _MEDIA
    if content[4:8] == b"ftyp":
        is_picture = content[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif")
        return _PHONE_PICTURE if is_picture else _MEDIA
    return _ARCHIVE if content[257:262] == b"ustar" else ""


def _in_zip(content: bytes) -> str:
    import zipfile  # noqa: PLC0415 - 8 ms that only Office files are worth
    import zlib  # noqa: PLC0415

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            said = _said_type(archive, entries)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, zlib.error) as exc:
        raise UnreadableDocumentError(_BROKEN_ZIP) from exc
    names = {entry.filename for entry in entries}
    if "[Content_Types].xml" not in names and said not in _BY_MIMETYPE:
        return ZIP
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED_BYTES:
        raise UnreadableDocumentError(
            f"the file unpacks to {unpacked / 1e6:,.0f} MB and the limit is {MAX_UNPACKED_BYTES / 1e6:,.0f} MB; "
            "it is damaged or made to do harm"
        )
    if said in _BY_MIMETYPE:
        return _BY_MIMETYPE[said]
    for folder, media_type in (("word/", WORD), ("ppt/", SLIDES), ("xl/", SHEETS)):
        if any(name.startswith(folder) for name in names):
            return media_type
    raise UnreadableDocumentError(_ODD_OFFICE)


def _said_type(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> str:
    """What an OpenDocument or EPUB file says it is: its member ``mimetype``."""
    for entry in entries:
        if entry.filename == "mimetype" and entry.file_size <= _LONGEST_TYPE:
            with archive.open(entry) as member:
                return member.read(_LONGEST_TYPE).decode("ascii", "replace").strip()
    return ""


def _has_stream(content: bytes, name: str) -> bool:
    return name.encode("utf-16-le") in content


def _in_compound_file(content: bytes) -> str:
    if _has_stream(content, "EncryptedPackage"):
        msg = "the file is protected by a password; save a copy without one and add it again"
        raise UnreadableDocumentError(msg)
    for stream, media_type in (
        ("__substg1.0_", OUTLOOK),
        ("WordDocument", OLD_WORD),
        ("PowerPoint Document", OLD_SLIDES),
        ("Workbook", OLD_SHEETS),
        ("Book", OLD_SHEETS),
    ):
        if _has_stream(content, stream):
            return media_type
    msg = "the file is in an old Office format that is not read here; save it in the current one and add that"
    raise UnreadableDocumentError(msg)


def _is_text(content: bytes) -> bool:
    sample = content[:65536]
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    zeros = sample.count(0)
    if zeros:
        # UTF-16 without a mark: nearly every second byte of Western text is zero, always on the same side.
        even, odd = sample[::2].count(0), sample[1::2].count(0)
        return zeros > 0.3 * len(sample) and min(even, odd) < 0.05 * max(even, odd)
    controls = len(sample) - len(
        sample.translate(None, bytes((*range(1, 9), 11, *range(14, 27), *range(28, 32))))
    )
    return controls <= 1 + 0.005 * len(sample)


def _text_type(content: bytes, name: str) -> str:
    head = decode(content[:8192])
    named = _TEXT_EXTENSIONS.get(PurePath(name).suffix.lower())
    if named == MARKDOWN:
        return MARKDOWN
    if _HTML_START.match(head):
        return HTML
    if _is_mail(head):
        return MAIL
    if named is not None and named != MAIL:
        return named
    return _MAGIKA_LABELS.get(_text_label(content), PLAIN)


def _is_mail(head: str) -> bool:
    lines = head.split("\n\n", 1)[0].split("\n")
    headers = [line for line in lines if not line.startswith((" ", "\t"))]
    known = {line.split(":", 1)[0].lower() for line in headers if _MAIL_HEADER.match(line)}
    return len(known) >= 3 and "from" in known and len(known) >= 0.2 * len(headers)


def _text_label(content: bytes) -> str:
    label, is_text = _magika(content)
    return label if is_text else ""


def _described(content: bytes) -> str:
    label, is_text = _magika(content)
    return (
        "data of an unknown kind"
        if is_text or label in ("unknown", "undefined")
        else f"of the kind '{label}'"
    )


def _magika(content: bytes) -> tuple[str, bool]:
    """What magika takes it for, and whether that is text."""
    from magika import Magika  # noqa: PLC0415 - loads onnxruntime and a model: 0.4 s that few files need

    found = Magika().identify_bytes(content).output
    return str(found.label), bool(found.is_text)
