"""A source in memory, for tests of the sync and of what runs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from causeway.errors import CausewayError, UnreadableDocumentError
from causeway.knowledge.ingest.connector import Before, Connector, Fetched, Item, Listing, attachment_of

LONG_AGO = datetime(2025, 5, 4, 3, 2, 1, tzinfo=UTC)


class MemorySource:
    """A `Connector` whose items are set by tests.

    Attributes:
        listed: Where `Connector.listing` was asked to go on from, each time.
        fetched: Paths, in order.
        down: Raised by every listing.
        unseen: Told by every listing.
        broken: Raised in place of the content of these paths.
        meanwhile: Awaited before each content is given.
        attached: Items with their content that are found in the item of a path.
    """

    at_once = 3
    follows_content = False

    def __init__(self, source: str = "memory:test") -> None:
        self._source = source
        self._items: dict[str, tuple[Item, bytes]] = {}
        self.listed: list[datetime | None] = []
        self.fetched: list[str] = []
        self.down: CausewayError | None = None
        self.unseen: dict[str, str] = {}
        self.broken: dict[str, CausewayError] = {}
        self.meanwhile: Callable[[str], Awaitable[None]] | None = None
        self.attached: dict[str, dict[str, str]] = {}

    @property
    def source(self) -> str:
        """As it was made."""
        return self._source

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Connector]:
        """The source itself; it needs no opening."""
        yield self

    def put(
        self, path: str, text: str, *, identity: str = "", revision: str = "", **metadata: object
    ) -> None:
        """Have an item; its revision is its text unless told."""
        item = Item(
            path=path,
            revision=revision or text,
            modified_at=LONG_AGO,
            identity=identity,
            metadata=metadata,
        )
        self._items[path] = (item, text.encode())

    def rename(self, path: str, target: str) -> None:
        """Give an item another path."""
        item, content = self._items.pop(path)
        self._items[target] = (replace(item, path=target), content)

    def swap(self, one: str, other: str) -> None:
        """Let two items change places."""
        (first, a), (second, b) = self._items[one], self._items[other]
        self._items[one] = (replace(second, path=one), b)
        self._items[other] = (replace(first, path=other), a)

    def remove(self, path: str) -> None:
        """Have an item no more."""
        del self._items[path]

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:  # noqa: ARG002 - a test knows
        """What was put."""
        self.listed.append(since)
        if self.down is not None:
            raise self.down
        return Listing(items=tuple(item for item, _ in self._items.values()), unseen=self.unseen)

    async def fetch(self, item: Item) -> Fetched:
        """In pieces of 1000 bytes."""
        self.fetched.append(item.path)
        if self.meanwhile is not None:
            await self.meanwhile(item.path)
        if item.path in self.broken:
            raise self.broken[item.path]
        for inner in self.attached.values():
            if item.path in inner:
                return Fetched(content=inner[item.path].encode())
        if item.path not in self._items:
            msg = "it has gone"
            raise UnreadableDocumentError(msg)
        found = tuple(
            Item(
                path=path,
                revision=text,
                modified_at=LONG_AGO,
                identity=attachment_of(item.identity, path),
            )
            for path, text in self.attached.get(item.path, {}).items()
        )
        content = _pieces(self._items[item.path][1])
        return Fetched(content=content, metadata={"author": "Ada"}, attached=found)


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]
