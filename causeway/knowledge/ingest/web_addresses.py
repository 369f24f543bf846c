"""Addresses of web pages in one form each, so that a page is one document however it is linked to."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

_TRACKING = re.compile(
    r"(utm_\w+|gclid|fbclid|msclkid|mc_[ce]id|_hs\w+|sessionid|phpsessid|jsessionid)", re.I
)
_PORTS = {"http": 80, "https": 443}
_LONGEST = 2000
_SAFE = "/~!$&'()*+,;=:@-._%"


def normal(url: str, beside: str = "") -> str | None:
    """``url``, read as a link on the page ``beside``, without fragment and tracking; None when it is no web page."""
    try:
        parts = urlsplit(urljoin(beside, url.strip()))
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host or parts.username is not None or parts.password is not None:
        return None
    try:
        host = host.encode("idna").decode() if not host.isascii() else host.lower()
    except UnicodeError:
        return None
    shown_host = f"[{host}]" if ":" in host else host
    place = shown_host if port in (None, _PORTS[parts.scheme]) else f"{shown_host}:{port}"
    path = posixpath.normpath(parts.path or "/").replace("//", "/")
    if parts.path.endswith("/") and not path.endswith("/"):
        path += "/"
    asked = [
        pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _TRACKING.fullmatch(pair[0])
    ]
    whole = urlunsplit((parts.scheme, place, quote(path, safe=_SAFE), urlencode(asked), ""))
    return whole if len(whole) <= _LONGEST else None


def site(url: str) -> str:
    """The host and port of an address, without ``www.``."""
    return urlsplit(url).netloc.removeprefix("www.")


def document_path(url: str, suffixes: tuple[str, ...]) -> str:
    """Where the document of a page is: host and path, readable, with an end that tells its type.

    ``suffixes``: the ends that tell it; the first is added when there is none of them.
    """
    parts = urlsplit(url)
    path = f"{parts.netloc}{unquote(parts.path)}"
    if path.endswith("/"):
        path += "index"
    if parts.query:
        path += f"?{parts.query}"
    visible = "".join(letter if letter.isprintable() else "_" for letter in path)
    return visible if visible.lower().endswith(suffixes) or not suffixes else visible + suffixes[0]
