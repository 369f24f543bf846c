"""MSG (a message saved by Outlook) -> the same blocks as any mail.

The file is a compound file whose streams are named after MAPI properties ([MS-OXMSG], [MS-OXPROPS]); olefile opens it.
A body that is kept as compressed RTF alone is left to xberg.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import olefile  # type: ignore[import-untyped]  # it ships no types

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.parse_mail import Letter, letter_blocks
from causeway.knowledge.ingest.parse_office import parse_office
from causeway.knowledge.ingest.parse_text import plain_blocks
from causeway.knowledge.ingest.parse_web import parse_html
from causeway.knowledge.ingest.sniff import OUTLOOK

_SUBJECT, _SENDER, _SENDER_ADDRESS, _SENDER_SMTP = "0037", "0C1A", "0C1F", "5D01"
_TO, _CC, _BODY, _HTML = "0E04", "0E03", "1000", "1013"
_ATTACHED, _LONG_NAME, _SHORT_NAME = "3701", "3707", "3704"
_SENT_TIMES = (0x0039, 0x0E06)  # client submit time, delivery time
_UNICODE, _ANSI, _BINARY, _TIME = "001F", "001E", "0102", 0x0040
_MOST_STREAM_BYTES = 100_000_000
_DAMAGED = (
    "the Outlook message is damaged or was cut short: it cannot be opened; save it anew and add it again"
)


def parse_outlook(content: bytes, parse_attachment: Callable[[bytes, str], ParsedDocument]) -> ParsedDocument:
    """The document in an Outlook message; ``parse_attachment`` gets each attachment's bytes and name.

    Raises:
        UnreadableDocumentError: It is damaged.
    """
    try:
        with olefile.OleFileIO(io.BytesIO(content)) as file:
            message = _Streams(file)
            sender = message.text(_SENDER)
            address = message.text(_SENDER_SMTP) or message.text(_SENDER_ADDRESS)
            letter = Letter(
                subject=" ".join(message.text(_SUBJECT).split()),
                headers={
                    "From": f"{sender} <{address}>"
                    if "@" in address and address != sender
                    else sender or address,
                    "To": message.text(_TO),
                    "Cc": message.text(_CC),
                    "Date": message.sent(),
                },
                body=_body(message, content),
                attachments=list(message.attachments()),
            )
    except (OSError, struct.error, ValueError, IndexError, TypeError, KeyError) as exc:
        raise UnreadableDocumentError(_DAMAGED) from exc
    metadata = {"author": letter.headers["From"], "created": letter.headers["Date"]}
    return ParsedDocument(
        title=letter.subject,
        media_type=OUTLOOK,
        blocks=tuple(letter_blocks(letter, parse_attachment)),
        metadata={name: value for name, value in metadata.items() if value},
    )


def _body(message: _Streams, content: bytes) -> list[Block]:
    html = message.binary(_HTML) or message.text(_HTML).encode()
    blocks = list(parse_html(html).blocks) if html else []
    if blocks:
        return blocks
    plain = message.text(_BODY)
    return plain_blocks(plain) if plain.strip() else list(parse_office(content, OUTLOOK).blocks)


class _Streams:
    """The properties of a message and of its attachments."""

    def __init__(self, file: olefile.OleFileIO) -> None:
        self._file = file

    def text(self, tag: str, folder: str = "") -> str:
        """A property's text; empty when it is not there."""
        wide = self._read(f"{folder}__substg1.0_{tag}{_UNICODE}")
        if wide:
            return wide.decode("utf-16-le", "replace").rstrip("\x00").strip()
        return (
            self._read(f"{folder}__substg1.0_{tag}{_ANSI}").decode("cp1252", "replace").rstrip("\x00").strip()
        )

    def binary(self, tag: str, folder: str = "") -> bytes:
        """A property's bytes; empty when it is not there."""
        return self._read(f"{folder}__substg1.0_{tag}{_BINARY}")

    def sent(self) -> str:
        """When it was sent; empty for a draft."""
        properties = self._read("__properties_version1.0")[32:]
        for place in range(0, len(properties) - 15, 16):
            kind, number, _, ticks = struct.unpack_from("<HHIQ", properties, place)
            if kind == _TIME and number in _SENT_TIMES and ticks:
                moment = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)
                return moment.strftime("%a, %d %b %Y %H:%M:%S %z")
        return ""

    def attachments(self) -> Iterator[tuple[str, bytes]]:
        """Names and bytes of the attached files; attached messages are left out."""
        folders = sorted(
            {path[0] for path in self._file.listdir() if path[0].startswith("__attach_version1.0_")}
        )
        for number, folder in enumerate(folders, start=1):
            content = self.binary(_ATTACHED, f"{folder}/")
            name = self.text(_LONG_NAME, f"{folder}/") or self.text(_SHORT_NAME, f"{folder}/")
            if content:
                yield name or f"part {number}", content

    def _read(self, path: str) -> bytes:
        if not self._file.exists(path):
            return b""
        with self._file.openstream(path) as stream:
            content: bytes = stream.read(_MOST_STREAM_BYTES)
        return content
