from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from causeway.web.bounded_http import MAX_HEAD_BYTES, BoundedHttp

_PATIENCE_S = 20.0


class Hasty(BoundedHttp):
    """With times that a test can wait for."""

    head_timeout_s = 0.1
    linger_s = 0.1

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.timeout_keep_alive = 0.1  # type: ignore[assignment]  # uvicorn's settings have whole seconds


async def _app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers ``/whole`` once it has the body, and everything else at once."""
    while scope["path"] == "/whole" and (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def _serving(protocol: type[BoundedHttp]) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(_app, port=0, http=protocol, ws="none", log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline, pause = time.monotonic() + _PATIENCE_S, threading.Event()
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        pause.wait(0.01)
    yield "127.0.0.1", server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(_PATIENCE_S)


@pytest.fixture(scope="module")
def patient() -> Iterator[tuple[str, int]]:
    with _serving(BoundedHttp) as address:
        yield address


@pytest.fixture(scope="module")
def hasty() -> Iterator[tuple[str, int]]:
    with _serving(Hasty) as address:
        yield address


def _until_closed(connection: socket.socket) -> bytes:
    received = b""
    try:
        while piece := connection.recv(65_536):
            received += piece
    except ConnectionResetError:
        pass  # it was closed while more was on its way
    return received


def _pour(connection: socket.socket, piece: bytes, most: int) -> bool:
    """Send ``piece`` again and again; whether the server stopped it."""
    sent = 0
    try:
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\n", b"x-a: " + b"b" * 1_000 + b"\r\n"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ", b"b" * 1_000),
        (b"GET /", b"a" * 1_000),
        (
            b"POST /whole HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            b"x-a: " + b"b" * 1_000 + b"\r\n",
        ),
        (b"POST /whole HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;", b"b" * 1_000),
    ],
    ids=["headers", "one header", "an address", "trailers", "a chunk extension"],
)
def test_a_head_without_end_is_cut_off(patient: tuple[str, int], begin: bytes, piece: bytes) -> None:
    with socket.create_connection(patient, timeout=_PATIENCE_S) as connection:
        connection.sendall(begin)
        assert _pour(connection, piece, 50 * MAX_HEAD_BYTES)


def test_a_large_head_learns_why(patient: tuple[str, int]) -> None:
    with socket.create_connection(patient, timeout=_PATIENCE_S) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-a: " + b"b" * MAX_HEAD_BYTES)
        assert _until_closed(connection).startswith(b"HTTP/1.1 431 ")


def test_a_head_that_comes_too_slowly_is_given_up(hasty: tuple[str, int]) -> None:
    with socket.create_connection(hasty, timeout=_PATIENCE_S) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
        assert _until_closed(connection).startswith(b"HTTP/1.1 408 ")


def test_the_second_head_of_a_connection_is_timed_too(hasty: tuple[str, int]) -> None:
    with socket.create_connection(hasty, timeout=_PATIENCE_S) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET / HTTP/1.1\r\nho")
        assert b"HTTP/1.1 408 " in _until_closed(connection)


def test_a_connection_that_says_nothing_is_closed(hasty: tuple[str, int]) -> None:
    with socket.create_connection(hasty, timeout=_PATIENCE_S) as connection:
        assert _until_closed(connection) == b""


def test_a_body_that_goes_on_after_its_answer_is_cut_off(hasty: tuple[str, int]) -> None:
    with socket.create_connection(hasty, timeout=_PATIENCE_S) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nbegun")
        assert _until_closed(connection).endswith(b"\r\n\r\nok")


def test_requests_on_one_connection_are_answered_as_ever(patient: tuple[str, int]) -> None:
    with socket.create_connection(patient, timeout=_PATIENCE_S) as connection:
        for _ in range(3):
            connection.sendall(
                b"POST /whole HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n" + b"b" * 200_000
            )
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 500
            + b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        assert _until_closed(connection).count(b"HTTP/1.1 200 ") == 501


def test_a_connection_that_waits_for_a_next_request_is_closed_in_the_end(hasty: tuple[str, int]) -> None:
    with socket.create_connection(hasty, timeout=_PATIENCE_S) as connection:
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while not received.endswith(b"ok"):
                received += connection.recv(1000)
        assert _until_closed(connection) == b""
