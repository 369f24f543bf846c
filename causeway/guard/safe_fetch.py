"""Fetches addresses that other people wrote, without letting them reach the inside of the network (SSRF).

A host is resolved once for each connection, every address it has is checked (one private address among public ones
refuses the host, or an attacker would only have to wait for luck), and the connection goes to an address that was
checked: no second look-up can give another. Redirects are followed by hand, each checked the same way. Decimal, octal
and hexadecimal forms of an address are names to the resolver, so they are checked after it has read them, or refused. Proxies of
the environment are not used, since a proxy would resolve again. Size and time are bounded, after decompression.

What stays: a server behind a public address that forwards into a private network is not seen from here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from causeway.errors import DeadlineError, RefusedAddressError, TooLargeError, UpstreamError
from causeway.guard.public_addresses import Network, is_allowed

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port -> every address of it, as text."""

_PIECE_BYTES = 1 << 16
_LONGEST_URL = 4096
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PRIVILEGED_PORTS = frozenset({80, 443})
"""Of the ports below 1024; behind the others are servers to whom a request would be a command (mail, DNS)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered; its body can be read once, while it is open.

    Attributes:
        url: Where it came from, after redirects.
        headers: With names in small letters; of repeated ones the last.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.pieces])


class SafeFetcher:
    """Fetches over pooled connections; open it with ``async with``.

    Args:
        user_agent: Says who asks, and where to complain.
        timeout_s: For one address, redirects and body included.
        max_bytes: Of one body, decompressed.
        allow: Private networks that may be reached all the same.
        resolve: For tests; the system's resolver when None.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        timeout_s: float = 30.0,
        max_bytes: int = 20_000_000,
        allow: Sequence[Network] = (),
        resolve: Resolve | None = None,
    ) -> None:
        self._user_agent = user_agent
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._allow = tuple(allow)
        self._resolver = _CheckingResolver(resolve or _resolve, self._allow)
        self._opened = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(resolver=self._resolver, use_dns_cache=False, limit=16)
        self._session = await self._opened.enter_async_context(
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers={"User-Agent": self._user_agent, "Accept-Encoding": "gzip, deflate"},
                timeout=aiohttp.ClientTimeout(total=None, connect=min(10.0, self._timeout_s)),
                max_line_size=16_384,
                max_field_size=16_384,
            )
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None
        await self._opened.aclose()

    @asynccontextmanager
    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        may_follow: Callable[[str], bool] | None = None,
    ) -> AsyncIterator[Answer]:
        """GET ``url``; ``may_follow`` may refuse where a redirect leads.

        Raises:
            RefusedAddressError: It, or where it leads, may not be fetched.
            TooLargeError: The body is over the limit; also while it is read.
            DeadlineError: It takes too long; also while the body is read.
            UpstreamError: No usable answer came.
        """
        if self._session is None:
            msg = "open the fetcher with 'async with' first"
            raise RuntimeError(msg)
        async with AsyncExitStack() as opened:
            opened.enter_context(_told(url, self._timeout_s))
            async with asyncio.timeout(self._timeout_s):
                response = await self._follow(self._session, url, headers or {}, may_follow, opened)
                yield Answer(
                    url=str(response.url),
                    status=response.status,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    pieces=self._body(response),
                )

    async def post(self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None) -> int:
        """POST ``body``; gives back the status. No redirect is followed: the body is meant for ``url`` alone.

        Raises:
            RefusedAddressError: It may not be reached.
            DeadlineError: It takes too long.
            UpstreamError: No usable answer came.
        """
        if self._session is None:
            msg = "open the fetcher with 'async with' first"
            raise RuntimeError(msg)
        with _told(url, self._timeout_s):
            async with asyncio.timeout(self._timeout_s):
                self._check(url)
                posted = self._session.post(url, data=body, headers=headers, allow_redirects=False)
                async with posted as response:
                    return response.status

    async def _follow(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: Mapping[str, str],
        may_follow: Callable[[str], bool] | None,
        opened: AsyncExitStack,
    ) -> aiohttp.ClientResponse:
        for _ in range(_MOST_REDIRECTS + 1):
            self._check(url)
            response = await opened.enter_async_context(
                session.get(url, headers=headers, allow_redirects=False)
            )
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or not target:
                return response
            response.release()
            url = urljoin(url, target)
            if may_follow is not None and not may_follow(url):
                raise _RefusedError(
                    f"'{shown(url)}' is where a redirect leads, and it is not among what is read"
                )
        raise _RefusedError(f"'{shown(url)}' is reached over more than {_MOST_REDIRECTS} redirects")

    def _check(self, url: str) -> None:
        """Refuse what can be told from the address itself.

        Raises:
            _RefusedError: It may not be fetched.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as exc:
            raise _RefusedError(f"'{shown(url)}' is no address") from exc
        if (
            parts.scheme not in ("http", "https")
            or not host
            or len(url) > _LONGEST_URL
            or not url.isprintable()
        ):
            raise _RefusedError(f"'{shown(url)}' is no http or https address")
        if parts.username is not None or parts.password is not None:
            raise _RefusedError(f"'{shown(url)}' carries a user name; write it without")
        if port is not None and port < 1024 and port not in _PRIVILEGED_PORTS:
            raise _RefusedError(f"'{shown(url)}' names port {port}, which no web server has")
        if _is_literal(host) and not is_allowed(host, self._allow):
            raise _RefusedError(f"'{host}' is not a public address")

    async def _body(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        done = 0
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            done += len(piece)
            if done > self._max_bytes:
                raise TooLargeError(
                    f"'{shown(str(response.url))}' is larger than the {self._max_bytes:,} bytes that are allowed"
                )
            yield piece


@contextmanager
def _told(url: str, timeout_s: float) -> Iterator[None]:
    """What went wrong, in this module's errors."""
    try:
        yield
    except TimeoutError as exc:
        raise DeadlineError(f"'{shown(url)}' did not answer in full within {timeout_s:g} s") from exc
    except _RefusedError as exc:
        raise RefusedAddressError(str(exc)) from exc
    except aiohttp.InvalidURL as exc:  # such as a host of digits alone
        raise RefusedAddressError(f"'{shown(url)}' leads to what is no public address") from exc
    except aiohttp.ClientError as exc:
        refused = _cause(exc)
        if refused is not None:
            raise RefusedAddressError(str(refused)) from exc
        raise UpstreamError(f"'{shown(url)}' gave no usable answer: {type(exc).__name__}") from exc


