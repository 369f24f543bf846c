"""A provider's server over HTTP: one pool of connections, keys in turn, bounded answers, failures as Causeway's errors.

What is sent and what comes back is the provider's file's own; this one is shared by OpenAI-compatible servers and
Anthropic. It is on the path of every call, so what can be prepared once is: the heads of requests, the proxy, the pool.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from types import TracebackType
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec

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
from causeway.models.http_address import Address, read_address, request_head
from causeway.models.http_connection import Answer
from causeway.models.http_failures import (
    BadAddressError,
    BadHeaderError,
    HttpFailure,
    SilentServerError,
    UnreachableServerError,
)
from causeway.models.http_pool import Pool
from causeway.models.key_ring import KeyRing
from causeway.models.refusals import refusal
from causeway.models.retry_after import asked_wait_s
from causeway.settings import ProviderSettings

LONGEST_REPLY_BYTES = 64 << 20
_LONGEST_REFUSAL_BYTES = 64 << 10
_DRAIN_TIMEOUT_S = 0.2
_KEEP_ALIVE_S = 30.0
_LOCAL_KEEP_ALIVE_S = 4.0  # llama.cpp's server closes after five: a request must not meet that
_MOST_HEADS = 1024  # Azure has models in its addresses, and a model's name may come from a caller

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
        self._signed = [key_header(key) if key else {} for key in self._keys.keys]
        self._headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",  # unpacking costs more than a loopback or a data centre's network
            "User-Agent": f"causeway/{__version__}",
            **(headers or {}),
        }
        self._heads: dict[tuple[str, str, int], bytes] = {}
        self._failures = _Failures(name, self._host, settings.timeout_s)
        self._pool: Pool | None = None
        self._proxy: Address | None = None

    async def post(
        self, url: str, body: object, model: str, *, most_bytes: int = LONGEST_REPLY_BYTES
    ) -> bytes:
        """The body of a successful answer.

        Raises:
            CausewayError: As `causeway.models.provider.ChatProvider` lists them.
        """
        try:
            answer = await self.send("POST", url, _encoded(body), model)
            whole = answer.at_hand(most_bytes)
            if whole is not None:
                return whole
            try:
                return await self.read(answer, most_bytes)
            finally:
                answer.close()
        except HttpFailure as exc:
            raise self._failures.meaning(exc) from exc

    async def get(self, url: str, *, most_bytes: int) -> bytes:
        """The body of a successful answer.

        Raises:
            CausewayError: As for `post`.
        """
        with self._failures:
            answer = await self.send("GET", url, b"", "")
            try:
                return await self.read(answer, most_bytes)
            finally:
                answer.close()

    def stream(self, url: str, body: object, model: str) -> StreamedAnswer:
        """An answer that is read as it comes: ``async with upstream.stream(...) as answer``."""
        return StreamedAnswer(self, self._failures, url, _encoded(body), model)

    async def close(self) -> None:
        """Close every connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def send(self, method: str, url: str, body: bytes, model: str) -> Answer:
        """A successful answer whose body has not been read, for its taker to close.

        A key that is refused makes way for the next one.
        """
        pool = self._pool or self._open_pool()
        tries = len(self._keys.keys)
        while True:
            place = self._keys.take()
            asked = (method, url, place)
            head = self._heads.get(asked) or self._head(asked)
            if method == "POST":
                head += b"%d\r\n\r\n" % len(body)
            answer = await pool.ask(head, body)
            if answer.status == 200:
                return answer
            error = await self._refusal(answer, model)
            tries -= 1
            if not self._keys.refused(place, error) or not tries:
                raise error

    async def _refusal(self, answer: Answer, model: str) -> CausewayError:
        try:
            body = await answer.read(_LONGEST_REFUSAL_BYTES)
        finally:
            answer.close()
        return refusal(
            self.name,
            model,
            status=answer.status,
            body=body[:_LONGEST_REFUSAL_BYTES],
            retry_after_s=asked_wait_s(answer.headers, self._clock.now()),
        )

    async def read(self, answer: Answer, most_bytes: int) -> bytes:
        """The rest of an answer's body.

        Raises:
            UpstreamError: It is longer than ``most_bytes``.
        """
        whole = await answer.read(most_bytes)
        if len(whole) > most_bytes:
            raise UpstreamError(
                f"the provider '{self.name}' answered with more than {most_bytes} bytes; ask for less"
            )
        return whole

    def _open_pool(self) -> Pool:
        self._proxy = self._environments_proxy()
        self._pool = Pool(
            read_address(self._settings.base_url),
            proxy=self._proxy,
            connect_timeout_s=self._settings.connect_timeout_s,
            silence_s=self._settings.timeout_s,
            keep_alive_s=_LOCAL_KEEP_ALIVE_S if self._is_local else _KEEP_ALIVE_S,
        )
        return self._pool

    def _environments_proxy(self) -> Address | None:
        """The proxy of the environment for this server, asked once."""
        parts = urlsplit(self._settings.base_url)
        if self._is_local or proxy_bypass(parts.hostname or ""):
            return None
        proxy = getproxies().get(parts.scheme)
        return None if proxy is None else read_address(proxy)

    def _head(self, asked: tuple[str, str, int]) -> bytes:
        """The head of a request, kept for the next one of its kind."""
        method, url, place = asked
        address, proxy = read_address(url), self._proxy
        own: dict[str, str] = {"Host": address.authority}
        if address.credentials is not None:
            own["Authorization"] = address.credentials
        target = address.target
        if proxy is not None and not address.is_tls:
            target = address.url
            if proxy.credentials is not None:
                own["Proxy-Authorization"] = proxy.credentials
        if method == "POST":
            own["Content-Type"] = "application/json"
        headers = (own, self._headers, self._signed[place], self._settings.headers)
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        head = self._heads[asked] = request_head(method, target, headers, has_body=method == "POST")
        return head


