from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from causeway.errors import DeadlineError, RefusedAddressError, TooLargeError, UpstreamError
from causeway.guard.public_addresses import is_allowed, networks
from causeway.guard.safe_fetch import Resolve, SafeFetcher, shown

LOOPBACK = networks(["127.0.0.1/32"])

INSIDE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "0.0.0.0",  # noqa: S104 - judged, not bound
    "224.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "192.0.0.8",
    "::1",
    "::",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "2a00:1450:4001:81b:0:5efe:7f00:1",
    "2a00:1450:4001:81b:200:5efe:a00:1",
    "nonsense",
]


@pytest.mark.parametrize("address", INSIDE)
def test_no_form_of_an_inner_address_is_public(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2a00:1450:4001:81b::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_like_itself(address: IPv4Address) -> None:
    number = int(address)
    wrapped = [IPv6Address(0xFFFF << 32 | number), IPv6Address(0x64FF9B << 96 | number)]
    assert {is_allowed(str(each)) for each in wrapped} == {is_allowed(str(address))}
    if not is_allowed(str(address)):
        assert not is_allowed(str(IPv6Address(0x2002 << 112 | number << 80 | 1)))


@given(st.ip_addresses())
def test_what_the_standard_library_calls_private_is_never_allowed(address: IPv4Address | IPv6Address) -> None:
    if address.is_private or address.is_multicast or address.is_loopback or address.is_link_local:
        inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        assert not is_allowed(str(address)) or inner is not None


def test_an_operator_may_allow_a_network_and_nothing_else() -> None:
    allowed = networks(["10.20.0.0/16"])
    assert is_allowed("10.20.1.1", allowed)
    assert is_allowed("::ffff:10.20.1.1", allowed)
    assert not is_allowed("10.21.1.1", allowed)


# --- over a server -------------------------------------------------------------------------------------


@asynccontextmanager
async def served(
    answers: Mapping[str, Callable[[], web.Response]] | None = None, hits: list[str] | None = None
) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        if hits is not None:
            hits.append(request.path_qs)
        if request.path == "/hangs":
            await asyncio.Event().wait()
        if request.path == "/breaks":
            assert request.transport is not None
            request.transport.close()
        make = (answers or {}).get(request.path)
        return make() if make else web.Response(text="hello")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def resolving(hosts: Mapping[str, Sequence[str]], asked: list[str] | None = None) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        if asked is not None:
            asked.append(host)
        return hosts[host]

    return resolve


async def read(fetcher: SafeFetcher, url: str) -> bytes:
    async with fetcher.get(url) as answer:
        return await answer.read()


async def test_an_allowed_address_is_fetched() -> None:
    fetching = SafeFetcher(user_agent="test", allow=LOOPBACK)
    async with served() as address, fetching as fetcher, fetcher.get(f"{address}/a") as answer:
        assert (answer.status, await answer.read()) == (200, b"hello")
        assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"],
)
async def test_no_way_to_write_the_loopback_reaches_it(host: str) -> None:
    hits: list[str] = []
    async with served(hits=hits) as address, SafeFetcher(user_agent="test") as fetcher:
        with pytest.raises(RefusedAddressError, match="public"):
            await read(fetcher, f"http://{host}:{address.rpartition(':')[2]}/")
    assert hits == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://example.org/",
        "http:///x",
        "//example.org/",
        "http://user:secret@example.org/",
        "http://example.org:25/",
        "http://example.org:99999/",
        "http://example.org/\r\nX: y",
        "http://[::1",
        f"http://example.org/{'a' * 5000}",
    ],
)
async def test_what_is_no_web_address_is_refused_without_asking_anybody(url: str) -> None:
    asked: list[str] = []
    async with SafeFetcher(user_agent="test", resolve=resolving({}, asked)) as fetcher:
        with pytest.raises(RefusedAddressError) as refused:
            await read(fetcher, url)
    assert "secret" not in refused.value.message
    assert asked == []


async def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    resolve = resolving({"mixed.test": ["93.184.215.14", "10.0.0.1"]})
    async with SafeFetcher(user_agent="test", resolve=resolve) as fetcher:
        with pytest.raises(RefusedAddressError, match=r"'mixed\.test' is '10\.0\.0\.1'"):
            await read(fetcher, "http://mixed.test/")


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """A second look-up would give another address: there is none."""
    asked: list[str] = []
    async with served() as address:
        answers = iter([["127.0.0.1"], ["10.0.0.1"]])

        async def rebinding(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return next(answers)

        async with SafeFetcher(user_agent="test", allow=LOOPBACK, resolve=rebinding) as fetcher:
            assert await read(fetcher, f"http://rebinds.test:{address.rpartition(':')[2]}/") == b"hello"
    assert asked == ["rebinds.test"]


async def test_every_redirect_is_checked_anew() -> None:
    hits: list[str] = []
    inner = {
        "/to-metadata": lambda: web.Response(
            status=302, headers={"Location": "http://169.254.169.254/latest"}
        ),
        "/to-decimal": lambda: web.Response(status=301, headers={"Location": "http://2852039166/"}),
        "/to-file": lambda: web.Response(status=307, headers={"Location": "file:///etc/passwd"}),
        "/round": lambda: web.Response(status=302, headers={"Location": "/round"}),
    }
    async with served(inner, hits) as address, SafeFetcher(user_agent="test", allow=LOOPBACK) as fetcher:
        for path in inner:
            with pytest.raises(RefusedAddressError):
                await read(fetcher, f"{address}{path}")
    assert hits.count("/round") == 6


async def test_a_redirect_that_the_caller_does_not_want_is_not_followed() -> None:
    hits: list[str] = []
    inner = {"/a": lambda: web.Response(status=302, headers={"Location": "/b"})}
    async with served(inner, hits) as address, SafeFetcher(user_agent="test", allow=LOOPBACK) as fetcher:
        with pytest.raises(RefusedAddressError, match="redirect"):
            async with fetcher.get(f"{address}/a", may_follow=lambda url: not url.endswith("/b")):
                pass
    assert hits == ["/a"]


async def test_a_body_is_bounded_after_decompression() -> None:
    packed = gzip.compress(b"\0" * 5_000_000)
    bomb = {"/bomb": lambda: web.Response(body=packed, headers={"Content-Encoding": "gzip"})}
    fetching = SafeFetcher(user_agent="test", allow=LOOPBACK, max_bytes=1_000_000)
    async with served(bomb) as address, fetching as fetcher:
        with pytest.raises(TooLargeError, match="1,000,000"):
            await read(fetcher, f"{address}/bomb")


async def test_silence_and_broken_answers_end() -> None:
    fetching = SafeFetcher(user_agent="test", allow=LOOPBACK, timeout_s=0.2)
    async with served() as address, fetching as fetcher:
        with pytest.raises(DeadlineError, match=r"within 0\.2 s"):
            await read(fetcher, f"{address}/hangs?token=x")
        with pytest.raises(UpstreamError):
            await read(fetcher, f"{address}/breaks")


def test_messages_show_no_query_and_no_credentials() -> None:
    assert shown("https://u:p@example.org/a?key=secret#x") == "https://example.org/a"
