"""Mailboxes of an IMAP server as a source: each message a document, what is attached a part of it.

A message never changes under its UID, so one that was taken is not looked at again while its mailbox keeps its
UIDVALIDITY. A message that lies in several mailboxes is one document, at the first of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar

from causeway.contracts.clock import Clock
from causeway.errors import UnreadableDocumentError
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing
from causeway.knowledge.ingest.imap_session import ImapSession, Mailbox, MissingMailboxError
from causeway.knowledge.ingest.mail_heading import folder_path, mail_item, mail_metadata, read_heading
from causeway.knowledge.ingest.patterns import Patterns
from causeway.settings import SourceSettings

T = TypeVar("T")

_AT_ONCE = 200
"""Messages whose headers are asked for in one call."""
_PIECE_BYTES = 500_000


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a message is."""

    mailbox: str
    folder: str
    validity: int
    uid: int

    @property
    def revision(self) -> str:
        return f"{self.validity}.{self.uid}"


@asynccontextmanager
async def open_imap(name: str, settings: SourceSettings, *, clock: Clock) -> AsyncIterator[Imap]:
    """The mailboxes of a source called ``name``; it is connected to when it is listed."""
    source = Imap(name, settings, clock=clock)
    try:
        yield source
    finally:
        await source.close()


class Imap:
    """A `Connector`; made by `open_imap`."""

    at_once = 1
    follows_content = False

    def __init__(self, name: str, settings: SourceSettings, *, clock: Clock) -> None:
        self._name = name
        self._settings = settings
        self._clock = clock
        self._session = ImapSession(name, settings)
        self._is_open = False
        self._is_cut = False
        self._turn = asyncio.Lock()
        self._mailboxes = Patterns(settings.folders)
        self._patterns = Patterns(settings.include, settings.exclude)
        self._places: dict[str, _Place] = {}

    @property
    def source(self) -> str:
        """``mail:`` and the name."""
        return f"mail:{self._name}"

    async def close(self) -> None:
        """Log out, or hang up on a call that was cancelled."""
        if self._is_open:
            await asyncio.to_thread(
                self._session.close, politely=not self._turn.locked() and not self._is_cut
            )

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:  # noqa: ARG002 - a search of UIDs is cheap
        """Every message of the chosen mailboxes, as far back as the settings say."""
        if not self._is_open:
            await self._in_thread(self._session.open)
            self._is_open = True
        floor = (self._clock.now() - timedelta(days=self._settings.history_days)).date()
        return await self._in_thread(lambda: self._listing(before, floor))

    def _listing(self, before: Mapping[str, Before], floor: date) -> Listing:
        known = {(each.path.rpartition("/")[0], each.revision): each for each in before.values()}
        self._places = {}
        items: dict[str, Item] = {}
        unseen: dict[str, str] = {}
        for mailbox in self._session.mailboxes():
            folder = folder_path(list(mailbox.parts))
            if not self._mailboxes.allow("/".join(mailbox.parts)):
                continue
            try:
                found = self._read(mailbox, folder, known, floor)
            except MissingMailboxError as exc:
                unseen[folder] = exc.message
                continue
            for item in found:
                if item.identity not in items and self._patterns.allow(item.path):
                    items[item.identity] = item
            if len(items) > self._settings.max_items:
                most = self._settings.max_items
                unseen[""] = (
                    f"there are more than {most:,} messages; raise max_items, or choose fewer folders or days"
                )
                break
        return Listing(items=tuple(items.values())[: self._settings.max_items], unseen=unseen)

    def _read(
        self, mailbox: Mailbox, folder: str, known: Mapping[tuple[str, str], Before], floor: date
    ) -> list[Item]:
        """The messages of a mailbox; of two with one id the newer."""
        validity = self._session.examine(mailbox.name)
        places = {uid: _Place(mailbox.name, folder, validity, uid) for uid in self._session.uids(floor)}
        items: dict[int, Item] = {}
        for uid, place in places.items():
            if (before := known.get((folder, place.revision))) is not None:
                items[uid] = Item(
                    path=before.path,
                    revision=before.revision,
                    modified_at=before.modified_at,
                    identity=before.identity,
                )
        new = [uid for uid in places if uid not in items]
        for start in range(0, len(new), _AT_ONCE):
            for each in self._session.envelopes(new[start : start + _AT_ONCE]):
                if each.uid in places:
                    items[each.uid] = mail_item(
                        folder,
                        read_heading(each.headers),
                        revision=places[each.uid].revision,
                        otherwise=f"{folder}\0{validity}\0{each.uid}",
                        arrived_at=each.arrived_at,
                        size_bytes=each.size_bytes,
                    )
        newest = {items[uid].identity: uid for uid in sorted(items)}
        for uid in newest.values():
            self._places.setdefault(items[uid].path, places[uid])
        return [items[uid] for uid in newest.values()]

    async def fetch(self, item: Item) -> Fetched:
        """The message as it was sent."""
        place = self._places[item.path]
        found = await self._in_thread(lambda: self._envelope(place))
        if found is None:
            msg = "it was moved or deleted since it was listed"
            raise UnreadableDocumentError(msg)
        return Fetched(content=self._pieces(place), metadata=mail_metadata(place.folder, read_heading(found)))

    def _envelope(self, place: _Place) -> bytes | None:
        if self._session.examine(place.mailbox) != place.validity:
            return None
        found = self._session.envelopes([place.uid])
        return found[0].headers if found else None

    async def _pieces(self, place: _Place) -> AsyncGenerator[bytes, None]:
        start = 0
        while True:
            piece = await self._in_thread(lambda at=start: self._piece(place, at))  # type: ignore[misc]  # mypy infers no default
            if not piece and start == 0:
                msg = "it was moved or deleted since it was listed"
                raise UnreadableDocumentError(msg)
            if piece:
                yield piece
            if len(piece) < _PIECE_BYTES:
                return
            start += len(piece)

    def _piece(self, place: _Place, start: int) -> bytes:
        self._session.examine(place.mailbox)
        return self._session.piece(place.uid, start, _PIECE_BYTES)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """One at a time: the session is one conversation."""
        async with self._turn:
            try:
                return await asyncio.to_thread(call)
            except asyncio.CancelledError:
                self._is_cut = True  # the thread still waits for its answer
                raise
