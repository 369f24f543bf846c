"""The connections to one server: opened when needed, kept open for a while, the one used last used first.

A proxy of the environment is gone through as it wants: asked for whole addresses where the server speaks plain HTTP, and
for a tunnel (CONNECT, RFC 9110, section 9.3.6) where it speaks TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from causeway.models.http_address import Address, request_head
from causeway.models.http_connection import Answer, Connection
from causeway.models.http_failures import StaleConnectionError, UnreachableServerError

_RESOLVED_FOR_S = 60.0
_NEXT_ADDRESS_AFTER_S = 1.0
"""A host may have an address that leads nowhere, such as of IPv6, beside one that works."""
_LONGEST_TUNNEL_HEAD_BYTES = 65_536
_CLOSE_WITHIN_S = 1.0
_HEAD_END = b"\r\n\r\n"

Near = TypeVar("Near", bound=asyncio.Protocol)


class Pool:
    """Connections to the server of ``origin``.

    Args:
        origin: Whose host and port are called.
        proxy: What is gone through; None when nothing is.
        connect_timeout_s: The longest that opening a connection may take.
        silence_s: The longest that nothing may come while an answer is due.
        keep_alive_s: How long a connection is kept that nobody uses.
    """

    def __init__(
        self,
        origin: Address,
        *,
        proxy: Address | None,
        connect_timeout_s: float,
        silence_s: float,
        keep_alive_s: float,
    ) -> None:
        self._origin = origin
        self._proxy = proxy
        self._first = proxy or origin
        self._connect_timeout_s = connect_timeout_s
        self._keep_alive_s = keep_alive_s
        self._loop = asyncio.get_running_loop()
        self._make: Callable[[], Connection] = partial(
            Connection, silence_s=silence_s, freed=self._freed, lost=self._lost
        )
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []  # by when they were freed
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._resolve = self._loop.getaddrinfo
        self._resolving = asyncio.Lock()
        self._resolved: list[tuple[str, int]] = []
        self._resolved_at = 0.0
        self._tls: ssl.SSLContext | None = None
        self._is_closed = False
        self._emptied = asyncio.Event()

    async def ask(self, head: bytes, body: bytes) -> Answer:
        """The answer to a request, once its head has come.

        A request that met a connection which the server had closed meanwhile, and so was never read, is sent again.

        Raises:
            HttpFailure: There is none.
        """
        connection = self._kept()
        if connection is not None:
            try:
                return await connection.ask(head, body)
            except StaleConnectionError:
                pass
        connection = await self._open()
        return await connection.ask(head, body)

    async def close(self) -> None:
        """Close every connection, those in use too."""
        self._is_closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        self._idle.clear()
        for connection in list(self._all):
            connection.abort()
        if self._all:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_WITHIN_S):
                    await self._emptied.wait()

    # --- connections that are open ---------------------------------------------------------------

    def _kept(self) -> Connection | None:
        """One that can be used, so far as is known."""
        oldest = self._loop.time() - self._keep_alive_s
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.freed_at > oldest:
                return connection
            connection.abort()
        return None

    def _freed(self, connection: Connection) -> None:
        if self._is_closed:
            connection.abort()
            return
        self._idle.append(connection)
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(self._keep_alive_s, self._sweep)

    def _lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._is_closed and not self._all:
            self._emptied.set()

    def _sweep(self) -> None:
        """Close what nobody used for long."""
        self._sweep_timer = None
        oldest = self._loop.time() - self._keep_alive_s
        old = [connection for connection in self._idle if connection.freed_at <= oldest]
        for connection in old:
            connection.abort()
        del self._idle[: len(old)]
        if self._idle:
            wait_s = self._idle[0].freed_at - oldest
            self._sweep_timer = self._loop.call_later(wait_s, self._sweep)

    # --- opening ---------------------------------------------------------------------------------

    async def _open(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await self._connect()
        except OSError as exc:  # TimeoutError, what TLS refuses and unknown names are some
            raise UnreachableServerError(str(exc)) from exc
        self._all.add(connection)
        if self._is_closed:
            connection.abort()
        return connection

    async def _connect(self) -> Connection:
        if self._proxy is None or not self._origin.is_tls:
            return await self._connect_first(self._make)
        tunnel = await self._connect_first(_Tunnel)
        try:
            await tunnel.open_to(self._origin, self._proxy)
            connection = self._make()
            transport = await self._loop.start_tls(
                tunnel.transport, connection, self._context(), server_hostname=self._origin.host
            )
        except BaseException:
            tunnel.transport.abort()
            raise
        if transport is None:
            msg = "the connection was lost"
            raise ConnectionError(msg)
        connection.connection_made(transport)
        return connection

    async def _connect_first(self, make: Callable[[], Near]) -> Near:
        """A connection to the server, or the proxy before it, by the first of its addresses that answers."""
        tls: dict[str, Any] = {}
        if self._first.is_tls:
            tls = {"ssl": self._context(), "server_hostname": self._first.host}
        resolved = await self._addresses()
        for place, (host, port) in enumerate(resolved):
            is_last = place + 1 == len(resolved)
            try:
                async with asyncio.timeout(None if is_last else _NEXT_ADDRESS_AFTER_S):
                    _, protocol = await self._loop.create_connection(make, host, port, **tls)
            except OSError:
                self._resolved_at = 0.0
                if is_last:
                    raise
            else:
                if place:
                    self._resolved = [resolved[place], *resolved[:place], *resolved[place + 1 :]]
                return protocol
        msg = "the name has no address"
        raise OSError(msg)

    async def _addresses(self) -> list[tuple[str, int]]:
        async with self._resolving:
            now = self._loop.time()
            if not self._resolved or now - self._resolved_at > _RESOLVED_FOR_S:
                found = await self._resolve(self._first.host, self._first.port, type=socket.SOCK_STREAM)
                self._resolved = list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))
                self._resolved_at = now
            return self._resolved

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


class _Tunnel(asyncio.Protocol):
    """Asks a proxy for a way to a server."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._head = b""
        self._answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # of a protocol for streams it is one

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._answered.done():
            return
        if _HEAD_END in self._head:
            self._answered.set_result(self._head)
        elif len(self._head) > _LONGEST_TUNNEL_HEAD_BYTES:
            self._answered.set_exception(ConnectionError("the proxy's answer has no end"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if not self._answered.done():
            self._answered.set_exception(ConnectionError("the proxy hung up"))

    async def open_to(self, origin: Address, proxy: Address) -> None:
        """Wait for the way to be there.

        Raises:
            OSError: It will not be.
        """
        headers = {"Host": origin.host_and_port}
        if proxy.credentials is not None:
            headers["Proxy-Authorization"] = proxy.credentials
        self.transport.write(request_head("CONNECT", origin.host_and_port, [headers], has_body=False))
        head = await self._answered
        status = head.split(b" ", 2)[1:2]
        if not head.startswith(b"HTTP/1.") or status != [b"200"]:
            raise ConnectionError(f"the proxy answered {head[:100]!r}")
        if not head.endswith(_HEAD_END):
            msg = "the proxy spoke for the server"
            raise ConnectionError(msg)
