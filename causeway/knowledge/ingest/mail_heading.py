"""What a message's headers make of it as a document: where it is in its source, who it is, which thread it belongs to.

A message is itself by its ``Message-ID``, wherever it lies: so it keeps its document when it is moved to another folder,
and when a server numbers its messages anew. The thread is named by the message that began it: the first of
``References``, else ``In-Reply-To`` (RFC 5322, 3.6.4), else the message's own id.
"""

from __future__ import annotations

import email.policy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesHeaderParser
from hashlib import sha256

from causeway.knowledge.ingest import item_paths
from causeway.knowledge.ingest.connector import Item

MOST_HEADER_BYTES = 65_536
_LONGEST_SUBJECT = 80
_ID = re.compile(r"<[^<>\s]+>")
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """The headers that matter; empty where a message has none.

    Attributes:
        thread: The id of the message that began the thread.
    """

    message_id: str
    subject: str
    author: str
    to: str
    thread: str
    in_reply_to: str
    sent_at: datetime | None


def read_heading(headers: bytes) -> Heading:
    """The heading in a message's first bytes, however malformed; what comes after an empty line is not looked at."""
    message = BytesHeaderParser(policy=email.policy.default).parsebytes(headers[:MOST_HEADER_BYTES])
    message_id = _first_id(_text(message, "Message-ID"))
    in_reply_to = _first_id(_text(message, "In-Reply-To"))
    return Heading(
        message_id=message_id,
        subject=_text(message, "Subject"),
        author=_text(message, "From"),
        to=_text(message, "To"),
        thread=_first_id(_text(message, "References")) or in_reply_to or message_id,
        in_reply_to=in_reply_to,
        sent_at=_moment(message),
    )


def mail_item(
    folder: str,
    heading: Heading,
    *,
    revision: str,
    otherwise: str,
    arrived_at: datetime | None = None,
    size_bytes: int | None = None,
) -> Item:
    """A message as an item; ``otherwise`` tells a message without an id from others, ``arrived_at`` dates one without a date."""
    key = sha256((heading.message_id or otherwise).encode("utf-8", "surrogatepass")).hexdigest()
    when = heading.sent_at or arrived_at or _EARLIEST
    subject = item_paths.part(heading.subject or "No subject")[:_LONGEST_SUBJECT].strip()
    name = f"{when:%Y-%m-%d} {subject} {key[:8]}.eml"
    return Item(
        path=f"{folder}/{name}" if folder else name,
        revision=revision,
        modified_at=when,
        identity=f"mail:{key[:32]}",
        size_bytes=size_bytes,
    )


def mail_metadata(folder: str, heading: Heading) -> Mapping[str, object]:
    """What is kept beside a message's text, to be filtered by."""
    said: dict[str, object] = {
        "author": heading.author,
        "to": heading.to,
        "created": heading.sent_at.isoformat() if heading.sent_at else "",
        "mailbox": folder,
        "message_id": heading.message_id,
        "thread": heading.thread,
        "in_reply_to": heading.in_reply_to,
    }
    return {name: value for name, value in said.items() if value}


def folder_path(parts: list[str]) -> str:
    """A mailbox's name as the beginning of a path."""
    return "/".join(item_paths.part(each) for each in parts if each)


def _text(message: Message[str, str], name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).encode("utf-8", "replace").decode().split())
    except (
        ValueError,
        IndexError,
        AttributeError,
        LookupError,
        TypeError,
    ):  # the standard parser trips over some
        return ""


def _first_id(value: str) -> str:
    found = _ID.search(value)
    return found[0] if found else ""


def _moment(message: Message[str, str]) -> datetime | None:
    try:
        when = getattr(message.get("Date"), "datetime", None)
    except (ValueError, IndexError, AttributeError, LookupError, TypeError, OverflowError):
        return None
    if not isinstance(when, datetime):
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return aware.astimezone(UTC) if _EARLIEST < aware < _LATEST else None