class StreamedAnswer:
    """An answer that is read as it comes; leaving the block early closes the connection, which stops the server."""

    def __init__(self, upstream: Upstream, failures: _Failures, url: str, body: bytes, model: str) -> None:
        self._upstream = upstream
        self._failures = failures
        self._call = (url, body, model)
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
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
    """Turns HTTP's failures into Causeway's errors; one object serves every call, as it keeps nothing of any."""

    def __init__(self, name: str, host: str, timeout_s: float) -> None:
        self._name = name
        self._host = host
        self._timeout_s = timeout_s

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, HttpFailure):
            raise self.meaning(error) from error

    def meaning(self, error: HttpFailure) -> CausewayError:
        """What ``error`` is to the gateway."""
        match error:
            case BadHeaderError():
                return OperatorError(f"providers.{self._name}: {error}; mend its headers or key")
            case BadAddressError():
                return OperatorError(
                    f"providers.{self._name}.base_url is no address that can be called; mend it"
                )
            case UnreachableServerError():
                return ModelUnavailableError(
                    f"the provider '{self._name}' cannot be reached at {self._host}; check that it runs and"
                    f" providers.{self._name}.base_url"
                )
            case SilentServerError():
                return DeadlineError(
                    f"the provider '{self._name}' was silent for {self._timeout_s:g} s"
                    f" (providers.{self._name}.timeout_s)"
                )
            case _:
                return UpstreamError(
                    f"the connection to the provider '{self._name}' broke: {error}; try again"
                )


def _encoded(body: object) -> bytes:
    try:
        return _encode(body)
    except UnicodeEncodeError as exc:
        raise InvalidInputError(f"the request has text that is not Unicode: {exc.reason}") from exc


async def _drain(answer: Answer) -> None:
    """Read the end of an answer, so that its connection can be used again."""
    if answer.at_end:
        return
    with contextlib.suppress(HttpFailure, TimeoutError):
        async with asyncio.timeout(_DRAIN_TIMEOUT_S):
            while await answer.piece():
                pass
