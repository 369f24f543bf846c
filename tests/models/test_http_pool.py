"""Connections to real servers on the loopback, on the event loop of Python and on the one that Causeway serves with."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from causeway.models.http_address import read_address, request_head
from causeway.models.http_failures import BrokenAnswerError, StaleConnectionError, UnreachableServerError
from causeway.models.http_pool import Pool
from tests.models.raw_server import RawServer, Talk

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHi"


def on_both_loops(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs ``scenario`` on each loop."""

    def test(loop: Callable[[], asyncio.AbstractEventLoop], **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(scenario(**fixtures))

    wanted = inspect.signature(scenario)
    first = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    named = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in wanted.parameters.values()
    ]
    test.__signature__ = wanted.replace(parameters=[first, *named])  # type: ignore[attr-defined]  # what pytest reads
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    marked: Callable[..., None] = pytest.mark.parametrize("loop", loops, ids=["asyncio", "uvloop"])(test)
    return marked


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for ``localhost`` that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, file = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*command.split(), *names, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True
    )
    return file, key


@asynccontextmanager
async def pool_to(url: str, *, proxy: str | None = None, keep_alive_s: float = 30.0) -> AsyncIterator[Pool]:
    pool = Pool(
        read_address(url),
        proxy=read_address(proxy) if proxy else None,
        connect_timeout_s=5.0,
        silence_s=5.0,
        keep_alive_s=keep_alive_s,
    )
    try:
        yield pool
    finally:
        await pool.close()


async def get(pool: Pool, url: str = "http://127.0.0.1/") -> bytes:
    address = read_address(url)
    head = request_head("GET", address.target, [{"Host": address.authority}], has_body=False)
    answer = await pool.ask(head, b"")
    return await answer.read(1 << 20)


async def says_hi(talk: Talk) -> None:
    while True:
        await talk.request()
        await talk.say(HI)


@on_both_loops
async def test_calls_one_after_the_other_share_a_connection() -> None:
    server = RawServer(says_hi)
    async with server.served() as port, pool_to(f"http://127.0.0.1:{port}") as pool:
        assert [await get(pool) for _ in range(3)] == [b"Hi"] * 3
    assert server.connections == 1


@on_both_loops
async def test_calls_side_by_side_have_connections_of_their_own() -> None:
    server = RawServer(says_hi)
    async with server.served() as port, pool_to(f"http://127.0.0.1:{port}") as pool:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(get(pool)) for _ in range(5)]
        assert [one.result() for one in asked] == [b"Hi"] * 5
        assert await get(pool) == b"Hi"
    assert server.connections == 5


@on_both_loops
async def test_a_kept_connection_that_the_server_closed_costs_no_call() -> None:
    closed = asyncio.Event()

    async def talk(talk: Talk) -> None:
        await talk.request()
        await talk.say(HI)
        talk.writer.close()
        closed.set()

    server = RawServer(talk)
    async with server.served() as port, pool_to(f"http://127.0.0.1:{port}") as pool:
        for _ in range(5):
            assert await get(pool) == b"Hi"
            await closed.wait()
            closed.clear()
    assert server.connections == 5


@on_both_loops
async def test_a_server_that_hangs_up_on_a_request_is_asked_once_more() -> None:
    async def talk(talk: Talk) -> None:
        await talk.request()
        if server.connections == 1:
            await talk.say(HI)
            await talk.request()

    server = RawServer(talk)
    async with server.served() as port, pool_to(f"http://127.0.0.1:{port}") as pool:
        assert await get(pool) == b"Hi"
        with pytest.raises(BrokenAnswerError) as failed:
            await get(pool)
        assert not isinstance(failed.value, StaleConnectionError)
    assert server.connections == 2


@on_both_loops
async def test_a_server_that_began_to_answer_is_not_asked_again() -> None:
    async def talk(talk: Talk) -> None:
        await talk.request()
        await talk.say(HI)
        await talk.request()
        await talk.say(HI[:12])

    server = RawServer(talk)
    async with server.served() as port, pool_to(f"http://127.0.0.1:{port}") as pool:
        assert await get(pool) == b"Hi"
        with pytest.raises(BrokenAnswerError):
            await get(pool)
    assert server.connections == 1


@on_both_loops
async def test_what_follows_an_answer_never_answers_the_next_call() -> None:
    async def talk(talk: Talk) -> None:
        await talk.request()
        await talk.say(HI + HI.replace(b"Hi", b"No"))
        await talk.reader.read()

    server = RawServer(talk)
    async with server.served() as port, pool_to(f"http://127.0.0.1:{port}") as pool:
        assert [await get(pool) for _ in range(3)] == [b"Hi"] * 3
    assert server.connections == 3


@on_both_loops
async def test_a_connection_unused_for_long_is_closed() -> None:
    async def talk(talk: Talk) -> None:
        await says_hi(talk)

    server = RawServer(talk)
    async with (
        server.served() as port,
        pool_to(f"http://127.0.0.1:{port}", keep_alive_s=0.05) as pool,
    ):
        assert await get(pool) == b"Hi"
        await server.left.wait()
        assert await get(pool) == b"Hi"
    assert server.connections == 2


