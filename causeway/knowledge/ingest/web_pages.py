"""Web pages and sitemaps as a source, read politely.

Asks each host's ``robots.txt`` first and keeps to it, at most two requests under way and so many a second, asks only
for what has changed (``If-None-Match``, ``If-Modified-Since``), waits as long as a server that says 429 or 503 wants.
Stays on the sites that were named, so many links deep; follows canonical addresses there; leaves out what asks not to
be found. Every address is fetched through `causeway.guard.safe_fetch`, for pages are other people's words.

A page is gone when a crawl that saw everything has not met it. One page that does not answer may have led to others,
so after it nothing is taken for gone.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from causeway.contracts.clock import Clock
from causeway.errors import (
    CausewayError,
    InvalidInputError,
    RefusedAddressError,
    SettingsError,
    TooLargeError,
    TryLaterError,
    UnreadableDocumentError,
)
from causeway.guard.public_addresses import networks
from causeway.guard.safe_fetch import Answer, Resolve, SafeFetcher
from causeway.knowledge.ingest.connector import Before, Fetched, Item, Listing
from causeway.knowledge.ingest.in_parallel import in_parallel
from causeway.knowledge.ingest.pacing import LONGEST_WAIT_S, Pacer, asked_wait_s
from causeway.knowledge.ingest.patterns import Patterns
from causeway.knowledge.ingest.spool import Spool
from causeway.knowledge.ingest.web_addresses import document_path, normal, site
from causeway.knowledge.ingest.web_html import Page, read_page, read_sitemap
from causeway.knowledge.ingest.web_robots import Robots
from causeway.settings import SourceSettings

log = logging.getLogger(__name__)

PRODUCT = "CausewayBot"
_USER_AGENT = f"{PRODUCT}/1.0 (reads pages for a company's own search; honours robots.txt)"
_AT_ONCE = 2
_TRIES = 3
_SITEMAP_DEPTH = 2
_GONE = frozenset({404, 410})
_BUSY = frozenset({429, 500, 502, 503, 504})
_HTML = ("text/html", "application/xhtml+xml")
_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "text/html": (".html", ".htm", ".xhtml"),
    "application/xhtml+xml": (".html", ".htm", ".xhtml"),
    "text/plain": (".txt", ".md", ".csv", ".log", ".rst", ".text"),
    "text/markdown": (".md", ".markdown"),
    "text/csv": (".csv",),
    "application/pdf": (".pdf",),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (".docx",),
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": (".pptx",),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": (".xlsx",),
}
"""What is taken, and the ends of names that say so."""


@asynccontextmanager
async def open_web(
    name: str, settings: SourceSettings, *, clock: Clock, resolve: Resolve | None = None
) -> AsyncIterator[WebPages]:
    """The pages of a source called ``name``.

    Raises:
        SettingsError: An address to start from is none.
    """
    starts = [normal(url) for url in settings.urls]
    if None in starts:
        wrong = settings.urls[starts.index(None)]
        raise SettingsError(f"sources.{name}.urls: '{wrong}' is no http or https address")
    fetching = SafeFetcher(
        user_agent=_USER_AGENT,
        timeout_s=settings.timeout_s,
        max_bytes=settings.max_file_bytes,
        allow=networks(settings.allow_networks),
        resolve=resolve,
    )
    with Spool() as spool:
        async with fetching as fetcher:
            yield WebPages(
                name, settings, [each for each in starts if each], fetcher=fetcher, spool=spool, clock=clock
            )


class WebPages:
    """A `Connector`; made by `open_web`."""

    at_once = 4
    follows_content = False

    def __init__(
        self,
        name: str,
        settings: SourceSettings,
        starts: Sequence[str],
        *,
        fetcher: SafeFetcher,
        spool: Spool,
        clock: Clock,
    ) -> None:
        self._name = name
        self._settings = settings
        self._starts = starts
        self._fetcher = fetcher
        self._spool = spool
        self._clock = clock

    @property
    def source(self) -> str:
        """``web:`` and the name."""
        return f"web:{self._name}"

    async def listing(self, before: Mapping[str, Before], *, since: datetime | None) -> Listing:  # noqa: ARG002 - asking what has changed is the server's to answer
        """Crawl, and keep the pages that have changed."""
        crawl = _Crawl(self._settings, self._starts, before, self._fetcher, self._spool, self._clock)
        await crawl.run()
        return Listing(items=tuple(crawl.items.values()), unseen=crawl.unseen, failed=crawl.failed)

    async def fetch(self, item: Item) -> Fetched:
        """A page as the crawl found it."""
        return Fetched(content=self._spool.file(item.path))


@dataclass(slots=True)
class _Host:
    pacer: Pacer
    robots: Robots | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class _Crawl:
    """One crawl."""

    def __init__(
        self,
        settings: SourceSettings,
        starts: Sequence[str],
        before: Mapping[str, Before],
        fetcher: SafeFetcher,
        spool: Spool,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._starts = starts
        self._sites = {site(url) for url in starts}
        self._before = {each.identity: each for each in before.values()}
        self._patterns = Patterns(settings.include, settings.exclude)
        self._fetcher = fetcher
        self._spool = spool
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self._seen: set[str] = set()
        self._next: dict[str, None] = {}
        self._canonicals: dict[str, None] = {}
        self.items: dict[str, Item] = {}
        self.unseen: dict[str, str] = {}
        self.failed: dict[str, str] = {}

    async def run(self) -> None:
        """Level by level, from the start pages and the sitemaps' pages on."""
        pages = [url for url in self._starts if not _is_sitemap(url)]
        sitemaps = [url for url in self._starts if _is_sitemap(url)]
        listed = await self._sitemap_pages(sitemaps)
        for depth in range(self._settings.max_depth + 1):
            level = [url for url in dict.fromkeys(pages) if self._is_new(url)]
            await in_parallel((self._visit(url, depth) for url in level), at_once=_AT_ONCE)
            pages, self._next = list(self._next), {}
        for rest in (listed, self._canonicals):
            level = [url for url in list(rest) if self._is_new(url)]
            await in_parallel((self._visit(url, None) for url in level), at_once=_AT_ONCE)

    def _is_new(self, url: str) -> bool:
        """Take an address for this crawl; False when it was taken before, or may not be."""
        if url in self._seen or site(url) not in self._sites:
            return False
        if len(self._seen) >= self._settings.max_items:
            most = self._settings.max_items
            self.unseen[""] = f"there are more than {most:,} pages; raise max_items, or leave some out"
            return False
        self._seen.add(url)
        return True

    async def _sitemap_pages(self, sitemaps: Sequence[str]) -> list[str]:
        """The pages of sitemaps, and of the sitemaps in them."""
        found: dict[str, None] = {}
        waiting = [(url, 0) for url in sitemaps]
        while waiting:
            url, depth = waiting.pop(0)
            try:
                async with self._asked(url, {}) as answer:
                    if answer is None or answer.status != 200:
                        status = "robots.txt forbids it" if answer is None else f"it answers {answer.status}"
                        raise UnreadableDocumentError(f"the sitemap cannot be read: {status}")
                    content = await answer.read()
                pages, is_index = read_sitemap(content, url, max_bytes=self._settings.max_file_bytes)
            except CausewayError as exc:
                self._lose(url, exc)
                continue
            if not is_index:
                found.update(dict.fromkeys(pages))
            elif depth < _SITEMAP_DEPTH:
                waiting += [(each, depth + 1) for each in pages if site(each) in self._sites]
        return list(found)

    def _lose(self, url: str, error: CausewayError) -> None:
        """Note that what an address leads to could not be seen."""
        self.unseen[""] = f"{url}: {error.message}; what it leads to stays as it is"

    async def _visit(self, url: str, depth: int | None) -> None:
        """Read a page; ``depth`` is None for one whose links are not followed."""
        before = self._before.get(url)
        leads_on = depth is not None and depth < self._settings.max_depth
        try:
            async with self._asked(url, _conditions(before)) as answer:
                if answer is not None:
                    await self._take(url, answer, before, leads_on=leads_on)
        except (TooLargeError, UnreadableDocumentError) as exc:
            self.failed[before.path if before else document_path(url, ())] = exc.message
        except RefusedAddressError as exc:
            log.info("an address is not fetched", extra={"reason": exc.message})
            if url in self._starts:
                self._lose(url, exc)
        except TryLaterError as exc:
            if leads_on:
                self._lose(url, exc)
            else:
                self.unseen[before.path if before else document_path(url, ())] = exc.message

    async def _take(self, url: str, answer: Answer, before: Before | None, *, leads_on: bool) -> None:
        if answer.status in _GONE:
            return
        if answer.status == 304 and before is not None:
            await self._keep(url, answer, before, leads_on=leads_on)
            return
        if answer.status != 200:
            if before is not None or url in self._starts:
                self.failed[before.path if before else document_path(url, ())] = f"it answers {answer.status}"
            return
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _SUFFIXES:
            return
        here = normal(answer.url) or url
        if here != url and (not self._is_new(here) or not await self._may_read(here)):
            return
        file = await self._spool.receive(answer.pieces)
        page = await self._page(file, here, answer) if kind in _HTML else None
        if page is not None and leads_on:
            self._next.update(dict.fromkeys(page.links))
        address = self._canonical(here, page)
        if address is None or (page is not None and not page.is_indexed):
            return
        path = document_path(address, _SUFFIXES[kind])
        if not self._patterns.allow(path):
            return
        gist = page.gist if page is not None else await asyncio.to_thread(_sha256, file)
        self._spool.adopt(path, file)
        self.items[path] = self._item(path, address, gist, answer, page)

    async def _keep(self, url: str, answer: Answer, before: Before, *, leads_on: bool) -> None:
        """A page that has not changed is there still, and leads where it led."""
        self.items[before.path] = Item(
            path=before.path,
            revision=before.revision,
            modified_at=before.modified_at,
            identity=before.identity,
        )
        if before.content is not None:
            self._spool.adopt(before.path, before.content)
            if leads_on and before.path.endswith(_SUFFIXES[_HTML[0]]):
                page = await self._page(before.content, url, answer)
                self._next.update(dict.fromkeys(page.links))

    async def _page(self, file: Path, url: str, answer: Answer) -> Page:
        content = await asyncio.to_thread(file.read_bytes)
        return await asyncio.to_thread(read_page, content, url, answer.headers.get("x-robots-tag", ""))

    def _canonical(self, url: str, page: Page | None) -> str | None:
        """The address that a page's document has; None when another page of the site is that document."""
        wanted = page.canonical if page is not None else None
        if wanted is None or wanted == url or site(wanted) not in self._sites:
            return url
        self._canonicals[wanted] = None
        return None

    def _item(self, path: str, url: str, gist: str, answer: Answer, page: Page | None) -> Item:
        before = self._before.get(url)
        revision = f"{gist} {_validator(answer)}".strip()
        is_same = before is not None and before.revision.partition(" ")[0] == gist
        modified_at = _date(answer.headers.get("last-modified", "")) or self._clock.now()
        metadata = {"url": url, "site": urlsplit(url).netloc}
        if page is not None and page.language:
            metadata["language"] = page.language
        return Item(
            path=path,
            revision=before.revision if before is not None and is_same else revision,
            modified_at=modified_at,
            identity=url,
            metadata=metadata,
        )

    # --- asking ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _asked(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[Answer | None]:
        """A host's answer, when it has time for one; None when its ``robots.txt`` forbids to ask."""
        host = await self._host(url)
        if host.robots is None or not host.robots.allow(url):
            yield None
            return
        async with AsyncExitStack() as opened:
            for tries_left in reversed(range(_TRIES)):
                await host.pacer.turn()
                answer = await opened.enter_async_context(
                    self._fetcher.get(url, headers=headers, may_follow=self._may_follow)
                )
                if answer.status not in _BUSY:
                    yield answer
                    return
                wait_s = asked_wait_s(answer.headers, self._clock.now())
                wait_s = 2.0 ** (_TRIES - tries_left) if wait_s is None else wait_s
                if not tries_left or wait_s > LONGEST_WAIT_S:
                    raise TryLaterError(f"it answers {answer.status}").after(wait_s)
                await opened.aclose()
                host.pacer.rest(wait_s)

    def _may_follow(self, url: str) -> bool:
        known = self._hosts.get(urlsplit(url).netloc)
        is_forbidden = known is not None and known.robots is not None and not known.robots.allow(url)
        return site(url) in self._sites and not is_forbidden

    async def _may_read(self, url: str) -> bool:
        host = await self._host(url)
        return host.robots is not None and host.robots.allow(url)

    async def _host(self, url: str) -> _Host:
        """The host of ``url``, its ``robots.txt`` read.

        Raises:
            TryLaterError: It does not answer, so nothing of it may be read.
        """
        parts = urlsplit(url)
        host = self._hosts.setdefault(
            parts.netloc, _Host(Pacer(self._clock, 1 / self._settings.requests_per_second))
        )
        async with host.asking:
            if host.robots is None:
                host.robots = await self._read_robots(f"{parts.scheme}://{parts.netloc}/robots.txt", host)
                host.pacer.slow_down(host.robots.delay_s)
        return host

    async def _read_robots(self, url: str, host: _Host) -> Robots:
        await host.pacer.turn()
        try:
            async with self._fetcher.get(url) as answer:
                if answer.status >= 500 or answer.status == 429:
                    raise TryLaterError(f"its robots.txt answers {answer.status}")
                return Robots.parse(await answer.read() if answer.status == 200 else b"", PRODUCT)
        except RefusedAddressError:
            raise
        except InvalidInputError:  # larger than anybody's rules
            return Robots.nothing()


def _is_sitemap(url: str) -> bool:
    return urlsplit(url).path.lower().endswith((".xml", ".xml.gz"))


def _conditions(before: Before | None) -> dict[str, str]:
    """Ask only for what has changed since; in full when the bytes of then are gone."""
    if before is None or before.content is None:
        return {}
    kind, _, value = before.revision.partition(" ")[2].partition(":")
    names = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
    return {names[kind]: value} if kind in names and value.isprintable() else {}


def _validator(answer: Answer) -> str:
    etag, modified = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
    if etag and len(etag) <= 300:
        return f"etag:{etag}"
    return f"modified:{modified}" if _date(modified) else ""


def _date(written: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(written)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]
