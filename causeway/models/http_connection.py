"""One connection of HTTP/1.1 (RFC 9112) to a server, by httptools: one request at a time, its answer as it comes.

Written for the gateway's path, where a general client's work on each call was a fifth of the whole
(``docs/adr/0019-http-client.md``). Everything that a server sends has a bound: the head, what stands between pieces of
the body, the time in which nothing comes, and what is kept of a body that nobody reads. Whatever breaks HTTP's rules
breaks the answer and closes the connection; what comes after an answer is whole spoils the connection alone.

An answer and its connection know each other's insides, and so stand in one file of 420 lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httptools

from causeway.models.http_failures import (
    BrokenAnswerError,
    HttpFailure,
    SilentServerError,
    StaleConnectionError,
)
from causeway.models.http_unpacking import Unpacking

_MOST_UNSEEN_BYTES = 65_536
"""Of a head, or of anything else that is no body: chunk extensions, trailers, interim answers."""
_ENOUGH_BYTES = 262_144
"""Of a body that waits to be read; then the server is made to wait."""
_LARGE_BYTES = 65_536
_STALE_WITHIN_S = 1.0
"""A server that had closed a kept connection says so within a round trip; later, it may have begun to work."""
_FIRST_FINAL = 200

Told = Callable[["Connection"], None]


class Answer:
    """What a server answers; its body is there to be read, once, as it comes.

    Attributes:
        status: Of the final answer, after those that are interim.
        fields: The headers, their names in lower case; of a name sent twice the last counts.
        failure: Why no more will come of an answer that is not whole.
        is_paused: The server is made to wait, for much of the body has not been read.
    """

    __slots__ = (
        "_connection",
        "_is_whole",
        "_loop",
        "_pieces",
        "_size_bytes",
        "_unpacking",
        "_waiter",
        "failure",
        "fields",
        "is_paused",
        "status",
    )

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self._connection: Connection | None = connection
        self._loop = loop  # asking asyncio for it takes a call of the system
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._is_whole = False
        self.is_paused = False
        self.failure: HttpFailure | None = None
        self._unpacking: Unpacking | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def content_type(self) -> str:
        """The media type, in lower case, without parameters; empty when the server did not say."""
        return self.text("content-type").partition(";")[0].strip().lower()

    @property
    def at_end(self) -> bool:
        """Whether the whole body has been read."""
        return self._is_whole and not self._pieces and self._unpacking is None

    @property
    def headers(self) -> dict[str, str]:
        """The headers as text."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.fields.items()}

    def text(self, name: str) -> str:
        """The header ``name``, which is in lower case; empty when it was not sent."""
        return self.fields.get(name.encode(), b"").decode("latin-1")

    def begin(self) -> None:
        """Make ready to read the body, which may be packed.

        Raises:
            HttpFailure: The head did not come, or says that the body is packed in a way that is not known.
        """
        if not self.status and self.failure is not None:
            raise self.failure
        coding = self.text("content-encoding").strip().lower()
        if coding not in ("", "identity"):
            self._unpacking = Unpacking(coding)

    def at_hand(self, most_bytes: int) -> bytes | None:
        """The body, where all of it came at once, as most short ones do; None where it is to be read, or is longer."""
        is_whole = self._is_whole and self._unpacking is None and len(self._pieces) == 1
        return self._pieces.pop() if is_whole and self._size_bytes <= most_bytes else None

    async def piece(self) -> bytes:
        """What came of the body since the last time; empty at its end.

        Raises:
            HttpFailure: No more will come, and the body is not whole.
        """
        if self._unpacking is None:
            return await self._received()
        while not (unpacked := self._unpacking.give()):
            received = await self._received()
            if not received:
                self._unpacking.end()
                self._unpacking = None
                return b""
            self._unpacking.take(received)
        return unpacked

    async def read(self, most_bytes: int) -> bytes:
        """The rest of the body; of one that is longer than ``most_bytes`` a little more than that.

        Raises:
            HttpFailure: As for `piece`.
        """
        first = await self.piece()
        if self.at_end or not first:
            return first
        pieces, size_bytes = [first], len(first)
        while size_bytes <= most_bytes and (piece := await self.piece()):
            pieces.append(piece)
            size_bytes += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Read no more; a connection on which more would come is closed, which tells the server."""
        connection, self._connection = self._connection, None
        if connection is not None and not self._is_whole:
            connection.abort()

    async def _received(self) -> bytes:
        pieces = self._pieces
        while not pieces:
            if self.failure is not None:
                raise self.failure
            if self._is_whole:
                return b""
            await self.more()
        received = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size_bytes = 0
        if self.is_paused and self._connection is not None:
            self.is_paused = False
            self._connection.resume()
        return received

    def more(self) -> asyncio.Future[None]:
        """What is done as soon as more has come: the head, a piece of the body, its end or a failure."""
        self._waiter = self._loop.create_future()
        return self._waiter

    # --- what the connection tells ---------------------------------------------------------------

    def body_came(self, body: bytes) -> bool:
        """A piece of the body; whether it is time to make the server wait."""
        self._pieces.append(body)
        self._size_bytes += len(body)
        if self._size_bytes < _ENOUGH_BYTES or self.is_paused:
            return False
        self.is_paused = True
        return True

    def ended(self) -> None:
        """The body is whole."""
        self._is_whole = True
        self._connection = None

    def failed(self, failure: HttpFailure) -> None:
        """No more will come."""
        self.failure = failure
        self._connection = None
        self.wake()

    def wake(self) -> None:
        """Let who waits for more go on."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)