@on_both_loops
async def test_a_call_that_is_cancelled_hangs_up() -> None:
    reached = asyncio.Event()

    async def talk(talk: Talk) -> None:
        await talk.request()
        reached.set()
        await talk.request()

    server = RawServer(talk)
    async with server.served() as port, pool_to(f"http://127.0.0.1:{port}") as pool:
        call = asyncio.ensure_future(get(pool))
        await reached.wait()
        call.cancel()
        await server.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await call


@on_both_loops
async def test_a_refusal_before_the_request_was_read_is_heard() -> None:
    async def talk(talk: Talk) -> None:
        await talk.reader.readuntil(b"\r\n\r\n")
        await talk.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await talk.reader.read()  # what nobody wants, so that the refusal is not lost with the connection

    server = RawServer(talk)
    async with server.served() as port, pool_to(f"http://127.0.0.1:{port}") as pool:
        body = b"x" * (32 << 20)
        head = request_head("POST", "/", [{"Host": "x"}], has_body=True) + b"%d\r\n\r\n" % len(body)
        answer = await pool.ask(head, body)
        assert (answer.status, await answer.read(100)) == (413, b"no")


@on_both_loops
async def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with pool_to(f"http://127.0.0.1:{taken.getsockname()[1]}") as pool:
            with pytest.raises(UnreachableServerError):
                await get(pool)


@on_both_loops
async def test_the_next_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    server = RawServer(says_hi)
    async with server.served() as port:
        with socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))
            found = [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", place))
                for place in (dead.getsockname()[1], port)
            ]

            async def resolve(*_: object, **__: object) -> list[Any]:
                return found

            async with pool_to("http://two.test") as pool:
                monkeypatch.setattr(pool, "_resolve", resolve)
                assert await get(pool) == b"Hi"
                assert await get(pool) == b"Hi"
    assert server.connections == 1


@on_both_loops
async def test_closing_hangs_up_on_calls_under_way() -> None:
    reached = asyncio.Event()

    async def talk(talk: Talk) -> None:
        await talk.request()
        await talk.say(HI[:-1])
        reached.set()
        await talk.request()

    server = RawServer(talk)
    async with server.served() as port, pool_to(f"http://127.0.0.1:{port}") as pool:
        call = asyncio.ensure_future(get(pool))
        await reached.wait()
        await pool.close()
        await server.left.wait()
        call.cancel()
        with pytest.raises((asyncio.CancelledError, BrokenAnswerError)):
            await call


# --- TLS and proxies -------------------------------------------------------------------------------


def _serving(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@on_both_loops
async def test_tls_is_spoken_with_a_server_whose_certificate_is_trusted(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    server = RawServer(says_hi)
    async with server.served(_serving(certificate)) as port, pool_to(f"https://127.0.0.1:{port}") as pool:
        assert [await get(pool) for _ in range(2)] == [b"Hi"] * 2
    assert server.connections == 1


@on_both_loops
async def test_a_certificate_that_is_not_trusted_is_refused(certificate: tuple[Path, Path]) -> None:
    server = RawServer(says_hi)
    async with server.served(_serving(certificate)) as port, pool_to(f"https://127.0.0.1:{port}") as pool:
        with pytest.raises(UnreachableServerError, match="CERTIFICATE_VERIFY_FAILED"):
            await get(pool)


def _proxy(seen: list[bytes], answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> RawServer:
    """Makes tunnels, or answers as it is told."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def talk(talk: Talk) -> None:
        head = await talk.request()
        seen.append(head)
        await talk.say(answer)
        if not answer.startswith(b"HTTP/1.1 200"):
            return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(talk.reader, writer))
            group.create_task(pump(reader, talk.writer))

    return RawServer(talk)


@on_both_loops
async def test_a_proxy_makes_a_tunnel_for_tls(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    seen: list[bytes] = []
    server, proxy = RawServer(says_hi), _proxy(seen)
    async with (
        server.served(_serving(certificate)) as port,
        proxy.served() as way,
        pool_to(f"https://127.0.0.1:{port}", proxy=f"http://me:pass@127.0.0.1:{way}") as pool,
    ):
        assert [await get(pool) for _ in range(2)] == [b"Hi"] * 2
    assert seen == [
        b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        b"Proxy-Authorization: Basic bWU6cGFzcw==\r\n\r\n" % (port, port)
    ]


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 407 No\r\n\r\n", b"nonsense\r\n\r\n", b"", b"x" * 100_000, b"HTTP/1.1 200 OK\r\n\r\nhello"],
)
@on_both_loops
async def test_a_proxy_that_makes_no_tunnel_is_unreachable(answer: bytes) -> None:
    proxy = _proxy([], answer)
    async with (
        proxy.served() as way,
        pool_to("https://127.0.0.1:1", proxy=f"http://127.0.0.1:{way}") as pool,
    ):
        with pytest.raises(UnreachableServerError):
            await get(pool)
