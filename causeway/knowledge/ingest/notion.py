"""Notion as a source, through its API: each page a document, each database one more with its rows as a table.

What an integration was given is found by search and by asking each database for its rows, since the search's index runs
behind; what was known and is in neither is asked for by its id before it counts as gone. A page is fetched again when
its ``last_edited_time`` moves. That time is cut to the minute, so one of the last minutes is not trusted to stand for
the content and the page is looked at once more.

Pages within pages are documents of their own, and so are the files that Notion keeps in them, pictures too where an OCR
engine is installed. https://developers.notion.com/reference
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta

from causeway.contracts.clock import Clock
from causeway.errors import RefusedAddressError, TooLargeError, UnreadableDocumentError, UpstreamError
from causeway.guard.public_addresses import networks
from causeway.guard.safe_fetch import SafeFetcher
from causeway.knowledge.ingest import item_paths
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing, attachment_of, owner_of
from causeway.knowledge.ingest.notion_markdown import (
    Block,
    File,
    blocks_markdown,
    files_in,
    properties,
    table,
    title_of,
)
from causeway.knowledge.ingest.ocr_engine import is_installed
from causeway.knowledge.ingest.patterns import Patterns
from causeway.knowledge.ingest.vendor_api import (
    Json,
    NotThereError,
    RefusedCallError,
    VendorApi,
    object_of,
    objects_of,
    open_api,
    text_of,
)
from causeway.settings import SourceSettings

_API = "https://api.notion.com"
_VERSION = "2022-06-28"
_PER_PAGE = 100
_MOST_CHECKED = 200
"""Documents that are asked for by id in one sync, before they count as gone; the others wait for the next."""
_MOST_BLOCKS = 20_000
_DEEPEST = 16
_UNSURE = timedelta(minutes=3)
_OWN_DOCUMENTS = frozenset({"child_page", "child_database"})


@asynccontextmanager
async def open_notion(
    name: str, settings: SourceSettings, *, clock: Clock, reads_pictures: bool | None = None
) -> AsyncIterator[Notion]:
    """What the integration of a source called ``name`` was given to read.

    ``reads_pictures``: whether pictures become documents; None where they can be read.
    """
    fetching = SafeFetcher(
        user_agent="Causeway",
        timeout_s=settings.timeout_s,
        max_bytes=settings.max_file_bytes,
        allow=networks(settings.allow_networks),
    )
    opening = open_api(
        settings.base_url or _API,
        name=f"sources.{name} (Notion)",
        headers={
            "Authorization": f"Bearer {settings.token.get_secret_value()}",
            "Notion-Version": _VERSION,
        },
        clock=clock,
        every_s=1 / settings.requests_per_second,
        timeout_s=settings.timeout_s,
    )
    async with opening as api, fetching as fetcher:
        yield Notion(
            name,
            settings,
            api=api,
            fetcher=fetcher,
            clock=clock,
            reads_pictures=is_installed() if reads_pictures is None else reads_pictures,
        )


class Notion:
    """A `Connector`; made by `open_notion`."""

    at_once = 3
    follows_content = False

    def __init__(
        self,
        name: str,
        settings: SourceSettings,
        *,
        api: VendorApi,
        fetcher: SafeFetcher,
        clock: Clock,
        reads_pictures: bool,
    ) -> None:
        self._reads_pictures = reads_pictures
        self._name = name
        self._settings = settings
        self._api = api
        self._fetcher = fetcher
        self._clock = clock
        self._patterns = Patterns(settings.include, settings.exclude)
        self._found: dict[str, Json] = {}
        self._rows: dict[str, list[str]] = {}
        self._people: dict[str, str] | None = None
        self._unseen: dict[str, str] = {}

    @property
    def source(self) -> str:
        """``notion:`` and the name."""
        return f"notion:{self._name}"

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:  # noqa: ARG002 - a listing is what finds deletions
        """Every page and database that the integration may read."""
        self._found, self._rows, self._unseen = {}, {}, {}
        async with aclosing(self._pages_of("POST", "/v1/search", {})) as found:
            async for each in found:
                if not self._note(each):
                    break
        for identity in [key for key, each in self._found.items() if each.get("object") == "database"]:
            await self._read_rows(identity)
        await self._check_missing(before)
        wanted = {identity: (self._place(each), ".md") for identity, each in self._found.items()}
        paths = item_paths.unique_paths(wanted)
        items = (self._item(identity, paths[identity]) for identity in self._found)
        return Listing(
            items=tuple(item for item in items if self._patterns.allow(item.path)), unseen=self._unseen
        )

    def _note(self, each: Json) -> bool:
        """Take a page or database; False when there are too many."""
        identity = _id(each)
        if not identity or each.get("archived") is True or each.get("in_trash") is True:
            return True
        if len(self._found) >= self._settings.max_items and identity not in self._found:
            most = self._settings.max_items
            self._unseen[""] = f"there are more than {most:,} pages; raise max_items, or share fewer"
            return False
        self._found[identity] = each
        return True

    async def _read_rows(self, database: str) -> None:
        rows: list[str] = []
        async with aclosing(self._pages_of("POST", f"/v1/databases/{database}/query", {})) as found:
            async for row in found:
                if not self._note(row):
                    break
                rows.append(_id(row))
        self._rows[database] = rows

    async def _check_missing(self, before: Mapping[str, Before]) -> None:
        """Look up what search does not know, which may only be behind."""
        missing = [
            each
            for each in before.values()
            if each.identity and each.identity not in self._found and not owner_of(each.identity)
        ]
        for each in missing[:_MOST_CHECKED]:
            for kind in ("pages", "databases"):
                try:
                    if self._note(await self._api.get(f"/v1/{kind}/{each.identity}")):
                        break
                except (NotThereError, RefusedCallError):  # 400: an id of the other kind
                    continue
        for each in missing[_MOST_CHECKED:]:
            self._unseen[each.path] = "Notion's search lists it no more; the next sync asks for it by its id"

    def _place(self, each: Json) -> list[str]:
        """The titles on the way to it, its own last."""
        titles = [item_paths.part(title_of(each))]
        seen = {_id(each)}
        parent = self._parent(each)
        while parent is not None and _id(parent) not in seen and len(titles) < _DEEPEST:
            seen.add(_id(parent))
            titles.append(item_paths.part(title_of(parent)))
            parent = self._parent(parent)
        return titles[::-1]

    def _parent(self, each: Json) -> Json | None:
        parent = object_of(each.get("parent"))
        named = text_of(parent.get("page_id")) or text_of(parent.get("database_id"))
        return self._found.get(_plain_id(named))

    def _item(self, identity: str, path: str) -> Item:
        each = self._found[identity]
        edited = _time(each.get("last_edited_time")) or self._clock.now()
        revision = edited.isoformat()
        if self._reads_pictures:  # pages that were read without are read once more
            revision += " with pictures"
        if identity in self._rows:
            rows = [(row, text_of(self._found[row].get("last_edited_time"))) for row in self._rows[identity]]
            edited = max([edited, *(_time(when) or edited for _, when in rows)])
            revision += " " + hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
        if self._clock.now() - edited < _UNSURE:
            revision += f" seen {self._clock.now():%H:%M:%S}"
        metadata = {"url": text_of(each.get("url")), "created": text_of(each.get("created_time"))}
        return Item(
            path=path,
            revision=revision,
            modified_at=edited,
            identity=identity,
            metadata={name: value for name, value in metadata.items() if value},
        )

    # --- content ---------------------------------------------------------------------------------------

    async def fetch(self, item: Item) -> Fetched:
        """A page as Markdown, its properties first; a database as a table of its rows; a file of a page."""
        if owner_of(item.identity):
            return Fetched(content=self._file(item))
        each = self._found[item.identity]
        title = title_of(each) or "Untitled"
        blocks: Sequence[Block] = ()
        try:
            if item.identity in self._rows:
                body = self._rows_table(item.identity)
            else:
                blocks = await self._blocks(item.identity, (item.identity,), [_MOST_BLOCKS])
                body = blocks_markdown(blocks)
        except NotThereError as exc:
            msg = "it has gone, or is no longer shared, since it was listed"
            raise UnreadableDocumentError(msg) from exc
        said = "\n".join(f"- {name}: {value}" for name, value in properties(each).items())
        text = "\n\n".join(part for part in (f"# {title}", said, body or title) if part)
        attached = tuple(
            _attached(item, file) for file in files_in(blocks, with_pictures=self._reads_pictures)
        )
        return Fetched(content=f"{text}\n".encode(), metadata=await self._about(each), attached=attached)

    async def _file(self, item: Item) -> AsyncGenerator[bytes, None]:
        """A file of a page, from the address that its block has now: it holds for an hour."""
        try:
            block = Block(await self._api.get(f"/v1/blocks/{item.identity.rpartition('#')[2]}"))
        except NotThereError as exc:
            msg = "it has gone from its page since that was read"
            raise UnreadableDocumentError(msg) from exc
        for file in files_in([block], with_pictures=True):
            try:
                async with self._fetcher.get(file.url) as answer:
                    if answer.status != 200:
                        raise UnreadableDocumentError(f"where Notion keeps it answers {answer.status}")
                    async for piece in answer.pieces:
                        yield piece
            except (RefusedAddressError, TooLargeError) as exc:
                raise UnreadableDocumentError(exc.message) from exc
            return
        msg = "its block is no file any more"
        raise UnreadableDocumentError(msg)

    async def _about(self, each: Json) -> dict[str, object]:
        about: dict[str, object] = {}
        author = (await self._names()).get(_plain_id(text_of(object_of(each.get("created_by")).get("id"))))
        if author:
            about["author"] = author
        tags = [
            text_of(option.get("name"))
            for value in object_of(each.get("properties")).values()
            for option in objects_of(object_of(value).get("multi_select"))
        ]
        if tags:
            about["tags"] = tags
        return about

    async def _names(self) -> Mapping[str, str]:
        """The people's names, by id; none when the integration may not see them."""
        if self._people is None:
            people: dict[str, str] = {}
            try:
                async with aclosing(self._pages_of("GET", "/v1/users", {})) as found:
                    async for each in found:
                        people[_id(each)] = text_of(each.get("name"))
            except UpstreamError:
                people = {}
            self._people = people
        return self._people

    def _rows_table(self, database: str) -> str:
        rows = [self._found[row] for row in self._rows[database]]
        shown = [properties(row) for row in rows]
        names = list(dict.fromkeys(name for row in shown for name in row))
        lines = [
            [title_of(row), *(values.get(name, "") for name in names)]
            for row, values in zip(rows, shown, strict=True)
        ]
        about = " ".join(
            text_of(span.get("plain_text")) for span in objects_of(self._found[database].get("description"))
        )
        return "\n\n".join(part for part in (about, table(["Name", *names], lines) if lines else "") if part)

    async def _blocks(self, identity: str, above: Sequence[str], budget: list[int]) -> list[Block]:
        """The blocks beneath one, and those beneath them; ``budget`` holds how many more may come."""
        blocks: list[Block] = []
        async with aclosing(self._pages_of("GET", f"/v1/blocks/{identity}/children", {})) as found:
            async for each in found:
                budget[0] -= 1
                if budget[0] < 0:
                    raise UnreadableDocumentError(f"it has more than {_MOST_BLOCKS:,} blocks; split the page")
                blocks.append(Block(each, await self._beneath(each, above, budget)))
        return blocks

    async def _beneath(self, block: Json, above: Sequence[str], budget: list[int]) -> Sequence[Block]:
        if block.get("has_children") is not True or block.get("type") in _OWN_DOCUMENTS:
            return ()
        original = object_of(object_of(block.get("synced_block")).get("synced_from"))
        shown = _plain_id(text_of(original.get("block_id"))) or _id(block)
        if shown in above or len(above) >= _DEEPEST:  # a synced block within itself, or nesting without end
            return ()
        try:
            return await self._blocks(shown, (*above, shown), budget)
        except NotThereError:  # the original of a synced block that is not shared with us
            if shown == _id(block):
                raise
            return ()

    async def _pages_of(self, method: str, path: str, body: Json) -> AsyncGenerator[Json, None]:
        """The results of a listing, page after page."""
        cursor = ""
        while True:
            asked = {"page_size": _PER_PAGE, **({"start_cursor": cursor} if cursor else {})}
            if method == "POST":
                answer = await self._api.post(path, {**body, **asked})
            else:
                answer = await self._api.get(path, {name: str(value) for name, value in asked.items()})
            if not isinstance(answer.get("results"), list):
                raise UpstreamError(f"Notion answers '{path}' without results")
            for each in objects_of(answer["results"]):
                yield each
            following = text_of(answer.get("next_cursor"))
            if answer.get("has_more") is not True:
                return
            if not following or following == cursor:
                raise UpstreamError(f"Notion answers '{path}' with more to come and no way to it")
            cursor = following


def _attached(page: Item, file: File) -> Item:
    """A file as an item beside the pages of its page."""
    name, dot, suffix = item_paths.part(file.name).rpartition(".")
    stem, end = (name, f".{suffix}") if dot and name else (suffix, "")
    return Item(
        path=f"{page.path.removesuffix('.md')}/{stem} {file.id[:8]}{end}",
        revision=f"{file.edited} {file.name}",
        modified_at=_time(file.edited) or page.modified_at,
        identity=attachment_of(page.identity, file.id),
        metadata={"url": page.metadata["url"]} if "url" in page.metadata else {},
    )


def _plain_id(identity: str) -> str:
    return identity.replace("-", "").lower()


def _id(each: Json) -> str:
    """An id without dashes: the form that exports and addresses have."""
    return _plain_id(text_of(each.get("id")))


def _time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text_of(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
