"""What a crawler needs to know of a page: where it leads, what it is really called, whether it wants to be found.

Also its gist: a hash of what a reader sees. Pages change with every visit (tokens, nonces, counters in scripts) without
a word of theirs changing, and would be embedded anew each time.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import re
import zlib
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser

from causeway.errors import TooLargeError, UnreadableDocumentError
from causeway.knowledge.ingest.web_addresses import normal

_MOST_LINKS = 5_000
_LOC = re.compile(rb"<loc>\s*(?:<!\[CDATA\[)?\s*(.*?)\s*(?:\]\]>)?\s*</loc>", re.S | re.I)
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page says to crawlers.

    Attributes:
        links: Addresses in one form each, in order, without repeats; none when it asks not to be followed.
        canonical: The address it gives itself; None when it gives none.
        gist: Hash of its visible text and title.
    """

    links: tuple[str, ...]
    canonical: str | None
    is_indexed: bool
    gist: str
    language: str


def read_page(content: bytes, url: str, robots_header: str = "") -> Page:
    """Read the HTML of ``url``; ``robots_header`` is its ``X-Robots-Tag``."""
    tree = LexborHTMLParser(content)
    wishes = robots_header.lower()
    for meta in tree.css("meta[name]"):
        if (meta.attributes.get("name") or "").lower() in ("robots", "causewaybot"):
            wishes += "," + (meta.attributes.get("content") or "").lower()
    wanted = {word.strip() for word in re.split(r"[,:]", wishes)}
    base = tree.css_first("base[href]")
    beside = normal(base.attributes.get("href") or "", url) if base else None
    links = {} if wanted & {"nofollow", "none"} else _links(tree, beside or url)
    canonical = tree.css_first("link[rel=canonical][href]")
    root = tree.css_first("html")
    language = (root.attributes.get("lang") or "")[:20] if root else ""
    return Page(
        links=tuple(links),
        canonical=normal(canonical.attributes.get("href") or "", url) if canonical else None,
        is_indexed=not wanted & {"noindex", "none"},
        gist=_gist(tree),
        language=language,
    )


def _links(tree: LexborHTMLParser, beside: str) -> dict[str, None]:
    links: dict[str, None] = {}
    for anchor in tree.css("a[href]"):
        if "nofollow" in (anchor.attributes.get("rel") or "").lower().split():
            continue
        target = normal(anchor.attributes.get("href") or "", beside)
        if target is not None:
            links[target] = None
        if len(links) == _MOST_LINKS:
            break
    return links


def _gist(tree: LexborHTMLParser) -> str:
    title = tree.css_first("title")
    said = title.text() if title else ""
    tree.strip_tags(["script", "style", "noscript", "template", "svg"])
    body = tree.body
    text = " ".join(f"{said} {body.text(separator=' ') if body else ''}".split())
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def read_sitemap(content: bytes, url: str, *, max_bytes: int) -> tuple[tuple[str, ...], bool]:
    """The addresses of a sitemap, and whether they are sitemaps themselves (https://www.sitemaps.org/protocol.html).

    Raises:
        UnreadableDocumentError: It is no sitemap.
        TooLargeError: Unpacked it is larger than ``max_bytes``.
    """
    if content.startswith(_GZIP):
        content = _unpacked(content, max_bytes)
    head = content[:2000].lower()
    if b"<urlset" not in head and b"<sitemapindex" not in head:
        msg = "it is no sitemap: it has neither <urlset> nor <sitemapindex>"
        raise UnreadableDocumentError(msg)
    found = (normal(html.unescape(each.decode("utf-8", "replace")), url) for each in _LOC.findall(content))
    return tuple(dict.fromkeys(each for each in found if each)), b"<sitemapindex" in head


def _unpacked(content: bytes, max_bytes: int) -> bytes:
    try:
        unpacked = zlib.decompressobj(wbits=31).decompress(content, max_bytes + 1)
    except (zlib.error, gzip.BadGzipFile) as exc:
        msg = "it is packed and cannot be unpacked"
        raise UnreadableDocumentError(msg) from exc
    if len(unpacked) > max_bytes:
        raise TooLargeError(f"it is larger than {max_bytes:,} bytes when unpacked")
    return unpacked
