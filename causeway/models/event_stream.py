"""Server-sent events as their bytes arrive (WHATWG HTML, section 9.2): only what carries data.

Chunk boundaries may fall anywhere, also inside a character or between CR and LF. Comments, which servers send to
keep a connection open, and event names and ids are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

from causeway.errors import UpstreamError

_LONGEST_EVENT_BYTES = 16 << 20


class EventStream:
    """Splits a stream of bytes into the data of its events."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size_bytes = 0

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The data of every event that ``received`` completes.

        Raises:
            UpstreamError: An event is larger than 16 MB.
        """
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._size_bytes += len(line)
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data = []
                self._size_bytes = 0
        if self._size_bytes + len(self._rest) > _LONGEST_EVENT_BYTES:
            raise UpstreamError(f"an event of the reply is larger than {_LONGEST_EVENT_BYTES} bytes")
