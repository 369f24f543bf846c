"""What a source offers to be kept in step with: a listing of its items, and the content of one.

Owns no rule about what is new, changed or gone: `causeway.knowledge.ingest.sync` does. The contract that every
implementation keeps, and that `causeway.testing.connector_contract` holds it to:

- An item's path is unique in its listing. Where the source has ids of its own they are told, so that a document keeps
  its identity when it is renamed or moved there.
- An item's revision changes when its content may have changed, and is the same for the same state of the source.
- What a listing could not see is named in it. Only what a listing did see and no longer has is ever deleted.
- What is found only in an item's content (a file in a page) is told when that is fetched, with an id that `attachment_of`
  makes of the item's: it lives and dies with that item, and is looked at again when the item is fetched again.
- What concerns one item alone is raised as `UnreadableDocumentError`; what concerns the whole source (a token that is
  refused, a server that does not answer) as any other `CausewayError`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that becomes a document.

    Attributes:
        path: Where it is in its source, with forward slashes; its end may hint its type, such as ``.md``.
        revision: Opaque; see above.
        identity: The source's own id; empty where the path is all there is.
        size_bytes: Where the source tells it without being asked for the content.
        is_settling: It changed a moment ago and may still be written, so it is taken last.
    """

    path: str
    revision: str
    modified_at: datetime
    identity: str = ""
    size_bytes: int | None = None
    is_settling: bool = False
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a source holds, as far as it could be seen.

    Attributes:
        unseen: Paths, and beginnings of paths up to a slash, that could not be looked at, and why; the empty path is
            the whole source. Documents there stay as they are.
        failed: Items that are there and cannot be taken, and why. Their documents stay too.
    """

    items: tuple[Item, ...] = ()
    unseen: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def may_hold(self, path: str) -> bool:
        """Whether an item that was not listed may be there all the same."""
        if path in self.failed:
            return True
        return any(not place or path == place or path.startswith(f"{place}/") for place in self.unseen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What was taken of an item last time.

    Attributes:
        find: Looks for the bytes that are kept of it.
    """

    path: str
    revision: str
    identity: str
    modified_at: datetime
    find: Callable[[], Path | None]

    @property
    def content(self) -> Path | None:
        """The bytes that are kept of it; None when they are gone."""
        return self.find()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An item's content.

    Attributes:
        content: The bytes; or a file to copy; or a generator of pieces, which whoever fetched it closes.
        metadata: ``author``, ``created``, ``url``, ``tags``, where the source tells them; added to the item's own.
        revision: Of the content, where it is known better now than it was listed.
        attached: All items that were found in it.
        is_whole: False when it could not be looked for them this time: those that were found before stay.
    """

    content: bytes | Path | AsyncGenerator[bytes, None]
    metadata: Mapping[str, object] = field(default_factory=dict)
    modified_at: datetime | None = None
    revision: str | None = None
    attached: tuple[Item, ...] = ()
    is_whole: bool = True


_ATTACHED = "#"


def attachment_of(identity: str, key: str) -> str:
    """The id of what was found in the item called ``identity``."""
    return f"{identity}{_ATTACHED}{key}"


def owner_of(identity: str) -> str:
    """The id of the item that an attachment was found in; empty for an item that was listed itself."""
    owner, mark, _ = identity.rpartition(_ATTACHED)
    return owner if mark else ""


class Connector(Protocol):
    """A source, opened; safe for one sync at a time, which fetches several items at once."""

    @property
    def source(self) -> str:
        """Its name in documents' identities, such as ``notion:handbook``; never changes."""
        ...

    @property
    def at_once(self) -> int:
        """Most items that are fetched at the same time."""
        ...

    @property
    def follows_content(self) -> bool:
        """Whether an item without an id that is gone, and another of the same bytes that is new, are one that moved."""
        ...

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:
        """What is there now.

        Args:
            before: What was taken, by path.
            since: When the last sync began that saw and took everything; None when there was none, or when everything
                is to be looked at again. What cannot have changed since may be told from ``before``.

        Raises:
            NotFoundError: The source itself is not there.
            SettingsError: It refuses the credentials.
            TryLaterError: It does not answer.
        """
        ...

    async def fetch(self, item: Item) -> Fetched:
        """The content of an item of the last listing, or of one that was found in such an item.

        Raises:
            UnreadableDocumentError: This item cannot be taken; the message tells its owner why.
            TryLaterError: The source does not answer.
        """
        ...
