"""Answers as they come, byte by byte and broken in every way, without a network."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import pytest

from causeway.models.http_connection import Answer, Connection
from causeway.models.http_failures import BrokenAnswerError, HttpFailure, SilentServerError

OK = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n"
SIZED = OK + b"Content-Length: 11\r\n\r\nhello world"
CHUNKED = (
    OK + b"Transfer-Encoding: chunked\r\n\r\n5;note=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: a\r\n\r\n"
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n"


class Wire(asyncio.Transport):
    """The near end of a connection that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.unsent_bytes = 0
        self.is_aborted = False
        self.is_reading_paused = False

    def write(self, data: Any) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False


class Line:
    """A connection over a `Wire`, and what became of it."""

    def __init__(self, silence_s: float = 60.0) -> None:
        self.wire = Wire()
        self.freed: list[Connection] = []
        self.lost: list[Connection] = []
        self.connection = Connection(silence_s=silence_s, freed=self.freed.append, lost=self.lost.append)
        self.connection.connection_made(self.wire)

    async def ask(self, *pieces: bytes, hangs_up: bool = False) -> Answer:
        """The answer when these pieces come."""
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(self.connection.ask(b"GET / HTTP/1.1\r\n\r\n", b""))
            await asyncio.sleep(0)
            for piece in pieces:
                if not self.wire.is_aborted:
                    self.connection.data_received(piece)
            if hangs_up or self.wire.is_aborted:
                self.connection.connection_lost(None)
        return asked.result()

    async def read(self, *pieces: bytes, hangs_up: bool = False) -> bytes:
        """The whole body when these pieces come."""
        try:
            answer = await self.ask(*pieces, hangs_up=hangs_up)
        except* HttpFailure as failures:
            raise failures.exceptions[0] from None
        return await answer.read(1 << 20)


@pytest.mark.parametrize("whole", [SIZED, CHUNKED, INTERIM + SIZED, INTERIM + CHUNKED])
async def test_an_answer_may_be_cut_at_any_byte(whole: bytes) -> None:
    for cut in range(1, len(whole)):
        line = Line()
        assert await line.read(whole[:cut], whole[cut:]) == b"hello world"
        assert line.freed == [line.connection]


@pytest.mark.parametrize("whole", [SIZED, CHUNKED, INTERIM + CHUNKED])
async def test_an_answer_may_come_byte_by_byte(whole: bytes) -> None:
    line = Line()
    answer = await line.ask(*(whole[place : place + 1] for place in range(len(whole))))
    assert (answer.status, answer.content_type) == (200, "text/event-stream")
    assert (await answer.read(100), answer.at_end) == (b"hello world", True)
    assert "link" not in answer.headers
    assert "x-trailer" not in answer.headers


@pytest.mark.parametrize("whole", [SIZED, CHUNKED])
async def test_an_answer_that_breaks_off_is_never_whole(whole: bytes) -> None:
    for cut in range(len(whole)):
        with pytest.raises(BrokenAnswerError):
            await Line().read(whole[:cut], hangs_up=True)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/3.7 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nxyz",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\nab",
        OK + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        OK + b"Bad Header: x\r\n\r\n",
        OK + b" folded\r\n\r\n",
        OK + b"X: a\x00b\r\n\r\n",
    ],
)
async def test_what_breaks_the_rules_breaks_the_answer_and_the_connection(answer: bytes) -> None:
    line = Line()
    with pytest.raises(BrokenAnswerError):
        await line.read(answer, hangs_up=True)
    assert line.wire.is_aborted
    assert line.freed == []


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (OK, b"X-Long: " + b"x" * 1000 + b"\r\n"),
        (OK + b"X-Endless: ", b"x" * 1000),
        (b"HTTP/1.1 200 ", b"OK" * 500),
        (b"", INTERIM),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x" * 1000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: " + b"x" * 1000 + b"\r\n"),
    ],
)
async def test_what_is_no_body_has_a_bound(begin: bytes, again: bytes) -> None:
    line = Line()
    with pytest.raises(BrokenAnswerError, match="65536 bytes"):
        await line.read(begin, *[again] * 2000)
    assert line.wire.is_aborted


@pytest.mark.parametrize("status", [204, 304])
async def test_some_answers_have_no_body_whatever_their_headers_say(status: int) -> None:
    line = Line()
    assert await line.read(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status) == b""
    assert line.freed == [line.connection]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_body_may_end_with_the_connection(version: bytes) -> None:
    line = Line()
    assert (
        await line.read(b"HTTP/%b 200 OK\r\n\r\nhello" % version, b" world", hangs_up=True) == b"hello world"
    )
    assert line.freed == []