class Connection(asyncio.Protocol):
    """A connection that is open.

    Args:
        silence_s: The longest that nothing may come while an answer is due.
        freed: Told when an answer is whole and the connection can be used again.
        lost: Told when it is closed, by whom ever.
    """

    __slots__ = (
        "_answer",
        "_asked_at",
        "_freed",
        "_heard_at",
        "_is_spoilt",
        "_is_unheard",
        "_loop",
        "_lost",
        "_parser",
        "_served",
        "_silence_s",
        "_timer",
        "_transport",
        "_unseen_bytes",
        "_unsent_bytes",
        "_whole",
        "freed_at",
    )

    def __init__(self, *, silence_s: float, freed: Told, lost: Told) -> None:
        self.freed_at = 0.0
        self._silence_s = silence_s
        self._freed = freed
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._answer: Answer | None = None
        self._whole: Answer | None = None
        self._served = 0
        self._asked_at = self._heard_at = 0.0
        self._unseen_bytes = self._unsent_bytes = 0
        self._is_spoilt = False
        self._is_unheard = True
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can be used, as far as is known."""
        return not self._transport.is_closing()

    async def ask(self, head: bytes, body: bytes) -> Answer:
        """The answer to a request, once its head has come.

        Raises:
            HttpFailure: It does not come.
        """
        answer = self._answer = Answer(self, self._loop)
        self._asked_at = self._heard_at = self._loop.time()
        self._is_unheard = True
        self._unseen_bytes = 0
        self._unsent_bytes = len(body)
        if self._timer is None:
            self._timer = self._loop.call_later(self._silence_s, self._look_for_silence)
        if len(body) < _LARGE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        try:
            while not answer.status and answer.failure is None:
                await answer.more()
            if not answer.status or b"content-encoding" in answer.fields:
                answer.begin()
        except BaseException:
            self.abort()
            raise
        return answer

    def abort(self) -> None:
        """Close it at once, whatever is under way."""
        self._answer = None
        self._transport.abort()

    def resume(self) -> None:
        """Go on reading."""
        if not self._transport.is_closing():
            self._heard_at = self._loop.time()
            self._transport.resume_reading()

    # --- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = transport  # type: ignore[assignment]  # of a protocol for streams it is one

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        answer, self._answer = self._answer, None
        parser, self._parser = self._parser, None  # which holds this object
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._lost(self)
        if answer is None or parser is None:
            return
        if exc is None and answer.status and _ends_with_the_connection(answer):
            answer.ended()
            answer.wake()
        elif self._is_stale():
            answer.failed(StaleConnectionError("the server had closed the connection"))
        else:
            answer.failed(BrokenAnswerError("the connection was closed before the answer was whole"))

    def data_received(self, data: bytes) -> None:
        """More of the answer."""
        answer, parser = self._answer, self._parser
        if answer is None or parser is None:  # nobody asked: what it means for the next answer is not known
            self.abort()
            return
        self._heard_at = self._loop.time()
        self._is_unheard = False
        self._unseen_bytes += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            if self._whole is None:
                self._break(BrokenAnswerError(f"the answer breaks the rules of HTTP: {exc}"))
                return
            self._is_spoilt = True
        if self._whole is not None:
            self._end(answer)
        elif self._unseen_bytes > _MOST_UNSEEN_BYTES:
            self._break(BrokenAnswerError(f"over {_MOST_UNSEEN_BYTES} bytes came that are no part of a body"))
        elif answer.status:
            answer.wake()

    def resume_writing(self) -> None:
        """Most of a large request has been sent: the server's turn begins."""
        self._heard_at = self._loop.time()

    # --- httptools -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins, or after a whole one what nobody asked for."""
        if self._whole is not None:
            self._is_spoilt = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is left out."""
        answer = self._answer
        if answer is not None and not answer.status:
            answer.fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        """A head is whole: the answer's, or an interim one."""
        answer, parser = self._answer, self._parser
        if answer is None or parser is None or self._whole is not None:
            return
        status = parser.get_status_code()
        if status < _FIRST_FINAL:
            answer.fields.clear()
            return
        self._unseen_bytes = 0
        answer.status = status

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        answer = self._answer
        if answer is not None and self._whole is None:
            self._unseen_bytes = 0
            if answer.body_came(body):
                self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """An answer is whole, or an interim one is."""
        answer, parser = self._answer, self._parser
        if answer is not None and parser is not None and answer.status and self._whole is None:
            self._whole = answer
            if not parser.should_keep_alive():
                self._is_spoilt = True

    # --- endings ---------------------------------------------------------------------------------

    def _end(self, answer: Answer) -> None:
        """The answer is whole: free the connection, or close it."""
        self._answer = self._whole = None
        was_paused = answer.is_paused
        answer.ended()
        answer.wake()
        self._served += 1
        if self._is_spoilt or self._transport.is_closing() or self._transport.get_write_buffer_size():
            self._transport.abort()
            return
        if was_paused:
            self._transport.resume_reading()
        self.freed_at = self._heard_at
        self._freed(self)

    def _break(self, failure: HttpFailure) -> None:
        answer, self._answer = self._answer, None
        self._transport.abort()
        if answer is not None:
            answer.failed(failure)

    def _is_stale(self) -> bool:
        is_soon = self._loop.time() - self._asked_at < _STALE_WITHIN_S
        return self._served > 0 and self._is_unheard and is_soon

    def _look_for_silence(self) -> None:
        """One timer for many answers: it looks when the last thing came, and comes back when that would be too long ago."""
        self._timer = None
        answer = self._answer
        if answer is None:
            return
        now, unsent_bytes = self._loop.time(), self._transport.get_write_buffer_size()
        is_taking = 0 < unsent_bytes < self._unsent_bytes
        if is_taking or answer.is_paused:  # it takes what is sent, or waits for us
            self._heard_at = now
        self._unsent_bytes = unsent_bytes
        left_s = self._heard_at + self._silence_s - now
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look_for_silence)
        else:
            self._break(SilentServerError(f"nothing came for {self._silence_s:g} s"))


def _ends_with_the_connection(answer: Answer) -> bool:
    """Whether an answer that is not whole has no other end (RFC 9112, section 6.3)."""
    return b"content-length" not in answer.fields and b"transfer-encoding" not in answer.fields
