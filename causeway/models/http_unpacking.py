"""Bodies that were packed although we ask for none that are (RFC 9110, section 8.4), unpacked within bounds."""

from __future__ import annotations

import zlib

from causeway.models.http_failures import BrokenAnswerError

_MOST_AT_ONCE_BYTES = 1 << 20
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Unpacking:
    """Unpacks one body as it comes: ``take`` what came, then ``give`` until nothing is left.

    Raises:
        BrokenAnswerError: The coding is none that is understood.
    """

    def __init__(self, coding: str) -> None:
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise BrokenAnswerError(f"the body is packed as '{coding[:100]}', which was not asked for")
        self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._packed = b""

    def take(self, packed: bytes) -> None:
        """What came."""
        self._packed += packed

    def give(self) -> bytes:
        """The next megabyte at most; empty when more has to come first.

        Raises:
            BrokenAnswerError: It is not packed as it says.
        """
        try:
            unpacked = self._stream.decompress(self._packed, _MOST_AT_ONCE_BYTES)
        except zlib.error as exc:
            raise BrokenAnswerError(f"the body cannot be unpacked: {exc}") from exc
        self._packed = self._stream.unconsumed_tail
        return unpacked

    def end(self) -> None:
        """The body is over.

        Raises:
            BrokenAnswerError: Too early.
        """
        if not self._stream.eof:
            msg = "the packed body broke off"
            raise BrokenAnswerError(msg)
