"""EML -> blocks: who wrote to whom, the body (its HTML when it has structure), and the text of the attachments."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage, MIMEPart

from causeway.errors import UnreadableDocumentError
from causeway.knowledge.document import Block, ParsedDocument
from causeway.knowledge.ingest.parse_text import plain_blocks
from causeway.knowledge.ingest.parse_web import parse_html
from causeway.knowledge.ingest.sniff import MAIL

_NOT_A_MAIL = "the file is not a mail message"
_MAX_ATTACHMENTS = 20
_HEADERS = ("From", "To", "Cc", "Date")


def parse_mail(content: bytes, parse_attachment: Callable[[bytes, str], ParsedDocument]) -> ParsedDocument:
    """The document in a mail; ``parse_attachment`` gets each attachment's bytes and name.

    An attachment that cannot be read is named and no more: the mail itself is still worth finding.
    """
    message = email.message_from_bytes(content, policy=email.policy.default)
    if not isinstance(message, EmailMessage):
        raise UnreadableDocumentError(_NOT_A_MAIL)
    letter = Letter(
        subject=_header(message, "Subject"),
        headers={name: _header(message, name) for name in _HEADERS},
        body=_body(message),
        attachments=list(_attachments(message)),
    )
    metadata = {"author": _header(message, "From"), "created": _header(message, "Date")}
    return ParsedDocument(
        title=letter.subject,
        media_type=MAIL,
        blocks=tuple(letter_blocks(letter, parse_attachment)),
        metadata={name: value for name, value in metadata.items() if value},
    )


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail, whatever kind of file it came in.

    Attributes:
        headers: Who wrote to whom and when, in the order to be said; empty ones are left out.
        attachments: Names and bytes.
    """

    subject: str
    headers: Mapping[str, str]
    body: Sequence[Block]
    attachments: Sequence[tuple[str, bytes]]


def letter_blocks(letter: Letter, parse_attachment: Callable[[bytes, str], ParsedDocument]) -> list[Block]:
    """The mail's blocks: subject, headers, body, and the text of what is attached."""
    blocks = [Block(kind="heading", text=letter.subject, level=1)] if letter.subject else []
    said = [f"{name}: {value}" for name, value in letter.headers.items() if value]
    if said:
        blocks.append(Block(kind="paragraph", text="\n".join(said)))
    # The body's own headings belong below the subject.
    blocks += [_lowered(block) for block in letter.body] if letter.subject else letter.body
    for name, attached in letter.attachments[:_MAX_ATTACHMENTS]:
        blocks.append(Block(kind="heading", text=f"Attachment: {name}", level=2))
        blocks += _attached_blocks(attached, name, parse_attachment)
    return blocks


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).split())
    except (ValueError, IndexError, AttributeError):  # malformed headers trip the standard parser
        return ""


def _body(message: EmailMessage) -> list[Block]:
    html = message.get_body(("html",))
    if html is not None:
        blocks = list(parse_html(_bytes(html)).blocks)
        if blocks:
            return blocks
    plain = message.get_body(("plain",))
    return plain_blocks(_text(plain)) if plain is not None else []


def _attachments(message: EmailMessage) -> Iterator[tuple[str, bytes]]:
    for number, part in enumerate(message.iter_attachments(), start=1):
        if number > _MAX_ATTACHMENTS:
            return
        if not part.is_multipart():
            yield part.get_filename() or f"part {number}", _bytes(part)


def _attached_blocks(
    content: bytes, name: str, parse_attachment: Callable[[bytes, str], ParsedDocument]
) -> list[Block]:
    try:
        parsed = parse_attachment(content, name)
    except UnreadableDocumentError:
        return [Block(kind="paragraph", text=name)]
    # The pages are the attachment's, not the mail's.
    return [_lowered(replace(block, page=None, places=())) for block in parsed.blocks] or [
        Block(kind="paragraph", text=name)
    ]


def _lowered(block: Block) -> Block:
    return replace(block, level=min(6, block.level + 1)) if block.kind == "heading" else block


def _bytes(part: MIMEPart) -> bytes:
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset()
    if charset and part.get_content_maintype() == "text":
        try:
            return content.decode(charset).encode("utf-8")
        except (LookupError, UnicodeDecodeError):
            return content
    return content


def _text(part: MIMEPart) -> str:
    return _bytes(part).decode("utf-8", "replace").replace("\r\n", "\n")
