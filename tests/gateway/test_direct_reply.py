"""What the door does under Causeway's own server, byte by byte; the vendors' clients are tested over the same server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pytest

from causeway.gateway.direct_reply import DirectReply
from causeway.gateway.openai_reply import COMMENT
from causeway.gateway.reply import Reply
from causeway.gateway.vendor_errors import openai_error
from tests.gateway.v1_server import KEY, PATIENCE_S, RichGateway, edge_over, serving


@dataclass(frozen=True)
class Door:
    gateway: RichGateway
    port: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    gateway = RichGateway()
    with serving(edge_over(gateway, max_body_bytes=1_000_000)) as address:
        yield Door(gateway, int(address.rpartition(":")[2]))


def request(model: str, *, words: int = 1, version: str = "1.1", **more: object) -> bytes:
    messages = [{"role": "user", "content": "word " * words}]
    body = msgspec.json.encode({"model": model, "messages": messages, **more})
    head = (
        f"POST /v1/chat/completions HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of the next answer, of which not a byte more is read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        assert piece, f"closed after {head!r}"
        head += piece
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return head, body


def test_calls_one_after_the_other_are_answered_on_one_connection(door: Door) -> None:
    with door.connect() as connection:
        for _ in range(3):
            connection.sendall(request("words"))
            head, body = answer(connection)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert head.count(b"\r\ndate: ") == head.count(b"\r\nx-request-id: ") == 1
            assert msgspec.json.decode(body)["choices"][0]["message"]["content"] == "Hello there."


@pytest.mark.parametrize("words", [1, 30_000])
def test_a_body_may_come_in_pieces(door: Door, words: int) -> None:
    asked = request("words", words=words)
    with door.connect() as connection:
        for start in range(0, len(asked), 1 + len(asked) // 7):
            connection.sendall(asked[start : start + 1 + len(asked) // 7])
        head, _ = answer(connection)
        assert head.startswith(b"HTTP/1.1 200")
        connection.sendall(request("words"))
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")


def test_a_body_that_is_too_long_is_refused(door: Door) -> None:
    with door.connect() as connection:
        connection.sendall(request("words", words=210_000))
        assert answer(connection)[0].startswith(b"HTTP/1.1 413")


def test_calls_that_came_together_are_answered_in_their_order(door: Door) -> None:
    with door.connect() as connection:
        connection.sendall(request("words") + request("nobody") + request("words"))
        statuses = [answer(connection)[0][9:12] for _ in range(3)]
        assert statuses == [b"200", b"404", b"200"]


def test_a_client_that_wants_no_second_call_is_told_that_the_connection_ends(door: Door) -> None:
    with door.connect() as connection:
        connection.sendall(request("words").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        head, _ = answer(connection)
        assert b"\r\nconnection: close\r\n" in head
        assert connection.recv(1) == b""
    with door.connect() as connection:
        connection.sendall(request("words", version="1.0"))
        assert b"\r\nconnection: close\r\n" in answer(connection)[0]
        assert connection.recv(1) == b""


def test_a_client_that_waits_for_a_stream_sees_that_the_connection_lives() -> None:
    gateway = RichGateway()
    edge = edge_over(gateway, heartbeat_s=0.01)
    with serving(edge) as address, Door(gateway, int(address.rpartition(":")[2])).connect() as connection:
        connection.sendall(request("silent", stream=True))
        received = b""
        while received.count(COMMENT) < 2:
            received += connection.recv(1000)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_its_model(door: Door, stream: bool) -> None:
    door.gateway.is_writing.clear()
    door.gateway.is_stopped.clear()
    connection = door.connect()
    connection.sendall(request("slow", stream=stream))
    assert door.gateway.is_writing.wait(PATIENCE_S)
    connection.close()
    assert door.gateway.is_stopped.wait(PATIENCE_S)


def test_a_client_that_leaves_stops_the_call_that_is_answered_and_not_the_one_that_waits(door: Door) -> None:
    door.gateway.is_writing.clear()
    door.gateway.is_stopped.clear()
    connection = door.connect()
    connection.sendall(request("slow") + request("words"))
    assert door.gateway.is_writing.wait(PATIENCE_S)
    connection.close()
    assert door.gateway.is_stopped.wait(PATIENCE_S)


def test_a_failure_has_the_vendors_shape(door: Door) -> None:
    with door.connect() as connection:
        connection.sendall(request("limited"))
        head, body = answer(connection)
        assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"\r\nretry-after: 2\r\n" in head
        assert msgspec.json.decode(body)["error"]["code"] == "rate_limited"


def test_a_client_that_asks_on_and_never_reads_is_made_to_wait(door: Door) -> None:
    asked = request("words") * 50
    with door.connect() as connection:
        connection.settimeout(1.0)
        assert not all(_sent(connection, asked) for _ in range(1_200))


def _sent(connection: socket.socket, asked: bytes) -> bool:
    try:
        connection.sendall(asked)
    except TimeoutError:
        return False
    return True


class Full(DirectReply):
    """A client that has not read what it was sent, until it is waited for."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.is_waited_for = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return not self.is_waited_for.is_set()

    async def drained(self) -> None:
        self.events.append("waits")
        await self.is_waited_for.wait()

    def reply(self, status: int, head: bytes, body: bytes) -> None:
        self.events.append(f"sends {body.decode()}")


async def _no_message(message: object) -> None:
    raise AssertionError(message)


async def test_no_answer_is_sent_to_a_client_that_does_not_read() -> None:
    client = Full()
    async with asyncio.TaskGroup() as group:
        group.create_task(Reply(_no_message, openai_error, direct=client).json(b"{}"))
        await asyncio.sleep(0)
        assert client.events == ["waits"]
        client.is_waited_for.set()
    assert client.events == ["waits", "sends {}"]