class _RefusedError(OSError):
    """A refusal on its way out of aiohttp, which passes on errors of the system as they are or wrapped."""


class _CheckingResolver(AbstractResolver):
    """Gives aiohttp addresses that have been checked; it connects to these and looks nothing up again."""

    def __init__(self, resolve: Resolve, allow: Sequence[Network]) -> None:
        self._resolve = resolve
        self._allow = allow

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - aiohttp's
    ) -> list[ResolveResult]:
        found = await self._resolve(host, port)
        wrong = next((address for address in found if not is_allowed(address, self._allow)), None)
        if wrong is not None:
            raise _RefusedError(f"'{host}' is '{wrong}', which is not a public address")
        return [_result(host, port, address) for address in found]

    async def close(self) -> None:
        """Nothing to let go of."""


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )


def _cause(error: BaseException) -> _RefusedError | None:
    """The refusal that an error of aiohttp came from."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, _RefusedError):
            return seen
        inner = getattr(seen, "os_error", None)
        seen = inner if isinstance(inner, _RefusedError) else seen.__cause__ or seen.__context__
    return None


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def shown(url: str) -> str:
    """An address for messages: without credentials and query, which may hold secrets, and not endless."""
    try:
        parts = urlsplit(url) if url.isprintable() else None
    except ValueError:
        parts = None
    if parts is None or not parts.netloc:
        return ascii(url)[1:101]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]
