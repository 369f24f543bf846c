"""Server-sent events as their bytes arrive (WHATWG HTML, section 9.2): only what carries data.

Chunk boundaries may fall anywhere, also inside a character or between CR and LF. Comments, which servers send to
keep a connection open, and event names and ids are skipped. The work is linear in the bytes, however small the pieces
in which one event arrives.
"""

from __future__ import annotations

from causeway.errors import UpstreamError

_LONGEST_EVENT_BYTES = 16 << 20


class EventStream:
    """Splits a stream of bytes into the data of its events."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of a line whose end has not come yet
        self._pieces_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, received: bytes) -> list[bytes]:
        """The data of every event that ``received`` completes.

        Raises:
            UpstreamError: An event is larger than 16 MB.
        """
        lines = received.split(b"\n")
        events: list[bytes] = []
        if len(lines) > 1:
            self._pieces.append(lines[0])
            lines[0] = b"".join(self._pieces)
            self._pieces.clear()
            self._pieces_bytes = 0
            for line in lines[:-1]:
                self._take(line.removesuffix(b"\r"), events)
        if lines[-1]:
            self._pieces.append(lines[-1])
            self._pieces_bytes += len(lines[-1])
        if self._pieces_bytes + self._data_bytes > _LONGEST_EVENT_BYTES:
            raise UpstreamError(f"an event of the reply is larger than {_LONGEST_EVENT_BYTES} bytes")
        return events

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
            self._data_bytes += len(line)
        elif not line:
            if self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
            self._data_bytes = 0
