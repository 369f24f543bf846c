"""Where a request goes (RFC 9110, section 4.2; RFC 3986), and the head of a request as bytes that are made once."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from causeway.models.http_failures import BadAddressError, BadHeaderError

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._~:%-]+", re.ASCII)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset(("content-length", "transfer-encoding"))
_IN_PATHS = "/%:@!$&'()*+,;=~"
_IN_QUERIES = f"{_IN_PATHS}?"


@dataclass(frozen=True, slots=True)
class Address:
    """An ``http`` or ``https`` URL, taken apart.

    Attributes:
        host: Lower case, in ASCII, an IPv6 address without its brackets.
        target: Path and query, as they are sent.
        credentials: ``user:password`` of the URL as a value of ``Authorization``; None when it has none.
    """

    is_tls: bool
    host: str
    port: int
    target: str
    credentials: str | None = None

    @property
    def authority(self) -> str:
        """``host`` and, unless it is the scheme's own, ``port``."""
        return self.host_in_url if self.port == self._usual_port else self.host_and_port

    @property
    def host_and_port(self) -> str:
        """Both, in any case."""
        return f"{self.host_in_url}:{self.port}"

    @property
    def host_in_url(self) -> str:
        """``host``, an IPv6 address in its brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def url(self) -> str:
        """The whole, without credentials: what a proxy is asked for."""
        return f"http{'s' if self.is_tls else ''}://{self.authority}{self.target}"

    @property
    def _usual_port(self) -> int:
        return _PORTS["https" if self.is_tls else "http"]


def read_address(url: str) -> Address:
    """``url``, understood.

    Raises:
        BadAddressError: It is no URL of a web server.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna" if not url.isascii() else "ascii").decode().lower()
        port = parts.port
    except ValueError as exc:  # UnicodeError is one
        raise BadAddressError(str(exc)) from exc
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host):
        msg = "no http or https URL"
        raise BadAddressError(msg)
    query = f"?{quote(parts.query, safe=_IN_QUERIES)}" if parts.query else ""
    return Address(
        is_tls=parts.scheme == "https",
        host=host,
        port=port or _PORTS[parts.scheme],
        target=(quote(parts.path, safe=_IN_PATHS) or "/") + query,
        credentials=_credentials(parts.username, parts.password),
    )


def _credentials(user: str | None, password: str | None) -> str | None:
    if user is None and password is None:
        return None
    written = f"{unquote(user or '')}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(written.encode()).decode()}"


def request_head(method: str, target: str, headers: Iterable[Mapping[str, str]], *, has_body: bool) -> bytes:
    """The head of a request; one with a body ends before the number of its ``Content-Length``.

    Args:
        method: Such as ``POST``.
        target: What is asked for.
        headers: Later ones win over earlier ones of the same name, whatever their case.
        has_body: Whether a body follows.

    Raises:
        BadHeaderError: A header cannot be sent.
    """
    lines: dict[str, str] = {}
    for some in headers:
        for name, value in some.items():
            lines[name.lower()] = _line(name, value)
    written = "".join((f"{method} {target} HTTP/1.1\r\n", *lines.values()))
    return (written + ("Content-Length: " if has_body else "\r\n")).encode()


def _line(name: str, value: str) -> str:
    if not _NAME.fullmatch(name) or _UNSENDABLE.search(value):
        raise BadHeaderError(f"'{name[:100]}' is no header that can be sent")
    if name.lower() in _OURS:
        raise BadHeaderError(f"'{name}' is set by Causeway itself")
    return f"{name}: {value}\r\n"
