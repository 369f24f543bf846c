"""An mbox file as a source: all messages of a mailbox one after the other, each after a line that begins ``From ``.

The file is read once for a listing, in pieces, however large it is; a message is its bytes from there to there. Lines
that were escaped as ``>From `` are given back as they were (mboxrd, RFC 4155).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from causeway.errors import NotFoundError, UnreadableDocumentError
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing
from causeway.knowledge.ingest.folder_scan import FileState, reason_of
from causeway.knowledge.ingest.mail_heading import MOST_HEADER_BYTES, mail_item, mail_metadata, read_heading
from causeway.knowledge.ingest.patterns import Patterns
from causeway.settings import SourceSettings

_LONGEST_LINE = 65_536
_PIECE_BYTES = 500_000
_ESCAPED = re.compile(rb"^>(>*From )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Message:
    """A message in the file."""

    start: int
    length: int
    digest: str
    head: bytes


class Mbox:
    """A `Connector` for one mbox file."""

    at_once = 4
    follows_content = False

    def __init__(self, name: str, file: Path, settings: SourceSettings) -> None:
        self._name = name
        self._file = file
        self._settings = settings
        self._patterns = Patterns(settings.include, settings.exclude)
        self._messages: dict[str, _Message] = {}
        self._state: FileState | None = None

    @property
    def source(self) -> str:
        """``mail:`` and the name."""
        return f"mail:{self._name}"

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:  # noqa: ARG002 - a file tells all
        """Every message in the file."""
        return await asyncio.to_thread(self._listing, len(before))

    def _listing(self, known: int) -> Listing:
        stays = f"; the {known} documents that came from it stay searchable" if known else ""
        try:
            self._state = FileState.of(self._file.stat())
            found = list(self._read())
        except FileNotFoundError as exc:
            raise NotFoundError(f"there is no file at '{self._file}'; restore or mount it{stays}") from exc
        except OSError as exc:
            return Listing(unseen={"": reason_of(exc)})
        items: dict[str, Item] = {}
        unseen: dict[str, str] = {}
        self._messages = {}
        for message in found:
            item = mail_item(
                "",
                read_heading(message.head),
                revision=message.digest,
                otherwise=message.digest,
                size_bytes=message.length,
            )
            if not self._patterns.allow(item.path):
                continue
            if len(items) >= self._settings.max_items and item.identity not in items:
                most = self._settings.max_items
                unseen[""] = f"there are more than {most:,} messages; raise max_items, or split the file"
                break
            if item.identity in items:  # the last of those with one id is the newest
                self._messages.pop(items[item.identity].path, None)
            items[item.identity] = item
            self._messages[item.path] = message
        if found and not items and not unseen:
            return Listing()
        if not found and self._state.size_bytes:
            unseen[""] = "it is no mbox file: it does not begin with a line 'From '"
        return Listing(items=tuple(items.values()), unseen=unseen)

    def _read(self) -> Iterator[_Message]:
        """The messages, by reading lines; a line may come in several pieces."""
        start = place = 0
        digest, head, in_head = sha256(), bytearray(), False
        is_inside, after_empty, at_line_start = False, True, True
        with self._file.open("rb") as stream:
            while piece := stream.readline(_LONGEST_LINE):
                if at_line_start and after_empty and piece.startswith(b"From "):
                    if is_inside:
                        yield _Message(start, place - start, digest.hexdigest()[:32], bytes(head))
                    start, is_inside = place + len(piece), True
                    digest, head, in_head = sha256(), bytearray(), True
                elif is_inside:
                    digest.update(piece)
                    in_head = in_head and bool(piece.strip()) and len(head) < MOST_HEADER_BYTES
                    if in_head:
                        head += piece
                after_empty = at_line_start and not piece.strip()
                at_line_start = piece.endswith(b"\n")
                place += len(piece)
        if is_inside:
            yield _Message(start, place - start, digest.hexdigest()[:32], bytes(head))

    async def fetch(self, item: Item) -> Fetched:
        """A message as it was sent."""
        message = self._messages[item.path]
        heading = read_heading(message.head)
        return Fetched(content=self._pieces(message), metadata=mail_metadata("", heading))

    async def _pieces(self, message: _Message) -> AsyncGenerator[bytes, None]:
        try:
            with await asyncio.to_thread(self._file.open, "rb") as stream:
                if FileState.of(await asyncio.to_thread(self._file.stat)) != self._state:
                    msg = "the mailbox changed since it was listed; the next sync takes it"
                    raise UnreadableDocumentError(msg)
                await asyncio.to_thread(stream.seek, message.start)
                left, rest = message.length, b""
                while left > 0:
                    read = await asyncio.to_thread(stream.read, min(left, _PIECE_BYTES))
                    if not read:
                        break
                    left -= len(read)
                    lines, mark, unfinished = (rest + read).rpartition(b"\n")
                    whole, rest = (lines + mark, unfinished) if left > 0 else (rest + read, b"")
                    if len(rest) > _PIECE_BYTES:  # a line without end
                        whole, rest = whole + rest, b""
                    if whole:
                        yield _ESCAPED.sub(rb"\1", whole)
        except OSError as exc:
            raise UnreadableDocumentError(reason_of(exc)) from exc