@pytest.mark.parametrize("junk", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"\x00", SIZED])
async def test_what_follows_an_answer_spoils_the_connection_alone(junk: bytes) -> None:
    line = Line()
    assert await line.read(SIZED + junk) == b"hello world"
    assert line.freed == []
    assert line.wire.is_aborted


async def test_what_comes_unasked_closes_the_connection() -> None:
    line = Line()
    await line.read(SIZED)
    line.connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert not line.connection.is_open


@pytest.mark.parametrize("header", [b"Connection: close\r\n", b"Connection: keep-alive, close\r\n"])
async def test_a_server_that_closes_is_not_asked_again(header: bytes) -> None:
    line = Line()
    assert await line.read(OK + header + b"Content-Length: 2\r\n\r\nhi") == b"hi"
    assert line.freed == []


async def test_an_answer_before_its_request_was_sent_is_an_answer_and_the_last() -> None:
    line = Line()
    line.wire.unsent_bytes = 1000
    answer = await line.ask(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    assert (answer.status, await answer.read(100)) == (413, b"no")
    assert line.wire.is_aborted


async def test_a_body_nobody_reads_makes_the_server_wait() -> None:
    line = Line()
    answer = await line.ask(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    while not line.wire.is_reading_paused:
        line.connection.data_received(chunk)
        sent += 0x10000
    assert 0x40000 <= sent <= 0x50000
    assert len(await answer.piece()) == sent
    assert not line.wire.is_reading_paused


async def test_a_body_that_was_held_back_and_is_whole_leaves_the_connection_reading() -> None:
    line = Line()
    answer = await line.ask(OK + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
    assert not line.wire.is_reading_paused
    assert line.freed == [line.connection]
    assert len(await answer.read(2_000_000)) == 1_000_000


async def test_a_body_is_read_little_further_than_it_may_be_long() -> None:
    line = Line()
    answer = await line.ask(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", b"5\r\nhello\r\n")
    assert await answer.read(7) == b"hellohello"
    answer.close()
    assert line.wire.is_aborted


@pytest.mark.parametrize("packed", [gzip.compress(b"hello" * 9), zlib.compress(b"hello" * 9)])
async def test_a_body_that_was_packed_unasked_is_unpacked(packed: bytes) -> None:
    name = b"gzip" if packed.startswith(b"\x1f\x8b") else b"deflate"
    head = OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (name, len(packed))
    whole = head + packed
    for cut in range(1, len(whole)):
        assert await Line().read(whole[:cut], whole[cut:]) == b"hello" * 9


async def test_a_small_body_that_unpacks_to_a_huge_one_is_read_no_further_than_it_may_be_long() -> None:
    packed = gzip.compress(b"\x00" * (64 << 20))
    answer = await Line().ask(
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    )
    assert len(await answer.read(100_000)) <= 2 << 20


@pytest.mark.parametrize(
    ("coding", "body"),
    [(b"gzip", b"abc"), (b"gzip", gzip.compress(b"hello")[:-3]), (b"br", b"abc"), (b"gzip, br", b"abc")],
)
async def test_a_body_that_cannot_be_unpacked_is_broken(coding: bytes, body: bytes) -> None:
    head = b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    with pytest.raises(BrokenAnswerError, match="pack"):
        await Line().read(OK + head + body)


async def test_silence_that_lasts_too_long_breaks_the_answer() -> None:
    line = Line(silence_s=0.05)
    answer = await line.ask(OK + b"Content-Length: 5\r\n\r\nhe")
    assert await answer.piece() == b"he"
    with pytest.raises(SilentServerError):
        await answer.piece()
    assert line.wire.is_aborted


async def test_a_reader_who_takes_long_is_not_the_servers_silence() -> None:
    line = Line(silence_s=0.05)
    answer = await line.ask(OK + b"Content-Length: 600000\r\n\r\n", b"x" * 300_000)
    assert line.wire.is_reading_paused
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, passed.set)
    await passed.wait()
    assert len(await answer.piece()) == 300_000
    line.connection.data_received(b"x" * 300_000)
    assert len(await answer.read(1 << 20)) == 300_000


async def test_one_that_is_cancelled_closes_the_connection_at_once() -> None:
    line = Line()
    asking = asyncio.ensure_future(line.connection.ask(b"GET / HTTP/1.1\r\n\r\n", b""))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert line.wire.is_aborted
