from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from causeway.contracts.clock import SystemClock
from causeway.errors import SettingsError
from causeway.knowledge.ingest.connector import Before, Listing
from causeway.knowledge.ingest.web_addresses import document_path, normal
from causeway.knowledge.ingest.web_html import read_page, read_sitemap
from causeway.knowledge.ingest.web_pages import WebPages, open_web
from causeway.knowledge.ingest.web_robots import Robots
from causeway.settings import SourceSettings
from causeway.testing.clock import FrozenClock
from causeway.testing.connector_contract import CHECKS, Check, Source, take
from tests.knowledge.ingest.vendor_server import served


@dataclass
class Site:
    """A small site: an index that links to its pages."""

    pages: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    robots: str | None = None
    has_validators: bool = True
    down: bool = False
    busy: dict[str, list[str]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        made = self._made(request)
        if made.body and self.has_validators and made.status == 200:
            assert isinstance(made.body, bytes)
            etag = f'"{hashlib.sha256(made.body).hexdigest()[:16]}"'
            if request.headers.get("If-None-Match") == etag:
                made = web.Response(status=304)
            made.headers["ETag"] = etag
        self.asked.append((request.path_qs, made.status))
        self.agents.add(request.headers["User-Agent"])
        return made

    def _made(self, request: web.Request) -> web.Response:
        path = request.path_qs
        if self.down:
            return web.Response(status=503, headers={"Retry-After": "9999"})
        if path == "/robots.txt":
            return web.Response(text=self.robots) if self.robots is not None else web.Response(status=404)
        if self.busy.get(path):
            return web.Response(status=429, headers={"Retry-After": self.busy[path].pop(0)})
        if path in self.redirects:
            return web.Response(status=301, headers={"Location": self.redirects[path]})
        if path == "/":
            links = "".join(f'<a href="/{name}">{name}</a>' for name in self.pages)
            return _html(f"<h1>Index</h1>{links}")
        if path.removeprefix("/") in self.pages:
            return _html(self.pages[path.removeprefix("/")])
        if path in self.files:
            kind, content = self.files[path]
            return web.Response(body=content, content_type=kind)
        return web.Response(status=404)

    def statuses(self, path: str) -> list[int]:
        return [status for asked, status in self.asked if asked == path]


def _html(body: str) -> web.Response:
    return web.Response(
        text=f"<!doctype html><html lang=en><body>{body}</body></html>", content_type="text/html"
    )


def settings(*urls: str, **values: object) -> SourceSettings:
    fixed = {
        "kind": "web",
        "urls": list(urls),
        "requests_per_second": 100,
        "allow_networks": ["127.0.0.1/32"],
    }
    return SourceSettings.model_validate({**fixed, **values})


@asynccontextmanager
async def opened(*urls: str, **values: object) -> AsyncIterator[WebPages]:
    async with open_web("site", settings(*urls, **values), clock=SystemClock()) as pages:
        yield pages


async def crawl(*urls: str, before: dict[str, Before] | None = None, **values: object) -> Listing:
    async with opened(*urls, **values) as pages:
        return await pages.listing(before or {}, since=None)


def names(listing: Listing) -> set[str]:
    return {item.path.partition("/")[2] for item in listing.items}


@pytest.fixture(params=[True, False], ids=["validators", "no-validators"])
async def source(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Source]:
    site = Site(has_validators=request.param)

    async def write(name: str, words: str) -> None:
        site.pages[name] = f"<h1>{name}</h1><p>{words}</p>"

    async def remove(name: str) -> None:
        del site.pages[name]

    async def cut() -> None:
        site.down = True

    async with served(site.answer) as address:
        yield Source(
            open=lambda: opened(f"{address}/"),
            write=write,
            remove=remove,
            rename=None,
            cut=cut,
            folder=tmp_path,
        )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_web_pages_keep_the_contract(check: Check, source: Source) -> None:
    await check(source)


# --- what is read, and what is not -------------------------------------------------------------------


async def test_links_are_followed_so_deep_and_on_the_same_site_only() -> None:
    site = Site(
        pages={
            "a": "a <a href='b#part'>b</a> <a href='http://elsewhere.test/x'>x</a><a href='mailto:a@b.c'>m</a>",
        },
        files={
            "/b": ("text/html", b"b <a href=c>c</a>"),
            "/c": ("text/html", b"c <a href=/d>d</a>"),
            "/d": ("text/html", b"d"),
        },
    )
    async with served(site.answer) as address:
        assert names(await crawl(f"{address}/", max_depth=2)) == {"index.html", "a.html", "b.html"}
        assert names(await crawl(f"{address}/", max_depth=0)) == {"index.html"}
        listing = await crawl(f"{address}/", max_depth=9)
    assert names(listing) == {"index.html", "a.html", "b.html", "c.html", "d.html"}
    assert not listing.unseen
    assert {item.metadata["url"] for item in listing.items} >= {f"{address}/d"}


async def test_robots_txt_is_asked_first_and_kept_to() -> None:
    site = Site(
        pages={"open": "o", "private": "p", "a?b=1": "q"},
        robots="User-agent: *\nDisallow: /private\nDisallow: /*?",
    )
    async with served(site.answer) as address:
        listing = await crawl(f"{address}/")
    assert names(listing) == {"index.html", "open.html"}
    assert site.asked[0][0] == "/robots.txt"
    assert site.statuses("/private") == []
    assert all(agent.startswith("CausewayBot/") for agent in site.agents)


async def test_a_site_whose_robots_txt_cannot_be_had_is_not_read_and_loses_nothing() -> None:
    site = Site(pages={"a": "a"}, down=True)
    async with served(site.answer) as address:
        listing = await crawl(f"{address}/")
    assert not listing.items
    assert listing.may_hold("anything")
    assert {path for path, _ in site.asked} == {"/robots.txt"}


async def test_pages_that_ask_not_to_be_found_are_left_out() -> None:
    site = Site(
        pages={
            "hidden": "<meta name=robots content='noindex'>h <a href=/beyond>b</a>",
            "dead-end": "<meta name=robots content='nofollow'>d <a href=/secret>s</a>",
        },
        files={"/beyond": ("text/html", b"b"), "/secret": ("text/html", b"s")},
    )
    async with served(site.answer) as address:
        assert names(await crawl(f"{address}/")) == {"index.html", "dead-end.html", "beyond.html"}


async def test_only_documents_are_taken_and_named_for_what_they_are() -> None:
    site = Site(
        pages={
            "list": "<a href=/f.pdf>f</a><a href=/report>r</a><a href=/p.png>p</a><a href=/notes.md>n</a>"
        },
        files={
            "/f.pdf": ("application/pdf", b"%PDF-1.4"),
            "/report": ("application/pdf", b"%PDF-1.4 r"),
            "/p.png": ("image/png", b"\x89PNG"),
            "/notes.md": ("text/plain", b"# Notes"),
        },
    )
    async with served(site.answer) as address:
        assert names(await crawl(f"{address}/")) == {
            *("index.html", "list.html", "f.pdf", "report.pdf", "notes.md"),
        }
        listing = await crawl(f"{address}/", include=["*.pdf"], exclude=["*/f.pdf"])
    assert names(listing) == {"report.pdf"}


async def test_one_page_under_many_addresses_is_one_document() -> None:
    canonical = "<link rel=canonical href='/page'>"
    site = Site(
        pages={
            "page": f"{canonical}p",
            "page?utm_source=mail": "never asked",
            "print": f"{canonical}p",
            "old": "never sent",
        },
        redirects={"/old": "/page"},
    )
    async with served(site.answer) as address:
        listing = await crawl(f"{address}/")
    assert names(listing) == {"index.html", "page.html"}
    assert site.statuses("/page?utm_source=mail") == []


async def test_a_canonical_address_that_nothing_links_to_is_read_itself() -> None:
    site = Site(pages={"a": "<link rel=canonical href='/real'>x"}, files={"/real": ("text/html", b"real")})
    async with served(site.answer) as address:
        assert names(await crawl(f"{address}/", max_depth=1)) == {"index.html", "real.html"}


async def test_sitemaps_name_pages_whose_links_are_not_followed() -> None:
    site = Site(
        files={
            "/a": ("text/html", b"a <a href=/b>b</a>"),
            "/b": ("text/html", b"b"),
            "/c": ("text/html", b"c"),
            "/broken.xml": ("text/html", b"<html>"),
        }
    )
    async with served(site.answer) as address:
        one = f"<urlset><url><loc>{address}/a</loc></url><url><loc> <![CDATA[{address}/c?x=1&y]]></loc></url></urlset>"
        site.files["/one.xml.gz"] = ("application/gzip", gzip.compress(one.encode()))
        index = f"<sitemapindex><sitemap><loc>{address}/one.xml.gz</loc></sitemap></sitemapindex>"
        site.files["/sitemap.xml"] = ("text/xml", index.encode())
        site.files["/c?x=1&y="] = ("text/html", b"c")
        listing = await crawl(f"{address}/sitemap.xml")
        assert names(listing) == {"a.html", "c?x=1&y=.html"}
        assert not listing.unseen
        broken = await crawl(f"{address}/broken.xml")
    assert "no sitemap" in broken.unseen[""]


# --- changes -----------------------------------------------------------------------------------------


async def test_what_has_not_changed_is_not_sent_again_and_still_leads_on(tmp_path: Path) -> None:
    site = Site(pages={"a": "a <a href=/deep>d</a>"}, files={"/deep": ("text/html", b"deep")})

    async with served(site.answer) as address:
        source = Source(
            open=lambda: opened(f"{address}/"),
            write=_never,
            remove=_never,
            rename=None,
            cut=_never,
            folder=tmp_path,
        )
        taken = await take(source)
        site.asked.clear()
        again = await take(source, taken.before)
    assert again.items.keys() == taken.items.keys()
    assert {status for path, status in site.asked if path != "/robots.txt"} == {304}


async def _never(*words: str) -> None:
    raise AssertionError(words)


async def test_a_page_of_other_scripts_but_the_same_words_has_the_same_revision() -> None:
    site = Site(pages={"a": "<script>1</script><p>words</p>"}, has_validators=False)
    async with served(site.answer) as address:
        first = await crawl(f"{address}/a")
        site.pages["a"] = "<script>2</script><p nonce=2>words</p>"
        assert (await crawl(f"{address}/a")).items[0].revision == first.items[0].revision


async def test_a_page_that_does_not_answer_takes_nothing_with_it() -> None:
    site = Site(pages={"a": "a", "b": "b"}, busy={"/a": ["9999"]})
    async with served(site.answer) as address:
        listing = await crawl(f"{address}/")
    assert names(listing) == {"index.html", "b.html"}
    assert "429" in listing.unseen[""]
    assert listing.may_hold("anywhere")


async def test_a_busy_server_is_asked_again_when_it_wants() -> None:
    site = Site(pages={"a": "a"}, busy={"/a": ["0", "0"]})
    async with served(site.answer) as address:
        assert names(await crawl(f"{address}/")) == {"index.html", "a.html"}
    assert site.statuses("/a") == [429, 429, 200]


async def test_a_crawl_is_bounded_and_an_unfinished_one_deletes_nothing() -> None:
    site = Site(pages={f"p{n}": f"page {n}" for n in range(30)})
    async with served(site.answer) as address:
        listing = await crawl(f"{address}/", max_items=5)
    assert len(listing.items) == 5
    assert listing.may_hold("anything")
    assert "max_items" in listing.unseen[""]


async def test_a_page_that_is_too_large_or_forbidden_is_named_alone() -> None:
    site = Site(pages={"big": "x" * 5000, "small": "s"})
    async with served(site.answer) as address:
        listing = await crawl(f"{address}/", max_file_bytes=4000)
    assert names(listing) == {"index.html", "small.html"}
    assert ["larger than the 4,000" in why for why in listing.failed.values()] == [True]
    assert not listing.unseen


async def test_private_addresses_are_not_read_unless_allowed() -> None:
    site = Site(pages={"a": "a"})
    async with served(site.answer) as address:
        listing = await crawl(f"{address}/", allow_networks=[])
    assert "not a public address" in listing.unseen[""]
    assert site.asked == []


async def test_a_start_that_is_no_address_is_a_setting_to_mend(clock: FrozenClock) -> None:
    with pytest.raises(SettingsError, match=r"sources\.site\.urls: 'ftp://x'"):
        async with open_web("site", settings("https://example.org", "ftp://x"), clock=clock):
            pass


async def test_last_modified_is_the_documents_time(clock: FrozenClock) -> None:
    moment = format_datetime(clock.now(), usegmt=True)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/robots.txt":
            return web.Response(status=404)
        if request.headers.get("If-Modified-Since") == moment:
            return web.Response(status=304)
        return web.Response(text="<p>x", content_type="text/html", headers={"Last-Modified": moment})

    async with served(answer) as address:
        (item,) = (await crawl(f"{address}/")).items
    assert item.modified_at == clock.now()
    assert item.revision.endswith(f"modified:{moment}")


# --- the pieces --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://Example.ORG:80/a/../b/./c#x", "http://example.org/b/c"),
        ("https://example.org", "https://example.org/"),
        ("https://example.org/a/?utm_source=x&b=1&gclid=2", "https://example.org/a/?b=1"),
        ("https://example.org:8443/a b", "https://example.org:8443/a%20b"),
        ("https://münchen.de/ä", "https://xn--mnchen-3ya.de/%C3%A4"),
        ("javascript:alert(1)", None),
        ("https://u:p@example.org/", None),
        ("https://[::1", None),
        ("https://example.org/" + "a" * 3000, None),
    ],
)
def test_addresses_have_one_form(url: str, expected: str | None) -> None:
    assert normal(url) == expected
    if expected is not None:
        assert normal(expected) == expected


