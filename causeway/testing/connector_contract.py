# ruff: noqa: S101 - a contract suite asserts
"""What every `Connector` must do; run each of ``CHECKS`` against a source of your own.

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_source_keeps_the_contract(check, source): await check(source)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from causeway.errors import CausewayError
from causeway.knowledge.ingest.connector import Before, Connector, Fetched, Item, Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An empty source under test, and the ways in which its users change it.

    Attributes:
        open: A fresh connector to it, as a new process would have.
        write: Make the thing of this name, or edit it, so that it says these words.
        remove: Take it away.
        rename: Give it another name; None where a name is all the identity there is.
        cut: Make the source unreachable, or take it away as a whole.
        folder: For files of the suite's own.
    """

    open: Callable[[], AbstractAsyncContextManager[Connector]]
    write: Callable[[str, str], Awaitable[None]]
    remove: Callable[[str], Awaitable[None]]
    rename: Callable[[str, str], Awaitable[None]] | None
    cut: Callable[[], Awaitable[None]]
    folder: Path


Check = Callable[[Source], Awaitable[None]]
_WORDS = {"alpha": "The heron stands still.", "beta": "The otter swims.", "gamma": "The lynx waits."}


@dataclass(slots=True)
class Taken:
    """What a sync would have of a source."""

    items: dict[str, Item]
    texts: dict[str, bytes]
    before: dict[str, Before]

    def where(self, words: str) -> Item:
        """The item that says ``words``."""
        (path,) = [path for path, text in self.texts.items() if words.encode() in text]
        return self.items[path]


async def take(source: Source, before: dict[str, Before] | None = None) -> Taken:
    """List a source, and fetch what has another revision than before."""
    async with source.open() as connector:
        listing = await connector.listing(before or {}, since=None)
        assert not listing.unseen, f"it must be seen as a whole: {listing.unseen}"
        assert not listing.failed
        paths = [item.path for item in listing.items]
        assert len(set(paths)) == len(paths), "paths are unique"
        identities = [item.identity for item in listing.items if item.identity]
        assert len(set(identities)) == len(identities), "so are ids"
        texts: dict[str, bytes] = {}
        for item in listing.items:
            old = (before or {}).get(item.path)
            if old is not None and old.revision == item.revision and old.content is not None:
                texts[item.path] = old.content.read_bytes()
            else:
                texts[item.path] = await _read(await connector.fetch(item))
    kept = {item.path: _keep(source.folder, item, texts[item.path]) for item in listing.items}
    return Taken({item.path: item for item in listing.items}, texts, kept)


def _keep(folder: Path, item: Item, text: bytes) -> Before:
    file = folder / f"kept-{len(list(folder.iterdir()))}"
    file.write_bytes(text)
    return Before(
        path=item.path,
        revision=item.revision,
        identity=item.identity,
        modified_at=item.modified_at,
        find=lambda: file,
    )


async def _read(fetched: Fetched) -> bytes:
    match fetched.content:
        case bytes() as content:
            return content
        case Path() as file:
            return file.read_bytes()
        case pieces:
            async with aclosing(pieces) as closing:
                return b"".join([piece async for piece in closing])


@asynccontextmanager
async def _three(source: Source) -> AsyncIterator[Taken]:
    for name, words in _WORDS.items():
        await source.write(name, words)
    yield await take(source)


async def what_is_there_is_listed_and_says_its_words(source: Source) -> None:
    """Each thing is one item with its own words."""
    async with _three(source) as taken:
        places = {taken.where(words).path for words in _WORDS.values()}
        assert len(places) == len(_WORDS)
        assert all(item.modified_at.tzinfo is not None for item in taken.items.values())
        assert all(
            item.path and not item.path.startswith("/") and ".." not in item.path.split("/")
            for item in taken.items.values()
        )


async def what_has_not_changed_has_the_same_revision(source: Source) -> None:
    """Also to another process."""
    async with _three(source) as taken:
        again = await take(source, taken.before)
        assert {path: item.revision for path, item in again.items.items()} == {
            path: item.revision for path, item in taken.items.items()
        }
        assert again.texts == taken.texts


async def an_edit_changes_the_revision_of_what_was_edited(source: Source) -> None:
    """And of nothing else that was there."""
    async with _three(source) as taken:
        edited = taken.where(_WORDS["beta"])
        await source.write("beta", "The otter sleeps.")
        again = await take(source, taken.before)
        assert again.where("The otter sleeps.").path == edited.path
        assert again.items[edited.path].revision != edited.revision
        for words in (_WORDS["alpha"], _WORDS["gamma"]):
            assert again.where(words).revision == taken.where(words).revision


async def what_is_removed_is_listed_no_more(source: Source) -> None:
    """The rest stays."""
    async with _three(source) as taken:
        gone = taken.where(_WORDS["gamma"])
        await source.remove("gamma")
        again = await take(source, taken.before)
        assert gone.path not in again.items
        assert not any(_WORDS["gamma"].encode() in text for text in again.texts.values())
        assert again.where(_WORDS["alpha"]).path == taken.where(_WORDS["alpha"]).path


async def what_is_renamed_keeps_its_identity(source: Source) -> None:
    """Where the source has ids."""
    if source.rename is None:
        return
    async with _three(source) as taken:
        old = taken.where(_WORDS["alpha"])
        assert old.identity
        await source.rename("alpha", "omega")
        again = await take(source, taken.before)
        new = again.where(_WORDS["alpha"])
        assert new.identity == old.identity
        assert new.path != old.path


async def a_source_out_of_reach_is_never_an_empty_one(source: Source) -> None:
    """It raises, or says of everything that was there that it was not seen."""
    async with _three(source) as taken:
        await source.cut()
        listing: Listing | None = None
        with suppress(CausewayError):
            async with source.open() as connector:
                listing = await connector.listing(taken.before, since=None)
        if listing is not None:
            listed = {item.path for item in listing.items}
            assert all(path in listed or listing.may_hold(path) for path in taken.items)


async def what_goes_between_listing_and_fetching_is_an_error_of_its_own(source: Source) -> None:
    """Or it is fetched as it was listed; it never takes the sync with it."""
    async with _three(source) as taken, source.open() as connector:
        listing = await connector.listing({}, since=None)
        await source.remove("alpha")
        (item,) = [each for each in listing.items if each.path == taken.where(_WORDS["alpha"]).path]
        with suppress(
            CausewayError, FileNotFoundError
        ):  # a file that is gone is explained where it is copied
            assert await _read(await connector.fetch(item))


CHECKS: tuple[Check, ...] = (
    what_is_there_is_listed_and_says_its_words,
    what_has_not_changed_has_the_same_revision,
    an_edit_changes_the_revision_of_what_was_edited,
    what_is_removed_is_listed_no_more,
    what_is_renamed_keeps_its_identity,
    a_source_out_of_reach_is_never_an_empty_one,
    what_goes_between_listing_and_fetching_is_an_error_of_its_own,
)
