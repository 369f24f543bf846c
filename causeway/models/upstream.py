"""A provider's server over HTTP: one pool of connections, keys in turn, bounded answers, failures as Causeway's errors.

What is sent and what comes back is the provider's file's own; this one is shared by OpenAI-compatible servers and
Anthropic. It is on the path of every call, so what can be prepared once is: the headers, the proxy, the pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable, Mapping
from types import TracebackType
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from yarl import URL

from causeway import __version__
from causeway.contracts.clock import Clock
from causeway.errors import (
    CausewayError,
    DeadlineError,
    InvalidInputError,
    ModelUnavailableError,
    OperatorError,
    UpstreamError,
)
from causeway.models.key_ring import KeyRing
from causeway.models.refusals import refusal
from causeway.models.retry_after import asked_wait_s
from causeway.settings import ProviderSettings

LONGEST_REPLY_BYTES = 64 << 20
_LONGEST_REFUSAL_BYTES = 64 << 10
_LARGE_BODY_BYTES = 1 << 20  # aiohttp writes larger ones in pieces when they come as a file
_DRAIN_TIMEOUT_S = 0.2
_KEEP_ALIVE_S = 30.0
_LOCAL_KEEP_ALIVE_S = 4.0  # llama.cpp's server closes after five: a request must not meet that
_DNS_TTL_S = 60

KeyHeader = Callable[[str], Mapping[str, str]]
"""Makes the header that carries a key."""

_encode = msgspec.json.Encoder().encode


class Upstream:
    """The server of one provider.

    Args:
        name: What the settings call it; messages name it.
        settings: Address, keys, further headers, timeouts.
        key_header: Where its protocol wants the key.
        headers: Further headers that its protocol wants; the operator's own win.
        is_local: It listens on this machine's loopback: no proxy, and connections are not kept as long.
    """

    def __init__(
        self,
        name: str,
        settings: ProviderSettings,
        *,
        key_header: KeyHeader,
        clock: Clock,
        headers: Mapping[str, str] | None = None,
        is_local: bool = False,
    ) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._is_local = is_local
        self._host = urlsplit(settings.base_url).netloc or settings.base_url
        secrets = [key.get_secret_value() for key in (settings.api_key, *settings.api_keys)]
        self._keys = KeyRing([key for key in secrets if key], clock)
        signed = [dict(key_header(key)) if key else {} for key in self._keys.keys]
        self._headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",  # unpacking costs more than a loopback or a data centre's network
            "User-Agent": f"causeway/{__version__}",
            **(headers or {}),
            **settings.headers,
        }
        self._signed: list[dict[str, str] | None] = list(signed)
        if len(signed) == 1:  # part of every call's headers, so that none has to be merged
            self._headers = signed[0] | self._headers
            self._signed = [None]
        self._failures = _Failures(name, self._host, settings.timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, url: URL, body: object, model: str, *, most_bytes: int = LONGEST_REPLY_BYTES
    ) -> bytes:
        """The body of a successful answer.

        Raises:
            CausewayError: As `causeway.models.provider.ChatProvider` lists them.
        """
        with self._failures:
            answer = await self.send("POST", url, _encoded(body), model)
            try:
                return await self.read(answer, most_bytes)
            finally:
                answer.close()

    async def get(self, url: URL, *, most_bytes: int) -> bytes:
        """The body of a successful answer.

        Raises:
            CausewayError: As for `post`.
        """
        with self._failures:
            answer = await self.send("GET", url, None, "")
            try:
                return await self.read(answer, most_bytes)
            finally:
                answer.close()

    def stream(self, url: URL, body: object, model: str) -> StreamedAnswer:
        """An answer that is read as it comes: ``async with upstream.stream(...) as answer``."""
        return StreamedAnswer(self, self._failures, url, _encoded(body), model)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, method: str, url: URL, body: bytes | None, model: str) -> aiohttp.ClientResponse:
        """A successful answer whose body has not been read, for its taker to close.

        A key that is refused makes way for the next one.
        """
        session = self._session or self._open_session()
        tries = len(self._keys.keys)
        while True:
            place = self._keys.take()
            content = body if body is None or len(body) <= _LARGE_BODY_BYTES else io.BytesIO(body)
            answer = await session.request(
                method, url, data=content, headers=self._signed[place], allow_redirects=False
            )
            if answer.status == 200:
                return answer
            error = await self._refusal(answer, model)
            tries -= 1
            if not self._keys.refused(place, error) or not tries:
                raise error

    async def _refusal(self, answer: aiohttp.ClientResponse, model: str) -> CausewayError:
        try:
            body = await _at_most(answer.content, _LONGEST_REFUSAL_BYTES)
        finally:
            answer.close()
        return refusal(
            self.name,
            model,
            status=answer.status,
            body=body[:_LONGEST_REFUSAL_BYTES],
            retry_after_s=asked_wait_s(answer.headers, self._clock.now()),
        )

    async def read(self, answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
        """The rest of an answer's body.

        Raises:
            UpstreamError: It is longer than ``most_bytes``.
        """
        received = await answer.content.readany()
        if answer.content.at_eof():
            return received
        whole = received + await _at_most(answer.content, most_bytes - len(received))
        if len(whole) > most_bytes:
            raise UpstreamError(
                f"the provider '{self.name}' answered with more than {most_bytes} bytes; ask for less"
            )
        return whole

    def _open_session(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(
                total=None, connect=self._settings.connect_timeout_s, sock_read=self._settings.timeout_s
            ),
            headers=self._headers,
            connector=aiohttp.TCPConnector(
                limit=0,  # how many calls may run is the gateway's to say
                keepalive_timeout=_LOCAL_KEEP_ALIVE_S if self._is_local else _KEEP_ALIVE_S,
                ttl_dns_cache=_DNS_TTL_S,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=None if self._is_local else _proxy(self._settings.base_url),
        )
        return self._session


class StreamedAnswer:
    """An answer that is read as it comes; leaving the block early closes the connection, which stops the server."""

    def __init__(self, upstream: Upstream, failures: _Failures, url: URL, body: bytes, model: str) -> None:
        self._upstream = upstream
        self._failures = failures
        self._call = (url, body, model)
        self._answer: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        with self._failures:
            self._answer = await self._upstream.send("POST", *self._call)
            return self._answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._answer is not None:
            if error is None:
                await _drain(self._answer)
            self._answer.close()
        self._failures.__exit__(kind, error, trace)


class _Failures:
    """Turns aiohttp's exceptions into Causeway's; one object serves every call, as it keeps nothing of any."""

    def __init__(self, name: str, host: str, timeout_s: float) -> None:
        self._name = name
        self._host = host
        self._timeout_s = timeout_s

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        meaning = self._meaning(error) if isinstance(error, Exception) else None
        if meaning is not None:
            raise meaning from error

    def _meaning(self, error: Exception) -> CausewayError | None:
        match error:
            case aiohttp.InvalidURL():
                return OperatorError(
                    f"providers.{self._name}.base_url is no address that can be called; mend it"
                )
            case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
                return ModelUnavailableError(
                    f"the provider '{self._name}' cannot be reached at {self._host}; check that it runs and"
                    f" providers.{self._name}.base_url"
                )
            case TimeoutError():
                return DeadlineError(
                    f"the provider '{self._name}' was silent for {self._timeout_s:g} s"
                    f" (providers.{self._name}.timeout_s)"
                )
            case aiohttp.ClientError() | ConnectionError():
                return UpstreamError(
                    f"the connection to the provider '{self._name}' broke: {type(error).__name__}; try again"
                )
            case _:
                return None


def _encoded(body: object) -> bytes:
    try:
        return _encode(body)
    except UnicodeEncodeError as exc:
        raise InvalidInputError(f"the request has text that is not Unicode: {exc.reason}") from exc


def _proxy(base_url: str) -> str | None:
    """The proxy of the environment for that address, asked once: aiohttp asks in a thread for every call."""
    parts = urlsplit(base_url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


async def _at_most(content: aiohttp.StreamReader, most_bytes: int) -> bytes:
    """The rest of a body; of one that is longer than ``most_bytes``, a little more than that."""
    pieces: list[bytes] = []
    size = 0
    while size <= most_bytes and (piece := await content.readany()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Read the end of an answer, so that its connection can be used again."""
    if answer.content.at_eof():
        return
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_DRAIN_TIMEOUT_S):
            while await answer.content.readany():
                pass