def test_paths_of_documents_are_readable() -> None:
    assert document_path("https://example.org/caf%C3%A9/", (".html",)) == "example.org/café/index.html"
    assert document_path("https://example.org/a%0Ab", (".html",)) == "example.org/a_b.html"


RULES = b"""
User-agent: other
Disallow: /

User-agent: CausewayBot
User-agent: third   # two names, one group
Crawl-delay: 2.5
Disallow: /private
Allow: /private/open
Disallow: /*.zip$
Disallow: /a*b*c

Sitemap: https://example.org/sitemap.xml
User-agent: *
Disallow: /
"""


@pytest.mark.parametrize(
    ("path", "is_allowed"),
    [
        ("/", True),
        ("/private", False),
        ("/private/x", False),
        ("/private/open/x", True),
        ("/x/file.zip", False),
        ("/x/file.zip?y", True),
        ("/a1b2c3", False),
        ("/a1c2b3", True),
    ],
)
def test_the_longest_rule_of_our_own_group_decides(path: str, is_allowed: bool) -> None:
    robots = Robots.parse(RULES, "CausewayBot")
    assert robots.allow(f"https://example.org{path}") is is_allowed
    assert robots.delay_s == 2.5


def test_without_a_group_of_our_own_that_of_all_counts_and_escapes_meet() -> None:
    assert not Robots.parse(RULES, "Unknown").allow("https://example.org/")
    assert Robots.parse(b"\xff\xfe nonsense\n:::", "Unknown").allow("https://example.org/")
    robots = Robots.parse(b"User-agent: *\nDisallow: /%7ejoe/caf\xc3\xa9", "x")
    assert not robots.allow("https://example.org/%7Ejoe/caf%c3%a9")


def test_a_rule_of_many_stars_takes_no_time() -> None:
    robots = Robots.parse(b"User-agent: *\nDisallow: /" + b"*a" * 200 + b"$", "x")
    assert robots.allow("https://example.org/" + "a" * 190 + "b")


def test_base_and_rel_are_honoured_in_links() -> None:
    page = read_page(
        b"<base href='/docs/'><a href=a>a</a><a rel='nofollow ugc' href=b>b</a><a href='ftp://x/'>f</a>",
        "https://example.org/x",
    )
    assert page.links == ("https://example.org/docs/a",)


def test_a_packed_sitemap_that_unpacks_to_too_much_is_refused() -> None:
    from causeway.errors import TooLargeError

    with pytest.raises(TooLargeError):
        read_sitemap(gzip.compress(b"<urlset>" + b" " * 100_000), "https://example.org/s.xml", max_bytes=1000)
